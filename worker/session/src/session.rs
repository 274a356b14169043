//! The session's handle: what the training thread calls.

use crate::SessionError;
use crate::connect::channel;
use crate::membership::{Membership, Outcome, SessionConfig};
use crate::shared::Ended;
use crate::waits::Commit;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use twinspan_types::{
    Directive, Evaluation, GenerationFault, Part, Phase, Quarantine, RankTrace, RunConfig, Stamp,
    Step, StepReport, Vitals, WorkerId, World,
};

/// What a rank has to tell the coordinator until it is acknowledged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unacknowledged {
    /// Committed steps.
    pub steps: Vec<StepReport>,
    /// Finished evaluations.
    pub evaluations: Vec<Evaluation>,
}

/// One worker's membership in a run. Calls block the calling thread; the heartbeat has a thread of
/// its own, which no computation can hold up.
pub struct Session {
    runtime: Runtime,
    membership: Arc<Membership>,
    heartbeat: JoinHandle<()>,
}

impl Session {
    /// Joins a run, and gives its configuration.
    ///
    /// # Errors
    /// The coordinator cannot be reached in time, or refuses.
    pub fn join(config: SessionConfig) -> Result<(Self, RunConfig), SessionError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("session")
            .enable_all()
            .build()
            .map_err(SessionError::Runtime)?;
        let channel = {
            let _entered = runtime.enter();
            channel(&config.url)?
        };
        let (membership, run) = runtime.block_on(Membership::join(config, channel))?;
        let beats = Arc::clone(&membership).heartbeat(Membership::interval(&run));
        let heartbeat = runtime.spawn(beats);
        let session = Self {
            runtime,
            membership,
            heartbeat,
        };
        Ok((session, run))
    }

    /// The name given to this worker.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.membership.worker()
    }

    /// As [`Membership::next_world`].
    ///
    /// # Errors
    /// The run ended, the worker is not wanted any more, or the coordinator is out of reach.
    pub fn next_world(
        &self,
        stamp: Stamp,
        fault: Option<GenerationFault>,
    ) -> Result<World, SessionError> {
        self.runtime
            .block_on(self.membership.next_world(stamp, fault))
    }

    /// A way to tell, from anywhere, that this worker is to leave at the next boundary.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain(Arc::clone(&self.membership))
    }

    /// Whether it is to leave at the next boundary.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.membership.shared.is_draining()
    }

    /// What the coordinator has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> Unacknowledged {
        let shared = &self.membership.shared;
        Unacknowledged {
            steps: shared.outbox().iter().cloned().collect(),
            evaluations: shared.evaluations().clone(),
        }
    }

    /// Puts what comes with a healed state in the place of this worker's.
    pub fn adopt(&self, told: Unacknowledged) {
        let shared = &self.membership.shared;
        *shared.outbox() = told.steps.into();
        *shared.evaluations() = told.evaluations;
    }

    /// Notes a finished evaluation, as [`Session::commit`] does a step.
    pub fn evaluated(&self, evaluation: Evaluation) {
        self.membership.shared.evaluations().push(evaluation);
        self.membership.shared.wake.notify_one();
    }

    /// Says where in a step the rank is; the next heartbeat carries it.
    pub fn set_phase(&self, phase: Phase) {
        self.membership.shared.set_phase(phase);
    }

    /// Lets heartbeats carry the number of the collective that the rank is in.
    pub fn watch_collective(&self, sequence: impl Fn() -> u64 + Send + 'static) {
        self.membership.shared.set_collective(Box::new(sequence));
    }

    /// Lets heartbeats carry what the process uses.
    pub fn watch_vitals(&self, vitals: impl Fn() -> Vitals + Send + 'static) {
        self.membership.shared.set_vitals(vitals);
    }

    /// Notes how the rank spent its time, for the next heartbeat.
    pub fn trace(&self, trace: RankTrace) {
        self.membership.shared.trace(trace);
    }

    /// Runs `action`, with the reason, as soon as the coordinator says that the generation or the
    /// run is over.
    pub fn on_abort(&self, action: impl Fn(&str) + Send + 'static) {
        self.membership.shared.set_on_abort(Box::new(action));
    }

    /// Notes a committed step, which rank 0's next heartbeats deliver. The others keep it until it
    /// is acknowledged, for the case that rank 0 is lost.
    pub fn commit(&self, report: StepReport) {
        self.membership.shared.commit(report);
    }

    /// The highest directive that the coordinator has given.
    #[must_use]
    pub fn directive(&self) -> Option<Directive> {
        self.membership.shared.directive()
    }

    /// Set once the coordinator has said that the run is over.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.membership.shared.ended()
    }

    /// As [`Membership::check`].
    ///
    /// # Errors
    /// The run or the present generation is over.
    pub fn check(&self) -> Result<(), SessionError> {
        self.membership.check()
    }

    /// The highest step that this rank may read its lanes for.
    #[must_use]
    pub fn lease(&self) -> watch::Receiver<Step> {
        self.membership.shared.lease()
    }

    /// As [`Membership::wait_for_directive`].
    ///
    /// # Errors
    /// None came in time, or the run ended.
    pub fn wait_for_directive(
        &self,
        than: Directive,
        timeout: Duration,
    ) -> Result<Directive, SessionError> {
        let waiting = self.membership.wait_for_directive(than, timeout);
        self.runtime.block_on(waiting)
    }

    /// The means to commit checkpoints from another thread.
    #[must_use]
    pub fn committer(&self) -> Committer {
        Committer {
            membership: Arc::clone(&self.membership),
            runtime: self.runtime.handle().clone(),
        }
    }

    /// As [`Membership::quarantine`].
    ///
    /// # Errors
    /// It was not logged within `timeout`, the run ended, or the coordinator is out of reach.
    pub fn quarantine(&self, shard: &Quarantine, timeout: Duration) -> Result<(), SessionError> {
        self.runtime
            .block_on(self.membership.quarantine(shard, timeout))
    }

    /// Delivers what is still to be reported, then leaves the run.
    ///
    /// # Errors
    /// The coordinator is out of reach or refuses.
    pub fn leave(self, outcome: Outcome) -> Result<(), SessionError> {
        self.set_phase(Phase::Leaving);
        if matches!(outcome, Outcome::Done) {
            self.runtime.block_on(self.membership.deliver());
        }
        self.heartbeat.abort();
        self.runtime.block_on(self.membership.leave(outcome))
    }
}

