//! Parity: 1, 2, 3 and 4 ranks against a float64 reference written as plain loops, on real
//! pictures and captions.

#[path = "step_order.rs"]
mod step_order;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use step_order::order;
use twinspan_collective::{
    AbortHandle, Collective, CollectiveError, ThreadCollective, ThreadWorld,
};
use twinspan_data::{Loader, LoaderConfig, Order, Tokenizer};
use twinspan_model::config::ModelConfig;
use twinspan_model::towers::Clip;
use twinspan_model::{Compute, Device};
use twinspan_testkit::reference::optim::{AdamW, AdamWConfig, clamp_logit_scale, cosine_lr};
use twinspan_testkit::reference::{self, Params, Tensor};
use twinspan_types::config::{LockImage, LockText};
use twinspan_types::{Cursor, Index, LaneTable, Rank, RunConfig, Step, WorldSize};
use twinspan_worker::{Clock, Exchange, LocalSamples, StepResult, Stepper, TrainState};

const STEPS: u64 = 10;
const WAIT: Duration = Duration::from_secs(60);

/// A run of one model: `lane_group` lanes are one batch-norm group.
struct Case {
    config: RunConfig,
    clip: Clip,
    index: Arc<Index>,
    reference: reference::ModelConfig,
}

/// What a world gave.
struct Trained {
    losses: Vec<f64>,
    first_norm: f64,
    first_gradient: Vec<f32>,
    params: Vec<f32>,
    buffers: Vec<f32>,
    sample_hashes: Vec<u64>,
}

fn case(model: &str, lane_group: u32, reference: reference::ModelConfig) -> Case {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/emoji/train");
    let yaml = format!(
        "
run: parity
model: {model}
data: {{train: '{data}/{{00000..00008}}.tar', lanes: 12, lane_group: {lane_group}, shuffle_window: 64}}
train: {{global_batch: 24, steps: 100, loss_tile: 7, text_groups: 3}}
optimizer: {{lr: 1e-3, warmup: 2}}
"
    );
    let config =
        RunConfig::parse(&yaml, Path::new("parity.yaml"), Path::new("/")).expect("a good run file");
    let model =
        ModelConfig::from_json(&config.model.config.to_string(), "model").expect("a good model");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let index = runtime
        .block_on(twinspan_data::index::build_index(
            &config.data.sources[0].urls,
        ))
        .expect("the emoji shards");
    Case {
        config,
        clip: Clip::new(model),
        index: Arc::new(index),
        reference,
    }
}

fn vit() -> Case {
    let vision = reference::VisionConfig::Vit {
        layers: 2,
        width: 32,
        head_width: 16,
        patch_size: 16,
        mlp_ratio: 4.0,
    };
    let model = "{embed_dim: 24, vision_cfg: {image_size: 64, layers: 2, width: 32, head_width: 16, patch_size: 16}, text_cfg: {context_length: 77, vocab_size: 49408, width: 32, heads: 2, layers: 2}}";
    case(model, 1, reference_config(vision))
}

fn resnet() -> Case {
    let vision = reference::VisionConfig::ResNet {
        layers: [1, 1, 1, 1],
        width: 8,
        head_width: 64,
    };
    let model = "{embed_dim: 24, vision_cfg: {image_size: 64, layers: [1, 1, 1, 1], width: 8, head_width: 64}, text_cfg: {context_length: 77, vocab_size: 49408, width: 32, heads: 2, layers: 2}}";
    case(model, 3, reference_config(vision))
}

/// A model of the sigmoid loss whose image tower drops patches.
fn sigmoid_with_patch_dropout() -> Case {
    let mut case = vit();
    let config = &mut case.config.model.config;
    config["vision_cfg"]["patch_dropout"] = 0.5.into();
    config["init_logit_bias"] = (-3.0).into();
    case.clip = Clip::new(ModelConfig::from_json(&config.to_string(), "model").expect("a model"));
    case
}

