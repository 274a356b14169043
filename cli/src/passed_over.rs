//! Pictures that could not be used, as they are told.

use crate::say;
use twinspan_data::PassedOver;

/// Pictures that are named at most; JSON names all.
const NAMED: usize = 20;

/// Names them on standard error.
pub fn tell(pictures: &[PassedOver]) {
    for PassedOver { key, reason } in pictures.iter().take(NAMED) {
        say::log(format!("passed over {key}: {reason}"));
    }
    if pictures.len() > NAMED {
        let more = pictures.len() - NAMED;
        say::log(format!("passed over {more} more: --json names them all"));
    }
}
