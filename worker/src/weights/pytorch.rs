//! PyTorch's own files (`.pt`, `.pth`, `.bin`): tensors are taken out of the pickle, and nothing
//! that it would have called is ever run.

use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader};
use std::path::Path;
use twinspan_model::openclip::{Dtype, StateDict, TensorInfo, WeightsError};

/// The key of the weights in a training checkpoint of open_clip's.
const STATE_DICT: &str = "state_dict";

/// Modules of TorchScript's classes begin with this.
const TORCH_SCRIPT: &str = "__torch__.";

/// An open file whose pickle has been parsed.
pub(super) struct PytorchFile {
    reader: PytorchReader,
}

impl PytorchFile {
    /// Parses the pickle: a state dict, or a training checkpoint that holds one.
    ///
    /// # Errors
    /// The file is none of PyTorch's, or holds code and no tensors.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        if let Ok(reader) = PytorchReader::with_top_level_key(path, STATE_DICT)
            && !reader.is_empty()
        {
            return Ok(Self { reader });
        }
        match PytorchReader::new(path) {
            Ok(reader) if !reader.is_empty() => Ok(Self { reader }),
            Err(PytorchError::Pickle(PickleError::UnsupportedType(name))) => Err(code(&name)),
            Ok(_) => Err(without_tensors(path, "it holds no tensors".to_owned())),
            Err(error) => Err(without_tensors(path, error.to_string())),
        }
    }
}

impl StateDict for PytorchFile {
    fn tensors(&self) -> Vec<TensorInfo> {
        let tensors = self.reader.tensors().iter();
        let info = |(key, tensor): (&String, &pytorch_reader::Tensor)| TensorInfo {
            key: key.clone(),
            dtype: dtype(tensor.dtype()),
            shape: tensor.shape().to_vec(),
        };
        tensors.map(info).collect()
    }

    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>, String> {
        let found = self.reader.get(&tensor.key);
        let found = found.ok_or_else(|| format!("{}: not in the file", tensor.key))?;
        found.read().map_err(|error| error.to_string())
    }
}

/// What a file that holds no tensor holds instead; `detail` where that is nothing to be run.
fn without_tensors(path: &Path, detail: String) -> WeightsError {
    let root = PytorchReader::read_pickle_data(path, None);
    match root.ok().as_ref().and_then(first_object) {
        Some(name) => code(name),
        None => WeightsError::NotPytorch { detail },
    }
}

fn code(name: &str) -> WeightsError {
    let kind = match name.starts_with(TORCH_SCRIPT) {
        true => "a TorchScript program",
        false => "a Python object",
    };
    WeightsError::Code {
        what: format!("{kind} ({name})"),
    }
}

/// The first thing in it that a pickle would have made by calling something.
fn first_object(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => Some(name),
        PickleValue::List(values) => values.iter().find_map(first_object),
        PickleValue::Dict(values) => values.values().find_map(first_object),
        _ => None,
    }
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