fn reference_config(vision: reference::VisionConfig) -> reference::ModelConfig {
    reference::ModelConfig {
        embed_dim: 24,
        image_size: 64,
        vision,
        text: reference::TextConfig {
            context_length: 77,
            vocab_size: 49408,
            width: 32,
            heads: 2,
            layers: 2,
        },
        quick_gelu: false,
    }
}

impl Case {
    fn loader(&self, rank: Rank, lanes: &LaneTable) -> Loader {
        Loader::start(LoaderConfig {
            index: Arc::clone(&self.index),
            order: Order {
                seed: self.config.seed,
                lanes: self.config.data.lanes,
                shuffle_window: self.config.data.shuffle_window,
            },
            lane_group: self.config.data.lane_group,
            lanes: lanes.lanes_of(rank).collect(),
            cursors: vec![Cursor::default(); self.config.data.lanes as usize],
            quarantines: Vec::new(),
            cache: None,
            samples_per_lane: self.config.samples_per_lane(),
            start: Step(0),
            image_size: 64,
            crop_scale_min: self.config.data.crop_scale_min,
            augmentation: self.config.data.augmentation,
            tokenizer: Arc::new(Tokenizer::new(77, 49408).expect("CLIP's vocabulary")),
            decode_threads: 1,
            prefetch_bytes: 64 << 20,
            decode_delay: Duration::ZERO,
            lease: tokio::sync::watch::channel(Step(STEPS)).1,
        })
        .expect("a loader")
    }

    fn initial(&self) -> TrainState {
        TrainState::initial(&self.clip, self.config.seed, self.config.streams())
    }

    /// Trains with as many ranks as there are collectives.
    fn train<C: Collective + 'static>(&self, world: Vec<C>) -> Trained {
        self.train_on(&Compute::cpu(), world)
    }

    fn train_on<C: Collective + 'static>(&self, compute: &Compute, world: Vec<C>) -> Trained {
        let size = WorldSize(u32::try_from(world.len()).expect("a small world"));
        let table = LaneTable::deal(self.config.data.lanes, self.config.data.lane_group, size);
        let mut ranks: Vec<Trained> = std::thread::scope(|scope| {
            let handles: Vec<_> = world
                .into_iter()
                .map(|collective| scope.spawn(|| self.train_rank(compute, collective, &table)))
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().expect("a rank"))
                .collect()
        });
        let first = ranks.swap_remove(0);
        for rank in &ranks {
            assert!(
                rank.params == first.params,
                "ranks of one world hold different weights"
            );
        }
        first
    }

    fn train_rank<C: Collective + 'static>(
        &self,
        compute: &Compute,
        collective: C,
        table: &LaneTable,
    ) -> Trained {
        let rows = |rank| table.lanes_of(rank).count() * self.config.samples_per_lane() as usize;
        let rows = collective.world_size().ranks().map(rows).collect();
        let mut loader = self.loader(collective.rank(), table);
        let mut exchange = Exchange::new(Box::new(collective), rows);
        let mut stepper = Stepper::new(&self.clip, &self.config, compute);
        let mut state = self.initial();
        let mut trained = Trained {
            losses: vec![],
            first_norm: 0.0,
            first_gradient: vec![],
            params: vec![],
            buffers: vec![],
            sample_hashes: vec![],
        };
        for _ in 0..STEPS {
            let batch = LocalSamples::from(loader.next_batch(WAIT).expect("a batch"));
            let result = stepper
                .step(
                    &mut state,
                    &batch,
                    order(),
                    &mut exchange,
                    &mut Clock::new(None),
                )
                .expect("a step");
            let StepResult::Committed(outcome) = result else {
                panic!("numbers that are not finite");
            };
            trained.losses.push(outcome.loss);
            trained.sample_hashes.push(outcome.tally.sample_hash);
            if trained.first_gradient.is_empty() {
                trained.first_norm = outcome.grad_norm;
                trained.first_gradient = stepper.gradient().to_host().into_owned();
            }
        }
        trained.params = state.params.into_host();
        trained.buffers = state.buffers;
        trained
    }

    /// The same steps in float64.
    fn reference(&self) -> (Vec<f64>, Params, Params) {
        let table = LaneTable::deal(self.config.data.lanes, 1, WorldSize(1));
        let mut loader = self.loader(Rank(0), &table);
        let mut params = self.named(&self.initial().params.to_host());
        let optimizer = &self.config.optimizer;
        let mut adamw = AdamW::new(
            AdamWConfig {
                beta1: optimizer.beta1,
                beta2: optimizer.beta2,
                epsilon: optimizer.eps,
                weight_decay: optimizer.weight_decay,
            },
            &params,
        );
        let group = self.config.samples_per_group() as usize;
        let rows = self.config.train.global_batch as usize;
        let groups: Vec<_> = (0..rows / group)
            .map(|g| g * group..(g + 1) * group)
            .collect();
        let (mut losses, mut first) = (vec![], None);
        for step in 0..STEPS {
            let batch = loader.next_batch(WAIT).expect("a batch");
            // The reference reads captions in full length, with what follows their end.
            let mut texts = batch.captions.clone();
            texts
                .iter_mut()
                .for_each(|ids| ids.resize(24.max(ids.len()), 0));
            let pixels = normalised(&batch.pixels, rows);
            let output =
                reference::loss_and_gradients(&self.reference, &params, &pixels, &texts, &groups);
            losses.push(output.loss);
            let lr = cosine_lr(
                optimizer.lr,
                optimizer.warmup,
                self.config.train.steps.0,
                step,
            );
            adamw.step(&mut params, &output.gradients, lr);
            clamp_logit_scale(&mut params);
            first.get_or_insert(output.gradients);
        }
        (losses, first.expect("a first step"), params)
    }

    /// A flat buffer as named tensors.
    fn named(&self, flat: &[f32]) -> Params {
        let tensors = self.clip.params.specs().iter().map(|spec| {
            let tensor = Tensor::from_f32(&spec.shape, &flat[spec.range()]);
            (spec.name.clone(), tensor)
        });
        tensors.collect()
    }
}

