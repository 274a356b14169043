//! The first pass: what is there, what of it can be used, what its keys are.

use super::BATCH;
use super::error::PackError;
use super::input::Input;
use super::keys::{Choice, Keys};
use super::pair::{self, Bad, Pair};
use crate::index::OnProgress;
use rayon::prelude::*;

/// Bad pairs that are named.
const NAMED: usize = 20;

/// An input that was gone through.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) keys: Keys,
    /// Numbers of the pairs that cannot be used, in order.
    pub(super) bad: Vec<u64>,
    /// The first of them.
    pub(super) first_bad: Vec<Bad>,
    total: u64,
}

impl Checked {
    pub(super) fn usable(&self) -> u64 {
        self.total - self.bad.len() as u64
    }
}

/// Reads and decodes all pairs.
pub(super) fn check(input: &Input, on_check: OnProgress<'_>) -> Result<Checked, PackError> {
    let total = input.count()?;
    if total == 0 {
        return Err(input.is_empty());
    }
    let mut choice = Choice::default();
    let (mut bad, mut first_bad, mut done) = (Vec::new(), Vec::new(), 0);
    let mut pairs = input.pairs()?;
    loop {
        let batch = pairs.by_ref().take(BATCH);
        let batch = batch.collect::<Result<Vec<Pair>, PackError>>()?;
        if batch.is_empty() {
            break;
        }
        let faults: Vec<Option<String>> = batch
            .par_iter()
            .map(|pair| pair::check(pair).err())
            .collect();
        for (pair, fault) in batch.iter().zip(faults) {
            choice.see(pair);
            if let Some(reason) = fault {
                bad.push(done);
                if first_bad.len() < NAMED {
                    first_bad.push(pair.bad(reason));
                }
            }
            done += 1;
        }
        on_check(done, total);
    }
    Ok(Checked {
        keys: choice.keys(),
        bad,
        first_bad,
        total: done,
    })
}
