//! A simulated worker: what `worker/session` says to the coordinator, and when, without a machine
//! behind it.

use crate::Result;
use crate::calls::{Call, Calls};
use crate::clock::{Clock, STEP};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use twinspan_proto::poll::world_pause;
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_proto::v1::get_world_response::State;

/// Pause between two heartbeats under the default heartbeat timeout.
const INTERVAL: Duration = Duration::from_millis(500);
/// Makes nonces of numbers that look as random as real ones.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// Steps reported in one message at most.
const STEPS_A_REPORT: u64 = 256;

/// A member of the run.
struct Worker {
    nonce: u64,
    client: CoordinatorClient<Channel>,
    fence: v1::Fence,
    calls: Calls,
    /// How many lanes there are, in a world of which it is rank 0.
    delivers: Option<usize>,
    /// The last step whose time it has told of.
    told: u64,
    /// The last step that the coordinator has of rank 0.
    received: u64,
    lease: u64,
    leased_ahead: u64,
}

/// Joins, works until the clock lets it go, and gives the times of its calls.
pub async fn live(url: String, number: u32, clock: &Clock) -> Result<Calls> {
    let mut worker = Worker::join(url, number).await?;
    worker.world(clock).await?;
    clock.note_ready();
    while let Some(step) = clock.step() {
        worker.beat(step).await?;
        sleep(INTERVAL).await;
    }
    Ok(worker.calls)
}

impl Worker {
    async fn join(url: String, number: u32) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url)?;
        // The first call connects.
        let channel = endpoint.connect_timeout(Duration::from_secs(5));
        let client = CoordinatorClient::new(channel.connect_lazy());
        let nonce = u64::from(number).wrapping_mul(SPREAD);
        let request = v1::JoinRequest {
            nonce,
            build: "a simulated worker".to_owned(),
            address: format!("10.0.{}.{}:40000", number / 256, number % 256),
            host: format!("machine-{number}"),
            pid: number,
            ..v1::JoinRequest::default()
        };
        let mut calls = Calls::default();
        let mut caller = client.clone();
        let joined = calls.time(Call::Join, caller.join(request)).await?;
        let fence = v1::Fence {
            worker: joined.worker,
            session_secret: joined.session_secret,
            term: joined.term,
            generation: 0,
        };
        Ok(Self {
            nonce,
            client,
            fence,
            calls,
            delivers: None,
            told: 0,
            received: 0,
            lease: 0,
            leased_ahead: 0,
        })
    }

    /// Asks for its world, with heartbeats meanwhile, and takes a first lease.
    async fn world(&mut self, clock: &Clock) -> Result<()> {
        let mut beat_at = Instant::now();
        let world = loop {
            let request = v1::GetWorldRequest {
                fence: Some(self.fence.clone()),
                stamp: Some(v1::Stamp::default()),
                ..v1::GetWorldRequest::default()
            };
            let asked = self.client.get_world(request);
            let answer = self.calls.time(Call::GetWorld, asked).await?;
            let wanted = match answer.state {
                Some(State::World(world)) => break world,
                Some(State::Ended(ended)) => return Err(ended.reason.into()),
                Some(State::Pending(pending)) => pending.wanted,
                None => return Err("an answer without a state".into()),
            };
            if Instant::now() >= beat_at {
                self.beat(clock.step().unwrap_or_default()).await?;
                beat_at = Instant::now() + INTERVAL;
            }
            sleep(world_pause(wanted, self.nonce)).await;
        };
        self.fence.generation = world.generation;
        let first = world.members.first();
        let is_first = first.is_some_and(|member| member.worker == self.fence.worker);
        self.delivers = is_first.then_some(world.lane_ranks.len());
        self.extend_lease(0).await
    }

    /// A heartbeat, and more lease when half of it is used up.
    async fn beat(&mut self, step: u64) -> Result<()> {
        let steps = match self.delivers {
            Some(lanes) => {
                let fresh = self.received + 1..=step.min(self.received + STEPS_A_REPORT);
                fresh.map(|step| step_report(step, lanes)).collect()
            }
            None => Vec::new(),
        };
        let request = v1::ReportRequest {
            fence: Some(self.fence.clone()),
            phase: v1::Phase::Compute.into(),
            step,
            collective_sequence: step,
            progress: step,
            draining: false,
            steps,
            evaluations: Vec::new(),
            traces: self.traces(step),
            vitals: Some(v1::Vitals::default()),
        };
        self.told = self.told.max(step);
        let reported = self.client.report(request);
        let answer = self.calls.time(Call::Report, reported).await?;
        self.received = answer.received_step;
        if answer.superseded || answer.ended.is_some() {
            return Err(format!("the coordinator gave up the generation: {answer:?}").into());
        }
        let is_low = self.lease.saturating_sub(step) <= self.leased_ahead / 2;
        match self.fence.generation > 0 && is_low {
            true => self.extend_lease(step).await,
            false => Ok(()),
        }
    }

    /// How it spent the steps since the last heartbeat.
    fn traces(&self, step: u64) -> Vec<v1::RankTrace> {
        let fresh = self.told + 1..=step;
        let generation = self.fence.generation;
        let newest = fresh.rev().take(STEPS_A_REPORT as usize);
        let mut traces: Vec<_> = newest.map(|step| trace(step, generation)).collect();
        traces.reverse();
        traces
    }

    async fn extend_lease(&mut self, step: u64) -> Result<()> {
        let request = v1::ExtendLeaseRequest {
            fence: Some(self.fence.clone()),
            step,
        };
        let asked = self.client.extend_lease(request);
        let answer = self.calls.time(Call::ExtendLease, asked).await?;
        self.lease = answer.through_step;
        self.leased_ahead = self.lease.saturating_sub(step);
        Ok(())
    }
}

/// How a rank spent a step, of the size that real ones have.
fn trace(step: u64, generation: u64) -> v1::RankTrace {
    let length = STEP.as_micros() as u64;
    let spans = (1..=12).map(|name| v1::RankSpan {
        name,
        detail: None,
        offset_us: i64::from(name) * length as i64 / 16,
        duration_us: length / 16,
    });
    v1::RankTrace {
        kind: Some(v1::rank_trace::Kind::Step(step)),
        generation,
        started_unix_nanos: step * STEP.as_nanos() as u64,
        duration_us: length,
        sampled: match step % 50 {
            0 => v1::SampleReason::Interval.into(),
            _ => 0,
        },
        spans: spans.collect(),
    }
}

/// A committed step, of the size that real ones have.
fn step_report(step: u64, lanes: usize) -> v1::StepReport {
    let seconds = STEP.as_secs_f64();
    let cursor = v1::Cursor {
        epoch: 0,
        passed: step,
    };
    v1::StepReport {
        step,
        metrics: Some(v1::StepMetrics {
            loss: 1.0,
            logit_scale: 14.3,
            lr: 5e-4,
            grad_norm: 1.0,
            data_time: 0.0,
            batch_time: seconds,
            samples_per_second: lanes as f64 / seconds,
        }),
        cursors: vec![cursor; lanes],
        sample_hash: step,
        skips: Vec::new(),
    }
}
