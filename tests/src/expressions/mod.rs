//! What the dashboards and alert rules in `deploy/observability` ask of
//! Prometheus, so that a test can ask it too; and the table of metrics in its
//! README, which says what there is to ask for.

mod dashboards;
mod metrics;
pub mod promql;
mod rules;

pub use dashboards::{dashboards, of_dashboards};
pub use metrics::{Metric, metrics};
pub use rules::{Alert, alerts};

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What Prometheus itself has, and when it has not.
pub const OF_PROMETHEUS: [(&str, Option<&str>); 2] =
    [("up", None), ("ALERTS", Some("without an alert"))];

/// One question to Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// File and panel, variable or alert.
    pub place: String,
    /// In PromQL, with nothing left to fill in.
    pub text: String,
    /// Why a run in good order may give no answer; none where it must.
    pub may_be_empty: Option<String>,
}

/// A file or folder of `deploy/observability`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/observability"
    ));
    folder.join(name)
}

/// What each alert looks at: every selector of its expression, which must find
/// something whether or not the alert fires.
///
/// # Errors
/// What the file system says of the files.
pub fn of_alerts() -> io::Result<Vec<Expression>> {
    let absent = absences()?;
    let mut found = Vec::new();
    for alert in alerts()? {
        for selector in promql::selectors(&alert.expression) {
            found.push(Expression::new(&alert.name, &selector.text, &absent));
        }
    }
    Ok(found)
}

impl Expression {
    fn new(place: &str, text: &str, absences: &BTreeMap<String, String>) -> Self {
        let names = promql::selectors(text).into_iter();
        let reasons = names.filter_map(|selector| absences.get(&selector.metric));
        Self {
            place: place.to_owned(),
            text: text.to_owned(),
            may_be_empty: reasons.max().cloned(),
        }
    }
}

/// When a metric need not be there, by its name.
fn absences() -> io::Result<BTreeMap<String, String>> {
    let ours = metrics()?
        .into_iter()
        .map(|metric| (metric.name, metric.absent));
    let prometheus = OF_PROMETHEUS
        .into_iter()
        .map(|(name, absent)| (name.to_owned(), absent.map(str::to_owned)));
    Ok(ours
        .chain(prometheus)
        .filter_map(|(name, absent)| Some((name, absent?)))
        .collect())
}

fn read(name: &str) -> io::Result<String> {
    let path = path(name);
    fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
