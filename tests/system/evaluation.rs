//! Evaluation while a run goes on, shared by its ranks.

use crate::support::{EMOJI, Workspace, bounded_output, processes_of, signal};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use twinspan_testkit::harness::TempRun;

/// Three workers that keep every checkpoint, with an evaluation every so many steps.
fn evaluating(steps: u64, every: u64, set: &str) -> Workspace {
    Workspace::new(steps, |run| {
        let run = run
            .replace("workers: 2", "workers: 3")
            .replace("every_steps: 10", &format!("every_steps: {every}"))
            .replace("keep_last: 2", "keep_last: 20");
        let sets = format!(
            "[{{name: emoji, zero_shot: '{set}/'}}, \
              {{name: pairs, retrieval: '{EMOJI}/test/{{0..2}}.tar'}}]"
        );
        format!("{run}\neval: {{every_steps: {every}, sets: {sets}}}\n")
    })
}

/// The lines of evaluations in `metrics.jsonl`.
fn evaluations(workspace: &Workspace) -> Vec<Value> {
    let text = std::fs::read_to_string(workspace.run_dir().join("metrics.jsonl"));
    let text = text.expect("metrics.jsonl");
    let lines = text.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter(|line| line.get("train/loss").is_none())
        .collect()
}

fn steps(evaluations: &[Value]) -> Vec<u64> {
    let steps = evaluations.iter().map(|line| line["step"].as_u64());
    steps.map(|step| step.expect("a step")).collect()
}

/// The generation that finished the evaluation of a step.
fn generation_that_evaluated(workspace: &Workspace, step: u64) -> u64 {
    let segments = std::fs::read_dir(workspace.run_dir().join("metrics")).expect("segments");
    let names = segments.flatten().map(|entry| entry.file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let told = format!("-{step:08}-");
    let mut names = names.filter(|name| name.contains(&told) && name.ends_with("-eval.jsonl"));
    let name = names
        .next()
        .unwrap_or_else(|| panic!("no evaluation of step {step}"));
    name.split('-')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a generation")
}

/// One process measures a checkpoint, and says the same as the run's line of that step.
fn assert_measured_alike(workspace: &Workspace, line: &Value) {
    let step = line["step"].as_u64().expect("a step");
    let checkpoint = workspace.checkpoint_at(step).display().to_string();
    let measured = |task: &str, set: &str| -> Value {
        let output = workspace.output(&["eval", task, &checkpoint, set, "--json"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {errors}"))
    };
    let zero_shot = measured("zero-shot", EMOJI);
    for figure in [
        "zeroshot-val-top1",
        "zeroshot-val-top5",
        "mean_per_class_recall",
    ] {
        assert_eq!(
            line[format!("val/emoji-{figure}")],
            zero_shot[figure],
            "step {step}: {figure}"
        );
    }
    let retrieval = measured("retrieval", &format!("{EMOJI}/test/{{0..2}}.tar"));
    for direction in ["image_to_text", "text_to_image"] {
        for figure in ["mean_rank", "median_rank", "R@1", "R@5", "R@10"] {
            assert_eq!(
                line[format!("val/{direction}_{figure}")],
                retrieval[direction][figure],
                "step {step}: {direction} {figure}"
            );
        }
    }
}

#[test]
fn what_three_ranks_measure_while_they_train_is_what_one_measures_on_the_checkpoints() {
    let workspace = evaluating(1200, 600, EMOJI);
    let result = workspace.train(&[]);
    let lines = evaluations(&workspace);
    assert_eq!(steps(&lines), [600, 1200]);
    lines
        .iter()
        .for_each(|line| assert_measured_alike(&workspace, line));
    let last = &lines[1];
    assert!(last["val/emoji-zeroshot-val-top1"].is_number(), "{last}");
    for (name, value) in result["evaluation"].as_object().expect("figures") {
        assert_eq!(last[name], *value, "{name}");
    }
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
    // What is finished is neither trained nor measured again.
    assert_eq!(workspace.train(&[])["evaluation"], result["evaluation"]);
}

#[test]
fn a_worker_that_is_killed_in_the_middle_of_an_evaluation_spoils_none() {
    let workspace = evaluating(1200, 600, EMOJI);
    let front = workspace.start(&[]);
    // The evaluation of step 600 has just begun.
    workspace.wait_for_checkpoint_after(Some(599));
    signal(processes_of(front.id(), "worker")[1], Signal::KILL);
    workspace.wait_for_checkpoint_after(Some(1199));
    // And now that of the last step.
    signal(processes_of(front.id(), "worker")[0], Signal::KILL);
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let [first, last] = [600, 1200].map(|step| generation_that_evaluated(&workspace, step));
    assert!(
        first > 1 && last > first,
        "generations {first} and {last}: {errors}"
    );
    let lines = evaluations(&workspace);
    assert_eq!(steps(&lines), [600, 1200], "{errors}");
    lines
        .iter()
        .for_each(|line| assert_measured_alike(&workspace, line));
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

#[test]
fn a_set_that_cannot_be_read_any_more_is_left_out_and_the_run_goes_on() {
    let sets = TempRun::new().expect("a folder");
    let set = copy_of_set(sets.path());
    let workspace = evaluating(1200, 600, &set.display().to_string());
    let front = workspace.start(&[]);
    workspace.wait_for_records("world_formed", 1);
    std::fs::write(set.join("test/1.tar"), "no tar").expect("written");
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for told in [
        "the evaluation of step 600 is without set emoji: rank ",
        "1.tar",
        "the run goes on",
        "the weights of step 1200 were not measured on all sets",
        "twinspan eval zero-shot",
    ] {
        assert!(errors.contains(told), "{told}: {errors}");
    }
    assert_eq!(workspace.metric("train/loss").len(), 1200);
    let lines = evaluations(&workspace);
    assert_eq!(steps(&lines), [600, 1200]);
    for line in lines {
        assert!(line["val/image_to_text_R@1"].is_number(), "{line}");
        assert_eq!(line.get("val/emoji-zeroshot-val-top1"), None, "{line}");
    }
}

fn copy_of_set(folder: &Path) -> PathBuf {
    let set = folder.join("set");
    std::fs::create_dir_all(set.join("test")).expect("a folder");
    for name in [
        "classnames.txt",
        "zeroshot_classification_templates.txt",
        "test/0.tar",
        "test/1.tar",
        "test/2.tar",
        "test/nshards.txt",
    ] {
        std::fs::copy(Path::new(EMOJI).join(name), set.join(name)).expect("copied");
    }
    set
}
