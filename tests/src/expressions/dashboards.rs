//! The dashboards.

use super::{Expression, absences, path, promql, read};
use serde_json::Value;
use std::fs;
use std::io;

/// The datasource of what is asked of Prometheus; others are asked otherwise.
const PROMETHEUS: &str = "${datasource}";

/// All dashboards by their files' names, in the names' order.
///
/// # Errors
/// What the file system says of the files, and which is no JSON.
pub fn dashboards() -> io::Result<Vec<(String, Value)>> {
    let folder = "grafana/dashboards";
    let mut names = Vec::new();
    for entry in fs::read_dir(path(folder))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| {
            let text = read(&format!("{folder}/{name}"))?;
            let dashboard = serde_json::from_str(&text)
                .map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            Ok((name, dashboard))
        })
        .collect()
}

/// What all panels and variables of the dashboards ask for, where `run` and
/// all its ranks are chosen. Annotations ask for what happens seldom: of these
/// the selectors, as of alerts.
///
/// # Errors
/// What the file system says of the files, and which is no JSON.
pub fn of_dashboards(run: &str) -> io::Result<Vec<Expression>> {
    let absent = absences()?;
    let mut found = Vec::new();
    for (file, dashboard) in dashboards()? {
        let mut add = |what: &str, text: &str| {
            let place = format!("{file}: {what}");
            found.push(Expression::new(&place, &fill_in(text, run), &absent));
        };
        for panel in of(&dashboard["panels"]) {
            for target in of(&panel["targets"]) {
                if target["datasource"]["uid"] == PROMETHEUS {
                    add(text(&panel["title"]), text(&target["expr"]));
                }
            }
        }
        for variable in of(&dashboard["templating"]["list"]) {
            for selector in promql::selectors(variable_selector(text(&variable["definition"]))) {
                add(text(&variable["name"]), &selector.text);
            }
        }
        for annotation in of(&dashboard["annotations"]["list"]) {
            for selector in promql::selectors(text(&annotation["expr"])) {
                add(text(&annotation["name"]), &selector.text);
            }
        }
    }
    Ok(found)
}

fn of(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `a{b="c"}` of `label_values(a{b="c"}, d)`.
fn variable_selector(definition: &str) -> &str {
    let inner = definition.strip_prefix("label_values(");
    inner
        .and_then(|inner| inner.rsplit_once(','))
        .map_or("", |(selector, _)| selector)
}

fn fill_in(expression: &str, run: &str) -> String {
    expression
        .replace("$__rate_interval", "1m")
        .replace("$__range", "1h")
        .replace("$rank", ".*")
        .replace("$run", run)
}
