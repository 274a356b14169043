//! Names the rank that the others wait for, and says when it has caught up.

use crate::core::Core;
use crate::message::{Action, Topic};
use crate::roster::Seat;
use crate::stragglers::{Finding, Stragglers};
use twinspan_types::{RankTrace, SpanName, Straggler, World};

impl Core {
    /// A generation is at work: what was known of another's ranks does not hold of its.
    pub(crate) fn watch_for_stragglers(&mut self, world: &World) {
        self.stragglers = Stragglers::of(world);
        self.straggler = None;
    }

    /// Takes what a rank of the generation at work tells of its time.
    pub(crate) fn take_traces(&mut self, seat: Seat, mut traces: Vec<RankTrace>) {
        let Some((generation, rank)) = self.roster.worker(seat).place else {
            return;
        };
        traces.retain(|trace| trace.generation == generation);
        for trace in &traces {
            if let Some(found) = self.stragglers.take(rank, trace) {
                self.take_finding(found);
            }
        }
        if !traces.is_empty() {
            self.act(Action::Trace(rank, traces));
        }
    }

    fn take_finding(&mut self, found: Option<Finding>) {
        let found = found.and_then(|finding| self.describe_finding(finding));
        let same = |a: &Straggler, b: &Straggler| (&a.worker, a.phase) == (&b.worker, b.phase);
        match (&self.straggler, &found) {
            (Some(known), Some(found)) if same(known, found) => {}
            (_, Some(found)) => self.tell(Topic::Straggler, words(found)),
            (Some(known), None) => {
                let text = format!(
                    "rank {} ({} on {}) keeps up with the others again",
                    known.rank, known.worker, known.host
                );
                self.tell(Topic::Straggler, text);
            }
            (None, None) => {}
        }
        self.straggler = found;
    }

    fn describe_finding(&self, finding: Finding) -> Option<Straggler> {
        let seat = self.roster.of_rank(self.generation, finding.rank)?;
        let worker = self.roster.worker(seat);
        Some(Straggler {
            rank: finding.rank,
            worker: worker.id.clone(),
            host: worker.host.clone(),
            phase: finding.phase,
            excess: finding.excess,
            from: finding.from,
            through: finding.through,
        })
    }
}

fn words(straggler: &Straggler) -> String {
    let Straggler {
        rank,
        worker,
        host,
        phase,
        excess,
        from,
        through,
    } = straggler;
    let look = match phase {
        SpanName::Decode => "its processor, or give it more data.decode_threads",
        SpanName::DataWait => "its way to the store, and its disk",
        SpanName::Checkpoint | SpanName::Commit => "its way to the store",
        _ => "its processor or GPU, and what else runs there",
    };
    format!(
        "rank {rank} (worker {worker} on {host}) holds the others up: {phase} takes it {:.3} s a \
         step longer than their median, steps {from} to {through}; look at {look}",
        excess.as_secs_f64()
    )
}