/// Commits checkpoints.
pub struct Committer {
    membership: Arc<Membership>,
    runtime: Handle,
}

impl Committer {
    /// That the generation of a checkpoint goes on.
    ///
    /// # Errors
    /// It, or the run, is over.
    pub fn check(&self, commit: &Commit) -> Result<(), SessionError> {
        self.membership.check_generation(commit.generation)
    }

    /// As [`Session::trace`].
    pub fn trace(&self, trace: RankTrace) {
        self.membership.shared.trace(trace);
    }

    /// As [`Membership::commit_checkpoint`].
    ///
    /// # Errors
    /// The other ranks' parts did not come within `timeout`, the run or the generation is over, or
    /// the coordinator is out of reach.
    pub fn commit(
        &self,
        commit: &Commit,
        parts: &[Part],
        timeout: Duration,
    ) -> Result<(), SessionError> {
        let committing = self.membership.commit_checkpoint(commit, parts, timeout);
        self.runtime.block_on(committing)
    }
}

/// Tells a worker to go.
#[derive(Clone)]
pub struct Drain(Arc<Membership>);

impl Drain {
    /// The worker leaves at the next boundary; the next heartbeat, at once, says so.
    pub fn at_next_boundary(&self) {
        self.0.shared.drain();
    }

    /// The worker leaves without waiting for a boundary: the others go on without it.
    pub fn at_once(&self) {
        self.0.shared.drain();
        self.0.shared.note_superseded(self.0.shared.generation());
    }
}
