//! Tensors made from the flat buffer, and gradients back into one.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::TextForward;
use crate::params::{ParamSpec, ParamTable, Tower};

/// One parameter on the device.
enum Leaf {
    /// A parameter of rank 1.
    Vector(Tensor<1>),
    /// A parameter of rank 2, or a convolution's kernel `[o, i, kh, kw]` as `[o, kh * kw * i]`,
    /// the order of columns that `ops::im2col` makes.
    Matrix(Tensor<2>),
}

/// All parameters of one step on a device, by open_clip's names.
///
/// The token embedding is no tensor: the rows that a batch uses are gathered from the host, and
/// their gradients are added back there. So is the logit scale, which only the loss reads.
pub struct Weights<'a> {
    table: &'a ParamTable,
    flat: &'a [f32],
    leaves: Vec<Option<Leaf>>,
    device: Device,
}

impl<'a> Weights<'a> {
    /// Of both towers, or of one alone.
    pub(super) fn new(
        table: &'a ParamTable,
        flat: &'a [f32],
        device: &Device,
        only: Option<Tower>,
    ) -> Self {
        assert_eq!(flat.len(), table.total(), "values of the flat buffer");
        let token_embedding = table.token_embedding().offset;
        let leaves = table
            .specs()
            .iter()
            .map(|spec| {
                if only.is_some_and(|tower| tower != spec.tower) {
                    return None;
                }
                let values = &flat[spec.range()];
                let leaf = Leaves {
                    device,
                    locked: spec.locked,
                };
                match *spec.shape.as_slice() {
                    [width] => Some(Leaf::Vector(leaf.make(values.to_vec(), [width]))),
                    [rows, columns] if spec.offset != token_embedding => {
                        Some(Leaf::Matrix(leaf.make(values.to_vec(), [rows, columns])))
                    }
                    [outputs, inputs, height, width] => {
                        let shape = [outputs, inputs, height, width];
                        let rows = kernel_order(shape).map(|place| values[place]).collect();
                        let columns = height * width * inputs;
                        Some(Leaf::Matrix(leaf.make(rows, [outputs, columns])))
                    }
                    _ => None,
                }
            })
            .collect();
        Self {
            table,
            flat,
            leaves,
            device: device.clone(),
        }
    }

    /// The device that the tensors are on.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Parameters whose names begin with `prefix` and a dot.
    pub(super) fn scope(&self, prefix: &str) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: format!("{prefix}."),
        }
    }

    /// Parameters by their whole names.
    pub(super) fn root(&self) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: String::new(),
        }
    }

    /// Rows of the token embedding, `[ids, width]`, outside any graph but tracked themselves unless
    /// they are locked.
    pub(super) fn token_rows(&self, ids: &[u32]) -> Tensor<2> {
        let width = self.token_width();
        let table = &self.flat[self.table.token_embedding().range()];
        let mut rows = Vec::with_capacity(ids.len() * width);
        for &id in ids {
            let start = id as usize * width;
            rows.extend_from_slice(&table[start..start + width]);
        }
        let leaf = Leaves {
            device: &self.device,
            locked: self.table.token_embedding().locked,
        };
        leaf.make(rows, [ids.len(), width])
    }

    fn token_width(&self) -> usize {
        self.table.token_embedding().shape[1]
    }

    /// Adds the gradients of all parameters to `out`, which has the flat buffer's layout, and
    /// those of the token rows of `texts` to the rows of the token embedding. Parameters that have
    /// no gradient are left alone.
    ///
    /// # Panics
    /// If `out` has another length than the table.
    pub fn accumulate(&self, grads: &mut Gradients, texts: &[TextForward], out: &mut [f32]) {
        assert_eq!(out.len(), self.table.total(), "values of the flat gradient");
        for (spec, leaf) in self.table.specs().iter().zip(&self.leaves) {
            let gradient = match leaf {
                Some(Leaf::Vector(leaf)) => leaf.grad_remove(grads).map(values),
                Some(Leaf::Matrix(leaf)) => leaf.grad_remove(grads).map(values),
                None => None,
            };
            if let Some(gradient) = gradient {
                add(spec, &gradient, &mut out[spec.range()]);
            }
        }
        let width = self.token_width();
        let table = &mut out[self.table.token_embedding().range()];
        for text in texts {
            if let Some(rows) = text.rows.grad_remove(grads).map(values) {
                for (&id, row) in text.ids.iter().zip(rows.chunks_exact(width)) {
                    let start = id as usize * width;
                    add_values(row, &mut table[start..start + width]);
                }
            }
        }
    }
}

/// The parameters under one name.
pub(super) struct Scope<'w> {
    weights: &'w Weights<'w>,
    prefix: String,
}

impl Scope<'_> {
    /// Parameters deeper in.
    pub(super) fn scope(&self, name: &str) -> Scope<'_> {
        self.weights.scope(&self.path(name))
    }

    /// A whole name.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A parameter of rank 1.
    pub(super) fn vector(&self, name: &str) -> Tensor<1> {
        match self.leaf(name) {
            Leaf::Vector(leaf) => leaf.clone(),
            Leaf::Matrix(_) => panic!("{} is no vector", self.path(name)),
        }
    }

    /// A parameter of rank 2, or a kernel as rows.
    pub(super) fn matrix(&self, name: &str) -> Tensor<2> {
        match self.leaf(name) {
            Leaf::Matrix(leaf) => leaf.clone(),
            Leaf::Vector(_) => panic!("{} is no matrix", self.path(name)),
        }
    }

    fn leaf(&self, name: &str) -> &Leaf {
        let path = self.path(name);
        self.weights
            .table
            .index(&path)
            .and_then(|index| self.weights.leaves[index].as_ref())
            .unwrap_or_else(|| panic!("the model has no tensor called {path}"))
    }
}

/// Where tensors of parameters are made, and whether they are trained.
struct Leaves<'d> {
    device: &'d Device,
    locked: bool,
}

impl Leaves<'_> {
    fn make<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        let tensor = Tensor::from_data(TensorData::new(values, shape), self.device);
        match self.device.is_autodiff() && !self.locked {
            true => tensor.require_grad(),
            false => tensor,
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .try_into_vec_as::<f32>()
        .expect("a gradient of f32 parameters can be read as f32")
}

fn add(spec: &ParamSpec, gradient: &[f32], out: &mut [f32]) {
    match *spec.shape.as_slice() {
        [outputs, inputs, height, width] => {
            let places = kernel_order([outputs, inputs, height, width]);
            for (place, value) in places.zip(gradient) {
                out[place] += value;
            }
        }
        _ => add_values(gradient, out),
    }
}

fn add_values(values: &[f32], out: &mut [f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += value;
    }
}

/// Places of a kernel `[o, i, kh, kw]` in the order of `[o, kh, kw, i]`.
fn kernel_order([outputs, inputs, height, width]: [usize; 4]) -> impl Iterator<Item = usize> {
    let area = height * width;
    (0..outputs).flat_map(move |output| {
        (0..area).flat_map(move |pixel| {
            (0..inputs).map(move |input| (output * inputs + input) * area + pixel)
        })
    })
}
