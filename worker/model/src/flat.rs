//! A model's numbers in the flat layout of its table, in the memory that the steps work in.

use std::borrow::Cow;

use burn::tensor::{Tensor, TensorData};

use crate::Compute;
use crate::params::{ParamTable, Tower};

/// One number for each parameter: the parameters themselves, or a moment of them.
#[derive(Clone, Debug)]
pub enum Flat {
    /// In host memory.
    Host(Vec<f32>),
    /// On a device.
    Resident(Box<Resident>),
}

/// Numbers of which the host keeps the few that both towers share, which the loss reads.
///
/// A copy costs nothing: what is copied stays as it is when the other goes on.
#[derive(Clone, Debug)]
pub struct Resident {
    /// Those of the shared parameters.
    pub shared: Vec<f32>,
    /// Those of both towers, in the table's order.
    pub towers: Tensor<1>,
}

impl Flat {
    /// Brings the numbers to where `compute` works; nothing where they are there.
    #[must_use]
    pub fn placed(self, table: &ParamTable, compute: &Compute) -> Self {
        match self {
            Self::Host(mut numbers) if compute.resident => {
                let towers = numbers.split_off(table.range(Tower::Shared).end);
                let length = towers.len();
                let data = TensorData::new(towers, [length]);
                Self::Resident(Box::new(Resident {
                    shared: numbers,
                    towers: Tensor::from_data(data, &compute.device),
                }))
            }
            Self::Resident(_) if !compute.resident => Self::Host(self.into_host()),
            placed => placed,
        }
    }

    /// All numbers in host memory.
    ///
    /// # Panics
    /// If the device has failed.
    #[must_use]
    pub fn to_host(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Host(numbers) => Cow::Borrowed(numbers),
            Self::Resident(resident) => {
                let mut numbers = resident.shared.clone();
                numbers.extend(to_vec(resident.towers.clone()));
                Cow::Owned(numbers)
            }
        }
    }

    /// As [`Self::to_host`].
    ///
    /// # Panics
    /// If the device has failed.
    #[must_use]
    pub fn into_host(self) -> Vec<f32> {
        match self {
            Self::Host(numbers) => numbers,
            Self::Resident(_) => self.to_host().into_owned(),
        }
    }

    /// The number of a shared parameter, by its place.
    #[must_use]
    pub fn shared(&self, place: usize) -> f32 {
        match self {
            Self::Host(numbers) => numbers[place],
            Self::Resident(resident) => resident.shared[place],
        }
    }

    /// Keeps a shared parameter within bounds, by its place.
    pub fn clamp_shared(&mut self, place: usize, least: f32, most: f32) {
        let number = match self {
            Self::Host(numbers) => &mut numbers[place],
            Self::Resident(resident) => &mut resident.shared[place],
        };
        *number = number.clamp(least, most);
    }
}

impl From<Vec<f32>> for Flat {
    fn from(numbers: Vec<f32>) -> Self {
        Self::Host(numbers)
    }
}

impl PartialEq for Flat {
    fn eq(&self, other: &Self) -> bool {
        self.to_host() == other.to_host()
    }
}

/// A tensor's numbers, in host memory.
///
/// # Panics
/// If the device has failed.
#[must_use]
pub fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .try_into_vec_as::<f32>()
        .expect("a tensor of floats whose device works")
}
