//! The status page of a real run in a real browser, and its metrics in a real Prometheus.

use crate::support::{BOUND, Workspace, bounded_wait, signal};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::JoinHandle;
use twinspan_testkit::expressions;
use twinspan_testkit::servers::{Node, Prometheus, or_skip};

/// A run that goes on until it is told to stop.
struct Watched {
    train: Child,
    /// `http://host:port`.
    page: String,
    log: JoinHandle<()>,
}

impl Watched {
    fn start(workspace: &Workspace) -> Self {
        let mut train = workspace.start(&["--workers", "3"]);
        let errors = train.stderr.take().expect("its log");
        let mut lines = BufReader::new(errors).lines();
        let page = lines.find_map(|line| {
            let line = line.expect("a line");
            let (_, page) = line.split_once("status page at ")?;
            Some(page.trim().to_owned())
        });
        let page = page.expect("a page");
        // A full pipe would hold the run up.
        let log = std::thread::spawn(move || lines.for_each(drop));
        Self { train, page, log }
    }

    fn stop(mut self) {
        signal(self.train.id(), Signal::INT);
        assert!(bounded_wait(&mut self.train).success());
        self.log.join().expect("its log ends");
    }
}

fn workspace() -> Workspace {
    Workspace::new(1_000_000, |run| {
        let run = run.replace("every_steps: 10", "every_steps: 300");
        let sets = "eval: {every_steps: 100, sets: [{name: emoji, zero_shot: 'SET'}]}\n";
        let sets = sets.replace("SET", &format!("{}/", crate::support::EMOJI));
        format!("{run}{sets}telemetry: {{trace_every: 20}}\n")
    })
}

fn script(name: &str) -> PathBuf {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/page"));
    folder.join(name)
}

#[test]
fn the_page_follows_a_run_and_the_loss_of_a_worker_in_a_browser() {
    let Some(node) = or_skip(Node::with_browser()) else {
        return;
    };
    let workspace = workspace();
    let run = Watched::start(&workspace);
    let seen = node.run(&script("run.mjs"), [&run.page], BOUND);
    let seen = seen.expect("it ends").expect_success();
    let seen: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(seen["ranks"], 3, "{seen}");
    run.stop();
}

#[test]
fn the_page_tells_every_state_of_a_run_and_keeps_texts_texts() {
    let Some(node) = or_skip(Node::with_browser()) else {
        return;
    };
    let arguments: [&str; 0] = [];
    let seen = node.run(&script("simulated_states.mjs"), arguments, BOUND);
    seen.expect("it ends").expect_success();
}

#[test]
fn prometheus_answers_every_expression_of_dashboards_and_alerts_of_a_run() {
    let workspace = workspace();
    let run = Watched::start(&workspace);
    let target = run.page.trim_start_matches("http://");
    let target: SocketAddr = target.parse().expect("an address");
    let rules = expressions::path("prometheus/alerts.yml");
    let folder = workspace.dir.join("prometheus");
    let Some(prometheus) = or_skip(Prometheus::start(&folder, target, Some(&rules))) else {
        return run.stop();
    };
    let dashboards = expressions::of_dashboards("toy").expect("dashboards");
    let alerts = expressions::of_alerts().expect("alerts");
    assert!(dashboards.len() > 20 && alerts.len() > 10);
    for expression in dashboards.iter().chain(&alerts) {
        let place = &expression.place;
        match &expression.may_be_empty {
            Some(_) => drop(prometheus.query(&expression.text).expect(place)),
            None => drop(
                prometheus
                    .wait_for(&expression.text, BOUND, |samples| !samples.is_empty())
                    .expect(place),
            ),
        }
    }
    // A run in good order is no cause for alarm.
    let firing = "ALERTS{alertstate=\"firing\"}";
    assert_eq!(prometheus.query(firing).expect("an answer"), []);
    run.stop();
}
