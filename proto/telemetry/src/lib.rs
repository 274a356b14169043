//! Log set-up; spans, metrics and their export grow here.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What is logged when nobody says otherwise.
const DEFAULT_FILTER: &str = "warn,twinspan=info";

/// Sends log lines to standard error: words on a terminal, JSON elsewhere only where asked for by
/// `TWINSPAN_LOG_FORMAT=json`. `filter` has the syntax of `RUST_LOG`; a filter that cannot be read
/// is named and the default used.
pub fn init(filter: Option<&str>) {
    let filter = filter.map_or_else(
        || EnvFilter::new(DEFAULT_FILTER),
        |text| {
            EnvFilter::try_new(text).unwrap_or_else(|error| {
                eprintln!("log filter {text:?}: {error}; using {DEFAULT_FILTER:?}");
                EnvFilter::new(DEFAULT_FILTER)
            })
        },
    );
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("TWINSPAN_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
