//! When silence means that a worker is lost.

use crate::roster::{Roster, Seat};
use std::time::Duration;
use twinspan_types::Step;

/// How long a worker may take to find its way back to a coordinator that was cut off: to find its
/// connection dead, and to make another.
const RETURN: Duration = Duration::from_secs(15);

/// Watches for silence while the step stands still. A rising step proves that all ranks live,
/// since every collective needs every rank.
#[derive(Debug)]
pub(crate) struct Watch {
    timeout: Duration,
    /// When the core was last called.
    called: Duration,
    /// Before this time no silence counts: the caller itself was away.
    trusted_from: Duration,
    highest: Step,
    /// When the highest step last rose.
    rose: Duration,
    /// Until when it counts for nothing that everybody is silent: the fault may be on this side.
    all_silent_until: Option<Duration>,
    /// How long workers can go on without a word.
    patience: Duration,
}

/// Who is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// One, while others are heard.
    One(Seat),
    /// Everybody.
    All,
}

impl Watch {
    /// Silence of one of several workers for `timeout` means that it is lost; silence of all, for as
    /// long as they can go on without a word, that they all are.
    pub(crate) fn new(timeout: Duration, lease_ahead: Duration, now: Duration) -> Self {
        Self {
            timeout,
            patience: lease_ahead.max(timeout),
            called: now,
            trusted_from: now,
            highest: Step(0),
            rose: now,
            all_silent_until: None,
        }
    }

    /// The core was called. A long pause since the last call means that this process was frozen or
    /// its clock jumped: what looks like silence is then its own.
    pub(crate) fn called(&mut self, now: Duration) {
        if now.saturating_sub(self.called) > self.timeout / 2 {
            self.trusted_from = now + self.timeout;
        }
        self.called = now;
    }

    /// Time by which the core wants to be called again, so that a pause can be told from quiet.
    pub(crate) fn next_call(&self) -> Duration {
        self.called + self.timeout / 4
    }

    /// A generation starts from this step: its members have a whole timeout to be heard.
    pub(crate) fn restart(&mut self, now: Duration, start: Step) {
        (self.highest, self.rose) = (start, now);
    }

    /// The highest step that any rank has committed.
    pub(crate) fn highest(&self) -> Step {
        self.highest
    }

    /// A rank has committed this step; whether it is the highest so far.
    pub(crate) fn stepped(&mut self, now: Duration, step: Step) -> bool {
        let rises = step > self.highest;
        if rises {
            (self.highest, self.rose) = (step, now);
        }
        rises
    }

    /// Who is lost at this time.
    pub(crate) fn lost(&mut self, now: Duration, roster: &Roster) -> Option<Lost> {
        let silence = |heard: Duration| now.saturating_sub(heard);
        let silent = roster
            .workers()
            .filter(|(_, worker)| silence(worker.heard) > self.timeout);
        let all = silent.clone().count() == roster.workers().count();
        if !all && self.all_silent_until.take().is_some() {
            // This side was cut off and hears the first of them again: the others get their time.
            self.trusted_from = now + self.timeout.max(RETURN);
        }
        let (longest, _) = silent.min_by_key(|(_, worker)| worker.heard)?;
        if now < self.trusted_from || silence(self.rose) <= self.timeout {
            return None;
        }
        if !all {
            return Some(Lost::One(longest));
        }
        let until = *self.all_silent_until.get_or_insert(now + self.patience);
        (now >= until).then_some(Lost::All)
    }

    /// Somebody new was heard: this side can be reached, and who stays silent now is lost.
    pub(crate) fn reached(&mut self, now: Duration) {
        if let Some(until) = &mut self.all_silent_until {
            *until = (*until).min(now + self.timeout);
        }
    }
}
