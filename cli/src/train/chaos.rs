//! `train --chaos`: processes of the run are killed and stopped on a schedule, and the run must end
//! in good order all the same.

mod schedule;

use crate::processes::Process;
use rustix::process::Signal;
use schedule::{Deed, Schedule, Turn, Victim};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How much was done.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Deeds {
    /// Processes killed.
    pub killed: u32,
    /// Processes stopped for some time.
    pub stopped: u32,
}

/// Does what the schedule says.
pub struct Chaos {
    schedule: Schedule,
    phase: Phase,
    /// Who stands still.
    stopped: Option<Process>,
    /// Whom it has killed, until their end has been seen.
    killed: BTreeSet<u32>,
    deeds: Deeds,
}

enum Phase {
    /// The run has made no step yet.
    Waiting,
    /// What is next, and when.
    Going(Instant, Turn),
    /// Nothing more is done.
    Over,
}

impl Chaos {
    /// Chaos by a seed, in a run with this `cluster.heartbeat_timeout`.
    pub fn new(seed: u64, heartbeat_timeout: Duration) -> Self {
        Self {
            schedule: Schedule::new(seed, heartbeat_timeout),
            phase: Phase::Waiting,
            stopped: None,
            killed: BTreeSet::new(),
            deeds: Deeds::default(),
        }
    }

    /// The run steps: the schedule begins, where it has not before.
    pub fn begin(&mut self) {
        if let Phase::Waiting = self.phase {
            self.plan();
        }
    }

    fn plan(&mut self) {
        self.phase = match self.schedule.next() {
            Some(turn) => Phase::Going(Instant::now() + turn.after, turn),
            None => Phase::Over,
        };
    }

    /// Waits until something is due; for ever where nothing is.
    pub async fn due(&self) {
        match self.phase {
            Phase::Going(at, _) => sleep_until(at).await,
            Phase::Waiting | Phase::Over => std::future::pending().await,
        }
    }

    /// Does what is due to one of these processes, and says what.
    pub fn act(&mut self, coordinator: Process, workers: &[Process]) -> Option<String> {
        let Phase::Going(_, turn) = self.phase else {
            return None;
        };
        self.plan();
        let victim = match turn.victim {
            Victim::Coordinator => Some(coordinator),
            Victim::Worker(draw) => {
                let place = draw as usize % workers.len().max(1);
                workers.get(place).cloned()
            }
        };
        match turn.deed {
            Deed::Kill => self.kill(victim?),
            Deed::Stop => self.stop(victim?),
            Deed::Continue => self.release(),
        }
    }

    fn kill(&mut self, victim: Process) -> Option<String> {
        victim.signal(Signal::KILL).then(|| {
            self.killed.insert(victim.pid);
            self.deeds.killed += 1;
            format!("killed {victim}")
        })
    }

    fn stop(&mut self, victim: Process) -> Option<String> {
        victim.signal(Signal::STOP).then(|| {
            self.deeds.stopped += 1;
            let said = format!("stopped {victim}");
            self.stopped = Some(victim);
            said
        })
    }

    /// Lets go on whoever stands still, and says who.
    fn release(&mut self) -> Option<String> {
        let stopped = self.stopped.take()?;
        stopped
            .signal(Signal::CONT)
            .then(|| format!("continued {stopped}"))
    }

    /// Whether the end of a process, asked for once, was its doing.
    pub fn has_killed(&mut self, process: &Process) -> bool {
        self.killed.remove(&process.pid)
    }

    /// Ends it, and says who had to be let go on.
    pub fn end(&mut self) -> Option<String> {
        self.phase = Phase::Over;
        self.release()
    }

    /// What was done in all.
    pub fn deeds(&self) -> Deeds {
        self.deeds
    }
}
