//! No process outlives the run: a child ends when the pipe that its parent holds is closed, which
//! happens whatever kills the parent.

use std::io::Read;

/// Exit code of a child whose parent is gone.
const PARENT_GONE: i32 = 3;

/// Watches standard input from a thread and ends this process when it ends. Nothing needs to be
/// tidied up: every file of a run is whole or not there at any moment.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0; 64];
        while std::io::stdin().read(&mut byte).is_ok_and(|read| read > 0) {}
        std::process::exit(PARENT_GONE);
    });
}
