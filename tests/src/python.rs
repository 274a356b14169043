//! A Python with open_clip, for tests that compare with it.

use crate::skip;
use std::path::PathBuf;

/// Names the interpreter.
const VARIABLE: &str = "TWINSPAN_TEST_PYTHON";

/// The interpreter that `TWINSPAN_TEST_PYTHON` names; says that the test is skipped where it names
/// none.
#[must_use]
pub fn with_open_clip() -> Option<PathBuf> {
    let python = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    if python.is_none() {
        skip::say(format_args!(
            "{VARIABLE} names no Python with open_clip; tests/open_clip/README.md says how to make one"
        ));
    }
    python.map(PathBuf::from)
}
