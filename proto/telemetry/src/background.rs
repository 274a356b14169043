//! What gRPC's connections to a collector live in.

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A runtime with a thread of its own. It may be dropped anywhere, within another runtime as well: it
/// then ends by itself.
#[derive(Debug)]
pub(crate) struct Background(Option<Runtime>);

impl Background {
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// What is made meanwhile lives in it.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
