//! What the training thread and the heartbeat share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use twinspan_types::{Directive, Evaluation, Phase, RankTrace, Step, StepReport, Vitals, World};

/// The end of a run as the coordinator tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether it failed.
    pub failed: bool,
    /// Why.
    pub reason: String,
}

/// Committed steps that are not acknowledged, in order.
pub type Outbox = VecDeque<StepReport>;

/// What the coordinator has said.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) directive: Option<Directive>,
    pub(crate) ended: Option<Ended>,
}

/// What is done, with the reason, when the coordinator says that the generation or the run is over.
type OnAbort = Box<dyn Fn(&str) + Send>;

/// Tells the number of the collective that the rank is in.
pub type Sequence = Box<dyn Fn() -> u64 + Send>;

/// Tells what the process uses.
type Measure = Box<dyn Fn() -> Vitals + Send>;

/// Traces that wait for a heartbeat at most; older ones are dropped.
const MOST_TRACES: usize = 512;

/// The board between the training thread and the heartbeat.
#[derive(Default)]
pub struct Shared {
    phase: AtomicU8,
    step: AtomicU64,
    progress: AtomicU64,
    generation: AtomicU64,
    received: AtomicU64,
    /// The last generation that the coordinator has said to be over.
    superseded: AtomicU64,
    collective: Mutex<Option<Sequence>>,
    vitals: Mutex<Option<Measure>>,
    /// How the rank spent its time, for the next heartbeat.
    traces: Mutex<VecDeque<RankTrace>>,
    outbox: Mutex<Outbox>,
    /// Finished evaluations that are not acknowledged, in the order of their steps.
    evaluations: Mutex<Vec<Evaluation>>,
    inbox: Mutex<Inbox>,
    on_abort: Mutex<Option<OnAbort>>,
    /// Whether this rank delivers the steps; every rank keeps them.
    delivers: AtomicBool,
    draining: AtomicBool,
    /// The highest step that the rank may read its lanes for.
    pub(crate) lease: watch::Sender<Step>,
    /// Steps that the last extension of the lease reached ahead.
    leased_ahead: AtomicU64,
    pub(crate) wake: tokio::sync::Notify,
}

const PHASES: [Phase; 8] = [
    Phase::Joining,
    Phase::Healing,
    Phase::DataWait,
    Phase::Compute,
    Phase::Collective,
    Phase::Checkpoint,
    Phase::Leaving,
    Phase::Evaluation,
];

