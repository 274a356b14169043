//! One training step against open_clip's own: embeddings, loss, every gradient and the AdamW update
//! of three toy models, by fixtures that `make_fixtures.py` wrote.

#[path = "../step_order.rs"]
mod step_order;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use step_order::order;
use twinspan_collective::ThreadWorld;
use twinspan_model::config::ModelConfig;
use twinspan_model::openclip::{self, ModelWeights};
use twinspan_model::optim::{AdamW, Moments};
use twinspan_model::towers::{BatchNorm, Clip};
use twinspan_model::{Compute, Device, Tensor};
use twinspan_types::{Cursor, RunConfig, Step, StreamId, WorldSize};
use twinspan_worker::{
    Clock, Exchange, LocalSamples, StepOutcome, StepResult, Stepper, TrainState,
};

const FIXTURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/data/open_clip/models"
);
/// Largest error of loss, gradients, updates and statistics, relative to each tensor's norm.
const RELATIVE: f64 = 1e-4;
/// What a gradient's error is measured against at least, as a part of the whole gradient's norm:
/// some gradients are zero in exact arithmetic, `attnpool.k_proj.bias` among them.
const GRADIENT_FLOOR: f64 = 1e-6;
const WAIT: Duration = Duration::from_secs(60);

/// Named tensors as f64.
type Tensors = BTreeMap<String, Vec<f64>>;

struct Fixture {
    folder: PathBuf,
    clip: Clip,
    config: RunConfig,
    params: Vec<f32>,
    buffers: Vec<f32>,
    pixels: Vec<u8>,
    /// Token ids of each text, padded to the context.
    tokens: Vec<Vec<u32>>,
    batch: Tensors,
}

impl Fixture {
    fn load(name: &str) -> Self {
        let folder = Path::new(FIXTURES).join(name);
        let json = read(&folder.join("open_clip_config.json"));
        let json = String::from_utf8(json).expect("UTF-8");
        let clip = Clip::new(ModelConfig::from_json(&json, name).expect("a model"));
        let weights = read(&folder.join("open_clip_model.safetensors"));
        let weights = SafeTensors::deserialize(&weights).expect("safetensors");
        let ModelWeights {
            params, buffers, ..
        } = openclip::read_model(&clip, &weights).expect("its weights");
        let bytes = read(&folder.join("batch.safetensors"));
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let pixels = file.tensor("pixels").expect("pictures").data().to_vec();
        let ids = file.tensor("tokens").expect("texts").data();
        let ids = ids
            .as_chunks::<8>()
            .0
            .iter()
            .map(|id| i64::from_le_bytes(*id) as u32);
        let ids: Vec<u32> = ids.collect();
        let tokens = ids
            .chunks(clip.config.text.context_length)
            .map(<[u32]>::to_vec);
        Self {
            tokens: tokens.collect(),
            config: run_config(&folder, &clip),
            batch: tensors(&bytes),
            folder,
            clip,
            params,
            buffers,
            pixels,
        }
    }

    fn rows(&self) -> usize {
        self.tokens.len()
    }

    fn images(&self, norm: BatchNorm<'_>) -> Vec<f64> {
        let weights = self.clip.weights(&self.params, &Device::flex());
        let forward = self
            .clip
            .embed_images(&weights, &self.pixels, self.rows(), norm, None);
        values(forward.embeddings)
    }

    fn texts(&self) -> Vec<f64> {
        let weights = self.clip.weights(&self.params, &Device::flex());
        let context = self.clip.config.text.context_length;
        let texts = self
            .clip
            .embed_texts(&weights, &self.tokens.concat(), context);
        values(texts.embeddings)
    }

    /// The batch as a loader gives it.
    fn samples(&self) -> LocalSamples {
        let end = self.clip.config.text.vocab_size as u32 - 1;
        let text = |ids: &Vec<u32>| {
            let length = ids.iter().position(|id| *id == end).expect("an end") + 1;
            ids[..length].to_vec()
        };
        let streams = (0..self.config.streams()).map(StreamId);
        LocalSamples {
            pixels: self.pixels.clone(),
            captions: self.tokens.iter().map(text).collect(),
            ids: (0..self.rows() as u64).collect(),
            draws: vec![0; self.rows()],
            ends: streams.map(|stream| (stream, Cursor::default())).collect(),
            key_hash: 0,
            skips: Vec::new(),
        }
    }

    /// Takes the step with what training takes it with.
    fn step(&self) -> (StepOutcome, Vec<f32>, TrainState) {
        let collective = ThreadWorld::new(WorldSize(1), WAIT).remove(0);
        let mut exchange = Exchange::new(Box::new(collective), vec![self.rows()]);
        let mut state = TrainState {
            params: self.params.clone().into(),
            buffers: self.buffers.clone(),
            ..TrainState::initial(&self.clip, 0, self.config.streams())
        };
        let mut stepper = Stepper::new(&self.clip, &self.config, &Compute::cpu());
        let result = stepper.step(
            &mut state,
            &self.samples(),
            order(),
            &mut exchange,
            &mut Clock::new(None),
        );
        let StepResult::Committed(outcome) = result.expect("a step") else {
            panic!("numbers that are not finite");
        };
        let gradient = stepper.gradient().to_host().into_owned();
        (*outcome, gradient, state)
    }

