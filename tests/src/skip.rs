//! What a test does that cannot run on this machine.

use std::fmt::Display;
use std::io::{self, Write};
use std::thread;

/// Whether this is CI, where a skip for want of a program would be a hole in the net.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Prints why the present test is skipped.
pub(crate) fn say(reason: impl Display) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the test runner, which keeps what passing tests print.
    let _ = writeln!(io::stderr(), "skipped {test}: {reason}");
}
