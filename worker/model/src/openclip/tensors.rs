//! Between flat buffers and safetensors files.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, View, serialize as to_bytes};

use super::WeightsError;
use super::resize::Resize;
use super::state_dict::{StateDict, TensorInfo, is_float, to_f32};

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

/// A tensor that a model must have.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

impl Wanted {
    /// A model with a logit bias that starts from weights without one has it at 0, as open_clip
    /// does.
    fn may_be_missing(&self) -> bool {
        self.name == "logit_bias"
    }

    /// How a tensor can stand for it; what is wrong if it cannot.
    fn accept(&self, tensor: &TensorInfo) -> Result<Option<Resize>, String> {
        let name = &self.name;
        if !is_float(tensor.dtype) {
            return Err(format!("{name}: {:?}; convert it to float32", tensor.dtype));
        }
        if tensor.shape == self.shape || (self.shape.is_empty() && tensor.shape == [1]) {
            return Ok(None);
        }
        let resize = Resize::of(name).filter(|resize| {
            matches!(
                (tensor.shape.as_slice(), self.shape.as_slice()),
                ([from, width], [to, own]) if width == own && resize.fits(*from, *to)
            )
        });
        match resize {
            Some(resize) => Ok(Some(resize)),
            None => Err(format!("{name}: {:?}, not {:?}", tensor.shape, self.shape)),
        }
    }
}

/// A tensor of a file and the number of the one that it is read for.
pub(super) struct Match<'f> {
    file: &'f dyn StateDict,
    tensor: TensorInfo,
    wanted: usize,
    resize: Option<Resize>,
}

/// Finds every wanted tensor in the files; no value is read. `rename` gives a file's key the name
/// of what it is wanted for, or nothing for a tensor that is not needed.
pub(super) fn find<'f>(
    files: &[&'f dyn StateDict],
    wanted: &[Wanted],
    rename: impl Fn(&str) -> Option<&str>,
) -> Result<Vec<Match<'f>>, WeightsError> {
    let numbers: HashMap<&str, usize> = wanted
        .iter()
        .enumerate()
        .map(|(number, one)| (one.name.as_str(), number))
        .collect();
    let mut found = vec![false; wanted.len()];
    let (mut matches, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        for tensor in file.tensors() {
            let Some(name) = rename(&tensor.key) else {
                continue;
            };
            let Some(number) = numbers.get(name).copied() else {
                faults.push(format!("{}: unexpected, {:?}", tensor.key, tensor.shape));
                continue;
            };
            if std::mem::replace(&mut found[number], true) {
                faults.push(format!("{name}: stands more than once"));
                continue;
            }
            match wanted[number].accept(&tensor) {
                Ok(resize) => matches.push(Match {
                    file: *file,
                    tensor,
                    wanted: number,
                    resize,
                }),
                Err(fault) => faults.push(fault),
            }
        }
    }
    let missing = wanted.iter().zip(&found);
    let missing = missing.filter(|(one, found)| !**found && !one.may_be_missing());
    faults.extend(missing.map(|(one, _)| format!("{}: missing, {:?}", one.name, one.shape)));
    faults.sort();
    matches.sort_by_key(|one| one.wanted);
    match faults.is_empty() {
        true => Ok(matches),
        false => Err(WeightsError::OtherModel { faults }),
    }
}

/// Reads what was found, one tensor at a time, each to the target of its number. Says of each that
/// was resized how.
pub(super) fn read(
    matches: Vec<Match<'_>>,
    wanted: &[Wanted],
    targets: &mut [&mut [f32]],
) -> Result<Vec<String>, WeightsError> {
    let mut resized = Vec::new();
    for Match {
        file,
        tensor,
        wanted: number,
        resize,
    } in matches
    {
        let bytes = file.read(&tensor);
        let bytes = bytes.map_err(|detail| WeightsError::Unreadable { detail })?;
        let mut values = to_f32(tensor.dtype, &bytes);
        let Wanted { name, shape } = &wanted[number];
        if let (Some(resize), [rows, width]) = (resize, shape.as_slice()) {
            values = resize.apply(&values, *width, *rows);
            resized.push(format!("{name}: {:?} to {shape:?}", tensor.shape));
        }
        if values.len() != targets[number].len() {
            let detail = format!("{}: its bytes are not of {:?}", tensor.key, tensor.shape);
            return Err(WeightsError::Unreadable { detail });
        }
        if !values.iter().all(|value| value.is_finite()) {
            let detail = format!("{}: holds values that are not finite", tensor.key);
            return Err(WeightsError::Unreadable { detail });
        }
        targets[number].copy_from_slice(&values);
    }
    Ok(resized)
}