    fn expected(&self, file: &str) -> Tensors {
        tensors(&read(&self.folder.join(file)))
    }

    /// A flat buffer as named tensors.
    fn named(&self, flat: &[f32]) -> Tensors {
        let named = self.clip.params.specs().iter().map(|spec| {
            let values = flat[spec.range()].iter().map(|value| f64::from(*value));
            (spec.name.clone(), values.collect())
        });
        named.collect()
    }

    /// open_clip's gradients in the flat layout.
    fn expected_gradient(&self) -> Vec<f32> {
        let gradients = self.expected("gradients.safetensors");
        let mut flat = vec![0.0; self.clip.params.total()];
        for spec in self.clip.params.specs() {
            for (value, expected) in flat[spec.range()].iter_mut().zip(&gradients[&spec.name]) {
                *value = *expected as f32;
            }
        }
        flat
    }
}

/// A run of one step over the fixture's batch.
fn run_config(folder: &Path, clip: &Clip) -> RunConfig {
    let adamw: Value = serde_json::from_slice(&read(&folder.join("adamw.json"))).expect("JSON");
    let (model, lr, eps) = (&clip.config.source, &adamw["lr"], &adamw["eps"]);
    let (beta1, beta2) = (&adamw["betas"][0], &adamw["betas"][1]);
    let weight_decay = &adamw["weight_decay"];
    let yaml = format!(
        "
run: step
model: {model}
data: {{train: 'file:///nowhere/0.tar', lanes: 2, lane_group: 2}}
train: {{global_batch: 8, steps: 10, loss_tile: 3, text_groups: 3}}
optimizer: {{lr: {lr}, beta1: {beta1}, beta2: {beta2}, eps: {eps}, weight_decay: {weight_decay}, warmup: 1}}
"
    );
    let config = RunConfig::parse(&yaml, Path::new("step.yaml"), Path::new("/"));
    config.expect("a good run file")
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The floating-point tensors of a safetensors file.
fn tensors(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).expect("safetensors");
    let floats = file
        .iter()
        .filter(|(_, tensor)| tensor.dtype() == Dtype::F32);
    let named = floats.map(|(name, tensor)| {
        let values = tensor.data().as_chunks::<4>().0.iter();
        let values = values.map(|value| f64::from(f32::from_le_bytes(*value)));
        (name.to_owned(), values.collect())
    });
    named.collect()
}

fn values(rows: Tensor<2>) -> Vec<f64> {
    let values: Vec<f32> = rows.into_data().try_into_vec().expect("f32");
    values.into_iter().map(f64::from).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&differences)
}

/// Norm over all tensors.
fn total_norm(tensors: &Tensors) -> f64 {
    let norms: Vec<f64> = tensors.values().map(|values| norm(values)).collect();
    norm(&norms)
}

/// 1e-5 in cosine, 1e-4 in every number.
fn assert_same_rows(name: &str, ours: &[f64], expected: &[f64], e: usize) {
    assert_eq!(ours.len(), expected.len());
    for (row, (ours, expected)) in ours.chunks(e).zip(expected.chunks(e)).enumerate() {
        let product: f64 = ours.iter().zip(expected).map(|(a, b)| a * b).sum();
        let cosine = product / norm(ours) / norm(expected);
        let off = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
        let off = off.fold(0.0, f64::max);
        assert!(
            1.0 - cosine < 1e-5 && off < 1e-4,
            "{name}, row {row}: {cosine}, {off:e}"
        );
    }
}

fn assert_embeddings(name: &str) {
    let fixture = Fixture::load(name);
    let e = fixture.clip.config.embed_dim;
    let same = |what: &str, ours: &[f64]| {
        assert_same_rows(&format!("{name} {what}"), ours, &fixture.batch[what], e);
    };
    same(
        "eval.image",
        &fixture.images(BatchNorm::Running(&fixture.buffers)),
    );
    same("train.image", &fixture.images(BatchNorm::Batch));
    same("eval.text", &fixture.texts());
    same("train.text", &fixture.texts());
}

