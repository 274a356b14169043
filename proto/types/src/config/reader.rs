//! Reads a mapping key by key and keeps every fault instead of stopping at the first.

use super::Fault;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::str::FromStr;
use std::time::Duration;

/// Where the faults of one file gather.
#[derive(Default)]
pub(super) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(super) fn add(&self, path: &str, message: impl Into<String>) {
        self.0.borrow_mut().push(Fault {
            path: path.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn into_vec(self) -> Vec<Fault> {
        self.0.into_inner()
    }
}

/// One mapping of the file.
pub(super) struct Section<'f> {
    path: String,
    values: Map<String, Value>,
    known: Vec<&'static str>,
    faults: &'f Faults,
}

impl<'f> Section<'f> {
    pub(super) fn new(path: &str, value: Value, faults: &'f Faults) -> Self {
        let values = match value {
            Value::Object(values) => values,
            Value::Null => Map::new(),
            other => {
                faults.add(path, format!("must be a mapping, not {}", kind(&other)));
                Map::new()
            }
        };
        Self {
            path: path.to_owned(),
            values,
            known: Vec::new(),
            faults,
        }
    }

    /// The path of a key in the file: `data.lanes`.
    pub(super) fn at(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    pub(super) fn fault(&self, key: &str, message: impl Into<String>) {
        self.faults.add(&self.at(key), message);
    }

    /// A nested mapping; empty when absent.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'f> {
        self.known.push(key);
        let value = self.values.remove(key).unwrap_or(Value::Null);
        Section::new(&self.at(key), value, self.faults)
    }

    /// A list of mappings; empty when absent.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'f>> {
        let Some(entries) = self.read(key, "a list", |value| value.as_array().cloned()) else {
            return Vec::new();
        };
        let entries = entries.into_iter().enumerate();
        let section =
            |(at, value)| Section::new(&format!("{}[{at}]", self.at(key)), value, self.faults);
        entries.map(section).collect()
    }

    /// A mapping that stands at a key and was taken from there.
    pub(super) fn nested(&self, key: &str, value: Value) -> Section<'f> {
        Section::new(&self.at(key), value, self.faults)
    }

    /// A nested mapping that is present by being written, `true` for one with its defaults.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<Section<'f>> {
        match self.take(key)? {
            Value::Bool(false) => None,
            Value::Bool(true) => Some(self.nested(key, Value::Null)),
            other => Some(self.nested(key, other)),
        }
    }

    /// The raw value of a key. A key without a value is a fault, never a silent default; so is a
    /// number that is not finite, which arrives here as nothing.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.values.remove(key)?;
        if value.is_null() {
            self.fault(key, "has no usable value; give one, or leave the key out");
            return None;
        }
        Some(value)
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let converted = convert(&value);
        if converted.is_none() {
            self.fault(key, format!("{value} is not {expected}"));
        }
        converted
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text that is another type's.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        self.read(key, expected, |value| value.as_str()?.parse().ok())
    }

    pub(super) fn required_string(&mut self, key: &'static str, example: &str) -> String {
        let missing = format!("is missing; give for example {key}: {example}");
        if !self.values.contains_key(key) {
            self.fault(key, missing);
            return String::new();
        }
        let text = self.string(key).unwrap_or_default();
        if text.is_empty() {
            self.fault(key, missing);
        }
        text
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.read(key, "true or false", Value::as_bool)
            .unwrap_or(default)
    }

    pub(super) fn integer(&mut self, key: &'static str, default: u64) -> u64 {
        self.read(key, "a whole number of at least 0", Value::as_u64)
            .unwrap_or(default)
    }

    pub(super) fn positive(&mut self, key: &'static str, default: u64) -> u64 {
        self.read(key, "a whole number of at least 1", |value| {
            value.as_u64().filter(|n| *n > 0)
        })
        .unwrap_or(default)
    }

    /// A positive number that fits 32 bits.
    pub(super) fn count(&mut self, key: &'static str, default: u32) -> u32 {
        self.read(key, "a whole number from 1 to 4294967295", |value| {
            value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
        })
        .unwrap_or(default)
    }

    pub(super) fn number(&mut self, key: &'static str, default: f64, range: Range) -> f64 {
        let expected = format!("a number {}", range.words);
        self.read(key, &expected, |value| {
            value.as_f64().filter(|x| (range.holds)(*x))
        })
        .unwrap_or(default)
    }

    /// Seconds, or a number with `ms`, `s`, `m` or `h`.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        self.read(key, "a time such as 5s, 500ms, 2m or 1h", parse_duration)
            .unwrap_or(default)
    }

    /// Bytes, or a number with `KiB`, `MiB` or `GiB`.
    pub(super) fn bytes(&mut self, key: &'static str, default: u64) -> u64 {
        self.read(key, "a size such as 256MiB", parse_bytes)
            .unwrap_or(default)
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        self.read(key, &expected, |value| {
            let text = value.as_str()?;
            choices
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, choice)| *choice)
        })
        .unwrap_or(default)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_null())
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.values.keys() {
            let message = match nearest(key, &self.known) {
                Some(known) => format!("unknown key; did you mean {known}?"),
                None => format!("unknown key; known here: {}", self.known.join(", ")),
            };
            self.fault(key, message);
        }
    }
}

/// A range of numbers and how to say it.
pub(super) struct Range {
    words: &'static str,
    holds: fn(f64) -> bool,
}

pub(super) const POSITIVE: Range = Range {
    words: "above 0",
    holds: |x| x > 0.0 && x.is_finite(),
};
pub(super) const NOT_NEGATIVE: Range = Range {
    words: "of at least 0",
    holds: |x| x >= 0.0 && x.is_finite(),
};
pub(super) const FRACTION: Range = Range {
    words: "from 0 to 1",
    holds: |x| (0.0..=1.0).contains(&x),
};
pub(super) const BELOW_ONE: Range = Range {
    words: "from 0 to below 1",
    holds: |x| (0.0..1.0).contains(&x),
};

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn split_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

fn parse_duration(value: &Value) -> Option<Duration> {
    let (number, unit) = match value {
        Value::Number(number) => (number.as_f64()?, "s"),
        Value::String(text) => split_unit(text)?,
        _ => return None,
    };
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero())
}

fn parse_bytes(value: &Value) -> Option<u64> {
    let (number, unit) = match value {
        Value::Number(number) => return number.as_u64().filter(|n| *n > 0),
        Value::String(text) => split_unit(text)?,
        _ => return None,
    };
    let scale = match unit {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * scale;
    (1.0..9e18).contains(&bytes).then_some(bytes as u64)
}

/// The known key that a misspelt one most likely meant.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = 1 + key.len() / 4;
    let distances = known
        .iter()
        .map(|candidate| (edit_distance(key, candidate), *candidate));
    distances
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
