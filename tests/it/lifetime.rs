//! When there is a server and when there is none: each test runs another test
//! of this binary in a process of its own.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use twinspan_testkit::harness::{TempRun, is_alive};
use twinspan_testkit::servers::{Seaweed, or_skip};

const BOUND: Duration = Duration::from_secs(60);
/// Where the process that is killed finds its directory; nothing else sets it.
const DIRECTORY: &str = "TWINSPAN_TESTKIT_DIRECTORY";

/// This binary, about to run one test alone.
pub fn one_test(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", name]);
    command
}

#[test]
fn a_server_dies_with_the_process_that_started_it() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return start_and_wait_for_the_end(directory.as_ref());
    }
    let run = TempRun::new().expect("a directory");
    let Some(probe) = or_skip(Seaweed::start(&run.join("probe"))) else {
        return;
    };
    drop(probe);
    let mut child = one_test("lifetime::a_server_dies_with_the_process_that_started_it")
        .env(DIRECTORY, run.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let start = Instant::now();
    let pid: u32 = loop {
        let text = std::fs::read_to_string(run.join("pid")).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n') {
            break pid.parse().expect("an id");
        }
        assert!(start.elapsed() < BOUND, "the child starts no server");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(is_alive(pid));
    child.kill().expect("killed");
    child.wait().expect("ended");
    while is_alive(pid) {
        assert!(start.elapsed() < BOUND, "the server outlives its test");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The part of the process that is killed; it ends by itself if its parent does.
fn start_and_wait_for_the_end(directory: &std::path::Path) {
    let server = Seaweed::start(&directory.join("server")).expect("a server");
    let mut file = std::fs::File::create(directory.join("pid")).expect("a file");
    writeln!(file, "{}", server.pid().expect("it runs")).expect("written");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_test_without_its_server_is_skipped_aloud_and_fails_in_ci() {
    let empty = TempRun::new().expect("a directory");
    let run = |ci: Option<&str>| {
        let mut command =
            one_test("seaweed::seaweed_refuses_wrong_credentials_and_unknown_buckets");
        command
            .env_remove("CI")
            .env("TWINSPAN_TEST_SERVERS", empty.path());
        command.envs(ci.map(|value| ("CI", value)));
        command.output().expect("the binary runs")
    };
    let skipped = run(None);
    assert!(skipped.status.success());
    let errors = String::from_utf8_lossy(&skipped.stderr);
    assert!(
        errors.contains("skipped seaweed::") && errors.contains("install-servers.sh"),
        "{errors}"
    );
    assert!(!run(Some("true")).status.success());
}
