use super::*;
use crate::Fault;
use crate::config::{Captions, EvalConfig, EvalTask, to_yaml};

const GOOD: &str = "
run: test
output: /tmp/out
model: {embed_dim: 8}
data: {train: 'shards/{00..02}.tar', lanes: 8, prefetch_bytes: 64MiB}
train: {global_batch: 256, steps: 10}
cluster: {workers: 2, heartbeat_timeout: 500ms}
";

fn parse(text: &str) -> Result<RunConfig, ConfigError> {
    RunConfig::parse(text, Path::new("run.yaml"), Path::new("/data"))
}

fn faults(text: &str) -> Vec<Fault> {
    match parse(text) {
        Err(ConfigError::Faults { faults, .. }) => faults,
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn a_good_file_gives_absolute_urls_and_parsed_units() {
    let config = parse(GOOD).expect("a good file");
    assert_eq!(config.data.sources[0].urls[2], "file:///data/shards/02.tar");
    assert_eq!(config.data.prefetch_bytes, 64 << 20);
    assert_eq!(config.cluster.heartbeat_timeout, Duration::from_millis(500));
    assert_eq!(config.url(), "file:///tmp/out/test");
}

#[test]
fn all_faults_are_reported_at_once_with_their_paths() {
    let text = GOOD
        .replace("lanes: 8", "lanes: 7, lane: 1")
        .replace("steps: 10", "steps: -1")
        .replace("workers: 2", "wrokers: 2");
    let shown: Vec<String> = faults(&text).iter().map(ToString::to_string).collect();
    assert!(
        shown.contains(&"data.lanes: 7 does not divide global_batch 256".to_owned()),
        "{shown:?}"
    );
    assert!(
        shown.contains(&"data.lane: unknown key; did you mean lanes?".to_owned()),
        "{shown:?}"
    );
    assert!(
        shown.contains(&"cluster.wrokers: unknown key; did you mean workers?".to_owned()),
        "{shown:?}"
    );
    assert!(
        shown
            .iter()
            .any(|fault| fault.starts_with("train.steps: -1 is not")),
        "{shown:?}"
    );
    assert_eq!(shown.len(), 4, "{shown:?}");
}

#[test]
fn evaluation_sets_are_read_and_written_alike() {
    let sets = "eval: {every_steps: 4, sets: [{name: a, zero_shot: sets/a/}, \
                {name: b, retrieval: 'b/{0..2}.tar'}]}";
    let config = parse(&format!("{GOOD}{sets}\n")).expect("a good file");
    let [a, b] = config.eval.sets.as_slice() else {
        panic!("two sets: {:?}", config.eval);
    };
    assert_eq!(
        a.task,
        EvalTask::ZeroShot("file:///data/sets/a/".to_owned())
    );
    let again = parse(&to_yaml(&config).expect("YAML")).expect("a good file");
    assert_eq!(again, config);
    let due = [0, 3, 4, 8, 9, 10].map(|step| config.eval.is_due(Step(step), Step(10)));
    assert_eq!(due, [false, false, true, true, false, true]);
    let mut eval = config.eval.clone();
    let name = |eval: &EvalConfig, set| eval.metric(set, "image_to_text_R@1");
    assert_eq!(name(&eval, b), "val/image_to_text_R@1");
    assert_eq!(
        eval.metric(a, "zeroshot-val-top1"),
        "val/a-zeroshot-val-top1"
    );
    eval.sets.push(b.clone());
    assert_eq!(name(&eval, b), "val/b-image_to_text_R@1", "there are two");
}

#[test]
fn faults_of_evaluation_sets_are_reported_at_once() {
    let sets = "eval: {sets: [{name: a, zero_shot: a/}, {name: a, retrieval: b/}, \
                {name: c, zero_shot: c/, retrieval: c/}, {name: d/e}, {zero_shot: f/, every: 2}]}";
    let paths = faults(&format!("{GOOD}{sets}\n")).into_iter();
    let paths: Vec<String> = paths.map(|fault| fault.path).collect();
    let expected = [
        "eval.sets[1].name",
        "eval.sets[2].retrieval",
        "eval.sets[3].name",
        "eval.sets[3].zero_shot",
        "eval.sets[4].name",
        "eval.sets[4].every",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn an_empty_file_names_what_is_missing() {
    let paths: Vec<String> = faults("{}").into_iter().map(|fault| fault.path).collect();
    assert_eq!(paths, ["run", "model", "data.train"]);
}

#[test]
fn a_written_config_reads_back_equal() {
    let config = parse(GOOD).expect("a good file");
    let yaml = crate::config::to_yaml(&config).expect("serialises");
    assert_eq!(parse(&yaml).expect("a run file again"), config);
}

#[test]
fn sources_have_weights_and_captions_of_their_own() {
    let first = "{urls: 'a/{0..1}.tar', weight: 3}";
    let second = "{urls: [b/0.tar], weight: 0.5, captions: 'json:caption'}";
    let text = GOOD.replace(
        "train: 'shards/{00..02}.tar'",
        &format!("sources: [{first}, {second}]"),
    );
    let config = parse(&text).expect("a good file");
    let [first, second] = config.data.sources.as_slice() else {
        panic!("{:?}", config.data.sources);
    };
    assert_eq!(first.urls, ["file:///data/a/0.tar", "file:///data/a/1.tar"]);
    assert_eq!((first.weight, second.weight), (Some(3.0), Some(0.5)));
    assert_eq!(first.captions, Captions::Member("txt".to_owned()));
    assert_eq!(second.captions, Captions::JsonField("caption".to_owned()));
    let yaml = crate::config::to_yaml(&config).expect("serialises");
    assert_eq!(parse(&yaml).expect("a run file again"), config);

    let fault = |from: &str, to: &str| {
        let shown: Vec<String> = faults(&text.replace(from, to))
            .iter()
            .map(ToString::to_string)
            .collect();
        shown.join("\n")
    };
    assert!(fault("weight: 3", "weight: 0").contains("data.sources[0].weight: 0 is not"));
    assert!(fault(", weight: 3", "").contains("data.sources: has weights on some"));
    assert!(fault("json:caption", "json:").contains("data.sources[1].captions: \"json:\""));
    assert!(fault("[b/0.tar]", "[b/0.tar, b/0.tar]").contains("b/0.tar is named twice"));
    assert!(fault("weight: 3", "wieght: 3").contains("data.sources[0].wieght: unknown key"));
    assert!(fault("sources:", "train: c.tar, sources:").contains("data.train: stands beside"));
}

#[test]
fn braces_expand_as_in_a_shell() {
    let expanded = expand_braces("a/{8..10}-{x,y}.tar").expect("expands");
    assert_eq!(expanded.len(), 6);
    assert!(expanded.contains(&"a/9-x.tar".to_owned()));
    assert!(expand_braces("a{0..").is_err());
    assert!(expand_braces("a{b}").is_err());
}

#[test]
fn more_workers_than_groups_of_lanes_is_a_fault() {
    let text = GOOD
        .replace("lanes: 8", "lanes: 8, lane_group: 4")
        .replace("workers: 2", "workers: 3");
    assert_eq!(faults(&text)[0].path, "cluster.workers");
}

#[test]
fn a_model_may_start_from_weights_have_forced_fields_and_locked_towers() {
    let section = "model: {config: {vision_cfg: {image_size: 224}}, init_from: 'w/open_clip.pt', \
                   force_image_size: 64, force_patch_dropout: 0.5, lock_image: true, \
                   lock_text: {unlocked_layers: 1}}";
    let text = GOOD.replace("model: {embed_dim: 8}", section);
    let config = parse(&text).expect("a good file");
    let vision = &config.model.config["vision_cfg"];
    assert_eq!(
        (&vision["image_size"], &vision["patch_dropout"]),
        (&64.into(), &0.5.into())
    );
    assert_eq!(
        config.model.init_from.as_deref(),
        Some("file:///data/w/open_clip.pt")
    );
    let lock_image = config.model.lock_image.expect("locked");
    assert_eq!(
        (lock_image.unlocked_groups, lock_image.freeze_bn_stats),
        (0, false)
    );
    assert_eq!(config.model.lock_text.expect("locked").unlocked_layers, 1);
    let yaml = crate::config::to_yaml(&config).expect("serialises");
    assert_eq!(parse(&yaml).expect("a run file again"), config);

    let shown = |text: &str| {
        faults(text)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let missing = GOOD.replace("{embed_dim: 8}", "{init_from: x}");
    assert!(
        shown(&missing)[0].starts_with("model.config: is missing"),
        "{:?}",
        shown(&missing)
    );
    let misspelt = text.replace("unlocked_layers", "unlocked_layer");
    assert_eq!(
        shown(&misspelt),
        ["model.lock_text.unlocked_layer: unknown key; did you mean unlocked_layers?"]
    );
    let (from, other) = (config, parse(GOOD).expect("a good file"));
    let paths: Vec<_> = from
        .identity_differences(&other)
        .iter()
        .map(|(path, ..)| *path)
        .collect();
    assert_eq!(paths, ["model.config", "model.init_from"]);
}

#[test]
fn colours_change_where_the_file_says_how_far_and_how_often() {
    let with = |augmentation: &str| {
        let text = format!("lanes: 8, augmentation: {augmentation}");
        GOOD.replace("lanes: 8", &text)
    };
    let plain = parse(GOOD).expect("a good file");
    assert!(plain.data.augmentation.is_off());
    let all = "{color_jitter: [0.32, 0.32, 1.5, 0.08], color_jitter_prob: 0.8, \
               gray_scale_prob: 0.2}";
    let config = parse(&with(all)).expect("a good file");
    let augmentation = config.data.augmentation;
    assert_eq!(augmentation.color_jitter, Some([0.32, 0.32, 1.5, 0.08]));
    assert_eq!(
        (augmentation.color_jitter_prob, augmentation.gray_scale_prob),
        (0.8, 0.2)
    );
    // As the crop: no part of what makes a run another one.
    assert!(config.identity_differences(&plain).is_empty());
    for text in [all, "{gray_scale_prob: 0.2}", "{}"] {
        let config = parse(&with(text)).expect("a good file");
        let yaml = crate::config::to_yaml(&config).expect("serialises");
        assert_eq!(parse(&yaml).expect("a run file again"), config);
    }

    for (text, fault) in [
        ("", "data.augmentation: has no usable value"),
        (
            "{color_jitter: [0.4, 0.4, 0.4, 0.1]}",
            "data.augmentation.color_jitter_prob: is missing, and color_jitter does nothing",
        ),
        (
            "{color_jitter_prob: 0.8}",
            "data.augmentation.color_jitter: is missing, and color_jitter_prob needs it",
        ),
        (
            "{color_jitter: 0.4, color_jitter_prob: 0.8}",
            "data.augmentation.color_jitter: 0.4 is not 4 numbers; give brightness,",
        ),
        (
            "{color_jitter: [0.4, 0.4, -0.4, 0.1], color_jitter_prob: 0.8}",
            "data.augmentation.color_jitter: [0.4,0.4,-0.4,0.1] holds a number below 0",
        ),
        (
            "{color_jitter: [0.4, 0.4, 0.4, 0.6], color_jitter_prob: 0.8}",
            "data.augmentation.color_jitter: [0.4,0.4,0.4,0.6]: a hue of 0.6 is more than half",
        ),
        (
            "{gray_scale_prob: 1.2}",
            "data.augmentation.gray_scale_prob: 1.2 is not a number from 0 to 1",
        ),
        (
            "{grey_scale_prob: 0.2}",
            "data.augmentation.grey_scale_prob: unknown key; did you mean gray_scale_prob?",
        ),
    ] {
        let found = faults(&with(text));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].to_string().starts_with(fault),
            "{text}: {}",
            found[0]
        );
    }
}

#[test]
fn a_run_file_says_what_is_computed_on_and_in() {
    let plain = parse(GOOD).expect("a good file");
    assert_eq!(plain.worker.device, DeviceChoice::Auto);
    assert_eq!(plain.train.precision, Precision::Fp32);
    assert!(plain.train.tf32 && !plain.train.recompute);
    assert_eq!(plain.cluster.collective, CollectiveChoice::Auto);

    let with = |device: &str, precision: &str, collective: &str| {
        let text = GOOD
            .replace(
                "steps: 10",
                &format!("steps: 10, precision: {precision}, tf32: false, recompute: true"),
            )
            .replace(
                "workers: 2",
                &format!("workers: 2, collective: {collective}"),
            );
        format!("{text}worker: {{device: {device}}}\n")
    };
    for (device, choice) in [
        ("auto", DeviceChoice::Auto),
        ("cuda", DeviceChoice::AnyCuda),
        ("cuda:3", DeviceChoice::Cuda(3)),
    ] {
        let config = parse(&with(device, "bf16", "nccl")).expect("a good file");
        assert_eq!(config.worker.device, choice);
        assert_eq!(config.train.precision, Precision::Bf16);
        assert!(!config.train.tf32 && config.train.recompute);
        assert_eq!(config.cluster.collective, CollectiveChoice::Nccl);
        // A run may go on elsewhere, and in another precision.
        assert!(config.identity_differences(&plain).is_empty());
        let yaml = to_yaml(&config).expect("serialises");
        assert_eq!(parse(&yaml).expect("a run file again"), config);
        let json = serde_json::to_string(&config).expect("serialises");
        let read: RunConfig = serde_json::from_str(&json).expect("what workers are sent");
        assert_eq!(read, config);
    }
    assert!(parse(&with("wgpu:0", "fp32", "tcp")).is_ok());

    let told = |text: &str| {
        let faults = faults(text);
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    let devices = "is not auto, cpu, cuda, cuda:N or wgpu:N, with a number N from 0";
    for device in [
        "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "wgpu", "cpu:0",
    ] {
        let said = told(&with(&format!("'{device}'"), "fp32", "tcp"));
        assert_eq!(said, format!("worker.device: {device:?} {devices}"));
    }
    assert_eq!(
        told(&with("0", "fp32", "tcp")),
        format!("worker.device: 0 {devices}")
    );
    let faults = told(&with("cpu, devices: 2", "amp", "mpi"));
    assert_eq!(
        faults,
        "train.precision: \"amp\" is not one of fp32, bf16\n\
         cluster.collective: \"mpi\" is not one of auto, tcp, nccl\n\
         worker.devices: unknown key; did you mean device?"
    );
    for device in ["cpu", "wgpu:0"] {
        assert_eq!(
            told(&with(device, "bf16", "nccl")),
            format!(
                "train.precision: bf16 needs an NVIDIA GPU, and worker.device is {device}; change \
                 one of them\n\
                 cluster.collective: nccl needs NVIDIA GPUs, and worker.device is {device}; change \
                 one of them"
            )
        );
    }
}
