//! As much of PromQL as finding the metrics in an expression needs.

/// A metric with its matchers, as it stands in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// Name and matchers, without a range.
    pub text: String,
}

/// Words before which, or behind which, no parenthesis makes them no metric.
const WORDS: [&str; 23] = [
    "and",
    "or",
    "unless",
    "atan2",
    "bool",
    "offset",
    "inf",
    "nan",
    "group_left",
    "group_right",
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
];
/// Words that are followed by names of labels in parentheses.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// All selectors of an expression, in its order.
#[must_use]
pub fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if is_name(first) && !first.is_ascii_digit() {
            let (name, behind) = split_while(rest, is_name);
            rest = behind;
            let next = rest.trim_start();
            if BEFORE_LABELS.contains(&name) && next.starts_with('(') {
                rest = split_behind(next, ')').1;
            } else if next.starts_with('(') || WORDS.contains(&name.to_lowercase().as_str()) {
                // A function, an aggregation or an operator.
            } else {
                let (matchers, behind) = if rest.starts_with('{') {
                    split_behind(rest, '}')
                } else {
                    ("", rest)
                };
                rest = behind;
                found.push(Selector {
                    metric: name.to_owned(),
                    text: format!("{name}{matchers}"),
                });
            }
        } else if first.is_ascii_digit() {
            rest = split_while(rest, |c| is_name(c) || c == '.').1;
        } else if first == '[' {
            rest = split_behind(rest, ']').1;
        } else if first == '"' || first == '\'' {
            rest = split_behind(&rest[1..], first).1;
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn split_while(text: &str, holds: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !holds(c)).unwrap_or(text.len()))
}

/// Splits behind the next `end` that stands in no quotes.
fn split_behind(text: &str, end: char) -> (&str, &str) {
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match quote {
            None if c == end => return text.split_at(place + c.len_utf8()),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::selectors;

    fn texts(expression: &str) -> Vec<String> {
        let found = selectors(expression).into_iter();
        found.map(|selector| selector.text).collect()
    }

    #[test]
    fn metrics_are_found_and_functions_labels_and_numbers_are_not() {
        assert_eq!(texts("a == 1"), ["a"]);
        assert_eq!(
            texts(
                r#"sum by (run, x) (rate(a{b=~"c}|d", e!="f"}[5m])) > 0.5 * on (run) group_left b"#
            ),
            [r#"a{b=~"c}|d", e!="f"}"#, "b"]
        );
        assert_eq!(
            texts("max(a) without (b) - quantile_over_time(0.5, c[2h] offset 1h) or abs(d) == Inf"),
            ["a", "c", "d"]
        );
        assert_eq!(
            texts("x unless on (job) y:z_total and time() > 1e3"),
            ["x", "y:z_total"]
        );
    }
}
