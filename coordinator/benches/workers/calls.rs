//! How long calls took.

use crate::Result;
use comfy_table::{Table, presets};
use std::future::Future;
use std::time::{Duration, Instant};
use tonic::{Response, Status};

/// Longest time of one call, as in the real session.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The calls of a healthy worker.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    Join,
    GetWorld,
    ExtendLease,
    Report,
}

/// The times of each kind of call.
#[derive(Debug, Default)]
pub struct Calls([Vec<Duration>; 4]);

impl Calls {
    /// Makes a call and notes its time. None may fail here.
    pub async fn time<T>(
        &mut self,
        call: Call,
        attempt: impl Future<Output = std::result::Result<Response<T>, Status>>,
    ) -> Result<T> {
        let begun = Instant::now();
        let answer = tokio::time::timeout(ATTEMPT, attempt).await;
        self.0[call as usize].push(begun.elapsed());
        let answer = answer.map_err(|_| format!("{call:?} was not answered within {ATTEMPT:?}"))?;
        let answer = answer.map_err(|status| format!("{call:?} failed: {status}"))?;
        Ok(answer.into_inner())
    }

    pub fn add(&mut self, others: Self) {
        for (ours, theirs) in self.0.iter_mut().zip(others.0) {
            ours.extend(theirs);
        }
    }

    /// The longest of the p99s.
    pub fn slowest(&self) -> Duration {
        let slowest = self.0.iter().map(|times| quantile(times, 0.99)).max();
        slowest.unwrap_or_default()
    }

    /// Times in milliseconds.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        table.set_header(["call", "calls", "p50 ms", "p99 ms", "max ms"]);
        for call in [Call::Join, Call::GetWorld, Call::ExtendLease, Call::Report] {
            let times = &self.0[call as usize];
            let milliseconds = |share| {
                let time = quantile(times, share);
                format!("{:.1}", time.as_secs_f64() * 1e3)
            };
            table.add_row([
                format!("{call:?}"),
                times.len().to_string(),
                milliseconds(0.5),
                milliseconds(0.99),
                milliseconds(1.0),
            ]);
        }
        table
    }
}

/// The time that this share of all times does not exceed.
fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
