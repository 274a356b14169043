use super::*;
use crate::eval::{ClassHits, RankCounts};
use twinspan_types::Index;
use twinspan_types::config::{EvalSource, EvalTask};

fn config() -> EvalConfig {
    let set = |name: &str, task| EvalSource {
        name: name.to_owned(),
        task,
    };
    let classes = set("cls", EvalTask::ZeroShot("memory:///a/".to_owned()));
    let pairs = set("pairs", EvalTask::Retrieval("memory:///b/".to_owned()));
    EvalConfig {
        every_steps: 0,
        sets: vec![classes, pairs],
    }
}

/// What a rank has that could read both sets.
fn own() -> Vec<Measured> {
    let set = EvalSet::of_index(&Index {
        sources: Vec::new(),
        shards: Vec::new(),
    });
    let mut classes = Measured::failed(String::new());
    classes.set = Some(set);
    let mut pairs = classes.clone();
    pairs.part = Some(RetrievalPart::default());
    vec![classes, pairs]
}

fn places(first: &mut FirstRound) -> Vec<usize> {
    let embeddings = first.take_embeddings().into_iter();
    embeddings.map(|(place, _)| place).collect()
}

fn counted(samples: u64, top1: u64) -> Word {
    let hits = ClassHits {
        samples,
        top1,
        top5: samples,
    };
    Word::Counted(ZeroShotCounts {
        classes: vec![hits],
        ..ZeroShotCounts::default()
    })
}

fn ranked(rank: usize) -> Word {
    let mut counts = RankCounts::default();
    counts.count(rank);
    Word::Ranked(RetrievalCounts {
        image_to_text: counts.clone(),
        text_to_image: counts,
    })
}

#[test]
fn the_ranks_counts_together_give_the_figures_under_open_clips_names() {
    let words = vec![
        vec![counted(3, 1), Word::Embedded],
        vec![counted(1, 1), Word::Embedded],
    ];
    let mut first = FirstRound::new(own(), words);
    assert_eq!(places(&mut first), [1]);
    let second = vec![
        vec![Word::Embedded, ranked(0)],
        vec![Word::Embedded, ranked(7)],
    ];
    let (metrics, faults) = figures(&config(), first, second);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(metrics["val/cls-zeroshot-val-top1"], 0.5);
    assert_eq!(metrics["val/cls-zeroshot-val-top5"], 1.0);
    assert_eq!(metrics["val/cls-mean_per_class_recall"], 0.5);
    assert_eq!(metrics["val/image_to_text_R@1"], 0.5);
    assert_eq!(metrics["val/text_to_image_R@10"], 1.0);
    assert_eq!(metrics["val/text_to_image_mean_rank"], 4.5);
    assert_eq!(metrics.len(), 13);
}

#[test]
fn a_set_that_one_rank_could_not_read_is_named_with_its_reason_and_the_others_stand() {
    let failed = Word::Failed("disk gone".to_owned());
    let words = vec![
        vec![counted(3, 1), Word::Embedded],
        vec![counted(1, 1), failed],
    ];
    let mut first = FirstRound::new(own(), words);
    assert_eq!(places(&mut first).len(), 0, "nothing is gathered in vain");
    let (metrics, faults) = figures(&config(), first, Vec::new());
    assert_eq!(
        faults,
        [("pairs".to_owned(), "rank 1: disk gone".to_owned())]
    );
    assert_eq!(metrics.len(), 3);
}

#[test]
fn a_set_without_a_picture_that_can_be_used_has_no_figures() {
    let words = vec![vec![counted(0, 0), Word::Embedded]];
    let first = FirstRound::new(own(), words);
    let (metrics, faults) = figures(&config(), first, vec![vec![Word::Embedded, ranked(0)]]);
    assert_eq!((metrics.len(), faults.len()), (10, 1), "{faults:?}");
}
