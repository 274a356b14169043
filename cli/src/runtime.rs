//! The runtime of commands that read and write, and do nothing beside it.

use crate::exit::{Failure, failed};
use anyhow::Context;

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the input and output runtime")
        .map_err(failed)?;
    Ok(runtime.block_on(future))
}
