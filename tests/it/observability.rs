//! What stands in `deploy/observability` is right, and its parts agree.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;
use twinspan_testkit::expressions::{self, Expression, Metric, OF_PROMETHEUS, promql};
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::servers::{Prometheus, or_skip, promtool};

use crate::listener;

const RUN: &str = "quickstart";
const LIMIT: Duration = Duration::from_secs(30);

fn all_expressions() -> Vec<Expression> {
    let mut all = expressions::of_dashboards(RUN).expect("dashboards");
    all.extend(expressions::of_alerts().expect("alerts"));
    all
}

#[test]
fn promtool_accepts_the_configuration_and_the_rules_pass_their_tests() {
    let config = expressions::path("prometheus/prometheus.yml");
    let tests = expressions::path("prometheus/alerts_test.yml");
    let Some(checked) = or_skip(promtool([
        "check".as_ref(),
        "config".as_ref(),
        config.as_os_str(),
    ])) else {
        return;
    };
    let checked = checked.expect_success();
    let alerts = expressions::alerts().expect("alerts");
    assert!(
        checked.contains(&format!("{} rules found", alerts.len())),
        "{checked}"
    );
    let tested = promtool(["test".as_ref(), "rules".as_ref(), tests.as_os_str()]);
    tested.expect("it runs").expect_success();
}

#[test]
fn every_alert_is_seen_firing_and_says_what_to_do() {
    let rules = std::fs::read_to_string(expressions::path("prometheus/alerts.yml"));
    let tests = std::fs::read_to_string(expressions::path("prometheus/alerts_test.yml"));
    let (rules, tests) = (rules.expect("rules"), tests.expect("tests"));
    let alerts = expressions::alerts().expect("alerts");
    for alert in &alerts {
        let fires = format!("alertname=\"{}\"", alert.name);
        assert!(
            tests.contains(&fires),
            "{} is never seen firing",
            alert.name
        );
        assert!(!alert.expression.is_empty(), "{}", alert.name);
    }
    for field in ["severity: ", "summary: ", "description: "] {
        assert_eq!(rules.matches(field).count(), alerts.len(), "{field}");
    }
}

#[test]
fn dashboards_and_alerts_use_the_metrics_of_the_table_alone_and_all_of_them() {
    let metrics = expressions::metrics().expect("a table");
    let known: BTreeSet<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(known.len(), metrics.len(), "a metric stands twice");
    let mut used = BTreeSet::new();
    for expression in all_expressions() {
        let selectors = promql::selectors(&expression.text);
        assert!(!selectors.is_empty(), "{expression:?}");
        for selector in selectors {
            let name = selector.metric;
            let of_prometheus = OF_PROMETHEUS.iter().any(|(theirs, _)| *theirs == name);
            assert!(
                known.contains(name.as_str()) || of_prometheus,
                "{name} of {} is not in the table",
                expression.place
            );
            used.insert(name);
        }
    }
    let unused: Vec<_> = known.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "nothing shows {unused:?}");
}

#[test]
fn prometheus_can_read_every_expression() {
    let run = TempRun::new().expect("a directory");
    let rules: Vec<Value> = all_expressions()
        .iter()
        .enumerate()
        .map(|(place, expression)| {
            assert!(!expression.text.contains('$'), "{expression:?}");
            json!({ "record": format!("expression:{place}"), "expr": expression.text })
        })
        .collect();
    let rules = json!({ "groups": [{ "name": "expressions", "rules": rules }] });
    // JSON is YAML.
    let file = run.write("rules.yml", rules.to_string()).expect("a file");
    if let Some(checked) = or_skip(promtool([
        "check".as_ref(),
        "rules".as_ref(),
        file.as_os_str(),
    ])) {
        checked.expect_success();
    }
}

/// All metrics of the table, as a coordinator would show them after some time.
fn exposition(metrics: &[Metric]) -> String {
    let values_of = |label: &str| match label {
        "state" => vec![
            "waiting_for_workers",
            "training",
            "stopping",
            "stopped",
            "ended",
            "failed",
        ],
        "phase" => vec![
            "data_wait",
            "decode",
            "image_forward",
            "all_gather",
            "all_reduce",
        ],
        "direction" => vec!["sent", "received"],
        "rank" | "lane" => vec!["0"],
        _ => vec!["some"],
    };
    let mut text = String::new();
    for metric in metrics {
        let mut series = vec![format!("run=\"{RUN}\"")];
        for label in &metric.labels {
            let with = |labels: &String| {
                let values = values_of(label).into_iter();
                let labels = labels.clone();
                values.map(move |value| format!("{labels},{label}=\"{value}\""))
            };
            series = series.iter().flat_map(with).collect();
        }
        let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind);
        for labels in series {
            let is_other_state = labels.contains("state=") && !labels.contains("training");
            let value = u8::from(!is_other_state);
            let _ = writeln!(text, "{}{{{labels}}} {value}", metric.name);
        }
    }
    text
}

#[test]
fn every_expression_has_an_answer_where_the_whole_table_is_served() {
    let run = TempRun::new().expect("a directory");
    let metrics = expressions::metrics().expect("a table");
    let target = listener::serve(exposition(&metrics)).expect("a listener");
    let rules = expressions::path("prometheus/alerts.yml");
    let Some(prometheus) = or_skip(Prometheus::start(run.path(), target, Some(&rules))) else {
        return;
    };
    for expression in all_expressions() {
        // The table is served whole, so that only Prometheus's own may be missing.
        if expression.text.contains("ALERTS") {
            prometheus.query(&expression.text).expect("an answer");
            continue;
        }
        let found = prometheus.wait_for(&expression.text, LIMIT, |found| !found.is_empty());
        found.unwrap_or_else(|error| panic!("{}: {error}", expression.place));
    }
}

#[test]
fn dashboards_are_whole() {
    let dashboards = expressions::dashboards().expect("dashboards");
    assert_eq!(dashboards.len(), 4);
    for (file, dashboard) in dashboards {
        let uid = dashboard["uid"].as_str().expect("a uid");
        assert_eq!(format!("{uid}.json"), format!("twinspan-{file}"));
        let variables = dashboard["templating"]["list"]
            .as_array()
            .expect("variables");
        let names: Vec<&str> = variables
            .iter()
            .filter_map(|v| v["name"].as_str())
            .collect();
        assert!(
            names.contains(&"datasource") && names.contains(&"run"),
            "{file}"
        );
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().expect("a title");
            assert!(ids.insert(panel["id"].as_u64()), "{file}: {title}");
            let number = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            let (x, y) = (number("x"), number("y"));
            for column in x..x + number("w") {
                assert!(column < 24, "{file}: {title}");
                for row in y..y + number("h") {
                    assert!(
                        places.insert((column, row)),
                        "{file}: {title} lies over another"
                    );
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            assert!(
                panel["description"].as_str().is_some_and(|d| !d.is_empty()),
                "{file}: {title}"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{file}: {title}"
            );
            let targets = panel["targets"].as_array().expect("targets");
            let mut references = BTreeSet::new();
            for target in targets {
                let source = target["datasource"]["uid"].as_str().unwrap_or_default();
                let variable = source.strip_prefix("${").and_then(|s| s.strip_suffix('}'));
                assert!(
                    variable.is_some_and(|v| names.contains(&v)),
                    "{file}: {title}"
                );
                assert!(
                    references.insert(target["refId"].as_str()),
                    "{file}: {title}"
                );
            }
            assert!(!targets.is_empty(), "{file}: {title}");
        }
    }
}
