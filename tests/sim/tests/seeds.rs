//! Seeds that CI runs; `twinspan-sim` runs any number.
#![allow(clippy::unwrap_used, reason = "tests")]

use twinspan_sim::simulate;

#[test]
fn a_seed_does_the_same_again() {
    for seed in [3, 17] {
        let (first, second) = (simulate(seed).unwrap(), simulate(seed).unwrap());
        assert_eq!(first, second);
    }
}

#[test]
fn runs_come_through_whatever_is_done_to_them() {
    for seed in 0..40 {
        simulate(seed).unwrap();
    }
}