/// u8 [N, H, W, 3] to normalised f64 [N, 3, H, W].
fn normalised(pixels: &[u8], rows: usize) -> Vec<f64> {
    const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
    const STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];
    let picture = pixels.len() / rows;
    let mut out = Vec::with_capacity(pixels.len());
    for picture in pixels.chunks(picture) {
        for channel in 0..3 {
            let values = picture.iter().skip(channel).step_by(3);
            out.extend(values.map(|v| (f64::from(*v) / 255.0 - MEAN[channel]) / STD[channel]));
        }
    }
    out
}

/// The largest error of a tensor's gradient, relative to the larger of its norm and 1e-6 of the
/// global norm, with the tensor's name.
fn worst_gradient(reference: &Params, ours: &Params) -> (f64, String) {
    let floor = 1e-6 * reference.norm();
    let errors = reference.iter().map(|(name, expected)| {
        let actual = ours.get(name);
        let squares = expected
            .data
            .iter()
            .zip(&actual.data)
            .map(|(a, b)| (a - b) * (a - b));
        let error = squares.sum::<f64>().sqrt() / expected.norm().max(floor);
        (error, name.to_owned())
    });
    errors
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("parameters")
}

/// |a - b| / |b - start| over all parameters.
fn relative_drift(a: &Params, b: &Params, start: &Params) -> f64 {
    let distance = |a: &Params, b: &Params| -> f64 {
        let squares = a.iter().flat_map(|(name, a)| {
            let b = b.get(name);
            a.data
                .iter()
                .zip(&b.data)
                .map(|(a, b)| (a - b) * (a - b))
                .collect::<Vec<_>>()
        });
        squares.sum::<f64>().sqrt()
    };
    distance(a, b) / distance(b, start)
}

/// A device with memory of its own: a GPU where the tests are built for one, else the CPU as if it
/// were one.
fn device() -> Device {
    if let Ok((_, device)) = twinspan_model::device::open_cuda(0) {
        return device;
    }
    #[cfg(feature = "wgpu")]
    return Device::wgpu(twinspan_model::DeviceKind::DefaultDevice);
    #[cfg(not(feature = "wgpu"))]
    Device::flex()
}

