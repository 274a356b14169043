//! One generation: connect, heal, train.

use crate::batches::loader_config;
use crate::checkpoint::{Snapshot, fingerprint};
use crate::clock::{Clock, Pace};
use crate::device::OpenDevice;
use crate::evaluation::{self, Evaluations};
use crate::exchange::Exchange;
use crate::heal::heal;
use crate::life::{Finished, WorkerConfig};
use crate::step::{LocalSamples, NotFinite, StepOrder, StepOutcome, StepResult, Stepper};
use crate::storage::Storage;
use crate::trace::Telling;
use crate::transport::Transport;
use crate::upload::{COMMIT_TIMEOUT, Upload};
use crate::vitals::vitals;
use crate::{TrainState, WorkerError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinspan_collective::nccl::{NcclConfig, NcclConnectError, NcclEngine};
use twinspan_collective::{AbortHandle, RingConfig, RingListener, TcpRing};
use twinspan_data::{Loader, LoaderConfig, ShardCache, Tokenizer};
use twinspan_model::Compute;
use twinspan_model::config::ModelConfig;
use twinspan_model::towers::Clip;
use twinspan_session::{Boundary, Commit, Session};
use twinspan_types::config::CacheConfig;
use twinspan_types::{
    CheckpointName, Directive, Index, Phase, Rank, RankSpan, RankTrace, RunConfig, SampleReason,
    SpanName, Step, StepMetrics, StepReport, Term, TraceKind, World, WorldSize,
};

/// What a worker's generations share.
pub struct Run {
    pub(crate) config: RunConfig,
    pub(crate) clip: Clip,
    storage: Arc<Storage>,
    pub(crate) index: Arc<Index>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    listener: RingListener,
    pub(crate) threads: usize,
    /// Where and how it computes.
    pub(crate) compute: Compute,
    /// The NVIDIA GPU between which and the other ranks' NCCL carries the collectives, by its number.
    nccl: Option<u32>,
    pub(crate) cache: Option<Arc<ShardCache>>,
    /// As [`LoaderConfig::decode_delay`].
    pub(crate) decode_delay: Duration,
    pub(crate) telling: Telling,
}

impl Run {
    /// Opens what the run's configuration names.
    pub(crate) fn open(
        config: RunConfig,
        listener: RingListener,
        worker: &WorkerConfig,
        device: &OpenDevice,
        transport: &Transport,
        telling: Telling,
    ) -> Result<Self, WorkerError> {
        let compute = Compute::of(&config.train, &device.device);
        let model = ModelConfig::from_json(&config.model.config.to_string(), "model")?;
        let cache = match &config.data.cache {
            Some(CacheConfig { dir, size }) => Some(Arc::new(ShardCache::open(dir, *size)?)),
            None => None,
        };
        let clip = Clip::new(model).lock(&config.model)?;
        let text = &clip.config.text;
        let tokenizer = Tokenizer::new(text.context_length, text.vocab_size)?;
        let storage = Arc::new(Storage::open(&config.url())?);
        let index = serde_json::from_slice(&storage.read("index.json")?).map_err(|source| {
            WorkerError::CorruptFile {
                url: storage.url_of("index.json"),
                source,
            }
        })?;
        Ok(Self {
            clip,
            storage,
            index: Arc::new(index),
            tokenizer: Arc::new(tokenizer),
            config,
            listener,
            threads: worker.threads,
            decode_delay: worker.decode_delay,
            telling,
            compute,
            nccl: transport.gpu(&device.place),
            cache,
        })
    }
}

/// How a generation ended in good order.
pub enum Ended {
    /// With the run.
    Finished(Finished),
    /// For another one.
    Reform,
}

/// Takes part in a generation. `state` is what the worker has from the one before, and what it
/// takes into the next, whatever ends this one.
pub fn train(
    session: &Session,
    run: &Run,
    world: &World,
    state: &mut Option<TrainState>,
    mut clock: Clock<'_>,
) -> Result<Ended, WorkerError> {
    let Run {
        config,
        clip,
        storage,
        ..
    } = run;
    let rank = world
        .rank_of(&session.worker())
        .ok_or(WorkerError::NotAMember)?;
    run.telling.enter(world.generation, rank);
    clock.enter(SpanName::Connect);
    let mut ring = connect(session, run, world, rank)?;
    let nccl = join_gpus(&mut ring, run, world)?;
    clock.enter(SpanName::Heal);
    heal(&mut ring, session, world, clip, storage, config, state)?;
    let Some(state) = state else {
        return Err(WorkerError::NotAMember);
    };
    evaluation::agree(&mut ring, world.source, run, state)?;
    state.generation = world.generation;
    let rows = rows_by_rank(config, world);
    let exchange = Exchange::new(Box::new(ring), rows).between_gpus(nccl);
    let loading = loader_config(session, run, world, rank, state);
    let loader = Loader::start(loading.clone())?;
    let entry = clock.lap(
        TraceKind::Generation,
        world.generation,
        Some(SampleReason::First),
    );
    let looped = Loop {
        session,
        run,
        config,
        clip,
        storage,
        world,
        rank,
        exchange,
        loading,
        loader,
        boundary: Boundary::new(config),
        uploads: Vec::new(),
        ordered_by: world.term,
        evaluations: Evaluations::new(run, rank, world.size()),
        leaves_with: None,
        bad_steps: Vec::new(),
        clock,
        pace: Pace::default(),
        entry: Some(entry),
    };
    looped.run(state)
}

/// Links this rank with its neighbours. The coordinator's word ends the connecting and whatever
/// collective the rank is in.
fn connect(
    session: &Session,
    run: &Run,
    world: &World,
    rank: Rank,
) -> Result<TcpRing, WorkerError> {
    let abort = AbortHandle::new();
    let (sequence, aborted) = (abort.clone(), abort.clone());
    session.watch_collective(move || sequence.sequence());
    let traffic = abort.clone();
    session.watch_vitals(move || vitals(traffic.traffic()));
    session.on_abort(move |reason| aborted.abort(reason.to_owned()));
    let config = ring_config(&run.config, world, rank);
    Ok(TcpRing::connect_abortable(&run.listener, config, abort)?)
}

/// Brings the generation's GPUs together over its ring, where NCCL carries the collectives.
fn join_gpus(
    ring: &mut TcpRing,
    run: &Run,
    world: &World,
) -> Result<Option<NcclEngine>, WorkerError> {
    let Some(device) = run.nccl.filter(|_| world.size() > WorldSize(1)) else {
        return Ok(None);
    };
    let step_timeout = run.config.cluster.step_timeout;
    let config = NcclConfig {
        device,
        generation: world.generation,
        // The ring waits longer than that for whoever is not heard of.
        connect_timeout: step_timeout / 2,
        step_timeout,
    };
    match NcclEngine::connect(ring, config) {
        Ok(engine) => Ok(Some(engine)),
        Err(NcclConnectError::Collective(error)) => Err(error.into()),
        Err(NcclConnectError::Unusable(why)) => Err(WorkerError::NoNccl(why.to_string())),
    }
}

/// The loop over steps of one generation.
pub(crate) struct Loop<'r> {
    pub(crate) session: &'r Session,
    pub(crate) run: &'r Run,
    pub(crate) config: &'r RunConfig,
    clip: &'r Clip,
    storage: &'r Arc<Storage>,
    world: &'r World,
    pub(crate) rank: Rank,
    pub(crate) exchange: Exchange,
    /// What the loader was started with.
    pub(crate) loading: LoaderConfig,
    pub(crate) loader: Loader,
    boundary: Boundary,
    /// Those that are on their way: one, and one more whose commit was not heard of yet.
    uploads: Vec<Upload>,
    /// The term that ordered the last of them.
    ordered_by: Term,
    pub(crate) evaluations: Evaluations,
    /// The last checkpoint, with which the ranks leave once its weights are evaluated.
    leaves_with: Option<Commit>,
    /// The last steps in a row whose numbers were not finite.
    bad_steps: Vec<Step>,
    clock: Clock<'r>,
    pace: Pace,
    /// The rank's way into the generation, until its first step is committed.
    entry: Option<RankTrace>,
}

