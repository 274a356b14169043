//! Prometheus asks a listener for its metrics and answers what they were.

use crate::listener;
use std::time::Duration;
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::servers::{Prometheus, or_skip};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn prometheus_scrapes_answers_and_alerts() {
    let run = TempRun::new().expect("a directory");
    let rules =
        r#"groups: [{name: test, rules: [{alert: High, expr: 'twinspan_step{run="a"} > 5'}]}]"#;
    let rules = run.write("rules.yml", rules).expect("a file");
    let metrics = "twinspan_step{run=\"a\"} 12\ntwinspan_loss{run=\"a\"} NaN\n";
    let target = listener::serve(metrics.to_owned()).expect("a listener");
    let Some(prometheus) = or_skip(Prometheus::start(run.path(), target, Some(&rules))) else {
        return;
    };
    let steps = prometheus
        .wait_for("twinspan_step", LIMIT, |found| !found.is_empty())
        .expect("scraped");
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].value, 12.0);
    assert_eq!(steps[0].labels["run"], "a");
    assert_eq!(steps[0].labels["job"], "twinspan");
    assert_eq!(steps[0].labels["instance"], target.to_string());

    let loss = prometheus.query("twinspan_loss").expect("an answer");
    assert!(loss[0].value.is_nan());
    let number = prometheus.query("1 + 1").expect("an answer");
    assert_eq!((number.len(), number[0].value), (1, 2.0));
    assert_eq!(prometheus.query("nobody_says_this").expect("an answer"), []);
    prometheus.query("1 +").expect_err("no expression");
    prometheus
        .wait_for(r#"ALERTS{alertname="High"}"#, LIMIT, |found| {
            !found.is_empty()
        })
        .expect("it fires");
}
