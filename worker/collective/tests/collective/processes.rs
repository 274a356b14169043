//! Ranks that are processes: this test binary starts itself again, once for each rank.

use crate::worlds::{BOUND, config};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;
use twinspan_collective::{Collective, CollectiveError, RingListener, TcpRing};
use twinspan_types::Rank;

/// Set for child ranks: the rank's number.
const RANK: &str = "TWINSPAN_COLLECTIVE_TEST_RANK";
/// Sums that a rank does before it says that it is under way.
const WARM_UP: u32 = 20;

/// The body of a child rank; without the variable there is nothing to test.
///
/// It prints `address host:port`, reads all members' addresses from its input, sums until something
/// fails, prints `started` on the way, and the failure at the end.
#[test]
fn child_rank() {
    let Ok(rank) = std::env::var(RANK) else {
        return;
    };
    let rank = Rank(rank.parse().expect("a number"));
    let mut ring = join_ring(rank);
    let mut buffer = vec![0.0_f32; 1_000_000];
    let deadline = Instant::now() + BOUND;
    for round in 0.. {
        match ring.all_reduce_sum(&mut buffer) {
            Ok(()) if round == WARM_UP => println!("started"),
            Ok(()) => assert!(Instant::now() < deadline, "nothing failed"),
            Err(CollectiveError::PeerLost { peer, .. }) => return println!("lost {peer}"),
            Err(other) => return println!("failed {other}"),
        }
    }
}

/// A child's ring, with members that it is told of.
pub fn join_ring(rank: Rank) -> TcpRing {
    let listener = RingListener::bind("127.0.0.1").expect("a free port");
    // libtest has begun the line with the test's name.
    println!("\naddress {}", listener.address());
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .expect("the parent lives");
    let members: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    TcpRing::connect(&listener, config(rank, &members)).expect("a ring")
}

/// A child that does not outlive the test.
pub struct Process {
    pub child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(rank: u32) -> Self {
        let variables = [(RANK, rank.to_string())];
        Self::start_as("processes::child_rank", &variables)
    }

    /// Starts this binary again for one test, with these variables.
    pub fn start_as(test: &str, variables: &[(&str, String)]) -> Self {
        let binary = std::env::current_exe().expect("this binary");
        let mut child = Command::new(binary)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .envs(variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        // Ends when the child's output does.
        thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|l| sender.send(l))
        });
        Self { child, lines }
    }

    /// Tells children that wait for it who their members are.
    pub fn introduce(processes: &mut [Self]) {
        let members: Vec<String> = processes.iter().map(|p| p.expect("address")).collect();
        for process in processes {
            let mut input = process.child.stdin.take().expect("piped");
            writeln!(input, "{}", members.join(" ")).expect("the child reads");
        }
    }

    /// The rest of the next line that begins with this word.
    pub fn expect(&self, word: &str) -> String {
        let deadline = Instant::now() + BOUND;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .expect("the child says its line in time");
            assert!(!line.starts_with("failed"), "{line}");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_killed_process_is_named_as_lost_by_all_others_in_the_middle_of_a_sum() {
    for (size, killed) in [(2, 0), (3, 1), (4, 3)] {
        let mut processes: Vec<Process> = (0..size).map(Process::start).collect();
        Process::introduce(&mut processes);
        for process in &processes {
            process.expect("started");
        }
        // SIGKILL: no farewell, no destructor.
        processes[killed].child.kill().expect("the child lives");
        let began = Instant::now();
        for (rank, process) in processes
            .iter()
            .enumerate()
            .filter(|(rank, _)| *rank != killed)
        {
            assert_eq!(
                process.expect("lost"),
                killed.to_string(),
                "as rank {rank} saw it"
            );
        }
        let took = began.elapsed();
        eprintln!("{size} processes knew of the lost one after {took:?}");
        assert!(took.as_secs() < 10, "the promise is one second: {took:?}");
    }
}
