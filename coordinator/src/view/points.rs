//! The run as metrics.

use super::View;
use super::run::STATES;
use std::time::Duration;
use twinspan_telemetry::metrics::{self as metric, Metric, Point};
use twinspan_types::{Rank, RankStatus, RunStatus};

type Labels = Vec<(&'static str, String)>;

impl View {
    /// Every metric that there is something to say of. `now` is since 1970.
    pub fn points(&self, status: &RunStatus, now: Duration) -> Vec<Point> {
        let mut points = Points {
            run: self.identity.run.clone(),
            points: Vec::new(),
        };
        for (state, name) in STATES {
            let value = f64::from(u8::from(status.state == state));
            points.labelled(&metric::RUN_STATE, &[("state", name.to_owned())], value);
        }
        points.add(&metric::STEP, status.step.0 as f64);
        points.add(&metric::RUN_STEPS, status.total_steps.0 as f64);
        points.add(&metric::TERM, status.term.0 as f64);
        points.add(&metric::GENERATION, status.generation.0 as f64);
        points.add(&metric::WORLD_SIZE, self.seats.workers().count() as f64);
        points.add(&metric::WORLD_WANTED, f64::from(self.identity.workers));
        points.add(&metric::WORKERS_LOST, self.lost as f64);
        points.add(&metric::SAMPLES, self.samples(status) as f64);
        self.add_step(&mut points, status);
        self.add_data(&mut points);
        self.add_checkpoint(&mut points, now);
        if let Some(straggler) = &status.straggler {
            let labels = [
                ("rank", straggler.rank.to_string()),
                ("phase", straggler.phase.to_string()),
            ];
            let excess = straggler.excess.as_secs_f64();
            points.labelled(&metric::STRAGGLER_EXCESS, &labels, excess);
        }
        for rank in &status.ranks {
            if let Some(number) = self.seats.rank_of(rank) {
                self.add_rank(&mut points, number, rank);
            }
        }
        points.points
    }

    /// As Prometheus scrapes it.
    pub fn prometheus(&self, status: &RunStatus, now: Duration) -> String {
        metric::prometheus_text(self.points(status, now))
    }

    fn add_step(&self, points: &mut Points, status: &RunStatus) {
        if let Some(last) = &status.metrics {
            points.add(&metric::SAMPLES_PER_SECOND, last.samples_per_second);
            points.add(&metric::STEP_DURATION, last.batch_time);
            points.add(&metric::DATA_WAIT, last.data_time);
            points.add(&metric::LOSS, last.loss);
            points.add(&metric::LOGIT_SCALE, last.logit_scale);
            points.add(&metric::GRADIENT_NORM, last.grad_norm);
            points.add(&metric::LEARNING_RATE, last.lr);
        }
        if let Some(evaluation) = &status.evaluation {
            for (name, value) in &evaluation.metrics {
                points.labelled(&metric::EVALUATION, &[("metric", name.clone())], *value);
            }
        }
    }

    fn add_data(&self, points: &mut Points) {
        for (reason, count) in self.skips.counts() {
            let labels = [("reason", reason.to_owned())];
            points.labelled(&metric::SAMPLES_SKIPPED, &labels, count as f64);
        }
        points.add(&metric::SHARDS_QUARANTINED, self.lanes.quarantined() as f64);
        for (lane, lag) in self.lanes.lags().into_iter().enumerate() {
            points.labelled(&metric::LANE_LAG, &[("lane", lane.to_string())], lag as f64);
        }
    }

    fn add_checkpoint(&self, points: &mut Points, now: Duration) {
        let Some(newest) = self.checkpoints.newest() else {
            return;
        };
        points.add(&metric::CHECKPOINT_STEP, newest.step as f64);
        points.add(&metric::CHECKPOINT_SIZE, newest.bytes as f64);
        // One that an earlier coordinator wrote is at least as old as this one.
        let began = self.began.map(|began| began.as_secs_f64());
        if let Some(at) = newest.unix_seconds.or(began) {
            points.add(&metric::CHECKPOINT_AGE, (now.as_secs_f64() - at).max(0.0));
        }
        if let Some(seconds) = newest.seconds {
            points.add(&metric::CHECKPOINT_DURATION, seconds);
        }
    }

    fn add_rank(&self, points: &mut Points, rank: Rank, status: &RankStatus) {
        let own = [
            ("rank", rank.to_string()),
            ("worker", status.worker.0.clone()),
            ("host", status.host.clone()),
        ];
        let mut add = |metric: &'static Metric, further: Option<(&'static str, &str)>, value| {
            let further = further.map(|(name, value)| (name, value.to_owned()));
            let labels: Labels = own.iter().cloned().chain(further).collect();
            points.labelled(metric, &labels, value);
        };
        add(&metric::RANK_STEP, None, status.step.0 as f64);
        let silent = status.heartbeat_age.as_secs_f64();
        add(&metric::RANK_HEARTBEAT_AGE, None, silent);
        if let Some(age) = status.lease_age {
            add(&metric::RANK_LEASE_AGE, None, age.as_secs_f64());
        }
        for (name, seconds) in self.ranks.totals(rank) {
            add(&metric::RANK_PHASE, Some(("phase", name.as_str())), seconds);
        }
        let vitals = &status.vitals;
        for (direction, bytes) in [
            ("sent", vitals.sent_bytes),
            ("received", vitals.received_bytes),
        ] {
            add(
                &metric::RANK_WIRE,
                Some(("direction", direction)),
                bytes as f64,
            );
        }
        add(&metric::RANK_MEMORY, None, vitals.memory_bytes as f64);
        if let Some(bytes) = vitals.device_memory_bytes {
            add(&metric::RANK_DEVICE_MEMORY, None, bytes as f64);
        }
    }
}

/// Points of one run.
struct Points {
    run: String,
    points: Vec<Point>,
}

impl Points {
    fn add(&mut self, metric: &'static Metric, value: f64) {
        self.labelled(metric, &[], value);
    }

    fn labelled(&mut self, metric: &'static Metric, labels: &[(&'static str, String)], value: f64) {
        let run = ("run", self.run.clone());
        let labels: Labels = [run].into_iter().chain(labels.iter().cloned()).collect();
        self.points.push(metric.point(&labels, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_of_the_table_is_told_of_a_run_that_has_all() {
        let (view, mut status) = (sample::full(), sample::status());
        status.ranks[0].vitals.device_memory_bytes = Some(1 << 30);
        let points = view.points(&status, sample::NOW + Duration::from_secs(60));
        let told: BTreeSet<_> = points.iter().map(|point| point.metric.name).collect();
        let all: BTreeSet<_> = metric::ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(told, all);
        let text = view.prometheus(&status, sample::NOW);
        for line in [
            "twinspan_run_state{run=\"sample\",state=\"training\"} 1.0",
            "twinspan_run_state{run=\"sample\",state=\"failed\"} 0.0",
            "twinspan_samples_total{run=\"sample\"} 40.0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }
}
