//! The benchmark's samples: noise, and captions as long as people write them.

use twinspan_model::towers::Clip;
use twinspan_types::{Cursor, StreamId};
use twinspan_worker::LocalSamples;

/// Tokens of a caption between its first and its last, at least and at most; 15 in the mean.
const TOKENS: std::ops::RangeInclusive<usize> = 6..=24;

/// A batch that is the same in every run.
pub fn of(clip: &Clip, batch: usize) -> LocalSamples {
    let side = clip.config.vision.image_size();
    let vocabulary = clip.config.text.vocab_size as u32;
    let (start, end) = (vocabulary - 2, vocabulary - 1);
    let mut noise = Noise(1);
    let span = TOKENS.end() - TOKENS.start() + 1;
    let context = clip.config.text.context_length;
    let captions = (0..batch).map(|_| {
        let length = (TOKENS.start() + noise.below(span)).min(context - 2);
        let words = (0..length).map(|_| noise.below(start as usize) as u32);
        let words: Vec<u32> = words.collect();
        [vec![start], words, vec![end]].concat()
    });
    let captions = captions.collect();
    let pixels = (0..batch * side * side * 3).map(|_| noise.below(256) as u8);
    LocalSamples {
        pixels: pixels.collect(),
        captions,
        ids: (0..batch as u64).collect(),
        draws: (0..batch as u64).collect(),
        ends: vec![(StreamId(0), Cursor::default())],
        key_hash: 0,
        skips: Vec::new(),
    }
}

/// Knuth's linear congruential generator: enough for noise.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
