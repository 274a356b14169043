//! What becomes of a generation that could not go on: the ranks say why, and the first word counts.

use crate::active::Run;
use crate::core::Core;
use crate::message::Topic;
use crate::roster::Seat;
use twinspan_types::{Fact, Generation, GenerationFault, Rank, ServiceError, Step};

impl Core {
    /// A member has left its generation because of a fault. Ranks that met the same one say so one
    /// after the other; only while the generation is at work is it news.
    pub(crate) fn take_fault(
        &mut self,
        seat: Seat,
        generation: Generation,
        fault: GenerationFault,
    ) -> Result<(), ServiceError> {
        if let GenerationFault::Lost(rank) = fault {
            self.note_missed(seat, generation, rank);
        }
        if self.is_at_work(seat, generation) {
            match fault {
                GenerationFault::Lost(_) => {}
                GenerationFault::Diverged { step, ranks } => self.diverged(generation, step, ranks),
                GenerationFault::NotFinite { steps } => self.not_finite(generation, steps),
                GenerationFault::DamagedCheckpoint { what } => self.damaged(what),
            }
        }
        match self.roster.worker(seat).divergences > 1 {
            true => {
                let worker = self.roster.worker(seat);
                let (id, host) = (worker.id.0.clone(), worker.host.clone());
                self.drop_lost(seat, "its states differ from the others' again".to_owned());
                Err(ServiceError::Distrusted { worker: id, host })
            }
            false => Ok(()),
        }
    }

    /// A peer could not go on without a rank. If both come back, the link between them has failed.
    fn note_missed(&mut self, seat: Seat, generation: Generation, rank: Rank) {
        let missed = self.roster.of_rank(generation, rank);
        if let Some(missed) = missed.filter(|missed| *missed != seat) {
            let now = self.now;
            let (one, other) = (self.roster.worker(seat), self.roster.worker(missed));
            self.pairs.report(&one.id, &other.id);
            let missed_since = &mut self.roster.worker_mut(missed).missed_since;
            missed_since.get_or_insert(now);
        }
    }

    /// Who differs from the majority heals from it; without a majority nobody's state counts.
    fn diverged(&mut self, generation: Generation, step: Step, ranks: Vec<Rank>) {
        let seats = ranks
            .iter()
            .filter_map(|rank| self.roster.of_rank(generation, *rank));
        let seats: Vec<Seat> = seats.collect();
        let members = self.roster.members_of(generation).count();
        let majority = seats.len() < members;
        let names = seats
            .iter()
            .map(|seat| self.roster.worker(*seat).id.clone());
        self.log(Fact::StatesDiverged {
            generation,
            step,
            workers: names.collect(),
        });
        let who: Vec<String> = seats
            .iter()
            .map(|seat| self.roster.worker(*seat).describe())
            .collect();
        let next = match majority {
            true => "takes the others' state",
            false => "no state has a majority: the run goes back to its newest checkpoint",
        };
        let topic = match majority {
            true => Topic::Notice,
            false => Topic::Rollback,
        };
        let who = who.join(", ");
        self.tell(
            topic,
            format!("states differ after step {step}: {who}; {next}"),
        );
        for seat in seats.into_iter().filter(|_| majority) {
            self.roster.worker_mut(seat).divergences += 1;
        }
        self.break_up();
        self.roll_back_if(!majority);
    }

    /// Goes back to the newest checkpoint, once; then the run has failed.
    fn not_finite(&mut self, generation: Generation, steps: Vec<Step>) {
        let named: Vec<String> = steps.iter().map(Step::to_string).collect();
        let named = named.join(", ");
        let newest = self.checkpoints.latest().map(|name| name.step);
        if !self.rollbacks.may_help(newest) {
            return self.fail(format!(
                "loss or gradients were not finite in steps {named}, and going back to a checkpoint \
                 did not help; lower optimizer.lr, lengthen optimizer.warmup, or set \
                 optimizer.grad_clip_norm"
            ));
        }
        self.log(Fact::RolledBack {
            generation,
            steps: steps.clone(),
        });
        self.rollbacks.add(steps);
        let newest = newest.unwrap_or_default();
        self.tell(
            Topic::Rollback,
            format!(
                "loss or gradients were not finite in steps {named}: the run goes back to step \
                 {newest} and passes over them"
            ),
        );
        self.break_up();
        self.roll_back_if(true);
    }

    fn roll_back_if(&mut self, rollback: bool) {
        if let Run::Waiting(waiting) = &mut self.run {
            waiting.rollback |= rollback;
        }
    }

    /// The next generation starts from the checkpoint before.
    fn damaged(&mut self, what: String) {
        let Run::Active(active) = &self.run else {
            return;
        };
        let restore = active.world.restore.clone();
        let name = self.checkpoints.latest();
        let Some(name) = name.filter(|name| restore == Some(name.directory())) else {
            return self.break_up();
        };
        self.checkpoints.damaged(&name);
        self.log(Fact::CheckpointDamaged {
            name,
            what: what.clone(),
        });
        match self.checkpoints.latest() {
            Some(older) => {
                let older = older.directory();
                self.tell(
                    Topic::Rollback,
                    format!("{what}: the run goes on from {older} instead"),
                );
                self.break_up();
            }
            None => self.fail_for_good(format!(
                "{what}, and no other checkpoint is left: restore the file from a copy, or begin \
                 another run under another name"
            )),
        }
    }
}
