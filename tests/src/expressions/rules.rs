//! The alert rules.

use super::read;
use std::io;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub expression: String,
}

/// All alerts of `prometheus/alerts.yml`.
///
/// # Errors
/// What the file system says of the file.
pub fn alerts() -> io::Result<Vec<Alert>> {
    Ok(parse(&read("prometheus/alerts.yml")?))
}

/// Reads as much YAML as the file has: an expression stands behind `expr:`, or
/// in the lines below `expr: |` that are further in.
fn parse(text: &str) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.trim_start().strip_prefix("- alert: ") {
            alerts.push(Alert {
                name: name.trim().to_owned(),
                expression: String::new(),
            });
        }
        let Some(expression) = line.trim_start().strip_prefix("expr: ") else {
            continue;
        };
        let Some(alert) = alerts.last_mut() else {
            continue;
        };
        if expression.trim() != "|" {
            expression.trim().clone_into(&mut alert.expression);
            continue;
        }
        while let Some(more) = lines.next_if(|next| indent(next) > indent(line)) {
            alert.expression.push_str(more.trim());
            alert.expression.push('\n');
        }
    }
    alerts
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn expressions_of_one_line_and_of_several_are_read() {
        let text = "rules:\n  - alert: One\n    expr: up == 0\n    for: 1m\n  - alert: Two\n    \
                    expr: |\n      a\n        and b\n    for: 1m\n";
        let alerts = parse(text);
        let read: Vec<_> = alerts
            .iter()
            .map(|alert| (alert.name.as_str(), alert.expression.as_str()))
            .collect();
        assert_eq!(read, [("One", "up == 0"), ("Two", "a\nand b\n")]);
    }
}
