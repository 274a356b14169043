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
    /// The generation at the last look.
    generation: u64,
    waiting: Vec<Ended>,
}

#[derive(Debug)]
struct Ended {
    who: String,
    at: Instant,
    /// The last generation that it can have been needed in.
    generation: u64,
}

impl Recovery {
    /// A process has ended.
    pub fn ended(&mut self, who: &str, now: Instant) {
        self.waiting.push(Ended {
            who: who.to_owned(),
            at: now,
            generation: self.generation,
        });
    }

    /// The run as it is now. Steps of the generation that the process ended in say nothing: they
    /// may have been made before. Gives a line for each end that the run has got over.
    pub fn looked(&mut self, look: &GetStatusResponse, now: Instant) -> Vec<String> {
        self.generation = look.generation;
        let steps = look.step > look.start_step;
        let over = |ended: &mut Ended| steps && look.generation > ended.generation;
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
        assert_eq!(
            recovery.looked(&look(3, 43, 45), after(910)),
            ["step 45 came 0.50 s after the coordinator ended"]
        );
        assert_eq!(recovery.pause(), LOOK);
    }
}
