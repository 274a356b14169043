//! What goes wrong, when, and by which seed.

use crate::random::Rng;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One thing that a network does to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset before a byte has passed. Among faults further
    /// down a stream it stands for nothing.
    Refuse,
    /// Both sides see the connection reset (RST); bytes under way are lost.
    Reset,
    /// Both sides see the other's stream end in order (FIN) before its time.
    Truncate,
    /// The next chunk of this direction comes late, by this much.
    Delay(Duration),
    /// This direction stands still for this long: choose it near a client's
    /// time limits, where [`Fault::Delay`] stays well below them.
    Stall(Duration),
}

/// A seeded plan: the faults of connection n depend on the seed and n alone.
///
/// A connection draws one fault when it opens and is refused if that is
/// [`Fault::Refuse`]. Each direction then passes a number of bytes drawn from
/// `gap`, suffers a fault drawn from the others, and, if it lives, draws
/// again: connections that a client keeps for long meet their fault too. A
/// fault waits for the first byte behind its gap, so it always stands before
/// data that its receiver wants, and that byte passes before the next fault.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Another seed is another plan.
    pub seed: u64,
    /// Each as likely; one that stands here twice is twice as likely.
    pub faults: Vec<Fault>,
    /// How many bytes pass in one direction before its next fault, uniform.
    pub gap: RangeInclusive<u64>,
}

impl Plan {
    /// No faults at all.
    #[must_use]
    pub const fn calm() -> Self {
        Self {
            seed: 0,
            faults: Vec::new(),
            gap: 0..=0,
        }
    }

    /// One connection in eight refused, and every fault on the others, cuts
    /// the most often, after up to `longest_gap` bytes each.
    #[must_use]
    pub fn rough(seed: u64, longest_gap: u64) -> Self {
        let delay = Fault::Delay(Duration::from_millis(5));
        let stall = Fault::Stall(Duration::from_millis(200));
        let cuts = [Fault::Reset, Fault::Reset, Fault::Truncate, Fault::Truncate];
        Self {
            seed,
            faults: [&cuts[..], &[Fault::Refuse, delay, delay, stall]].concat(),
            gap: 0..=longest_gap,
        }
    }

    /// The same fault again and again.
    #[must_use]
    pub fn only(fault: Fault, seed: u64, gap: RangeInclusive<u64>) -> Self {
        Self {
            seed,
            faults: vec![fault],
            gap,
        }
    }

    /// What connection `number` has coming.
    pub(super) fn connection(&self, number: u64) -> Connection {
        // An odd factor sends different numbers to different seeds.
        let mut rng = Rng::new(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let refused = pick(&mut rng, &self.faults) == Some(Fault::Refuse);
        let direction = |seed| Schedule {
            rng: Rng::new(seed),
            faults: without_refusal(&self.faults),
            gap: self.gap.clone(),
        };
        Connection {
            refused,
            up: direction(rng.next_u64()),
            down: direction(rng.next_u64()),
        }
    }
}

/// The faults of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) refused: bool,
    /// From the client to the server.
    pub(super) up: Schedule,
    /// From the server to the client.
    pub(super) down: Schedule,
}

/// The faults of one direction of one connection, endless.
#[derive(Debug)]
pub(super) struct Schedule {
    rng: Rng,
    faults: Vec<Fault>,
    gap: RangeInclusive<u64>,
}

impl Schedule {
    /// How many bytes pass until the next fault, and the fault; `None` when
    /// no fault will ever come.
    pub(super) fn draw(&mut self) -> Option<(u64, Fault)> {
        let fault = pick(&mut self.rng, &self.faults)?;
        let span = (self.gap.end() - self.gap.start()).saturating_add(1);
        let gap = self.gap.start() + self.rng.next_u64() % span;
        Some((gap, fault))
    }
}

fn pick(rng: &mut Rng, faults: &[Fault]) -> Option<Fault> {
    (!faults.is_empty()).then(|| faults[rng.below(faults.len())])
}

fn without_refusal(faults: &[Fault]) -> Vec<Fault> {
    let others = faults.iter().filter(|fault| **fault != Fault::Refuse);
    others.copied().collect()
}
