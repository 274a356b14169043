//! Log lines on standard error: words on a terminal, one JSON object a line in a container.

mod json;

use crate::Lookup;
use json::Json;
use std::io::IsTerminal;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// What is logged when nobody says otherwise.
const DEFAULT_FILTER: &str = "warn,twinspan=info";

/// The variable that says in which form lines are: `text` or `json`.
pub const LOG_FORMAT: &str = "TWINSPAN_LOG_FORMAT";

/// Files that container runtimes leave.
const CONTAINER_FILES: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Sends log lines to standard error. `filter` has the syntax of `RUST_LOG`; a filter that cannot be
/// read is named and the default used. `TWINSPAN_LOG_FORMAT` is `text` or `json`; where it says
/// nothing, lines are JSON in a container and words elsewhere.
pub fn init(filter: Option<&str>, env: Lookup<'_>) {
    let filter = filter.map_or_else(
        || EnvFilter::new(DEFAULT_FILTER),
        |text| {
            EnvFilter::try_new(text).unwrap_or_else(|error| {
                eprintln!("log filter {text:?}: {error}; using {DEFAULT_FILTER:?}");
                EnvFilter::new(DEFAULT_FILTER)
            })
        },
    );
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let in_container = || CONTAINER_FILES.iter().any(|file| Path::new(file).exists());
    match is_json(env, is_terminal, in_container) {
        true => builder.event_format(Json).init(),
        false => builder.with_ansi(is_terminal).with_target(false).init(),
    }
}

fn is_json(env: Lookup<'_>, is_terminal: bool, in_container: impl Fn() -> bool) -> bool {
    match env(LOG_FORMAT).as_deref() {
        Some("json") => true,
        Some("text") => false,
        _ => !is_terminal && (env("KUBERNETES_SERVICE_HOST").is_some() || in_container()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_in_a_container_unless_words_are_asked_for() {
        let decide = |vars: &[(&str, &str)], terminal, container: bool| {
            let env = |name: &str| {
                let found = vars.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            is_json(&env, terminal, || container)
        };
        let pod = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        assert!(decide(&[pod], false, false));
        assert!(decide(&[], false, true));
        assert!(decide(&[(LOG_FORMAT, "json")], true, false));
        assert!(!decide(&[], false, false));
        assert!(!decide(&[pod], true, true), "somebody looks at it");
        assert!(!decide(&[pod, (LOG_FORMAT, "text")], false, true));
    }
}
