//! Running statistics of the batch norms in one flat buffer.

use std::ops::Range;

use super::bottlenecks;
use crate::config::{ModelConfig, VisionConfig};

/// The running statistics of one batch norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormBuffers {
    /// open_clip's name of the batch norm: `visual.layer1.0.bn2`.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Where its means begin in the flat buffer; its variances follow them.
    pub offset: usize,
}

impl NormBuffers {
    /// Place of the means.
    #[must_use]
    pub const fn mean(&self) -> Range<usize> {
        self.offset..self.offset + self.channels
    }

    /// Place of the variances.
    #[must_use]
    pub const fn variance(&self) -> Range<usize> {
        self.offset + self.channels..self.offset + 2 * self.channels
    }
}

/// All batch norms in the order in which the image tower visits them; empty for a ViT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferTable {
    norms: Vec<NormBuffers>,
}

/// The share of the newest batch in a running statistic (PyTorch's default).
const MOMENTUM: f32 = 0.1;

/// Moves running statistics towards those of a batch, both in the layout of a [`BufferTable`].
pub fn move_running(running: &mut [f32], batch: &[f32]) {
    for (running, batch) in running.iter_mut().zip(batch) {
        *running += (batch - *running) * MOMENTUM;
    }
}

impl BufferTable {
    /// The table of a model.
    #[must_use]
    pub fn new(config: &ModelConfig) -> Self {
        let mut table = Self { norms: Vec::new() };
        if let VisionConfig::ResNet { layers, width, .. } = config.vision {
            table.add("visual.bn1".to_owned(), width / 2);
            table.add("visual.bn2".to_owned(), width / 2);
            table.add("visual.bn3".to_owned(), width);
            for block in bottlenecks(layers, width) {
                let name = format!("visual.{}", block.name);
                table.add(format!("{name}.bn1"), block.planes);
                table.add(format!("{name}.bn2"), block.planes);
                table.add(format!("{name}.bn3"), block.outplanes());
                if block.has_downsample() {
                    table.add(format!("{name}.downsample.1"), block.outplanes());
                }
            }
        }
        table
    }

    fn add(&mut self, name: String, channels: usize) {
        self.norms.push(NormBuffers {
            name,
            channels,
            offset: self.total(),
        });
    }

    /// All batch norms.
    #[must_use]
    pub fn norms(&self) -> &[NormBuffers] {
        &self.norms
    }

    /// Number of values in the flat buffer.
    #[must_use]
    pub fn total(&self) -> usize {
        self.norms.last().map_or(0, |norm| norm.variance().end)
    }

    /// The statistics before the first update: means 0, variances 1.
    #[must_use]
    pub fn init(&self) -> Vec<f32> {
        let mut flat = vec![0.0; self.total()];
        for norm in &self.norms {
            flat[norm.variance()].fill(1.0);
        }
        flat
    }
}
