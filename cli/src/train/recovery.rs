//! How long a run takes to its next step after one of its processes has ended.

use std::time::Duration;
use tokio::time::Instant;
use twinspan_proto::v1::GetStatusResponse;

/// Pause between two looks at the run while its next step is waited for.
const SHORT_LOOK: Duration = Duration::from_millis(20);
/// Pause otherwise.
const LOOK: Duration = Duration::from_millis(200);

/// Waits for the step that follows the end of a process, as far as the coordinator has heard of
/// it: workers report a tenth of `cluster.heartbeat_timeout` apart.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Term and generation at the last look.
    lifetime: (u64, u64),
    /// The step at the last look.
    step: u64,
    waiting: Vec<Ended>,
}

#[derive(Debug)]
struct Ended {
    who: String,
    at: Instant,
    /// The last term and generation that it can have been needed in.
    lifetime: (u64, u64),
    /// The last step that it is known to have had a part in.
    step: u64,
}

impl Recovery {
    /// A process has ended.
    pub fn ended(&mut self, who: &str, now: Instant) {
        self.waiting.push(Ended {
            who: who.to_owned(),
            at: now,
            lifetime: self.lifetime,
            step: self.step,
        });
    }

    /// The run as it is now. Steps of the generation that a worker ended in say nothing, as they may
    /// have been made before; a generation goes on under another coordinator, whose term is higher.
    /// Gives a line for each end that the run has got over.
    pub fn looked(&mut self, look: &GetStatusResponse, now: Instant) -> Vec<String> {
        let lifetime = (look.term, look.generation);
        (self.lifetime, self.step) = (lifetime, look.step);
        let over = |ended: &mut Ended| {
            lifetime > ended.lifetime && look.step > ended.step.max(look.start_step)
        };
        let over = self.waiting.extract_if(.., over);
        let lines = over.map(|Ended { who, at, .. }| {
            let seconds = now.duration_since(at).as_secs_f64();
            format!("step {} came {seconds:.2} s after {who} ended", look.step)
        });
        lines.collect()
    }

    /// Pause before the next look.
    pub fn pause(&self) -> Duration {
        match self.waiting.is_empty() {
            true => LOOK,
            false => SHORT_LOOK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(generation: u64, start_step: u64, step: u64) -> GetStatusResponse {
        GetStatusResponse {
            generation,
            start_step,
            step,
            ..GetStatusResponse::default()
        }
    }

    #[test]
    fn the_first_step_of_a_later_generation_ends_the_wait() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut recovery = Recovery::default();
        assert!(recovery.looked(&look(1, 0, 40), start).is_empty());
        recovery.ended("worker 2", start);
        assert_eq!(recovery.pause(), SHORT_LOOK);
        // Steps that were made before; a generation that has made none.
        assert!(recovery.looked(&look(1, 0, 42), after(100)).is_empty());
        assert!(recovery.looked(&look(2, 42, 42), after(400)).is_empty());
        recovery.ended("the coordinator", after(410));
        assert_eq!(
            recovery.looked(&look(2, 42, 43), after(610)),
            ["step 43 came 0.61 s after worker 2 ended"]
        );
        let goes_on = |step| GetStatusResponse {
            term: 2,
            ..look(2, 42, step)
        };
        assert!(recovery.looked(&goes_on(42), after(800)).is_empty());
        assert_eq!(
            recovery.looked(&goes_on(45), after(910)),
            ["step 45 came 0.50 s after the coordinator ended"]
        );
        assert_eq!(recovery.pause(), LOOK);
    }
}
