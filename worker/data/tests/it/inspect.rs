//! Looking at real shards and at damaged ones.

use crate::shards::{EMOJI, Shards, real_members, tar, url, wait};
use twinspan_data::inspect::{Closeness, Inspection, inspect};

fn look(prefix: &str, limit: u64, shown: u64) -> Inspection {
    let urls = [format!("{prefix}/")];
    wait(inspect(&urls, Closeness { limit, shown }, &|_, _| {})).unwrap()
}

#[test]
fn the_emoji_shards_are_what_their_notice_says() {
    let found = look(&format!("{}/train", url(EMOJI)), 10_000, 5);
    assert_eq!(
        (found.shards, found.samples, found.looked_at),
        (9, 4208, 4208)
    );
    assert_eq!(
        found.formats.into_iter().collect::<Vec<_>>(),
        [("jpg", 4208)]
    );
    assert_eq!((found.width.median, found.width.max), (64, 64));
    assert!(
        found.width.min < 64 || found.height.min < 64,
        "11 are not square"
    );
    assert!(found.caption_tokens.min > 2 && found.caption_tokens.max < 77);
    assert!(found.unusable.is_empty() && found.damaged.is_empty());
    assert_eq!((found.shown.len(), found.captions_cut), (5, 0));
}

#[test]
fn a_limit_spreads_over_the_shards() {
    let found = look(&format!("{}/train", url(EMOJI)), 100, 9);
    assert_eq!((found.looked_at, found.shown.len()), (100, 9));
    assert_eq!(found.samples, 4208);
}

#[test]
fn what_training_passes_over_is_named_by_reason() {
    let mut members = real_members("00000", 6);
    let key = |at: usize| members[2 * at].0.split('.').next().unwrap().to_owned();
    let keys: Vec<String> = (0..4).map(key).collect();
    members[0].1.truncate(100);
    members[3].1 = vec![0xff];
    members[4].0 = format!("{}.gif", keys[2]);
    members[7].0 = format!("{}.json", keys[3]);
    let mut shards = Shards::new();
    shards.add("0.tar", 6, &tar(&members));
    let cut = tar(&real_members("00001", 4));
    shards.add("1.tar", 4, &cut[..cut.len() / 2]);
    shards.add("2.tar", 2, &tar(&real_members("00002", 3)));
    shards.index();
    let folder = shards.path("");
    let found = look(&url(folder.to_str().unwrap().trim_end_matches('/')), 100, 0);
    let reasons = [
        "corrupt_image",
        "undecodable_text",
        "missing_image",
        "missing_caption",
    ];
    for (reason, key) in reasons.iter().zip(keys) {
        assert_eq!(found.unusable[*reason].keys, [key], "{reason}");
    }
    assert_eq!(found.unusable.len(), 4);
    let damage: Vec<&String> = found.damaged.values().collect();
    assert!(damage[0].contains("ends at byte"), "{damage:?}");
    assert_eq!(damage[1], "it holds 3 samples and is counted as 2");
    assert_eq!(damage.len(), 2);
}
