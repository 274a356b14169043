//! Against scikit-learn, on features that `tests/linear_probe/make_fixture.py` made.

use super::*;
use serde_json::Value;

/// The features, labels and scikit-learn's results.
const FIXTURE: &str = include_str!("../../../../tests/linear_probe/fixture.json");

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).expect("numbers")
}

fn features(case: &Value, split: &str, names: &[&str]) -> LabelledFeatures {
    let rows = case[split]["features"].as_array().expect("rows");
    let rows: Vec<Vec<f32>> = rows.iter().map(numbers).collect();
    LabelledFeatures {
        url: split.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        e: rows[0].len(),
        rows_ne: rows.concat(),
        labels: numbers(&case[split]["labels"]),
        passed_over: Vec::new(),
    }
}

fn toy(labels: &[usize], names: &[&str]) -> LabelledFeatures {
    LabelledFeatures {
        url: "a set".to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        e: 1,
        rows_ne: labels.iter().map(|label| *label as f32).collect(),
        labels: labels.to_vec(),
        passed_over: Vec::new(),
    }
}

const SETTINGS: ProbeSettings = ProbeSettings {
    c: 1.0,
    iterations: 1000,
};

#[test]
fn accuracy_and_predictions_are_scikit_learns() {
    let fixture: Value = serde_json::from_str(FIXTURE).expect("JSON");
    let cases = fixture["cases"].as_array().expect("cases");
    assert!(cases.len() >= 4);
    for case in cases {
        let (train, test) = (features(case, "train", &[]), features(case, "test", &[]));
        let c = case["C"].as_f64().expect("a number");
        let settings = ProbeSettings { c, ..SETTINGS };
        let report = linear_probe(&train, &test, settings, &|_| {}).expect("a probe");
        assert!(report.converged, "{report:?}");
        for (ours, theirs) in [
            (report.top1, "top1"),
            (report.top5, "top5"),
            (report.mean_per_class_recall, "mean_per_class_recall"),
        ] {
            let theirs = case["scikit_learn"][theirs].as_f64().expect("a number");
            assert!((ours - theirs).abs() <= 0.01, "C {c}: {report:?}");
        }

        let seen: BTreeSet<usize> = train.labels.iter().copied().collect();
        let place: Vec<usize> = seen.into_iter().collect();
        let labels = train.labels.iter();
        let labels: Vec<usize> = labels
            .map(|label| place.binary_search(label).expect("a class"))
            .collect();
        let fitted = logistic::fit(
            &train.rows_ne,
            &labels,
            place.len(),
            train.e,
            settings,
            &|_| {},
        );
        let mut predictions: Vec<usize> = Vec::new();
        fitted.score(&test.rows_ne, |scores_c| {
            let best = (0..scores_c.len()).max_by(|a, b| scores_c[*a].total_cmp(&scores_c[*b]));
            predictions.push(place[best.expect("classes")]);
        });
        let theirs: Vec<usize> = numbers(&case["scikit_learn"]["predictions"]);
        let other = predictions.iter().zip(&theirs).filter(|(a, b)| a != b);
        assert!(other.count() * 100 <= theirs.len(), "C {c}");
    }
}

#[test]
fn classes_are_matched_by_name_where_both_sets_have_names() {
    let train = toy(&[0, 0, 1, 1], &["cat", "dog"]);
    // The same pictures, whose folders stand beside one that holds none.
    let mut test = toy(&[1, 1, 2, 2], &["ant", "cat", "dog"]);
    test.rows_ne = train.rows_ne.clone();
    let settings = ProbeSettings {
        c: 100.0,
        ..SETTINGS
    };
    let report = linear_probe(&train, &test, settings, &|_| {}).expect("a probe");
    assert_eq!(
        (report.top1, report.classes, report.test_pictures),
        (1.0, 2, 4)
    );
}

#[test]
fn classes_that_were_not_learned_are_named_and_one_class_is_no_problem_to_solve() {
    let train = toy(&[0, 1, 5], &[]);
    let error = linear_probe(&train, &toy(&[1, 2, 3], &[]), SETTINGS, &|_| {}).expect_err("labels");
    let words = "2 classes of which a set has none, such as 2, 3";
    assert!(error.to_string().contains(words), "{error}");
    let train = toy(&[0, 1], &["cat", "dog"]);
    let test = toy(&[0, 1], &["cat", "lion"]);
    let error = linear_probe(&train, &test, SETTINGS, &|_| {}).expect_err("names");
    assert!(error.to_string().contains("such as lion"), "{error}");
    let error = linear_probe(&toy(&[3, 3], &[]), &train, SETTINGS, &|_| {}).expect_err("one class");
    assert!(error.to_string().contains("all of one class"), "{error}");
}
