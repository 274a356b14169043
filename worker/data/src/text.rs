//! Captions to token ids, as open_clip does it.

mod fix;
mod html;

use instant_clip_tokenizer::{Token, Tokenizer as Bpe};

/// Token ids of CLIP's vocabulary.
const VOCABULARY: usize = 49408;
/// Bytes of a caption that are looked at: far beyond what any context length keeps.
const LONGEST_CAPTION: usize = 64 << 10;
/// Bytes of a word that are looked at: merging takes time with the square of a word's length.
const LONGEST_WORD: usize = 4 << 10;

/// Why a model's text cannot be tokenised.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TextError {
    /// A vocabulary that the tokeniser does not have.
    #[error(
        "text_cfg.vocab_size is {given}, and the tokeniser has {VOCABULARY} ids: set it to \
         {VOCABULARY}"
    )]
    Vocabulary {
        /// The model's.
        given: usize,
    },
    /// No room for a token between start and end.
    #[error("text_cfg.context_length is {given}: set it to 3 or more")]
    Context {
        /// The model's.
        given: usize,
    },
}

/// CLIP's byte-pair tokeniser with open_clip's cleaning before it.
pub struct Tokenizer {
    bpe: Bpe,
    context_length: usize,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("context_length", &self.context_length)
            .finish()
    }
}

impl Tokenizer {
    /// Token ids of its vocabulary.
    pub const VOCABULARY: usize = VOCABULARY;
    /// The id of the token before every text.
    pub const START: u32 = 49406;
    /// The id of the token after every text: the largest of all.
    pub const END: u32 = 49407;

    /// For texts of at most `context_length` tokens, start and end included.
    ///
    /// # Errors
    /// When the model's vocabulary is not CLIP's, or the context has no room.
    pub fn new(context_length: usize, vocab_size: usize) -> Result<Self, TextError> {
        if vocab_size != VOCABULARY {
            return Err(TextError::Vocabulary { given: vocab_size });
        }
        if context_length < 3 {
            return Err(TextError::Context {
                given: context_length,
            });
        }
        Ok(Self {
            bpe: Bpe::new(),
            context_length,
        })
    }

    /// Tokens of a text at most.
    #[must_use]
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// The ids of a text from start to end, without padding; a text that is too long is cut and
    /// still ends with the end.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens: Vec<Token> = Vec::new();
        // No token spans white space, so words after the last that fits need not be looked at.
        for word in clean(text).split(' ') {
            self.bpe.encode(prefix(word, LONGEST_WORD), &mut tokens);
            if tokens.len() >= self.context_length {
                break;
            }
        }
        tokens.truncate(self.context_length - 2);
        let ids = tokens.into_iter().map(|token| u32::from(token.to_u16()));
        std::iter::once(Self::START)
            .chain(ids)
            .chain([Self::END])
            .collect()
    }
}

/// ftfy, HTML unescaped twice, white space collapsed, lower case.
fn clean(text: &str) -> String {
    let fixed = fix::fix(prefix(text, LONGEST_CAPTION));
    let twice = html::unescape(&html::unescape(&fixed));
    twice
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// The longest beginning of at most so many bytes.
fn prefix(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(context_length: usize) -> Tokenizer {
        Tokenizer::new(context_length, VOCABULARY).expect("CLIP's")
    }

    #[test]
    fn ids_are_those_of_open_clip() {
        let tokenizer = tokenizer(77);
        // From open_clip's own documentation and OpenAI's examples.
        assert_eq!(tokenizer.encode("Hi there"), [49406, 1883, 997, 49407]);
        assert_eq!(tokenizer.encode("a diagram"), [49406, 320, 22697, 49407]);
        assert_eq!(
            tokenizer.encode("a photo of a cat"),
            [49406, 320, 1125, 539, 320, 2368, 49407]
        );
        assert_eq!(tokenizer.encode(""), [49406, 49407]);
    }

    #[test]
    fn texts_are_cleaned_first() {
        assert_eq!(
            clean("  Caf\u{c3}\u{a9}\n &amp;amp; \tBAR\u{a0}"),
            "caf\u{e9} & bar"
        );
        let tokenizer = tokenizer(77);
        assert_eq!(
            tokenizer.encode("Hi &amp;lt;\n there"),
            tokenizer.encode("hi < there")
        );
    }

    #[test]
    fn long_texts_are_cut_and_end_with_the_end() {
        let tokenizer = tokenizer(16);
        let ids = tokenizer.encode(&"cat ".repeat(100));
        assert_eq!(ids.len(), 16);
        assert_eq!(ids[15], Tokenizer::END);
        assert_eq!(ids[1..15], [2368; 14]);
        let fitting = tokenizer.encode(&"cat ".repeat(14));
        assert_eq!(fitting, ids);
        assert_eq!(tokenizer.encode(&"x".repeat(1 << 20)).len(), 16);
    }

    #[test]
    fn another_vocabulary_is_refused() {
        assert_eq!(
            Tokenizer::new(77, 1000).err(),
            Some(TextError::Vocabulary { given: 1000 })
        );
        assert_eq!(
            Tokenizer::new(2, VOCABULARY).err(),
            Some(TextError::Context { given: 2 })
        );
    }
}
