//! What the benchmark is told.

use twinspan_types::config::DeviceChoice;

/// What the benchmark is told.
pub struct Args {
    /// A model file.
    pub model: String,
    /// What computes.
    pub device: DeviceChoice,
    /// `fp32` or `bf16`.
    pub precision: String,
    /// Samples of a step.
    pub batch: usize,
    /// Steps that count.
    pub steps: usize,
    /// Steps before them.
    pub warmup: usize,
    /// Whether activations are computed again.
    pub recompute: bool,
    /// Whether fp32 products may be TF32.
    pub tf32: bool,
}

impl Args {
    /// Reads the command line, without the program's name.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models");
        let mut args = Self {
            model: format!("{root}/quickstart.json"),
            device: DeviceChoice::Cpu,
            precision: "fp32".to_owned(),
            batch: 128,
            steps: 10,
            warmup: 3,
            recompute: false,
            tf32: true,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next();
                value.ok_or_else(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--model" => args.model = value()?,
                "--device" => args.device = parsed(&value()?)?,
                "--precision" => args.precision = value()?,
                "--batch" => args.batch = parsed(&value()?)?,
                "--steps" => args.steps = parsed(&value()?)?,
                "--warmup" => args.warmup = parsed(&value()?)?,
                "--recompute" => args.recompute = true,
                "--no-tf32" => args.tf32 = false,
                // What cargo adds of itself.
                "--bench" => {}
                _ => return Err(format!("{word} is no argument of this benchmark")),
            }
        }
        match args.steps {
            0 => Err("--steps 0 measures nothing".to_owned()),
            _ => Ok(args),
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}
