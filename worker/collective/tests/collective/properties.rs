//! Any world, any lengths.

use crate::worlds::{PATIENCE, assert_sums, bytes, numbers, run_well, tcp, threads};
use proptest::prelude::*;
use twinspan_types::Rank;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_lengths_gather_and_sum_in_any_world(
        counts in prop::collection::vec(0_usize..3000, 1..6),
        length in 0_usize..5000,
        over_tcp: bool,
    ) {
        let size = u32::try_from(counts.len()).expect("few");
        let world = if over_tcp { tcp(size, PATIENCE) } else { threads(size, PATIENCE) };
        let expected: Vec<f32> =
            (0..).zip(&counts).flat_map(|(r, &n)| numbers(Rank(r), n)).collect();
        let messages: Vec<Vec<u8>> =
            (0..).zip(&counts).map(|(rank, &n)| bytes(Rank(rank), n)).collect();
        let results = run_well(world, move |rank| {
            let mine = counts[rank.rank().index()];
            let mut out = vec![f32::NAN; counts.iter().sum()];
            rank.all_gather(&numbers(rank.rank(), mine), &counts, &mut out)?;
            let mut sum = numbers(rank.rank(), length);
            rank.all_reduce_sum(&mut sum)?;
            Ok((out, sum, rank.all_gather_bytes(&bytes(rank.rank(), mine))?))
        });
        let sums: Vec<Vec<f32>> = results.iter().map(|(_, sum, _)| sum.clone()).collect();
        assert_sums(&sums, length);
        for (out, _, gathered) in results {
            prop_assert_eq!(&out, &expected);
            prop_assert_eq!(&gathered, &messages);
        }
    }
}
