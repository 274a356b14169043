//! What the ranks exchange in a step, over any collective.

mod on_gpus;

use std::ops::Range;
use twinspan_collective::nccl::NcclEngine;
use twinspan_collective::{Collective, CollectiveError};
use twinspan_model::params::ParamTable;
use twinspan_model::{Gradient, Tensor, TensorData, to_vec};
use twinspan_session::{Vote, VoteError};
use twinspan_types::Rank;

/// A world's collectives together with how many rows each rank holds of the global batch.
pub struct Exchange {
    /// Between GPUs, where there is one: numbers that are on a device go through it from memory to
    /// memory. It ends before the other, which brought its ranks together.
    nccl: Option<NcclEngine>,
    /// For all that is in host memory.
    collective: Box<dyn Collective>,
    rows: Vec<usize>,
}

/// Rows of one width, one after the other, and a number for each.
pub type NumberedRows = (Vec<u64>, Vec<f32>);

/// The part of a flat gradient that is zero outside the rows of the batch's tokens.
struct TokenRows {
    /// Where the token embedding lies in the flat layout.
    range: Range<usize>,
    /// Its width.
    width: usize,
}

impl TokenRows {
    fn of(table: &ParamTable) -> Self {
        let embedding = table.token_embedding();
        Self {
            range: embedding.range(),
            width: embedding.shape[1],
        }
    }
}

/// The numbers that `source` has, `length` of them, on every rank; `own` are this rank's where it is
/// the source.
///
/// # Errors
/// When the collective fails.
pub fn broadcast_numbers(
    ring: &mut dyn Collective,
    source: Rank,
    length: usize,
    own: Option<&[f32]>,
) -> Result<Vec<f32>, CollectiveError> {
    let mut numbers = own.map_or_else(|| vec![0.0; length], <[f32]>::to_vec);
    ring.broadcast(source, bytemuck::cast_slice_mut(&mut numbers))?;
    Ok(numbers)
}

impl Exchange {
    /// `rows[r]` is rank r's share of the global batch.
    #[must_use]
    pub fn new(collective: Box<dyn Collective>, rows: Vec<usize>) -> Self {
        Self {
            nccl: None,
            collective,
            rows,
        }
    }

    /// The same with an engine between the ranks' GPUs.
    #[must_use]
    pub fn between_gpus(self, nccl: Option<NcclEngine>) -> Self {
        Self { nccl, ..self }
    }

    /// Says whether an exchange broke that nothing has waited for yet; what was computed from it is
    /// worthless then.
    ///
    /// # Errors
    /// When one did.
    pub fn check(&mut self) -> Result<(), CollectiveError> {
        match &mut self.nccl {
            Some(nccl) => nccl.check(),
            None => Ok(()),
        }
    }

    /// Samples of the global batch.
    #[must_use]
    pub fn global_batch(&self) -> usize {
        self.rows.iter().sum()
    }

    /// This rank's rows of the global batch.
    #[must_use]
    pub fn own_rows(&self) -> Range<usize> {
        let rank = self.collective.rank().index();
        let first = self.rows[..rank].iter().sum();
        first..first + self.rows[rank]
    }

