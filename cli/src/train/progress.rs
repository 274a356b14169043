//! What a user sees while a run goes on: a bar on a terminal, plain lines elsewhere.

use crate::status::state_name;
use crate::{say, status};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use twinspan_proto::v1::{self, RunState};
use twinspan_types::RunConfig;

/// Pause between two plain lines.
const PLAIN: Duration = Duration::from_secs(5);
/// Share of the newest step's rate in the shown one.
const SMOOTHING: f64 = 0.1;

/// The display.
pub struct Progress {
    bar: Option<ProgressBar>,
    printed: Instant,
    printed_step: Option<u64>,
    state: Option<RunState>,
    rate: Option<f64>,
    /// The step of the evaluation that was told of last.
    evaluated: Option<u64>,
    quiet: bool,
}

impl Progress {
    /// A display for a run; `quiet` leaves standard output to a JSON result.
    pub fn new(config: &RunConfig, quiet: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(
                Some(config.train.steps.0),
                ProgressDrawTarget::stderr(),
            );
            let style = "step {pos}/{len} [{bar:30}] {msg}";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            );
            bar
        });
        Self {
            bar,
            printed: Instant::now(),
            printed_step: None,
            state: None,
            rate: None,
            evaluated: None,
            quiet,
        }
    }

    /// Shows one look at the run.
    pub fn show(&mut self, look: v1::GetStatusResponse) {
        if self.state.replace(look.state()) != Some(look.state()) {
            self.announce(&look);
        }
        if let Some(evaluation) = &look.evaluation
            && self.evaluated.replace(evaluation.step) != Some(evaluation.step)
        {
            self.print(&status::evaluation(evaluation));
        }
        if let Some(metrics) = &look.metrics {
            let newest = metrics.samples_per_second;
            let rate = self
                .rate
                .map_or(newest, |rate| rate + (newest - rate) * SMOOTHING);
            self.rate = Some(rate);
            let message = self.describe(&look, metrics, rate);
            match &self.bar {
                Some(bar) => {
                    bar.set_position(look.step);
                    bar.set_message(message);
                }
                None if self.due(look.step, look.total_steps) => {
                    say::log(format!(
                        "step {}/{}  {message}",
                        look.step, look.total_steps
                    ));
                    self.printed = Instant::now();
                    self.printed_step = Some(look.step);
                }
                None => {}
            }
        }
    }

    /// A plain line is due every few seconds, and for the last step.
    fn due(&self, step: u64, total: u64) -> bool {
        let new = self.printed_step != Some(step);
        let first = self.printed_step.is_none();
        new && (first || step == total || self.printed.elapsed() >= PLAIN)
    }

    fn describe(
        &self,
        look: &v1::GetStatusResponse,
        metrics: &v1::StepMetrics,
        rate: f64,
    ) -> String {
        let samples = (look.total_steps - look.step) * look.global_batch;
        let left = Duration::from_secs_f64((samples as f64 / rate.max(1e-9)).min(1e9));
        let skipped = match look.skipped {
            0 => String::new(),
            n => format!("  skipped {n}"),
        };
        format!(
            "loss {:.3}  scale {:.1}  {rate:.0} samples/s{skipped}  {} left",
            metrics.loss,
            metrics.logit_scale,
            HumanDuration(left)
        )
    }

    fn announce(&self, look: &v1::GetStatusResponse) {
        let step = match look.state() {
            RunState::Training if look.start_step > 0 => {
                format!(" from step {}", look.start_step)
            }
            _ => String::new(),
        };
        let message = match look.message.as_str() {
            "" => String::new(),
            message => format!(": {message}"),
        };
        self.print(&format!(
            "{}: {}{step}{message}",
            look.run,
            state_name(look)
        ));
    }

    /// Prints a line above the bar.
    pub fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say::log(line)),
            None => say::log(line),
        }
    }

    /// Leaves the last picture standing.
    pub fn finish(&self) {
        if let (Some(bar), false) = (&self.bar, self.quiet) {
            bar.abandon();
            say::log("");
        }
    }
}
