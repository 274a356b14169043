//! Shares of a set, put together, against the set read by one.

use super::*;
use twinspan_data::index::OnProgress;
use twinspan_data::{Share, read_captioned, read_classification};
use twinspan_model::config::ModelConfig;
use twinspan_model::openclip::{open_clip_config, write_model};
use twinspan_model::towers::Clip;
use twinspan_testkit::harness::TempRun;
use twinspan_types::Manifest;
use twinspan_types::config::url_of_path;

/// The emoji pictures.
const EMOJI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/emoji");
/// A reader who tells nobody how far it is.
const QUIET: OnProgress<'static> = &|_, _| {};

const VIT: &str =
    r#"{"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}"#;
const RESNET: &str = r#"{"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}"#;

/// A model with random weights and such a picture tower.
fn model(vision: &str) -> EvalModel {
    let text =
        r#"{"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}"#;
    let json = format!(r#"{{"embed_dim": 24, "vision_cfg": {vision}, "text_cfg": {text}}}"#);
    let clip = Clip::new(ModelConfig::from_json(&json, "a model").expect("a good model"));
    let weights = write_model(&clip, &clip.params.init(3), &clip.buffers.init(), 0);
    let directory = TempRun::new().expect("a directory");
    let config = open_clip_config(&clip.config).to_string();
    let files = [
        (Manifest::MODEL_CONFIG_FILE, config.as_bytes()),
        (Manifest::MODEL_FILE, &weights[..]),
    ];
    for (name, bytes) in files {
        directory.write(name, bytes).expect("written");
    }
    let path = directory.path().to_str().expect("UTF-8");
    EvalModel::load(&url_of_path(path)).expect("a model")
}

fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Where the emoji pictures lie, with a / at its end.
fn emoji() -> String {
    url_of_path(EMOJI)
}

fn thirds() -> impl Iterator<Item = Share> {
    (0..3).map(|rank| Share { rank, of: 3 })
}

#[test]
fn zero_shot_counts_of_three_shares_are_those_of_one() {
    let set = wait(read_classification(&emoji())).expect("a set");
    for vision in [VIT, RESNET] {
        let model = model(vision);
        let count = |share| wait(zero_shot_counts(&model, &set, share, QUIET)).expect("counts");
        let mut sum = ZeroShotCounts::default();
        thirds().for_each(|share| sum.merge(count(share)));
        let whole = count(Share::WHOLE);
        assert_eq!(sum, whole);
        let report = ZeroShotReport::new(whole, &set, 0.0).expect("pictures");
        assert_eq!((report.pictures, report.classes), (1052, 1052));
        assert!(
            report.top1 <= report.top5 && report.top5 > 0.0,
            "{report:?}"
        );
    }
}

#[test]
fn retrieval_of_three_shares_is_that_of_one_to_the_last_bit() {
    let set = wait(read_captioned(&format!("{}test/", emoji()))).expect("a set");
    for vision in [VIT, RESNET] {
        let model = model(vision);
        let part = |share| wait(retrieval_part(&model, &set, share, QUIET)).expect("a part");
        let whole = part(Share::WHOLE);
        let parts: Vec<RetrievalPart> = thirds().map(part).collect();
        let all = RetrievalPart::merged(parts.clone(), model.embed_dim());
        assert_eq!(all.image_numbers, whole.image_numbers);
        assert_eq!(all.text_numbers, whole.text_numbers);
        assert!(all.images_ne == whole.images_ne, "pictures of {vision}");
        assert!(all.texts_me == whole.texts_me, "texts of {vision}");
        let mut sum = RetrievalCounts::default();
        for part in &parts {
            sum.merge(&retrieval_counts(part, &all, model.embed_dim()));
        }
        assert_eq!(sum, retrieval_counts(&whole, &whole, model.embed_dim()));
        let report = RetrievalReport::new(&sum, Vec::new(), &set, 0.0).expect("pictures");
        assert_eq!((report.pictures, report.captions), (1052, 1052));
        assert!(report.image_to_text.mean_rank > 1.0);
    }
}
