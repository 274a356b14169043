//! Between flat buffers and safetensors files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, View, serialize as to_bytes};

use super::WeightsError;

/// A tensor to write.
pub(super) struct TensorBytes<'a> {
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Floats(&'a [f32]),
    Count(u64),
}

impl<'a> TensorBytes<'a> {
    /// float32 values in row-major order.
    pub(super) fn floats(shape: &[usize], values: &'a [f32]) -> Self {
        Self {
            shape: shape.to_vec(),
            values: Values::Floats(values),
        }
    }

    /// A scalar int64.
    pub(super) const fn count(count: u64) -> Self {
        Self {
            shape: Vec::new(),
            values: Values::Count(count),
        }
    }
}

impl View for TensorBytes<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::Floats(_) => Dtype::F32,
            Values::Count(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.values {
            Values::Floats(values) => {
                let mut bytes = vec![0; 4 * values.len()];
                for (bytes, value) in bytes.chunks_exact_mut(4).zip(values) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                Cow::Owned(bytes)
            }
            Values::Count(count) => Cow::Owned(count.to_le_bytes().to_vec()),
        }
    }

    fn data_len(&self) -> usize {
        match self.values {
            Values::Floats(values) => 4 * values.len(),
            Values::Count(_) => 8,
        }
    }
}

/// Writes a file, with the mark by which other libraries know PyTorch's layout.
pub(super) fn serialize<'a>(tensors: impl Iterator<Item = (String, TensorBytes<'a>)>) -> Vec<u8> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    to_bytes(tensors, Some(metadata)).expect("names are unique and lengths follow from shapes")
}

/// A place that one tensor of a file must fill.
pub(super) struct Slot<'a> {
    name: String,
    shape: Vec<usize>,
    target: &'a mut [f32],
    filled: bool,
}

impl<'a> Slot<'a> {
    pub(super) fn new(name: String, shape: &[usize], target: &'a mut [f32]) -> Self {
        Self {
            name,
            shape: shape.to_vec(),
            target,
            filled: false,
        }
    }

    fn take(&mut self, tensor: &TensorView<'_>) -> Result<(), String> {
        let (dtype, shape) = (tensor.dtype(), tensor.shape());
        let name = &self.name;
        if std::mem::replace(&mut self.filled, true) {
            return Err(format!("{name}: stands more than once"));
        }
        if shape != self.shape {
            return Err(format!("{name}: {shape:?}, not {:?}", self.shape));
        }
        if dtype != Dtype::F32 {
            return Err(format!("{name}: {dtype:?}; convert it to float32"));
        }
        for (value, bytes) in self.target.iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }
}

/// Fills every slot from the files. `rename` gives a file's key the name of its slot, or nothing
/// for a tensor that is not needed.
pub(super) fn fill(
    files: &[&[u8]],
    slots: Vec<Slot<'_>>,
    rename: impl Fn(&str) -> Option<&str>,
) -> Result<(), WeightsError> {
    let mut faults = Vec::new();
    let mut slots: BTreeMap<String, Slot<'_>> = slots
        .into_iter()
        .map(|slot| (slot.name.clone(), slot))
        .collect();
    for file in files {
        let file =
            SafeTensors::deserialize(file).map_err(|error| WeightsError::NotSafetensors {
                detail: error.to_string(),
            })?;
        for (key, tensor) in file.iter() {
            let Some(name) = rename(key) else { continue };
            match slots.get_mut(name) {
                Some(slot) => faults.extend(slot.take(&tensor).err()),
                None => faults.push(format!("{key}: unexpected, {:?}", tensor.shape())),
            }
        }
    }
    let missing = slots.values().filter(|slot| !slot.filled);
    faults.extend(missing.map(|slot| format!("{}: missing, {:?}", slot.name, slot.shape)));
    faults.sort();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(WeightsError::OtherModel { faults }),
    }
}
