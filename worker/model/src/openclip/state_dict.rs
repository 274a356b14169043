//! Named tensors of a file, whatever its format: what they are first, their values when asked for.

use safetensors::tensor::{Dtype, SafeTensors};

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its key in the file.
    pub key: String,
    /// Type of its values.
    pub dtype: Dtype,
    /// Its shape in PyTorch's layout; empty for a scalar.
    pub shape: Vec<usize>,
}

/// A file's tensors. Nothing is read before a tensor is asked for, so that a file never needs to
/// lie in memory whole.
pub trait StateDict {
    /// All tensors, in any order.
    fn tensors(&self) -> Vec<TensorInfo>;

    /// A tensor's values, row-major and little-endian.
    ///
    /// # Errors
    /// The reader's words, when the file cannot be read or contradicts itself.
    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>, String>;
}

impl StateDict for SafeTensors<'_> {
    fn tensors(&self) -> Vec<TensorInfo> {
        let info = |(key, tensor): (&str, safetensors::tensor::TensorView<'_>)| TensorInfo {
            key: key.to_owned(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
        };
        self.iter().map(info).collect()
    }

    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>, String> {
        let found = self.tensor(&tensor.key);
        found
            .map(|found| found.data().to_vec())
            .map_err(|error| error.to_string())
    }
}

/// Whether values of this type can be weights.
pub(super) const fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64)
}

/// Bytes of floats of any width as `f32`.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F32 => words(bytes).map(f32::from_le_bytes).collect(),
        Dtype::F64 => words(bytes)
            .map(|word| f64::from_le_bytes(word) as f32)
            .collect(),
        Dtype::F16 => words(bytes)
            .map(|word| half::f16::from_le_bytes(word).to_f32())
            .collect(),
        Dtype::BF16 => words(bytes)
            .map(|word| half::bf16::from_le_bytes(word).to_f32())
            .collect(),
        _ => Vec::new(),
    }
}

fn words<const W: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; W]> {
    bytes.as_chunks::<W>().0.iter().copied()
}
