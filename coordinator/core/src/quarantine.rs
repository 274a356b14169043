//! Shards that the run has given up, and those that it is about to.

use twinspan_types::Quarantine;

/// Quarantines by whether their record is in the log.
#[derive(Debug)]
pub(crate) struct Quarantines {
    logged: Vec<Quarantine>,
    underway: Vec<Quarantine>,
}

/// What is known of one that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is in the log.
    Logged,
    /// Its record is on the way.
    Underway,
    /// It is new.
    No,
}

impl Quarantines {
    pub(crate) fn new(logged: Vec<Quarantine>) -> Self {
        Self {
            logged,
            underway: Vec::new(),
        }
    }

    pub(crate) fn logged(&self) -> &[Quarantine] {
        &self.logged
    }

    pub(crate) fn known(&self, asked: &Quarantine) -> Known {
        let covers = |known: &Quarantine| known.covers(asked);
        if self.logged.iter().any(covers) {
            return Known::Logged;
        }
        match self.underway.iter().any(covers) {
            true => Known::Underway,
            false => Known::No,
        }
    }

    pub(crate) fn begin(&mut self, quarantine: Quarantine) {
        self.underway.push(quarantine);
    }

    /// Its record is in the log.
    pub(crate) fn logged_now(&mut self, quarantine: Quarantine) {
        self.underway.retain(|known| *known != quarantine);
        self.logged.push(quarantine);
    }
}
