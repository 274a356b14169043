//! How far a long work is, on standard error: a bar on a terminal, plain lines elsewhere.

use crate::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pause before the first plain line and between two: a short work prints none.
const PLAIN: Duration = Duration::from_secs(5);

/// Shows how many of the things of one work are done.
pub struct Counter {
    what: &'static str,
    unit: Unit,
    bar: Option<ProgressBar>,
    printed: Mutex<Instant>,
}

/// What is shown of a work.
#[derive(Clone, Copy)]
enum Unit {
    /// How many of the things are done, of how many.
    Things,
    /// How many of a hundred parts are done: the numbers mean nothing to who reads them.
    Percent,
}

impl Counter {
    /// A display of a work on things that are called `what`, such as "shards counted".
    pub fn new(what: &'static str) -> Self {
        Self::of(what, Unit::Things)
    }

    /// A display of a work whose things nobody counts, such as "zero-shot".
    pub fn percent(what: &'static str) -> Self {
        Self::of(what, Unit::Percent)
    }

    fn of(what: &'static str, unit: Unit) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = match unit {
                Unit::Things => "{msg} {pos}/{len} [{bar:30}] {eta} left",
                Unit::Percent => "{msg} {percent} % [{bar:30}] {eta} left",
            };
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            );
            bar.with_message(what)
        });
        Self {
            what,
            unit,
            bar,
            printed: Mutex::new(Instant::now()),
        }
    }

    /// Shows that so many are done.
    pub fn show(&self, done: u64, total: u64) {
        match &self.bar {
            // What comes after a bar that is done stands in its place.
            Some(bar) if done == total => bar.finish_and_clear(),
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            None if self.due() => match self.unit {
                Unit::Things => say::log(format!("{} {done}/{total}", self.what)),
                Unit::Percent => {
                    let percent = 100 * done / total.max(1);
                    say::log(format!("{} {percent} %", self.what));
                }
            },
            None => {}
        }
    }

    fn due(&self) -> bool {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = printed.elapsed() >= PLAIN;
        if due {
            *printed = Instant::now();
        }
        due
    }
}

/// A work that failed leaves no bar behind either.
impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
