//! The keys of samples: the pictures' names where these can be keys, numbers where not.

use super::pair::Pair;
use crate::tar;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Bytes of a key, so that it fits a ustar header's name with the longest extension.
const LONGEST_KEY: usize = 95;
/// Digits of a running number: those of img2dataset.
const DIGITS: usize = 9;

/// What the keys of all samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// The names of the pictures' files without extension.
    Stems,
    /// A pair's number in the input, those that are left out included: some stems are equal, too
    /// long, or hold a dot, where webdataset ends a key.
    Numbers,
}

impl Keys {
    /// The key of a pair by its number in the input.
    pub(super) fn of(self, number: u64, pair: &Pair) -> String {
        match (self, stem(pair)) {
            (Self::Stems, Some(stem)) => stem.to_owned(),
            _ => format!("{number:0DIGITS$}"),
        }
    }
}

/// Looks at the stems of all pairs.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Eight bytes of each stem's hash. Two that are equal by chance make numbers of all keys,
    /// which are as good.
    seen: HashSet<[u8; 8]>,
    numbers: bool,
}

impl Choice {
    pub(super) fn see(&mut self, pair: &Pair) {
        if self.numbers {
            return;
        }
        let mut new = |stem: &str| {
            let hash = Sha256::digest(stem);
            self.seen.insert(std::array::from_fn(|at| hash[at]))
        };
        self.numbers = !stem(pair).is_some_and(&mut new);
        if self.numbers {
            self.seen = HashSet::new();
        }
    }

    pub(super) fn keys(&self) -> Keys {
        match self.numbers {
            true => Keys::Numbers,
            false => Keys::Stems,
        }
    }
}

/// A picture's stem, if readers find it again as the key.
fn stem(pair: &Pair) -> Option<&str> {
    let stem = pair.picture.file_stem()?.to_str()?;
    let plain = stem.len() <= LONGEST_KEY && !stem.contains(char::is_control);
    let found = tar::split(&format!("{stem}.txt")).is_some_and(|(key, _)| key == stem);
    (plain && found).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::super::pair::Words;
    use super::*;

    fn keys(pictures: &[&str]) -> Keys {
        let mut choice = Choice::default();
        for picture in pictures {
            choice.see(&pair(picture));
        }
        choice.keys()
    }

    fn pair(picture: &str) -> Pair {
        Pair {
            place: picture.to_owned(),
            picture: picture.into(),
            caption: Words::Text("a cat".to_owned()),
        }
    }

    #[test]
    fn stems_are_keys_where_all_can_be() {
        assert_eq!(
            keys(&["a/one.jpg", "b/__two__.png", "日本.webp"]),
            Keys::Stems
        );
        let long = format!("{}.jpg", "x".repeat(96));
        for other in ["b/one.png", "two.v2.jpg", "t\nwo.jpg", &long] {
            assert_eq!(keys(&["a/one.jpg", other]), Keys::Numbers, "{other:?}");
        }
        assert_eq!(Keys::Stems.of(7, &pair("a/one.jpg")), "one");
        assert_eq!(Keys::Numbers.of(7, &pair("a/one.jpg")), "000000007");
    }
}
