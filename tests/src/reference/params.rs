//! Parameters, or their gradients, by open_clip's names.

use std::collections::BTreeMap;

use super::tensor::{Tensor, dot};

/// Tensors by name, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    map: BTreeMap<String, Tensor>,
}

impl Params {
    /// A collection without tensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Zeros of the same names and shapes.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        self.iter()
            .map(|(name, tensor)| (name.to_owned(), Tensor::zeros(&tensor.shape)))
            .collect()
    }

    /// Puts a tensor in, in place of the one that had the name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.map.insert(name.into(), tensor);
    }

    /// The tensor of that name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &Tensor {
        self.map
            .get(name)
            .unwrap_or_else(|| panic!("no tensor is named {name}"))
    }

    /// The tensor of that name, to write.
    ///
    /// # Panics
    /// If there is none.
    pub fn get_mut(&mut self, name: &str) -> &mut Tensor {
        self.map
            .get_mut(name)
            .unwrap_or_else(|| panic!("no tensor is named {name}"))
    }

    /// Adds to the tensor of that name.
    ///
    /// # Panics
    /// If there is none, or its shape differs.
    pub fn add(&mut self, name: &str, tensor: &Tensor) {
        let own = self.get_mut(name);
        assert_eq!(own.shape, tensor.shape, "{name}: shapes must be equal");
        own.add(tensor);
    }

    /// Names and tensors in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.map
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// As [`Self::iter`], to write.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Tensor)> {
        self.map
            .iter_mut()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The Euclidean norm over all values of all tensors.
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.map
            .values()
            .map(|tensor| dot(&tensor.data, &tensor.data))
            .sum::<f64>()
            .sqrt()
    }
}

impl FromIterator<(String, Tensor)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self {
            map: tensors.into_iter().collect(),
        }
    }
}
