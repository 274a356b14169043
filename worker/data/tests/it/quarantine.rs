//! Shards that a run has given up.

use crate::shards::{PATIENCE, Shards, batches, config, real_members, tar};
use std::sync::Arc;
use twinspan_data::{Loader, LoaderError, LocalBatch};
use twinspan_types::{Cursor, Index, Quarantine, ShardId, SkipReason, Step, StreamId};

const LANES: u32 = 2;

fn two_shards() -> (Shards, Arc<Index>) {
    let mut shards = Shards::new();
    // Both lanes hold samples of both shards.
    shards.add("0.tar", 25, &tar(&real_members("00000", 25)));
    shards.add("1.tar", 35, &tar(&real_members("00001", 35)));
    let index = shards.index();
    (shards, index)
}

fn quarantine(shard: u32, from: impl IntoIterator<Item = (StreamId, Cursor)>) -> Quarantine {
    Quarantine {
        shard: ShardId(shard),
        url: format!("{shard}.tar"),
        samples: 25,
        reason: "gone".to_owned(),
        from: from.into_iter().collect(),
    }
}

fn resumed(index: &Arc<Index>, after: &LocalBatch, given_up: &[Quarantine]) -> Vec<LocalBatch> {
    let mut config = config(index, LANES, 3);
    config.start = after.step;
    config.cursors = after.cursors.iter().map(|(_, at)| *at).collect();
    config.quarantines = given_up.to_vec();
    batches(config, 8).unwrap()
}

#[test]
fn samples_of_a_quarantined_shard_are_skipped_from_its_positions_on_in_every_redo() {
    let (shards, index) = two_shards();
    let undisturbed = batches(config(&index, LANES, 3), 8).unwrap();
    let stop = 4;
    let given_up = [quarantine(1, undisturbed[stop - 1].cursors.clone())];
    // A redo from before the quarantine takes the shard's samples up to where it was given up.
    let redo = resumed(&index, &undisturbed[0], &given_up);
    assert!(redo[..stop - 1] == undisturbed[1..stop]);
    std::fs::remove_file(shards.path("1.tar")).unwrap();
    let gone = resumed(&index, &undisturbed[stop - 1], &given_up);
    assert!(
        gone[..4] == redo[stop - 1..][..4],
        "the same with and without the file"
    );
    let rows: Vec<_> = gone.iter().flat_map(|batch| &batch.keys).collect();
    assert!(rows.iter().all(|row| row.shard == ShardId(0)));
    let skips: Vec<_> = gone.iter().flat_map(|batch| &batch.skips).collect();
    assert!(!skips.is_empty());
    for skip in skips {
        assert_eq!(skip.reason, SkipReason::QuarantinedShard);
        assert!(skip.shard.ends_with("1.tar") && skip.key.starts_with('#'));
    }
}

#[test]
fn other_streams_go_on_with_the_shard() {
    let (_shards, index) = two_shards();
    let undisturbed = batches(config(&index, LANES, 3), 8).unwrap();
    let first = [(StreamId(0), Cursor::default())];
    let mut config = config(&index, LANES, 3);
    config.quarantines = vec![quarantine(0, first), quarantine(1, [])];
    let quarantined = batches(config, 8).unwrap();
    for (step, batch) in quarantined.iter().enumerate() {
        assert_eq!(batch.keys[3..], undisturbed[step].keys[3..], "lane 1");
        assert!(batch.keys[..3].iter().all(|key| key.shard == ShardId(1)));
    }
}

#[test]
fn a_shard_that_cannot_be_read_while_others_can_is_named_by_its_id() {
    let (shards, index) = two_shards();
    std::fs::remove_file(shards.path("1.tar")).unwrap();
    let mut loader = Loader::start(config(&index, LANES, 3)).unwrap();
    let error = (0..20)
        .find_map(|_| loader.next_batch(PATIENCE).err())
        .unwrap();
    assert!(
        matches!(
            error,
            LoaderError::Unreadable {
                shard: ShardId(1),
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("1.tar does not exist"),
        "{error}"
    );
    let mut config = config(&index, LANES, 3);
    let from = [0, 1].map(|stream| (StreamId(stream), Cursor::default()));
    config.quarantines = vec![quarantine(1, from)];
    assert_eq!(batches(config, 20).unwrap().last().unwrap().step, Step(20));
}