fn assert_parity(case: &Case, compute: &Compute, sizes: &[u32]) {
    let (losses, gradient, params) = case.reference();
    let start = case.named(&case.initial().params.to_host());
    let mut hashes = None;
    for &size in sizes {
        let trained = case.train_on(compute, ThreadWorld::new(WorldSize(size), WAIT));
        let (error, name) = worst_gradient(&gradient, &case.named(&trained.first_gradient));
        let loss_error = losses
            .iter()
            .zip(&trained.losses)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        let drift = relative_drift(&case.named(&trained.params), &params, &start);
        eprintln!(
            "{size} ranks: worst gradient {error:.1e} ({name}), loss {loss_error:.1e}, drift {drift:.1e}"
        );
        assert!(
            error < 1e-4,
            "{size} ranks: gradient of {name} is off by {error:e}"
        );
        let norm_error = (trained.first_norm / gradient.norm() - 1.0).abs();
        assert!(
            norm_error < 1e-4,
            "{size} ranks: the gradient's norm is off by {norm_error:e}"
        );
        assert!(
            loss_error < 1e-4,
            "{size} ranks: a loss is off by {loss_error:e}"
        );
        assert!(
            drift < 0.01,
            "{size} ranks: parameters drifted by {drift:e} of their update"
        );
        let seen = hashes.get_or_insert_with(|| trained.sample_hashes.clone());
        assert_eq!(
            *seen, trained.sample_hashes,
            "{size} ranks saw other samples"
        );
    }
}

#[test]
fn a_vit_trains_alike_with_1_to_4_ranks_and_in_float64() {
    assert_parity(&vit(), &Compute::cpu(), &[1, 2, 3, 4]);
}

#[test]
fn a_vit_on_a_device_of_its_own_trains_alike() {
    assert_parity(&vit(), &Compute::on(device()), &[1, 3]);
}

#[test]
fn a_vit_that_computes_activations_again_trains_alike() {
    let recompute = Compute {
        recompute: true,
        ..Compute::on(device())
    };
    assert_parity(&vit(), &recompute, &[2]);
}

#[test]
fn a_modified_resnet_on_a_device_of_its_own_trains_alike() {
    assert_parity(&resnet(), &Compute::on(device()), &[1]);
}

#[test]
fn a_modified_resnet_trains_alike_with_1_to_4_ranks_and_in_float64() {
    assert_parity(&resnet(), &Compute::cpu(), &[1, 2, 3, 4]);
}

/// A collective that averages where it should sum.
struct Averaging(ThreadCollective);

impl Collective for Averaging {
    fn rank(&self) -> Rank {
        self.0.rank()
    }

    fn world_size(&self) -> WorldSize {
        self.0.world_size()
    }

    fn abort_handle(&self) -> AbortHandle {
        self.0.abort_handle()
    }

    fn all_gather(
        &mut self,
        local: &[f32],
        counts: &[usize],
        out: &mut [f32],
    ) -> Result<(), CollectiveError> {
        self.0.all_gather(local, counts, out)
    }

    fn all_reduce_sum(&mut self, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        self.0.all_reduce_sum(buffer)?;
        let size = self.0.world_size().0 as f32;
        buffer.iter_mut().for_each(|value| *value /= size);
        Ok(())
    }

    fn broadcast(&mut self, root: Rank, buffer: &mut [u8]) -> Result<(), CollectiveError> {
        self.0.broadcast(root, buffer)
    }

    fn all_gather_bytes(&mut self, local: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.0.all_gather_bytes(local)
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.0.barrier()
    }
}

#[test]
fn an_average_in_place_of_a_sum_is_caught() {
    let case = vit();
    let (_, gradient, _) = case.reference();
    let world = ThreadWorld::new(WorldSize(2), WAIT)
        .into_iter()
        .map(Averaging)
        .collect();
    let trained = case.train(world);
    let (error, _) = worst_gradient(&gradient, &case.named(&trained.first_gradient));
    assert!(
        (error - 0.5).abs() < 0.01,
        "half the gradient is an error of one half, not {error}"
    );
}

