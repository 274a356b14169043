//! Links really go down, and networks leave nothing behind.

use std::process::Command;
use std::time::{Duration, Instant};
use twinspan_testkit::netns::{Network, or_skip};

/// Longest wait for an answer.
const BOUND: Duration = Duration::from_secs(20);

/// Whether the first machine answers the second. Nothing listens there, so that its answer is a
/// refusal; without one the attempt is given up after a second.
fn answers(network: &Network) -> bool {
    let mut attempt = Command::new("timeout");
    let connect = format!("exec 3<>/dev/tcp/{}/9", network.address(0));
    attempt
        .args(["1", "bash", "-c", &connect])
        .env("LC_ALL", "C");
    let output = network.on(1, &attempt).output().expect("ip runs");
    String::from_utf8_lossy(&output.stderr).contains("Connection refused")
}

/// Waits for an answer: the system tells a card of its link within seconds.
fn answers_in_time(network: &Network) -> bool {
    let start = Instant::now();
    while start.elapsed() < BOUND {
        if answers(network) {
            return true;
        }
    }
    false
}

fn namespaces() -> String {
    let output = Command::new("ip").args(["netns", "list"]).output();
    String::from_utf8(output.expect("ip runs").stdout).expect("names")
}

#[test]
fn a_link_that_is_down_carries_nothing_until_it_is_up_again() {
    let Some(network) = or_skip(Network::start(2)) else {
        return;
    };
    let elsewhere = Network::start(2).expect("a second one beside it");
    assert!(answers_in_time(&network) && answers_in_time(&elsewhere));
    for end in [0, 1] {
        network.cut(end).expect("cut");
        assert!(!answers(&network) && answers(&elsewhere));
        network.mend(end).expect("mended");
        assert!(answers_in_time(&network));
    }
}

#[test]
fn a_network_is_gone_when_it_is_dropped() {
    let Some(network) = or_skip(Network::start(1)) else {
        return;
    };
    let shown = format!("{network:?}");
    let names: Vec<&str> = shown.split('"').skip(1).step_by(2).collect();
    assert_eq!(names.len(), 2, "a switch and a machine");
    assert!(names.iter().all(|name| namespaces().contains(name)));
    drop(network);
    assert!(!names.iter().any(|name| namespaces().contains(name)));
}