    /// All ranks' rows `[N, width]`, rank by rank, from this rank's `[own, width]`.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn gather_rows(&mut self, local: Tensor<2>) -> Result<Tensor<2>, CollectiveError> {
        if self.rows.len() == 1 {
            return Ok(local);
        }
        if let Some(nccl) = &mut self.nccl {
            return on_gpus::gather_rows(nccl, local, &self.rows);
        }
        let ([_, width], device) = (local.dims(), local.device());
        let counts: Vec<usize> = self.rows.iter().map(|rows| rows * width).collect();
        let mut all = vec![0.0; counts.iter().sum()];
        self.collective
            .all_gather(&to_vec(local), &counts, &mut all)?;
        let data = TensorData::new(all, [self.global_batch(), width]);
        Ok(Tensor::from_data(data, &device))
    }

    /// All ranks' numbers `[N]`, rank by rank, from this rank's `[own]`.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn gather_numbers(&mut self, local: Tensor<1>) -> Result<Tensor<1>, CollectiveError> {
        let all = self.gather_rows(local.unsqueeze_dim(1))?;
        Ok(all.squeeze_dim(1))
    }

    /// All ranks' sample ids, rank by rank.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn gather_ids(&mut self, local: &[u64]) -> Result<Vec<u64>, CollectiveError> {
        let bytes: Vec<u8> = local.iter().flat_map(|id| id.to_le_bytes()).collect();
        let all = self.collective.all_gather_bytes(&bytes)?;
        Ok(words(&all).map(u64::from_le_bytes).collect())
    }

    /// Sums a gradient over the ranks, in place, together with `extras`.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn sum_gradient(
        &mut self,
        gradient: &mut Gradient,
        extras: &mut [f32],
        table: &ParamTable,
        captions: &[Vec<u32>],
    ) -> Result<(), CollectiveError> {
        match gradient {
            Gradient::Host(numbers) => {
                let tokens = TokenRows::of(table);
                self.sum_on_host(numbers, extras, &tokens, &distinct_tokens(captions))
            }
            Gradient::Resident(pieces) => {
                self.collective.all_reduce_sum(extras)?;
                pieces.assemble(table, |whole| self.sum_on_device(whole))
            }
        }
    }

    fn sum_on_device(&mut self, whole: Tensor<1>) -> Result<Tensor<1>, CollectiveError> {
        if self.rows.len() == 1 {
            return Ok(whole);
        }
        if let Some(nccl) = &mut self.nccl {
            return on_gpus::sum(nccl, whole);
        }
        let ([length], device) = (whole.dims(), whole.device());
        let mut numbers = to_vec(whole);
        self.collective.all_reduce_sum(&mut numbers)?;
        Ok(Tensor::from_data(
            TensorData::new(numbers, [length]),
            &device,
        ))
    }

    /// Of the token embedding only the rows of tokens that some rank used are sent; the others are
    /// zero on every rank.
    fn sum_on_host(
        &mut self,
        gradient: &mut [f32],
        extras: &mut [f32],
        tokens: &TokenRows,
        used: &[u32],
    ) -> Result<(), CollectiveError> {
        let union = self.union_of_tokens(used)?;
        let rows = |token: &u32| {
            let first = tokens.range.start + *token as usize * tokens.width;
            first..first + tokens.width
        };
        let mut packed = Vec::with_capacity(union.len() * tokens.width + extras.len());
        for token in &union {
            packed.extend_from_slice(&gradient[rows(token)]);
        }
        packed.extend_from_slice(extras);
        self.collective.all_reduce_sum(&mut packed)?;
        for (token, row) in union.iter().zip(packed.chunks(tokens.width)) {
            gradient[rows(token)].copy_from_slice(row);
        }
        extras.copy_from_slice(&packed[union.len() * tokens.width..]);
        self.collective
            .all_reduce_sum(&mut gradient[..tokens.range.start])?;
        self.collective
            .all_reduce_sum(&mut gradient[tokens.range.end..])
    }

    /// Every rank's vote, by rank.
    ///
    /// # Errors
    /// When the collective fails, or a vote cannot be read.
    pub fn vote(&mut self, vote: &Vote) -> Result<Result<Vec<Vote>, VoteError>, CollectiveError> {
        let votes = self.collective.all_gather_bytes(&vote.encode())?;
        Ok(votes.iter().map(|bytes| Vote::decode(bytes)).collect())
    }

    /// What each rank says at once, by rank.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn say(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.collective.all_gather_bytes(own)
    }

    /// Every rank's rows of `e` numbers, each with a number of its own, by rank.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn gather_numbered(
        &mut self,
        numbers: &[u64],
        rows: &[f32],
        e: usize,
    ) -> Result<Vec<NumberedRows>, CollectiveError> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let numbers = self.collective.all_gather_bytes(&bytes)?;
        let numbers = numbers.into_iter().map(|bytes| {
            let words = words(std::slice::from_ref(&bytes)).map(u64::from_le_bytes);
            words.collect::<Vec<u64>>()
        });
        let numbers: Vec<Vec<u64>> = numbers.collect();
        let counts: Vec<usize> = numbers.iter().map(|numbers| numbers.len() * e).collect();
        let mut all = vec![0.0; counts.iter().sum()];
        self.collective.all_gather(rows, &counts, &mut all)?;
        let mut all = all.as_slice();
        let by_rank = numbers.into_iter().zip(counts).map(|(numbers, count)| {
            let (rows, rest) = all.split_at(count);
            all = rest;
            (numbers, rows.to_vec())
        });
        Ok(by_rank.collect())
    }

    /// The first rank whose number differs from rank 0's.
    ///
    /// # Errors
    /// When the collective fails.
    pub fn first_difference(&mut self, number: u64) -> Result<Option<Rank>, CollectiveError> {
        let all = self.collective.all_gather_bytes(&number.to_le_bytes())?;
        let different = all.iter().position(|other| *other != all[0]);
        Ok(different.map(|rank| Rank(u32::try_from(rank).unwrap_or(u32::MAX))))
    }

    /// The tokens that any rank used, ascending.
    fn union_of_tokens(&mut self, used: &[u32]) -> Result<Vec<u32>, CollectiveError> {
        let bytes: Vec<u8> = used.iter().flat_map(|token| token.to_le_bytes()).collect();
        let all = self.collective.all_gather_bytes(&bytes)?;
        let mut union: Vec<u32> = words(&all).map(u32::from_le_bytes).collect();
        union.sort_unstable();
        union.dedup();
        Ok(union)
    }
}

/// The `W`-byte words of all ranks' messages, rank by rank.
fn words<const W: usize>(messages: &[Vec<u8>]) -> impl Iterator<Item = [u8; W]> {
    messages
        .iter()
        .flat_map(|bytes| bytes.as_chunks::<W>().0)
        .copied()
}

fn distinct_tokens(captions: &[Vec<u32>]) -> Vec<u32> {
    // Padding is token 0, and its row gets a gradient of zero: it need not be sent.
    let mut tokens: Vec<u32> = captions.iter().flatten().copied().collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}
