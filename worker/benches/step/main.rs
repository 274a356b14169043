//! How many samples a second a rank takes its steps with, decoding left out: the same pictures and
//! captions again and again, already decoded, through the step that training takes.
//!
//!     cargo bench --workspace --bench step
//!     cargo bench --workspace --features cuda --bench step -- --model configs/models/ViT-B-32.json \
//!         --device cuda:0 --precision bf16 --batch 1024
//!
//! Prints one line of JSON: the median of the steps' times, after some that do not count, in which a GPU
//! compiles and chooses its kernels. tests/gpu/open_clip_step.py takes the same steps with open_clip.

mod args;
mod samples;
#[path = "../../../tests/step_order.rs"]
mod step_order;

use args::Args;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};
use step_order::order;
use twinspan_collective::ThreadWorld;
use twinspan_model::config::ModelConfig;
use twinspan_model::towers::Clip;
use twinspan_model::{Compute, Device};
use twinspan_types::config::DeviceChoice;
use twinspan_types::{RunConfig, WorldSize};
use twinspan_worker::{Clock, Exchange, StepResult, Stepper, TrainState};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Longest wait for the other ranks, of which there are none.
const WAIT: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let config = run_config(&args)?;
    let clip = Clip::new(ModelConfig::from_json(
        &config.model.config.to_string(),
        "model",
    )?);
    let (name, device) = open(args.device)?;
    let compute = Compute::of(&config.train, &device);
    let samples = samples::of(&clip, args.batch);
    let collective = ThreadWorld::new(WorldSize(1), WAIT).remove(0);
    let mut exchange = Exchange::new(Box::new(collective), vec![args.batch]);
    let mut state = TrainState::initial(&clip, config.seed, config.streams());
    let mut stepper = Stepper::new(&clip, &config, &compute);
    let mut seconds = Vec::new();
    let mut loss = f64::NAN;
    for step in 0..args.warmup + args.steps {
        let begun = Instant::now();
        let result = stepper.step(
            &mut state,
            &samples,
            order(),
            &mut exchange,
            &mut Clock::new(None),
        )?;
        let StepResult::Committed(outcome) = result else {
            return Err("numbers that are not finite".into());
        };
        loss = outcome.loss;
        if step >= args.warmup {
            seconds.push(begun.elapsed().as_secs_f64());
        }
        eprintln!(
            "step {step}: loss {loss:.4}, {:.3} s",
            begun.elapsed().as_secs_f64()
        );
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let figures = serde_json::json!({
        "program": "twinspan",
        "model": args.model,
        "device": name,
        "precision": config.train.precision,
        "recompute": config.train.recompute,
        "batch": args.batch,
        "steps": args.steps,
        "samples_per_second": args.batch as f64 / median,
        "step_seconds": {"least": seconds[0], "median": median, "most": seconds[seconds.len() - 1]},
        "last_loss": loss,
    });
    println!("{figures}");
    Ok(())
}

fn open(choice: DeviceChoice) -> Result<(String, Device)> {
    Ok(match choice {
        DeviceChoice::Cuda(number) => {
            let (gpu, device) = twinspan_model::device::open_cuda(number)?;
            (gpu.to_string(), device)
        }
        DeviceChoice::Wgpu(number) => twinspan_model::device::open_wgpu(number)?,
        _ => ("cpu".to_owned(), Device::flex()),
    })
}

fn run_config(args: &Args) -> Result<RunConfig> {
    let Args {
        model,
        batch,
        precision,
        recompute,
        tf32,
        ..
    } = args;
    let model = std::fs::read_to_string(model).map_err(|error| format!("{model}: {error}"))?;
    let yaml = format!(
        "
run: step
model: {model}
data: {{train: 'file:///nowhere/0.tar', lanes: 1}}
train: {{global_batch: {batch}, steps: 100000, precision: {precision}, recompute: {recompute}, tf32: {tf32}}}
optimizer: {{lr: 5e-4, warmup: 1000}}
"
    );
    Ok(RunConfig::parse(
        &yaml,
        Path::new("step.yaml"),
        Path::new("/"),
    )?)
}
