//! The caption cleaner and tokeniser on arbitrary text: it never panics, and its ids are what the
//! text tower can take.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use twinspan_data::Tokenizer;

/// Tokens of a text that open_clip's models take.
const CONTEXT: usize = 77;
/// The least that a model can have, so that most texts are cut.
const SHORT_CONTEXT: usize = 3;
/// Token ids of CLIP's vocabulary.
const VOCABULARY: usize = 49408;

static FULL: LazyLock<Tokenizer> = LazyLock::new(|| tokenizer(CONTEXT));
static SHORT: LazyLock<Tokenizer> = LazyLock::new(|| tokenizer(SHORT_CONTEXT));

fn tokenizer(context_length: usize) -> Tokenizer {
    Tokenizer::new(context_length, VOCABULARY).expect("CLIP's vocabulary")
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let ids = FULL.encode(&text);
    assert!((2..=CONTEXT).contains(&ids.len()));
    assert_eq!(ids.first(), Some(&Tokenizer::START));
    assert_eq!(ids.last(), Some(&Tokenizer::END));
    assert!(ids.iter().all(|id| (*id as usize) < VOCABULARY));
    assert_eq!(FULL.encode(&text), ids, "the same text, other ids");
    // Another tokeniser, whose hash maps have other seeds, and another place to cut.
    let kept = (ids.len() - 1).min(SHORT_CONTEXT - 1);
    let cut = [&ids[..kept], &[Tokenizer::END]].concat();
    assert_eq!(SHORT.encode(&text), cut, "a cut text is no beginning");
});
