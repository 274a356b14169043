//! A safetensors file on disk, read by places.

use safetensors::tensor::Metadata;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use twinspan_model::openclip::{StateDict, TensorInfo, WeightsError};

/// A header of a model is far smaller; the bound keeps a damaged length from being allocated.
const LARGEST_HEADER: u64 = 100_000_000;

/// An open file and what its header says.
pub(super) struct SafetensorsFile {
    file: File,
    metadata: Metadata,
    /// Where the first tensor begins.
    data: u64,
}

fn bad(detail: impl ToString) -> WeightsError {
    WeightsError::NotSafetensors {
        detail: detail.to_string(),
    }
}

impl SafetensorsFile {
    /// Reads the header: a length, then JSON that the length's bytes hold.
    ///
    /// # Errors
    /// The file cannot be read or is no whole safetensors file.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let mut file = File::open(path).map_err(bad)?;
        let size = file.metadata().map_err(bad)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(bad)?;
        let length = u64::from_le_bytes(length);
        if length > LARGEST_HEADER.min(size) {
            return Err(bad(format!("its header would have {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(bad)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(bad)?;
        let data = 8 + length;
        let whole = data + metadata.data_len() as u64;
        match size == whole {
            true => Ok(Self {
                file,
                metadata,
                data,
            }),
            false => Err(bad(format!("it has {size} bytes, its header says {whole}"))),
        }
    }
}

impl StateDict for SafetensorsFile {
    fn tensors(&self) -> Vec<TensorInfo> {
        let info = |(key, info): (String, &safetensors::tensor::TensorInfo)| TensorInfo {
            key,
            dtype: info.dtype,
            shape: info.shape.clone(),
        };
        self.metadata.tensors().into_iter().map(info).collect()
    }

    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>, String> {
        let info = self.metadata.info(&tensor.key);
        let (start, end) = info
            .ok_or_else(|| format!("{}: not in the file", tensor.key))?
            .data_offsets;
        let mut bytes = vec![0; end - start];
        let read = self
            .file
            .read_exact_at(&mut bytes, self.data + start as u64);
        match read {
            Ok(()) => Ok(bytes),
            Err(error) => Err(format!("{}: {error}", tensor.key)),
        }
    }
}
