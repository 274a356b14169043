//! How workers ended, and what that makes of the command that started them.

use crate::exit::{DRAINED, Failure, bad_input, failed};
use crate::processes::Process;
use anyhow::anyhow;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The worst of the ends so far; none is worse than to have done what there was to do.
#[derive(Debug, Default)]
pub struct Worst(Option<Failure>);

impl Worst {
    /// A worker has ended.
    pub fn ended(&mut self, worker: &Process, status: ExitStatus) {
        let why = || anyhow!("{} ended ({status}); its lines above say why", worker.name);
        match status.code() {
            Some(0) => {}
            Some(code) if code == i32::from(DRAINED) => self.take(Failure::Drained),
            Some(code) if code == i32::from(Failure::Interrupted.code()) => {
                self.take(Failure::Interrupted);
            }
            Some(2) => self.take(bad_input(why())),
            _ => self.take(failed(why())),
        }
    }

    /// A worker went as it was told to.
    pub fn drained(&mut self) {
        self.take(Failure::Drained);
    }

    /// A worker lives on that was killed: the system holds it, as it does for a driver that hangs.
    pub fn outlived(&mut self, worker: &Process) {
        let name = &worker.name;
        let why = anyhow!("{name} was killed and does not end; its machine needs a look");
        self.take(failed(why));
    }

    fn take(&mut self, failure: Failure) {
        let is_worse = |than: &Failure| badness(&failure) > badness(than);
        if self.0.as_ref().is_none_or(is_worse) {
            self.0 = Some(failure);
        }
    }

    /// What the command says and ends with.
    pub fn into_result(self) -> Result<(), Failure> {
        self.0.map_or(Ok(()), Err)
    }
}

fn badness(failure: &Failure) -> u8 {
    match failure {
        Failure::Drained => 0,
        Failure::Interrupted | Failure::Stopped(_) => 1,
        Failure::BadInput(_) => 2,
        Failure::Failed(_) => 3,
    }
}

/// Whether a signal ended a worker that tells it to go: it came before the worker listened, which had
/// not joined then.
pub fn was_told_to_go(status: ExitStatus) -> bool {
    let told = [Signal::INT, Signal::TERM].map(Signal::as_raw);
    status.signal().is_some_and(|signal| told.contains(&signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the system gives them: an exit code in the second byte, a signal in the first.
    fn code(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn code_of(ends: &[ExitStatus]) -> u8 {
        let mut worst = Worst::default();
        let worker = Process {
            name: "worker 0".to_owned(),
            pid: 1,
        };
        ends.iter().for_each(|end| worst.ended(&worker, *end));
        worst
            .into_result()
            .map_or_else(|failure| failure.code(), |()| 0)
    }

    #[test]
    fn the_worst_end_decides_the_exit_code() {
        let killed = ExitStatus::from_raw(Signal::KILL.as_raw());
        for (ends, expected) in [
            (vec![code(0), code(0)], 0),
            (vec![code(75), code(75)], 75),
            (vec![code(75), code(0)], 75),
            (vec![code(130), code(75)], 130),
            (vec![code(75), code(2)], 2),
            (vec![code(1), code(2), code(75)], 1),
            (vec![code(3)], 1),
            (vec![code(75), killed], 1),
            (vec![code(101), code(0)], 1),
        ] {
            assert_eq!(code_of(&ends), expected, "{ends:?}");
        }
    }

    #[test]
    fn a_worker_that_a_signal_ends_before_it_listens_went_as_it_was_told_to() {
        for signal in [Signal::INT, Signal::TERM] {
            assert!(was_told_to_go(ExitStatus::from_raw(signal.as_raw())));
        }
        assert!(!was_told_to_go(ExitStatus::from_raw(Signal::KILL.as_raw())));
        assert!(!was_told_to_go(code(75)));
    }
}