/// Trains a case with locked towers on two ranks; gives the names of what changed.
fn changed_when_locked(
    compute: &Compute,
    mut case: Case,
    image: Option<LockImage>,
    text: Option<LockText>,
) -> (Vec<String>, Vec<f32>) {
    case.config.model.lock_image = image;
    case.config.model.lock_text = text;
    case.clip = case.clip.lock(&case.config.model).expect("can be locked");
    let start = case.initial().params.into_host();
    let trained = case.train_on(compute, ThreadWorld::new(WorldSize(2), WAIT));
    let specs = case.clip.params.specs().iter();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let changed = specs
        .filter(|spec| bits(&start[spec.range()]) != bits(&trained.params[spec.range()]))
        .map(|spec| spec.name.clone());
    (changed.collect(), trained.buffers)
}

#[test]
fn a_locked_tower_does_not_change_by_a_bit_and_its_unlocked_last_groups_do() {
    assert_locked(&Compute::cpu());
}

#[test]
fn a_locked_tower_stays_as_it_is_on_a_device_that_computes_activations_again() {
    assert_locked(&Compute {
        recompute: true,
        ..Compute::on(device())
    });
}

fn assert_locked(compute: &Compute) {
    let lock = |unlocked_groups| LockImage {
        unlocked_groups,
        freeze_bn_stats: false,
    };
    let is_image = |name: &String| name.starts_with("visual.");
    let (changed, _) = changed_when_locked(compute, vit(), Some(lock(0)), None);
    assert!(changed.iter().any(|name| name == "logit_scale"));
    assert!(changed.iter().any(|name| name == "token_embedding.weight"));
    assert_eq!(changed.iter().filter(|name| is_image(name)).count(), 0);

    let (image, text) = (lock(2), LockText { unlocked_layers: 1 });
    let (changed, _) = changed_when_locked(compute, vit(), Some(image), Some(text));
    for name in &changed {
        let last = [
            "visual.transformer.resblocks.1.",
            "visual.ln_post.",
            "visual.proj",
        ];
        let is_last = last.iter().any(|prefix| name.starts_with(prefix));
        let trained = is_last || ["logit_scale", "text_projection"].contains(&name.as_str());
        assert!(trained, "{name} changed");
    }
    // Weight and bias of six layers of a block and of the norm, and the projection.
    assert_eq!(changed.iter().filter(|name| is_image(name)).count(), 15);
    assert!(changed.iter().any(|name| name == "text_projection"));
}

#[test]
fn a_locked_resnet_keeps_its_weights_and_where_asked_its_running_statistics() {
    for freeze_bn_stats in [false, true] {
        let case = resnet();
        let start = case.initial().buffers;
        let lock = LockImage {
            unlocked_groups: 0,
            freeze_bn_stats,
        };
        let (changed, buffers) = changed_when_locked(&Compute::cpu(), case, Some(lock), None);
        assert!(changed.iter().all(|name| !name.starts_with("visual.")));
        assert_eq!(buffers == start, freeze_bn_stats);
    }
}

#[test]
fn the_sigmoid_loss_and_patch_dropout_are_the_same_for_any_number_of_ranks() {
    let case = sigmoid_with_patch_dropout();
    let alone = case.train(ThreadWorld::new(WorldSize(1), WAIT));
    let bias = case.clip.params.logit_bias().expect("a bias");
    assert!(alone.params[bias] != -3.0, "the bias is trained");
    for size in 2..=4 {
        let trained = case.train(ThreadWorld::new(WorldSize(size), WAIT));
        assert_eq!(trained.sample_hashes, alone.sample_hashes);
        for (ours, alone) in trained.losses.iter().zip(&alone.losses) {
            assert!(
                (ours - alone).abs() < 1e-4,
                "{size} ranks: {ours} and {alone}"
            );
        }
        let gradients = [&alone, &trained].map(|one| case.named(&one.first_gradient));
        let (error, name) = worst_gradient(&gradients[0], &gradients[1]);
        assert!(error < 1e-4, "{size} ranks: {name} is off by {error:e}");
    }
}
