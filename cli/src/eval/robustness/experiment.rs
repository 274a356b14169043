//! What is compared: the run file, the pictures in two parts, and the folder that holds them.

use crate::args::RobustnessArgs;
use crate::counter::Counter;
use crate::exit::{Failure, bad_input, failed, failure};
use crate::runtime::block_on;
use crate::validate;
use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use twinspan_data::holdout::{HELD_IN, HELD_OUT, Labels, read_labels, write_split};
use twinspan_data::{Directory, EvalSet, Stores, read_classification};
use twinspan_model::config::ModelConfig;
use twinspan_types::config::{EvalConfig, url_of_path};
use twinspan_types::{Index, RunConfig, Step};

/// Says what the folder's contents were made of; written once they are whole.
const RECORD: &str = "experiment.json";
/// CLIP's run file, and the name of its run.
const CLIP: &str = "clip";

/// Everything but the two trainings.
pub struct Experiment {
    /// Where all of it is.
    pub folder: PathBuf,
    /// CLIP's run, on the pictures that are held in.
    pub clip: RunConfig,
    /// Its model.
    pub model: ModelConfig,
    /// The training pictures' classes.
    pub labels: Labels,
    /// The unseen style.
    pub test: EvalSet,
}

impl Experiment {
    /// Checks what was given, and writes both parts of the pictures where they are not there yet.
    pub fn prepare(args: &RobustnessArgs) -> Result<Self, Failure> {
        let mut config = validate::load(&args.config)?;
        if let Some(steps) = args.steps {
            let warmup = config.optimizer.warmup;
            if warmup >= steps.get() && warmup > 0 {
                return Err(bad_input(anyhow!(
                    "--steps {steps} leaves nothing after optimizer.warmup {warmup}; give more"
                )));
            }
            config.train.steps = Step(steps.get());
        }
        let folder = folder(args, &config)?;
        let name = args.config.display().to_string();
        check_model(&config, &name)?;
        let model = validate::model(&config, &name)?;
        // Its own evaluation plays no part.
        config.eval = EvalConfig::default();
        let index = validate::check(config.clone())?.index;
        let test = block_on(read_classification(&url_of_path(&args.test)))?;
        let test = test.context("--test").map_err(bad_input)?;
        let labels = block_on(read_labels(&index, &test))?
            .map_err(|error| failure(error.is_bad_input(), error))?;
        let experiment = Self {
            clip: clip(&config, &folder, &index),
            folder,
            model,
            labels,
            test,
        };
        experiment.write(&index, &record(&config, &index, &args.test))?;
        Ok(experiment)
    }

    /// CLIP's run file.
    pub fn run_file(&self) -> PathBuf {
        self.folder.join(format!("{CLIP}.yaml"))
    }

    /// The pictures of the seen styles that no model is trained on.
    pub fn held_out(&self) -> Result<EvalSet, Failure> {
        let url = format!("{}/{HELD_OUT}", self.clip.output);
        block_on(read_classification(&url))?.map_err(failed)
    }

    fn write(&self, index: &Index, record: &Value) -> Result<(), Failure> {
        let out = Directory::open(&Stores::default(), &self.clip.output).map_err(bad_input)?;
        if let Some(found) = block_on(out.read(RECORD))?.map_err(failed)? {
            return self.check_record(&found, record);
        }
        let counter = Counter::new("samples split");
        let on_progress = |done, total| counter.show(done, total);
        let split = write_split(index, &self.labels, &self.test, &out, &on_progress);
        block_on(split)?.map_err(|error| failure(error.is_bad_input(), error))?;
        let yaml = twinspan_types::config::to_yaml(&self.clip);
        let yaml = yaml.map_err(|error| failed(anyhow!(error)))?;
        let files = [
            (format!("{CLIP}.yaml"), yaml),
            (RECORD.to_owned(), format!("{record:#}\n")),
        ];
        for (file, text) in files {
            block_on(out.write(&file, text.into()))?.map_err(failed)?;
        }
        Ok(())
    }

    /// What lies in the folder must have been made of the same.
    fn check_record(&self, found: &[u8], record: &Value) -> Result<(), Failure> {
        let found: Value = serde_json::from_slice(found).unwrap_or_default();
        let fields = record.as_object().into_iter().flatten();
        let differ = fields.filter(|(name, value)| found.get(name) != Some(value));
        let differ: Vec<&str> = differ.map(|(name, _)| name.as_str()).collect();
        match differ.is_empty() {
            true => Ok(()),
            false => Err(bad_input(anyhow!(
                "{} holds an experiment with another {}; remove the folder, or give another --out",
                self.folder.display(),
                differ.join(", another ")
            ))),
        }
    }
}

/// The folder that was named, or the one beside the run.
fn folder(args: &RobustnessArgs, config: &RunConfig) -> Result<PathBuf, Failure> {
    if let Some(out) = &args.out {
        let folder = std::path::absolute(out);
        return folder.context("--out").map_err(bad_input);
    }
    let output = config.output.trim_end_matches('/').strip_prefix("file://");
    let output = output.ok_or_else(|| {
        let output = &config.output;
        bad_input(anyhow!(
            "{output} is no folder of this machine; name one with --out"
        ))
    })?;
    Ok(Path::new(output).join(format!("{}-robustness", config.run)))
}

/// Both models must begin with random weights and train all of them.
fn check_model(config: &RunConfig, name: &str) -> Result<(), Failure> {
    let model = &config.model;
    let set = [
        ("init_from", model.init_from.is_some()),
        ("lock_image", model.lock_image.is_some()),
        ("lock_text", model.lock_text.is_some()),
    ];
    match set.into_iter().find(|(_, set)| *set) {
        None => Ok(()),
        Some((field, _)) => Err(bad_input(anyhow!(
            "{name}: model.{field}: both models of the experiment begin with random weights and \
             train all of them; leave it out"
        ))),
    }
}

/// CLIP's run: the run file's, on the pictures that are held in.
fn clip(config: &RunConfig, folder: &Path, index: &Index) -> RunConfig {
    let mut clip = config.clone();
    clip.run = CLIP.to_owned();
    clip.output = format!("file://{}", folder.display());
    for (source, number) in clip.data.sources.iter_mut().zip(index.source_ids()) {
        source.urls = vec![format!("{}/{HELD_IN}/{}/", clip.output, number.0)];
    }
    clip
}

/// What decides the result.
fn record(config: &RunConfig, index: &Index, test: &str) -> Value {
    json!({
        "seed": config.seed,
        "model": config.model,
        "data": config.data,
        "train": config.train,
        "optimizer": config.optimizer,
        "training set": index,
        "test set": url_of_path(test),
    })
}
