//! Metrics as TensorBoard's event files: records of TensorFlow's TFRecord format that hold `Event`
//! messages (tensorflow/core/util/event.proto). Only scalars, so only their fields.

use prost::Message;
use twinspan_types::{Evaluation, StepReport};

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Added to a rotated checksum, so that the checksum of data with checksums in it stays good.
const MASK: u32 = 0xa282_ead8;

/// Event files in the making: what is added waits until [`EventFile::take`].
#[derive(Debug, Default)]
pub struct EventFile(Vec<u8>);

impl EventFile {
    /// Adds committed steps, seen at `now` (seconds since 1970), in open_clip's names.
    pub fn add_steps(&mut self, now: f64, steps: &[StepReport]) {
        for report in steps {
            let m = &report.metrics;
            let scalars = [
                ("train/loss", m.loss),
                ("train/scale", m.logit_scale),
                ("train/lr", m.lr),
                ("train/grad_norm", m.grad_norm),
                ("train/data_time", m.data_time),
                ("train/batch_time", m.batch_time),
                ("train/samples_per_second", m.samples_per_second),
            ];
            self.add(now, report.step.0, scalars);
        }
    }

    /// Adds finished evaluations.
    pub fn add_evaluations(&mut self, now: f64, evaluations: &[Evaluation]) {
        for evaluation in evaluations {
            let figures = evaluation.metrics.iter();
            let figures = figures.map(|(name, value)| (name.as_str(), *value));
            self.add(now, evaluation.step.0, figures);
        }
    }

    /// The bytes of a file with what was added; none where nothing was.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
    }

    fn add<'n>(&mut self, now: f64, step: u64, scalars: impl IntoIterator<Item = (&'n str, f64)>) {
        if self.0.is_empty() {
            let header = Event {
                wall_time: now,
                file_version: Some("brain.Event:2".to_owned()),
                ..Event::default()
            };
            self.record(&header);
        }
        let value = scalars.into_iter().map(|(tag, value)| Value {
            tag: tag.to_owned(),
            simple_value: Some(value as f32),
        });
        let event = Event {
            wall_time: now,
            step: i64::try_from(step).unwrap_or(i64::MAX),
            file_version: None,
            summary: Some(Summary {
                value: value.collect(),
            }),
        };
        self.record(&event);
    }

    /// Length, its checksum, the message, its checksum.
    fn record(&mut self, event: &Event) {
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        self.0.extend_from_slice(&length);
        self.0.extend_from_slice(&masked(&length).to_le_bytes());
        self.0.extend_from_slice(&message);
        self.0.extend_from_slice(&masked(&message).to_le_bytes());
    }
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{Step, StepMetrics};

    /// The events of a file whose checksums hold.
    fn events(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(rest[..4], masked(length).to_le_bytes());
            let message = &rest[4..4 + size];
            assert_eq!(rest[4 + size..8 + size], masked(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            bytes = &rest[8 + size..];
        }
        events
    }

    #[test]
    fn checksums_are_those_of_tensorflow() {
        // The header of a file that TensorFlow wrote: 24 bytes follow.
        assert_eq!(masked(&24_u64.to_le_bytes()), 0x224b_7fa3);
    }

    #[test]
    fn a_file_begins_with_its_version_and_holds_each_scalar_of_a_step() {
        let mut file = EventFile::default();
        assert_eq!(file.take(), None);
        let report = StepReport {
            step: Step(7),
            metrics: StepMetrics {
                loss: 2.5,
                logit_scale: 14.0,
                lr: 1e-3,
                grad_norm: 1.0,
                data_time: 0.0,
                batch_time: 0.5,
                samples_per_second: 256.0,
            },
            cursors: Vec::new(),
            sample_hash: 0,
            skips: Vec::new(),
        };
        file.add_steps(1.5, &[report]);
        let events = events(&file.take().unwrap());
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!((events[1].wall_time, events[1].step), (1.5, 7));
        let values = &events[1].summary.as_ref().unwrap().value;
        let loss = values.iter().find(|value| value.tag == "train/loss");
        assert_eq!(loss.and_then(|value| value.simple_value), Some(2.5));
        assert_eq!(values.len(), 7);
        assert_eq!(file.take(), None);
    }
}
