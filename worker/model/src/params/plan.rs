//! The bottleneck blocks of a ModifiedResNet, which the parameters and the tower both follow.

/// One bottleneck block by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bottleneck {
    /// Its name inside the image tower: `layer2.0`.
    pub name: String,
    /// Channels that come in.
    pub inplanes: usize,
    /// Channels between the convolutions; four times as many go out.
    pub planes: usize,
    /// Factor of the average pooling before the third convolution.
    pub stride: usize,
}

impl Bottleneck {
    /// Channels that go out.
    pub(crate) const fn outplanes(&self) -> usize {
        4 * self.planes
    }

    /// Whether the shortcut has a pooling and a convolution of its own.
    pub(crate) const fn has_downsample(&self) -> bool {
        self.stride > 1 || self.inplanes != self.outplanes()
    }
}

/// The blocks of all four stages in the order of the forward pass. `width` is the stem's.
pub(crate) fn bottlenecks(layers: [usize; 4], width: usize) -> Vec<Bottleneck> {
    let mut blocks: Vec<Bottleneck> = Vec::new();
    for (stage, count) in layers.into_iter().enumerate() {
        for index in 0..count {
            blocks.push(Bottleneck {
                name: format!("layer{}.{index}", stage + 1),
                inplanes: blocks.last().map_or(width, Bottleneck::outplanes),
                planes: width << stage,
                stride: if stage > 0 && index == 0 { 2 } else { 1 },
            });
        }
    }
    blocks
}