impl Loop<'_> {
    fn run(mut self, state: &mut TrainState) -> Result<Ended, WorkerError> {
        let ended = self.steps(state);
        if ended.is_err() {
            let reason = Some(SampleReason::Failed);
            self.trace_step(state.step.next(), reason);
        }
        ended
    }

    fn steps(&mut self, state: &mut TrainState) -> Result<Ended, WorkerError> {
        let mut stepper = Stepper::new(self.clip, self.config, &self.run.compute);
        let mut directive = self.world.directive;
        self.resume_evaluation(state);
        while state.step < self.config.train.steps {
            let begun = Instant::now();
            self.clock.enter(SpanName::DataWait);
            self.note_step(state.step.next());
            let batch = self.next_batch(state)?;
            let threads = self.loading.decode_threads;
            self.clock.decoded(self.loader.times(), threads);
            let data_time = begun.elapsed();
            let samples = LocalSamples::from(batch);
            directive = self.session.directive().unwrap_or(directive);
            let mut outcome = self.step(&mut stepper, state, &samples, directive)?;
            self.clock.enter(SpanName::Commit);
            let report = self.report(state, &outcome, data_time, begun.elapsed());
            self.session.commit(report);
            let said = std::mem::take(&mut outcome.tally.evaluation);
            self.hear_of_evaluation(said, state)?;
            self.evaluate_if_due(state);
            self.count_bad_steps(&outcome, state.step)?;
            self.reap_uploads()?;
            let due = self.boundary.due(outcome.tally.directive, state.step);
            if let Some(due) = due {
                self.carry_out(due, state)?;
            }
            let saved = due.is_some_and(|due| due.checkpoint.is_some());
            let reason = self.reason_to_trace(state.step, &outcome, saved);
            self.trace_step(state.step, reason);
            if let Some(due) = due {
                if due.stop {
                    return self.finish(state);
                }
                if due.reform {
                    // What is being written is still this generation's.
                    self.finish_uploads()?;
                    return Ok(Ended::Reform);
                }
            }
        }
        self.last_order(state, directive)
    }

    /// Takes a step; one whose numbers are not finite is tried once more, as what made them so may
    /// have been a passing fault of the machine.
    fn step(
        &mut self,
        stepper: &mut Stepper<'_>,
        state: &mut TrainState,
        samples: &LocalSamples,
        directive: Directive,
    ) -> Result<StepOutcome, WorkerError> {
        let step = state.step.next();
        let every = self.config.cluster.checksum_every;
        let compared = every > 0 && state.step.0.is_multiple_of(every) && state.step.0 > 0;
        let hash = compared.then(|| fingerprint(state));
        let changes = !self.world.passed_over.contains(&step);
        let evaluation = self.evaluations.say();
        let slow_after = self.pace.slow_after();
        let mut attempt = |exchange: &mut Exchange, on_not_finite| {
            let order = StepOrder {
                directive,
                state_hash: hash,
                changes_weights: changes,
                on_not_finite,
                evaluation: evaluation.clone(),
                slow_after,
            };
            stepper.step(state, samples, order, exchange, &mut self.clock)
        };
        match attempt(&mut self.exchange, NotFinite::Retry)? {
            StepResult::Committed(outcome) => Ok(*outcome),
            StepResult::NotFinite => {
                tracing::warn!(
                    "step {step}: loss or gradients are not finite; trying it once more"
                );
                match attempt(&mut self.exchange, NotFinite::Skip)? {
                    StepResult::Committed(outcome) => Ok(*outcome),
                    StepResult::NotFinite => Err(WorkerError::NotFinite { steps: vec![step] }),
                }
            }
        }
    }

    /// The last step's checkpoint may have been ordered too late for its boundary: every rank
    /// stands at the last step and waits for the order.
    fn last_order(
        &mut self,
        state: &mut TrainState,
        mut seen: Directive,
    ) -> Result<Ended, WorkerError> {
        loop {
            if let Some(due) = self.boundary.due(seen, state.step) {
                self.carry_out(due, state)?;
                if due.stop {
                    return self.finish(state);
                }
                if due.reform {
                    self.finish_uploads()?;
                    return Ok(Ended::Reform);
                }
            }
            seen = self.session.wait_for_directive(seen, COMMIT_TIMEOUT)?;
        }
    }

    fn carry_out(&mut self, directive: Directive, state: &TrainState) -> Result<(), WorkerError> {
        let Some(order) = directive.checkpoint else {
            return Ok(());
        };
        self.clock.enter(SpanName::Checkpoint);
        if !directive.follows_commit(self.ordered_by) {
            self.finish_uploads()?;
        }
        self.ordered_by = directive.term;
        let name = CheckpointName {
            step: state.step,
            attempt: order.attempt,
        };
        let snapshot = Snapshot::take(self.clip, state, self.rank, self.world.size());
        let evaluates = state.step >= self.config.train.steps && self.evaluations.are_wanted();
        let commit = Commit {
            generation: self.world.generation,
            name,
            stop: directive.stop && !evaluates,
            cursors: state.cursors.clone(),
        };
        if directive.stop && evaluates {
            let stop = true;
            self.leaves_with = Some(Commit {
                stop,
                ..commit.clone()
            });
        }
        let (committer, storage) = (self.session.committer(), Arc::clone(self.storage));
        let told = (self.run.telling.clone(), self.rank);
        self.uploads
            .push(Upload::start(snapshot, commit, storage, committer, told));
        Ok(())
    }

    /// Takes note of uploads that have come to an end.
    fn reap_uploads(&mut self) -> Result<(), WorkerError> {
        let mut ended = self.uploads.extract_if(.., |upload| upload.is_finished());
        ended.try_for_each(Upload::finish)
    }

    fn finish_uploads(&mut self) -> Result<(), WorkerError> {
        self.uploads.drain(..).try_for_each(Upload::finish)
    }

    /// Leaves the run with what was ordered. The last step's evaluation comes before: until then the
    /// coordinator does not let the ranks go, and a generation that breaks is followed by another.
    fn finish(&mut self, state: &mut TrainState) -> Result<Ended, WorkerError> {
        let leaves_with = self.leaves_with.take();
        if leaves_with.is_some() {
            self.finish_evaluations(state)?;
        }
        self.session.set_phase(Phase::Checkpoint);
        self.finish_uploads()?;
        if let Some(commit) = leaves_with {
            let committer = self.session.committer();
            committer.commit(&commit, &[], COMMIT_TIMEOUT)?;
        }
        Ok(Ended::Finished(Finished {
            step: state.step,
            rank: Some(self.rank),
            drained: false,
        }))
    }

    /// Why a step is kept in full; all ranks come to the same.
    fn reason_to_trace(
        &self,
        step: Step,
        outcome: &StepOutcome,
        saved: bool,
    ) -> Option<SampleReason> {
        let every = self.config.telemetry.trace_every;
        match outcome {
            _ if self.entry.is_some() => Some(SampleReason::First),
            outcome if !outcome.finite => Some(SampleReason::Failed),
            outcome if outcome.tally.slow => Some(SampleReason::Slow),
            _ if saved => Some(SampleReason::Checkpoint),
            _ if every > 0 && step.0.is_multiple_of(every) => Some(SampleReason::Interval),
            _ => None,
        }
    }

    /// The step's time is over: the coordinator hears how the rank spent it.
    fn trace_step(&mut self, step: Step, reason: Option<SampleReason>) {
        let generation = self.world.generation;
        let trace = self.clock.lap(TraceKind::Step(step), generation, reason);
        self.pace.note(Duration::from_micros(trace.duration_us));
        if let Some(mut entry) = self.entry.take() {
            entry.spans.push(RankSpan {
                name: SpanName::FirstStep,
                detail: None,
                offset_us: entry.duration_us.cast_signed(),
                duration_us: trace.duration_us,
            });
            entry.duration_us += trace.duration_us;
            self.tell(entry);
        }
        self.tell(trace);
    }

    fn tell(&self, trace: RankTrace) {
        self.run.telling.tell(self.rank, &trace);
        self.session.trace(trace);
    }

    /// What is said from now on belongs to this step. Whether it is slow, fails or is saved is not
    /// known yet.
    fn note_step(&self, step: Step) {
        let every = self.config.telemetry.trace_every;
        let sampled = self.entry.is_some() || every > 0 && step.0.is_multiple_of(every);
        let generation = self.world.generation;
        self.run.telling.step(generation, step, self.rank, sampled);
    }

    fn count_bad_steps(&mut self, outcome: &StepOutcome, step: Step) -> Result<(), WorkerError> {
        if outcome.finite {
            self.bad_steps.clear();
            return Ok(());
        }
        tracing::warn!("step {step} changes no weight: loss or gradients are not finite");
        self.bad_steps.push(step);
        let most = self.config.optimizer.max_bad_steps as usize;
        match self.bad_steps.len() >= most {
            true => Err(WorkerError::NotFinite {
                steps: std::mem::take(&mut self.bad_steps),
            }),
            false => Ok(()),
        }
    }

    fn report(
        &self,
        state: &TrainState,
        outcome: &StepOutcome,
        data_time: Duration,
        batch_time: Duration,
    ) -> StepReport {
        let seconds = batch_time.as_secs_f64();
        StepReport {
            step: state.step,
            metrics: StepMetrics {
                loss: outcome.loss,
                logit_scale: outcome.logit_scale,
                lr: outcome.lr,
                grad_norm: outcome.grad_norm,
                data_time: data_time.as_secs_f64(),
                batch_time: seconds,
                samples_per_second: f64::from(self.config.train.global_batch) / seconds,
            },
            cursors: state.cursors.clone(),
            sample_hash: outcome.tally.sample_hash,
            skips: outcome.tally.skips.clone(),
        }
    }
}

fn ring_config(config: &RunConfig, world: &World, rank: Rank) -> RingConfig {
    RingConfig {
        rank,
        members: world
            .members
            .iter()
            .map(|member| member.address.clone())
            .collect(),
        generation: world.generation,
        token: world.token,
        // All of them have just been heard.
        connect_timeout: config.cluster.heartbeat_timeout * 2,
        step_timeout: config.cluster.step_timeout,
    }
}

fn rows_by_rank(config: &RunConfig, world: &World) -> Vec<usize> {
    let rows = |rank| world.lanes.lanes_of(rank).count() * config.samples_per_lane() as usize;
    world.size().ranks().map(rows).collect()
}
