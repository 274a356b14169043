//! The table of metrics in `deploy/observability/README.md`.

use super::read;
use std::io;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// As Prometheus has it.
    pub name: String,
    /// `gauge` or `counter`.
    pub kind: String,
    /// Its labels beside `run`.
    pub labels: Vec<String>,
    /// What it is.
    pub meaning: String,
    /// When it need not be there; none where it always is.
    pub absent: Option<String>,
}

/// All metrics, in the table's order.
///
/// # Errors
/// What the file system says of the file, and which line has not the table's columns.
pub fn metrics() -> io::Result<Vec<Metric>> {
    let readme = read("README.md")?;
    let lines = readme
        .lines()
        .filter(|line| line.starts_with("| `twinspan_"));
    lines.map(metric).collect()
}

fn metric(line: &str) -> io::Result<Metric> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let &[name, kind, labels, _unit, meaning, absent] = &cells[..] else {
        return Err(io::Error::other(format!("not six columns: {line}")));
    };
    let labels = labels.split(',').map(|label| word(label).to_owned());
    Ok(Metric {
        name: word(name).to_owned(),
        kind: kind.to_owned(),
        labels: labels.filter(|label| !label.is_empty()).collect(),
        meaning: meaning.to_owned(),
        absent: (!absent.is_empty()).then(|| absent.to_owned()),
    })
}

fn word(cell: &str) -> &str {
    cell.trim().trim_matches('`')
}
