//! Reads a JSON object field by field and keeps every fault instead of stopping at the first.

use std::cell::RefCell;

use serde_json::{Map, Value};
use twinspan_types::Fault;

use super::rules::Rule;

/// Larger sizes are typing errors; the bound also keeps products of them from overflowing.
const LARGEST: usize = 1 << 20;

/// One object of the file.
pub(super) struct Fields<'f> {
    path: String,
    values: Map<String, Value>,
    faults: &'f RefCell<Vec<Fault>>,
}

impl<'f> Fields<'f> {
    pub(super) fn new(path: &str, value: Value, faults: &'f RefCell<Vec<Fault>>) -> Self {
        let (values, is_object) = match value {
            Value::Object(values) => (values, true),
            _ => (Map::new(), false),
        };
        let fields = Self {
            path: path.to_owned(),
            values,
            faults,
        };
        if !is_object {
            let place = if path.is_empty() { "the file" } else { path };
            fields.faults.borrow_mut().push(Fault {
                path: place.to_owned(),
                message: "must be a JSON object".to_owned(),
            });
        }
        fields
    }

    /// Notes what is wrong with a field.
    pub(super) fn fault(&self, key: &str, message: impl Into<String>) {
        self.faults.borrow_mut().push(Fault {
            path: self.at(key),
            message: message.into(),
        });
    }

    fn at(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// A field's value; an explicit null counts as absent.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.values.remove(key).filter(|value| !value.is_null())
    }

    /// A nested object; empty when absent.
    pub(super) fn section(&mut self, key: &str) -> Fields<'f> {
        let value = self.take(key).unwrap_or_else(|| Value::Object(Map::new()));
        Fields::new(&self.at(key), value, self.faults)
    }

    /// A nested object that must be there.
    pub(super) fn required(&mut self, key: &str) -> Fields<'f> {
        if self.values.get(key).is_none_or(Value::is_null) {
            self.fault(
                key,
                "is missing; give an object, {} for open_clip's defaults",
            );
        }
        self.section(key)
    }

    /// A positive whole number; without a default it must be there. 1 stands in for a fault.
    pub(super) fn count(&mut self, key: &str, default: Option<usize>) -> usize {
        match (self.take(key), default) {
            (Some(value), _) => as_count(&value).unwrap_or_else(|| {
                self.fault(
                    key,
                    format!("{value} is not a whole number from 1 to {LARGEST}"),
                );
                1
            }),
            (None, Some(default)) => default,
            (None, None) => {
                self.fault(key, "is missing; give a positive whole number");
                1
            }
        }
    }

    /// The side of a square: a number, or a pair of equal ones.
    pub(super) fn side(&mut self, key: &str, default: usize) -> usize {
        match self.take(key) {
            None => default,
            Some(Value::Array(pair)) if pair.len() == 2 && pair[0] == pair[1] => {
                self.values.insert(key.to_owned(), pair[0].clone());
                self.count(key, None)
            }
            Some(Value::Array(pair)) => {
                let given = Value::Array(pair);
                self.fault(key, format!("{given} is not square; give one number"));
                1
            }
            Some(value) => {
                self.values.insert(key.to_owned(), value);
                self.count(key, None)
            }
        }
    }

    /// The blocks of a ResNet's stages, when the field is a list; none when it is not.
    pub(super) fn stages(&mut self, key: &str) -> Option<[usize; 4]> {
        let list = self.values.get(key)?.as_array()?.clone();
        self.values.remove(key);
        let stages: Vec<usize> = list.iter().filter_map(as_count).collect();
        match <[usize; 4]>::try_from(stages) {
            Ok(stages) if list.len() == 4 => Some(stages),
            _ => {
                let given = Value::Array(list);
                self.fault(
                    key,
                    format!("{given} must hold 4 positive whole numbers for a ResNet, or be one number for a ViT"),
                );
                Some([1; 4])
            }
        }
    }

    /// A share from 0 to below 1; 0 where it is absent.
    pub(super) fn share(&mut self, key: &str) -> f64 {
        let share = self.number(key, 0.0);
        if !(0.0..1.0).contains(&share) {
            self.fault(key, format!("{share} is not a share from 0 to below 1"));
        }
        share
    }

    /// A finite number that may be absent.
    pub(super) fn optional_number(&mut self, key: &str) -> Option<f64> {
        let is_there = self.values.get(key).is_some_and(|value| !value.is_null());
        let number = self.number(key, 0.0);
        is_there.then_some(number)
    }

    /// A finite number.
    pub(super) fn number(&mut self, key: &str, default: f64) -> f64 {
        match self.take(key) {
            None => default,
            Some(value) => value.as_f64().unwrap_or_else(|| {
                self.fault(key, format!("{value} is not a number"));
                default
            }),
        }
    }

    /// Hidden width over width; the hidden width must be a size.
    pub(super) fn ratio(&mut self, key: &str, default: f64, width: usize) -> f64 {
        let ratio = self.number(key, default);
        let hidden = ratio * width as f64;
        if (1.0..=(16 * LARGEST) as f64).contains(&hidden) {
            return ratio;
        }
        self.fault(
            key,
            format!("{ratio} gives an MLP of no usable width; open_clip's is 4.0"),
        );
        default
    }

    /// A truth value.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(value) => value.as_bool().unwrap_or_else(|| {
                self.fault(key, format!("{value} is neither true nor false"));
                default
            }),
        }
    }

    /// Holds what is left against the rules; what no rule knows is a fault.
    pub(super) fn finish(self, rules: &[Rule]) {
        for (key, value) in &self.values {
            match rules.iter().find(|rule| rule.key == key) {
                Some(rule) if value.is_null() || rule.allows.holds(value) => {}
                Some(rule) => self.fault(key, rule.message(value)),
                None => self.fault(
                    key,
                    "is not a field of open_clip's that twinspan knows, and may change the \
                     mathematics; correct its name or remove it",
                ),
            }
        }
    }
}

fn as_count(value: &Value) -> Option<usize> {
    let number = usize::try_from(value.as_u64()?).ok()?;
    (1..=LARGEST).contains(&number).then_some(number)
}
