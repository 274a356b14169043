//! A step's gradient in the flat layout: gathered leaf by leaf, summed over the ranks, measured.

use std::borrow::Cow;

use burn::tensor::{Device, Tensor};

use crate::Compute;
use crate::flat::to_vec;
use crate::loss::RowSum;
use crate::ops::total;
use crate::optim::global_norm;
use crate::params::{ParamTable, Tower};

/// The gradient of all parameters.
#[derive(Debug)]
pub enum Gradient {
    /// In host memory, in the table's layout.
    Host(Vec<f32>),
    /// On a device.
    Resident(Box<Pieces>),
}

/// A gradient on a device.
#[derive(Debug)]
pub struct Pieces {
    /// Of the shared parameters, once the whole was measured.
    pub(crate) shared: Vec<f32>,
    /// The same on the device.
    shared_leaves: Vec<Tensor<1>>,
    /// Of each parameter, flat; none where nothing has moved it.
    pub(crate) leaves: Vec<Option<Tensor<1>>>,
    /// All of them, once they are put together.
    whole: Option<Tensor<1>>,
    device: Device,
}

impl Gradient {
    /// Nothing yet.
    #[must_use]
    pub fn zeros(table: &ParamTable, compute: &Compute) -> Self {
        match compute.resident {
            false => Self::Host(vec![0.0; table.total()]),
            true => {
                let shared = table.range(Tower::Shared).len();
                Self::Resident(Box::new(Pieces {
                    shared: Vec::new(),
                    shared_leaves: vec![Tensor::zeros([1], &compute.device); shared],
                    leaves: vec![None; table.specs().len()],
                    whole: None,
                    device: compute.device.clone(),
                }))
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        match self {
            Self::Host(numbers) => numbers.fill(0.0),
            Self::Resident(pieces) => {
                let device = pieces.device.clone();
                pieces.shared_leaves.fill(Tensor::zeros([1], &device));
                pieces.leaves.fill(None);
                pieces.whole = None;
            }
        }
    }

    /// Sets the gradient of a shared parameter, by its place.
    pub fn set_shared(&mut self, place: usize, value: &RowSum) {
        match self {
            Self::Host(numbers) => numbers[place] = value.on_host(),
            Self::Resident(pieces) => pieces.shared_leaves[place] = value.on_device(),
        }
    }

    /// All numbers in host memory, in the table's layout.
    ///
    /// # Panics
    /// If a resident one has not been put together.
    #[must_use]
    pub fn to_host(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Host(numbers) => Cow::Borrowed(numbers),
            Self::Resident(pieces) => {
                let shared = pieces.shared_leaves.len();
                let mut numbers = to_vec(pieces.whole().clone());
                numbers.rotate_right(shared);
                Cow::Owned(numbers)
            }
        }
    }

    /// Reads `terms` and the gradient's Euclidean norm, which is not finite when any number is not: the
    /// one time in a step that the host waits for the device.
    ///
    /// # Panics
    /// If the device has failed, or a resident gradient has not been put together.
    #[must_use]
    pub fn measure(&mut self, terms: Tensor<1>) -> (Vec<f32>, f64) {
        match self {
            Self::Host(numbers) => (to_vec(terms), global_norm(numbers)),
            Self::Resident(pieces) => {
                let whole = pieces.whole().clone();
                let ([length], shared) = (whole.dims(), pieces.shared_leaves.len());
                let of_shared = whole.clone().slice(length - shared..length);
                let square = total(whole.clone() * whole);
                let mut read = to_vec(Tensor::cat(vec![terms, of_shared, square], 0));
                let square = read.pop().unwrap_or(f32::NAN);
                pieces.shared = read.split_off(read.len() - shared);
                (read, f64::from(square).sqrt())
            }
        }
    }
}

impl Pieces {
    /// Puts the parameters' gradients together, those of both towers in the table's order and behind
    /// them the shared ones, and gives the tensor `f` what it makes of it.
    pub fn assemble<E>(
        &mut self,
        table: &ParamTable,
        f: impl FnOnce(Tensor<1>) -> Result<Tensor<1>, E>,
    ) -> Result<(), E> {
        let device = &self.device;
        let specs = table.specs().iter().zip(&mut self.leaves);
        let towers = specs.filter(|(spec, _)| spec.tower != Tower::Shared);
        let mut parts: Vec<Tensor<1>> = towers
            .map(|(spec, leaf)| {
                leaf.take()
                    .unwrap_or_else(|| Tensor::zeros([spec.len()], device))
            })
            .collect();
        parts.extend(self.shared_leaves.iter().cloned());
        self.whole = Some(f(Tensor::cat(parts, 0))?);
        Ok(())
    }

    /// The whole gradient.
    pub(crate) fn whole(&self) -> &Tensor<1> {
        self.whole
            .as_ref()
            .expect("the gradient is put together before it is read")
    }

    /// Adds to a parameter's gradient.
    pub(crate) fn add(&mut self, index: usize, gradient: Tensor<1>) {
        let leaf = &mut self.leaves[index];
        *leaf = Some(match leaf.take() {
            Some(so_far) => so_far + gradient,
            None => gradient,
        });
    }
}
