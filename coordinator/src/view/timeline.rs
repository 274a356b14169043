//! What happened to the run.

use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;
use twinspan_types::{Generation, Step};

/// Events that are kept.
const MOST: usize = 200;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Generation,
    Checkpoint,
    Lost,
    Rollback,
    Quarantine,
    Evaluation,
    Straggler,
    End,
    Notice,
}

/// The newest events, newest last.
#[derive(Debug, Default)]
pub struct Timeline {
    events: VecDeque<Happening>,
    /// Events so far.
    count: u64,
}

/// One event.
#[derive(Debug, Serialize)]
struct Happening {
    /// Its number within the coordinator's term, from 1.
    id: u64,
    unix_seconds: f64,
    kind: Kind,
    step: u64,
    generation: u64,
    text: String,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct EventsDocument<'v> {
    events: &'v VecDeque<Happening>,
}

impl Timeline {
    /// Adds an event that happened now, which is since 1970, at a step of a generation.
    pub fn add(&mut self, now: Duration, kind: Kind, at: (Generation, Step), text: String) {
        self.count += 1;
        if self.events.len() == MOST {
            self.events.pop_front();
        }
        let (generation, step) = at;
        self.events.push_back(Happening {
            id: self.count,
            unix_seconds: now.as_secs_f64(),
            kind,
            step: step.0,
            generation: generation.0,
            text,
        });
    }

    /// What is shown.
    pub fn document(&self) -> EventsDocument<'_> {
        EventsDocument {
            events: &self.events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_are_kept_in_order() {
        let mut timeline = Timeline::default();
        for number in 1..=250 {
            let at = (Generation(1), Step(number));
            let now = Duration::from_secs(number);
            timeline.add(now, Kind::Notice, at, format!("event {number}"));
        }
        let shown = serde_json::json!(timeline.document());
        let events = shown["events"].as_array().expect("a list");
        assert_eq!(events.len(), 200);
        assert_eq!(events[0]["id"], 51);
        assert_eq!(events[199]["text"], "event 250");
        assert_eq!(events[199]["kind"], "notice");
    }
}