fn assert_step(name: &str) {
    let fixture = Fixture::load(name);
    let (outcome, gradient, state) = fixture.step();
    let loss = fixture.batch["train.loss"][0];
    let loss_error = (outcome.loss - loss).abs() / loss;
    assert!(
        loss_error < RELATIVE,
        "{name}: loss {}, not {loss}",
        outcome.loss
    );

    let gradients = fixture.expected("gradients.safetensors");
    let whole = total_norm(&gradients);
    let ours = fixture.named(&gradient);
    assert!(ours.keys().eq(gradients.keys()), "{name}: other parameters");
    let bounds: BTreeMap<&String, f64> = gradients
        .iter()
        .map(|(key, expected)| (key, RELATIVE * norm(expected).max(GRADIENT_FLOOR * whole)))
        .collect();
    let mut worst = 0.0;
    for (key, bound) in &bounds {
        let error = distance(&ours[*key], &gradients[*key]);
        assert!(
            error < *bound,
            "{name}: the gradient of {key} is off by {error:e}, more than {bound:e}"
        );
        worst = (error / bound * RELATIVE).max(worst);
    }

    let updated = fixture.expected("updated.safetensors");
    // A first update is little more than the gradient's sign, which is open where the gradient is
    // smaller than what it may be off by. Where both are nothing, decay alone is left.
    let sure = |key: &String, at: usize| {
        let (ours, expected) = (ours[key][at], gradients[key][at]);
        expected.abs() > bounds[key] || (ours == 0.0 && expected == 0.0)
    };
    assert_updates(&fixture, &state.params.to_host(), &updated, sure);
    for norms in fixture.clip.buffers.norms() {
        for (field, range) in [
            ("running_mean", norms.mean()),
            ("running_var", norms.variance()),
        ] {
            let key = format!("{}.{field}", norms.name);
            let ours: Vec<f64> = state.buffers[range]
                .iter()
                .map(|value| f64::from(*value))
                .collect();
            let error = distance(&ours, &updated[&key]) / norm(&updated[&key]);
            assert!(error < RELATIVE, "{name}: {key} is off by {error:e}");
        }
    }
    eprintln!("{name}: loss {loss_error:.1e}, worst gradient {worst:.1e}");
    assert_same_keys(&fixture, &state);
}

/// Every tensor's update agrees, as far as float32 can hold the parameter, in all elements that are
/// `sure`, which are nearly all.
fn assert_updates(
    fixture: &Fixture,
    params: &[f32],
    updated: &Tensors,
    sure: impl Fn(&String, usize) -> bool,
) {
    let (before, ours) = (fixture.named(&fixture.params), fixture.named(params));
    let (mut counted, mut all) = (0, 0);
    for (key, before) in &before {
        let elements: Vec<usize> = (0..before.len()).filter(|at| sure(key, *at)).collect();
        counted += elements.len();
        all += before.len();
        let of = |values: &[f64]| elements.iter().map(|at| values[*at]).collect::<Vec<f64>>();
        let (before, ours, expected) = (of(before), of(&ours[key]), of(&updated[key]));
        let bound =
            RELATIVE * distance(&before, &expected) + f64::from(f32::EPSILON) * norm(&before);
        let error = distance(&ours, &expected);
        assert!(
            error <= bound,
            "{key}: the update is off by {error:e}, more than {bound:e}"
        );
    }
    assert!(
        counted * 100 >= all * 95,
        "{counted} of {all} elements are sure"
    );
}

/// The checkpoint that follows has open_clip's keys, shapes and types.
fn assert_same_keys(fixture: &Fixture, state: &TrainState) {
    let written = openclip::write_model(
        &fixture.clip,
        &state.params.to_host(),
        &state.buffers,
        state.step.0,
    );
    let expected = read(&fixture.folder.join("updated.safetensors"));
    let entries = |bytes: &[u8]| -> Vec<String> {
        let file = SafeTensors::deserialize(bytes).expect("safetensors");
        let entry = |(name, tensor): (&str, safetensors::tensor::TensorView<'_>)| {
            format!("{name} {:?} {:?}", tensor.shape(), tensor.dtype())
        };
        let mut entries: Vec<String> = file.iter().map(entry).collect();
        entries.sort();
        entries
    };
    assert_eq!(entries(&written), entries(&expected));
}

/// AdamW alone, from open_clip's own gradients.
fn assert_adamw(name: &str) {
    let fixture = Fixture::load(name);
    let optimizer = &fixture.config.optimizer;
    let mut params = fixture.params.clone();
    let mut moments = Moments::zeros(params.len());
    AdamW::new(optimizer, Step(0), optimizer.lr).apply(
        &fixture.clip.params,
        &mut params,
        &fixture.expected_gradient(),
        1.0,
        &mut moments.exp_avg,
        &mut moments.exp_avg_sq,
    );
    let logit_scale = &mut params[fixture.clip.params.logit_scale()];
    *logit_scale = logit_scale.clamp(0.0, twinspan_model::optim::LOGIT_SCALE_MAX);
    let updated = fixture.expected("updated.safetensors");
    assert_updates(&fixture, &params, &updated, |_, _| true);
}

#[test]
fn embeddings_are_open_clips() {
    for name in ["vit", "vit-quickgelu", "resnet"] {
        assert_embeddings(name);
    }
}

#[test]
fn a_step_of_a_vit_is_open_clips() {
    assert_step("vit");
}

#[test]
fn a_step_of_a_quick_gelu_vit_whose_logit_scale_is_clamped_is_open_clips() {
    assert_step("vit-quickgelu");
}

#[test]
fn a_step_of_a_modified_resnet_with_its_running_statistics_is_open_clips() {
    assert_step("resnet");
}

#[test]
fn adamw_gives_every_element_open_clips_update_of_the_same_gradient() {
    for name in ["vit", "vit-quickgelu", "resnet"] {
        assert_adamw(name);
    }
}
