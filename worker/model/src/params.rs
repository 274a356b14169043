//! Every parameter of a model in one flat buffer: names, shapes, places and first values.
//!
//! Parameters live in one `Vec<f32>` in the order of a [`ParamTable`]; gradients and moments have
//! the same layout. The collectives and the optimiser walk that buffer and know no tensors.

mod buffers;
mod init;
mod lock;
mod plan;
mod table;
#[cfg(test)]
mod tests;

pub use buffers::{BufferTable, NormBuffers, move_running};
pub use init::Init;
pub(crate) use plan::{Bottleneck, bottlenecks};

use std::collections::HashMap;
use std::ops::Range;

use crate::config::ModelConfig;

/// Which part of the model a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    /// The logit scale and the logit bias.
    Shared,
    /// The text tower.
    Text,
    /// The image tower.
    Image,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// open_clip's name in a state dict.
    pub name: String,
    /// Shape in PyTorch's layout; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where its values begin in the flat buffer.
    pub offset: usize,
    /// Whether weight decay acts on it.
    pub decay: bool,
    /// Its tower.
    pub tower: Tower,
    /// Its first values.
    pub init: Init,
    /// Whether it stays as it is: no gradient, no moments, no decay.
    pub locked: bool,
}

impl ParamSpec {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values, which no parameter of a valid model has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it belongs to a norm, which computes in f32 whatever the towers compute in.
    #[must_use]
    pub fn is_norm(&self) -> bool {
        let parts = ["ln_", "bn", "downsample.1"];
        parts.iter().any(|part| self.name.contains(part))
    }

    /// Its place in the flat buffer.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// All parameters of a model in the order of the flat buffer: shared, text tower, image tower.
#[derive(Clone, Debug)]
pub struct ParamTable {
    specs: Vec<ParamSpec>,
    by_name: HashMap<String, usize>,
    total: usize,
}

impl ParamTable {
    /// The table of a model.
    #[must_use]
    pub fn new(config: &ModelConfig) -> Self {
        let specs = table::specs(config);
        let by_name = specs
            .iter()
            .enumerate()
            .map(|(index, spec)| (spec.name.clone(), index))
            .collect();
        let total = specs.last().map_or(0, |spec| spec.range().end);
        Self {
            specs,
            by_name,
            total,
        }
    }

    /// All parameters in the order of the buffer.
    #[must_use]
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Number of values in the flat buffer.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// A parameter's place among [`Self::specs`], by open_clip's name.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A parameter by open_clip's name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ParamSpec> {
        self.index(name).map(|index| &self.specs[index])
    }

    /// A parameter that every model has.
    fn always(&self, name: &str) -> &ParamSpec {
        self.find(name).expect("the table of every model holds it")
    }

    /// The token embedding, `[vocab_size, width]`.
    #[must_use]
    pub fn token_embedding(&self) -> &ParamSpec {
        self.always("token_embedding.weight")
    }

    /// Place of the logit scale's logarithm in the flat buffer.
    #[must_use]
    pub fn logit_scale(&self) -> usize {
        self.always("logit_scale").offset
    }

    /// Place of the logit bias in the flat buffer; none in a model of the softmax loss.
    #[must_use]
    pub fn logit_bias(&self) -> Option<usize> {
        self.find("logit_bias").map(|spec| spec.offset)
    }

    /// The values of one tower, which stand together.
    #[must_use]
    pub fn range(&self, tower: Tower) -> Range<usize> {
        let mut own = self.specs.iter().filter(|spec| spec.tower == tower);
        let first = own.next().map_or(0..0, ParamSpec::range);
        first.start..own.next_back().map_or(first.end, |last| last.range().end)
    }

    /// First values of all parameters. A parameter's random numbers depend on the seed and on its
    /// name alone, so the order of the table can change without changing any run.
    #[must_use]
    pub fn init(&self, seed: u64) -> Vec<f32> {
        let mut flat = vec![0.0; self.total];
        for spec in &self.specs {
            spec.init.fill(seed, &spec.name, &mut flat[spec.range()]);
        }
        flat
    }
}