/// A panic elsewhere leaves plain data behind: it is read on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Says where in a step the rank is; the next heartbeat carries it.
    pub fn set_phase(&self, phase: Phase) {
        let number = PHASES.iter().position(|known| *known == phase).unwrap_or(0);
        self.phase.store(number as u8, Ordering::Release);
        self.progress.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Acquire))]
    }

    pub(crate) fn set_step(&self, step: Step) {
        self.step.store(step.0, Ordering::Release);
    }

    pub(crate) fn step(&self) -> Step {
        Step(self.step.load(Ordering::Acquire))
    }

    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Acquire)
    }

    pub(crate) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Lets heartbeats carry the number of the collective that the rank is in.
    pub fn set_collective(&self, sequence: Sequence) {
        *lock(&self.collective) = Some(sequence);
    }

    pub(crate) fn collective_sequence(&self) -> u64 {
        let collective = lock(&self.collective);
        collective.as_ref().map_or(0, |sequence| sequence())
    }

    /// Lets heartbeats carry what the process uses.
    pub fn set_vitals(&self, vitals: impl Fn() -> Vitals + Send + 'static) {
        *lock(&self.vitals) = Some(Box::new(vitals));
    }

    pub(crate) fn vitals(&self) -> Vitals {
        let vitals = lock(&self.vitals);
        vitals.as_ref().map(|measure| measure()).unwrap_or_default()
    }

    /// Notes how the rank spent its time, for the next heartbeat.
    pub fn trace(&self, trace: RankTrace) {
        let mut traces = lock(&self.traces);
        if traces.len() >= MOST_TRACES {
            traces.pop_front();
        }
        traces.push_back(trace);
    }

    /// What the next heartbeat tells of the rank's time, at most `most` of it.
    pub(crate) fn take_traces(&self, most: usize) -> Vec<RankTrace> {
        let mut traces = lock(&self.traces);
        let count = traces.len().min(most);
        traces.drain(..count).collect()
    }

    /// Steps that the coordinator has not acknowledged.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    /// Evaluations that the coordinator has not acknowledged.
    pub(crate) fn evaluations(&self) -> MutexGuard<'_, Vec<Evaluation>> {
        lock(&self.evaluations)
    }

    /// The highest directive that the coordinator has given.
    pub fn directive(&self) -> Option<Directive> {
        lock(&self.inbox).directive
    }

    /// Keeps the directive that takes precedence.
    pub(crate) fn note_directive(&self, directive: Directive) {
        let mut inbox = lock(&self.inbox);
        let newer = inbox
            .directive
            .is_none_or(|known| known.precedence() < directive.precedence());
        if newer {
            inbox.directive = Some(directive);
        }
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        lock(&self.inbox).ended.clone()
    }

    pub(crate) fn note_end(&self, ended: Ended) {
        let reason = ended.reason.clone();
        lock(&self.inbox).ended = Some(ended);
        self.abort(&reason);
    }

    /// A generation is over for this worker.
    pub(crate) fn note_superseded(&self, generation: u64) {
        self.superseded.fetch_max(generation, Ordering::AcqRel);
        if generation == self.generation() {
            self.abort("the coordinator forms another generation");
        }
    }

    /// Whether the present generation is over.
    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire) >= self.generation().max(1)
    }

    fn abort(&self, reason: &str) {
        if let Some(on_abort) = lock(&self.on_abort).as_ref() {
            on_abort(reason);
        }
    }

    /// The present generation is over, with a membership: another coordinator's orders and
    /// generations do not count any more.
    pub(crate) fn leave_generation(&self) {
        self.note_superseded(self.generation());
        lock(&self.inbox).directive = None;
        self.set_generation(0);
    }

    /// Takes part in a generation; `delivers` as rank 0 does.
    pub(crate) fn enter(&self, world: &World, delivers: bool) {
        self.set_generation(world.generation.0);
        self.set_step(world.start);
        self.note_directive(world.directive);
        self.set_delivers(delivers);
        self.lease.send_replace(Step(0));
        self.leased_ahead.store(0, Ordering::Release);
    }

    /// This worker is to leave at the next boundary.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether it is to leave at the next boundary.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Notes a committed step, for rank 0's next heartbeats. The others keep it until it is
    /// acknowledged, for the case that rank 0 is lost.
    pub fn commit(&self, report: StepReport) {
        let step = report.step;
        self.outbox().push_back(report);
        self.set_step(step);
        self.set_phase(Phase::DataWait);
    }

    pub(crate) fn set_received(&self, step: Step) {
        self.received.store(step.0, Ordering::Release);
    }

    /// Every step up to this one need not be sent again to this coordinator.
    pub(crate) fn received(&self) -> Step {
        Step(self.received.load(Ordering::Acquire))
    }

    pub(crate) fn set_delivers(&self, delivers: bool) {
        self.delivers.store(delivers, Ordering::Release);
    }

    pub(crate) fn delivers(&self) -> bool {
        self.delivers.load(Ordering::Acquire)
    }

    /// The highest step that this rank may read its lanes for.
    #[must_use]
    pub fn lease(&self) -> watch::Receiver<Step> {
        self.lease.subscribe()
    }

    /// Whether half of what was granted is used up, as far as the rank can tell.
    pub(crate) fn lease_is_low(&self, step: Step) -> bool {
        let left = self.lease.borrow().0.saturating_sub(step.0);
        left <= self.leased_ahead.load(Ordering::Acquire) / 2
    }

    /// Takes an answer to a request that was made at `step`.
    pub(crate) fn extend_lease(&self, step: Step, through: Step) {
        let ahead = through.0.saturating_sub(step.0);
        self.leased_ahead.store(ahead, Ordering::Release);
        self.lease.send_if_modified(|lease| {
            let further = through > *lease;
            *lease = (*lease).max(through);
            further
        });
    }

    /// Runs `action` when the coordinator says that the generation or the run is over, at once if
    /// it has said so of the run.
    pub(crate) fn set_on_abort(&self, action: OnAbort) {
        if let Some(ended) = self.ended() {
            action(&ended.reason);
        }
        *lock(&self.on_abort) = Some(action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_lease_is_asked_for_when_half_is_used_up() {
        let shared = Shared::default();
        assert!(shared.lease_is_low(Step(0)));
        shared.extend_lease(Step(10), Step(110));
        let low = [10, 59, 60, 110, 200].map(|step| shared.lease_is_low(Step(step)));
        assert_eq!(low, [false, false, true, true, true]);
        shared.extend_lease(Step(60), Step(100));
        assert_eq!(
            *shared.lease.borrow(),
            Step(110),
            "a lease is not taken back"
        );
    }
}
