//! `twinspan eval robustness`: both trainings, both measurements, one table.

mod experiment;
mod stop;
mod supervised;
mod table;

use super::zero_shot_of;
use crate::args::{RobustnessArgs, TrainArgs};
use crate::exit::{Failure, failed};
use crate::processes::Report;
use crate::runtime::block_on;
use crate::say;
use crate::train;
use anyhow::anyhow;
use experiment::Experiment;
use std::time::Instant;
use stop::Stop;
use twinspan_data::EvalSet;
use twinspan_model::config::VisionConfig;
use twinspan_worker::eval::EvalModel;
use twinspan_worker::robustness::{Accuracy, Held, ModelAccuracy, RobustnessReport, Seconds};

/// Runs the experiment and prints its result.
pub fn run(args: &RobustnessArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let stop = Stop::listen()?;
    let experiment = Experiment::prepare(args)?;
    stop.check()?;
    say::log(format!(
        "{} pictures to train on, {} held out, {} classes; CLIP's run and shards are in {}",
        experiment.labels.held_in(),
        experiment.labels.held_out(),
        experiment.test.classes.len(),
        experiment.folder.display()
    ));
    say::log("1 of 2: training CLIP on pictures with captions");
    let checkpoint = train_clip(&experiment)?;
    stop.check()?;
    say::log("2 of 2: training the classifier on pictures with classes");
    let began = Instant::now();
    let classifier = supervised::train(&experiment, &stop)?;
    let supervised_seconds = began.elapsed().as_secs_f64();

    say::log("measuring both");
    let held_out = experiment.held_out()?;
    let model = EvalModel::load(&checkpoint).map_err(failed)?;
    let clip = ModelAccuracy::new(
        "CLIP zero-shot".to_owned(),
        zero_shot(&model, &held_out)?,
        zero_shot(&model, &experiment.test)?,
    );
    let measure = |set| block_on(classifier.accuracy(set))?.map_err(failed);
    let supervised = ModelAccuracy::new(
        supervised_name(&experiment).to_owned(),
        measure(&held_out)?,
        measure(&experiment.test)?,
    );
    let trained = block_on(twinspan_coordinator::trained(&experiment.clip.url()))?;
    let report = RobustnessReport {
        classes: experiment.test.classes.len(),
        trained_classes: experiment.labels.trained_classes(),
        training_pictures: Held {
            held_in: experiment.labels.held_in(),
            held_out: experiment.labels.held_out(),
        },
        steps: experiment.clip.train.steps.0,
        global_batch: experiment.clip.train.global_batch,
        models: vec![clip, supervised],
        meaning: Vec::new(),
        checkpoint,
        seconds: Seconds {
            clip: trained.map_err(failed)?.seconds,
            supervised: supervised_seconds,
            whole: started.elapsed().as_secs_f64(),
        },
    };
    let report = report.explained();
    match args.json {
        true => say::result(serde_json::json!(report)),
        false => say::result(table::text(&report)),
    }
}

/// Trains the CLIP model by processes of its own, or finds that it was trained; gives its
/// checkpoint.
fn train_clip(experiment: &Experiment) -> Result<String, Failure> {
    let args = TrainArgs {
        config: experiment.run_file(),
        workers: None,
        threads: None,
        device: None,
        chaos: None,
        no_eval: true,
        // Standard output is for the table.
        json: true,
        http: None,
    };
    let url = experiment.clip.url();
    let end = train::to_end(&args, &experiment.clip)?;
    let told = end.report.describe(&url);
    match end.report {
        Report::Ended {
            checkpoint: Some(checkpoint),
            ..
        } => Ok(format!("{url}/{checkpoint}")),
        Report::Stopped { .. } => Err(Failure::Stopped(told)),
        _ => Err(failed(anyhow!(told))),
    }
}

fn zero_shot(model: &EvalModel, set: &EvalSet) -> Result<Accuracy, Failure> {
    let report = zero_shot_of(model, set).map_err(Failure::of_attempt)?;
    Ok(Accuracy::from(&report))
}

fn supervised_name(experiment: &Experiment) -> &'static str {
    match experiment.model.vision {
        VisionConfig::ResNet { .. } => "supervised ResNet",
        VisionConfig::ViT { .. } => "supervised ViT",
    }
}
