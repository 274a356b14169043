//! The audit over what a real loader gave: whole ledgers are whole, and every defect has a name.

use crate::shards::{Shards, config, real_members, tar, written};
use twinspan_data::{Fault, Keys, RunFiles, audit};
use twinspan_types::Step;

const LANES: u32 = 4;
const SAMPLES_PER_LANE: u32 = 3;

/// 60 real samples, of which one picture is damaged and the last shard is cut.
fn damaged() -> Shards {
    let mut shards = Shards::new();
    let mut members = real_members("00000", 30);
    members[0].1 = b"no picture".to_vec();
    shards.add("0.tar", 30, &tar(&members));
    let whole = tar(&real_members("00001", 30));
    shards.add("1.tar", 30, &whole[..whole.len() / 2]);
    shards
}

/// What a run over these shards would have written down.
fn ledger(shards: &Shards, steps: usize) -> (RunFiles, Keys) {
    let config = config(&shards.index(), LANES, SAMPLES_PER_LANE);
    let (files, keys, _) = written(config, steps);
    (files, keys)
}

fn faults(files: &RunFiles, keys: &Keys) -> Vec<Fault> {
    audit(files, keys).expect("audits").faults
}

#[test]
fn a_whole_ledger_has_every_sample_of_an_epoch_once_or_as_skipped() {
    let (files, keys) = ledger(&damaged(), 9);
    let report = audit(&files, &keys).expect("audits");
    assert_eq!(report.faults, []);
    assert_eq!(report.used, 9 * u64::from(LANES * SAMPLES_PER_LANE));
    let first = &report.epochs[0];
    assert_eq!((first.samples, first.left()), (60, 0));
    assert!(first.skipped > 5, "a picture and the cut: {first:?}");
    assert!(report.epochs[1].left() > 0);
}

#[test]
fn a_step_that_is_missing_or_double_is_named() {
    let (whole, keys) = ledger(&damaged(), 6);
    let mut files = whole.clone();
    files.steps.remove(2);
    match &faults(&files, &keys)[..] {
        [Fault::MissingStep { step, samples }] => {
            assert_eq!((*step, samples.len()), (Step(3), 12));
        }
        other => panic!("{other:?}"),
    }
    let mut files = whole;
    files.steps.push(files.steps[4]);
    let double = Fault::DoubleStep {
        step: Step(5),
        times: 2,
    };
    assert_eq!(faults(&files, &keys), [double]);
}

#[test]
fn other_samples_than_the_orders_are_found_by_their_hash() {
    let (mut files, keys) = ledger(&damaged(), 6);
    files.steps[3].1 ^= 1;
    assert!(matches!(
        faults(&files, &keys)[..],
        [Fault::OtherSamples { step: Step(4), .. }]
    ));
}

#[test]
fn a_skip_without_a_record_and_a_record_without_a_skip_are_found() {
    let (whole, keys) = ledger(&damaged(), 6);
    let cut = whole
        .skips
        .iter()
        .position(|skip| skip.key.starts_with('#'));
    let mut files = whole.clone();
    files.skips.remove(cut.expect("a sample behind the cut"));
    assert!(
        faults(&files, &keys)
            .iter()
            .any(|fault| matches!(fault, Fault::MissingSample { .. }))
    );
    let mut files = whole;
    let mut invented = files.skips[0].clone();
    invented.key = "never-there".to_owned();
    files.skips.push(invented);
    assert!(matches!(
        &faults(&files, &keys)[..],
        [Fault::UnmetSkip { key, .. }] if key == "never-there"
    ));
}

#[test]
fn a_checkpoint_at_another_position_is_found() {
    let (mut files, keys) = ledger(&damaged(), 6);
    files.checkpoints[1].1[2].passed += 1;
    assert!(matches!(
        faults(&files, &keys)[..],
        [Fault::OtherCursor { step: Step(2), .. }]
    ));
}
