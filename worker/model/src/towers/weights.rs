//! Tensors made from the flat buffer, and gradients back into one.

use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};

use super::TextForward;
use crate::flat::{Flat, to_vec};
use crate::gradient::{Gradient, Pieces};
use crate::params::{ParamSpec, ParamTable, Tower};
use crate::{Compute, ops};

/// One parameter on the device.
#[derive(Clone)]
enum Leaf {
    /// A parameter of rank 1.
    Vector(Tensor<1>),
    /// A parameter of rank 2, or a convolution's kernel `[o, i, kh, kw]` as `[o, kh * kw * i]`,
    /// the order of columns that `ops::im2col` makes.
    Matrix(Tensor<2>),
}

/// Where a step's weights come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// The whole flat buffer in host memory.
    Host(&'a [f32]),
    /// Both towers' numbers on a device, and how many shared ones stand before them in the table.
    Device(&'a Tensor<1>, usize),
}

impl<'a> From<&'a Flat> for Source<'a> {
    fn from(flat: &'a Flat) -> Self {
        match flat {
            Flat::Host(numbers) => Self::Host(numbers),
            Flat::Resident(resident) => Self::Device(&resident.towers, resident.shared.len()),
        }
    }
}

/// All parameters of one step on a device, by open_clip's names.
///
/// The token embedding is no leaf: the rows that a batch uses are gathered from it, and their
/// gradients are added back to it. Nor is the logit scale, which only the loss reads.
pub struct Weights<'a> {
    table: &'a ParamTable,
    source: Source<'a>,
    leaves: Vec<Option<Leaf>>,
    device: Device,
    dtype: DType,
    recomputes: bool,
}

impl<'a> Weights<'a> {
    /// Of both towers, or of one alone, on `device`, which may be an autodiff device.
    pub(super) fn new(
        table: &'a ParamTable,
        source: Source<'a>,
        device: &Device,
        dtype: DType,
        only: Option<Tower>,
    ) -> Self {
        if let Source::Host(flat) = source {
            assert_eq!(flat.len(), table.total(), "values of the flat buffer");
        }
        let mut weights = Self {
            table,
            source,
            leaves: Vec::new(),
            device: device.clone(),
            dtype,
            recomputes: false,
        };
        let wanted = |spec: &&ParamSpec| only.is_none_or(|tower| tower == spec.tower);
        let leaves = table.specs().iter().map(|spec| {
            Some(spec)
                .filter(wanted)
                .and_then(|spec| weights.leaf_of(spec))
        });
        weights.leaves = leaves.collect();
        weights
    }

    /// Of one step.
    pub(super) fn of_step(table: &'a ParamTable, flat: &'a Flat, compute: &Compute) -> Self {
        let device = compute.device.clone().autodiff();
        let weights = Self::new(table, Source::from(flat), &device, compute.dtype, None);
        Self {
            recomputes: compute.recompute,
            ..weights
        }
    }

    /// The same without a graph.
    pub(super) fn untracked(&self) -> Self {
        let inner = |leaf: &Leaf| match leaf {
            Leaf::Vector(leaf) => Leaf::Vector(leaf.clone().inner()),
            Leaf::Matrix(leaf) => Leaf::Matrix(leaf.clone().inner()),
        };
        let leaves = self.leaves.iter().map(|leaf| leaf.as_ref().map(inner));
        Self {
            table: self.table,
            source: self.source,
            leaves: leaves.collect(),
            device: self.device.clone().inner(),
            dtype: self.dtype,
            recomputes: false,
        }
    }

    /// None for what is no leaf.
    fn leaf_of(&self, spec: &ParamSpec) -> Option<Leaf> {
        let dtype = if spec.is_norm() {
            DType::F32
        } else {
            self.dtype
        };
        match *spec.shape.as_slice() {
            [width] => {
                let vector = self.numbers(spec, [width]);
                Some(Leaf::Vector(self.leaf_from(spec, vector.cast(dtype))))
            }
            [rows, columns] if spec.offset != self.table.token_embedding().offset => {
                let matrix = self.numbers(spec, [rows, columns]);
                Some(Leaf::Matrix(self.leaf_from(spec, matrix.cast(dtype))))
            }
            [outputs, inputs, height, width] => {
                let columns = height * width * inputs;
                let kernel = self.numbers(spec, [outputs, inputs, height, width]);
                let rows = kernel.permute([0, 2, 3, 1]).reshape([outputs, columns]);
                Some(Leaf::Matrix(self.leaf_from(spec, rows.cast(dtype))))
            }
            _ => None,
        }
    }

    /// A parameter's numbers as they lie, off the graph.
    fn numbers<const D: usize>(&self, spec: &ParamSpec, shape: [usize; D]) -> Tensor<D> {
        match self.source {
            Source::Host(flat) => self.host_tensor(flat[spec.range()].to_vec(), shape),
            Source::Device(towers, shared) => {
                let range = spec.offset - shared..spec.range().end - shared;
                towers.clone().slice(range).reshape(shape)
            }
        }
    }

    fn host_tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(values, shape);
        Tensor::from_data(data, &self.device.clone().inner())
    }

    /// A tensor that the graph begins with, or one outside it where nothing is trained.
    fn leaf_from<const D: usize>(&self, spec: &ParamSpec, tensor: Tensor<D>) -> Tensor<D> {
        match (self.device.is_autodiff(), spec.locked) {
            (false, _) => tensor,
            (true, true) => tensor.autodiff(),
            (true, false) => tensor.autodiff().require_grad(),
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

    /// Whether blocks keep their inputs alone.
    pub(super) const fn recomputes(&self) -> bool {
        self.recomputes
    }

    /// Rows of the token embedding, `[ids, width]`, outside any graph but tracked themselves unless
    /// they are locked.
    pub(super) fn token_rows(&self, ids: &[u32]) -> Tensor<2> {
        let spec = self.table.token_embedding();
        let width = self.token_width();
        let rows = match self.source {
            Source::Host(flat) => {
                let table = &flat[spec.range()];
                let mut rows = Vec::with_capacity(ids.len() * width);
                for &id in ids {
                    let start = id as usize * width;
                    rows.extend_from_slice(&table[start..start + width]);
                }
                self.host_tensor(rows, [ids.len(), width])
            }
            Source::Device(towers, _) => {
                let table_vw = self.numbers(spec, [spec.shape[0], width]);
                table_vw.select(0, token_ids(ids, &towers.device()))
            }
        };
        self.leaf_from(spec, rows.cast(self.dtype))
    }

    fn token_width(&self) -> usize {
        self.table.token_embedding().shape[1]
    }

    /// Adds the gradients of all parameters to `out`, and those of the token rows of `texts` to the
    /// rows of the token embedding. Parameters that have no gradient are left alone.
    ///
    /// # Panics
    /// If `out` is of another table.
    pub fn accumulate(&self, grads: &mut Gradients, texts: &[TextForward], out: &mut Gradient) {
        match out {
            Gradient::Host(out) => self.accumulate_on_host(grads, texts, out),
            Gradient::Resident(pieces) => self.accumulate_on_device(grads, texts, pieces),
        }
    }

    fn accumulate_on_host(&self, grads: &mut Gradients, texts: &[TextForward], out: &mut [f32]) {
        assert_eq!(out.len(), self.table.total(), "values of the flat gradient");
        for (spec, leaf) in self.table.specs().iter().zip(&self.leaves) {
            let gradient = match leaf {
                Some(Leaf::Vector(leaf)) => leaf.grad_remove(grads).map(to_vec),
                Some(Leaf::Matrix(leaf)) => {
                    let gradient = leaf.grad_remove(grads);
                    gradient.map(|gradient| to_vec(in_place(spec, gradient)))
                }
                None => None,
            };
            if let Some(gradient) = gradient {
                add_values(&gradient, &mut out[spec.range()]);
            }
        }
        let width = self.token_width();
        let table = &mut out[self.table.token_embedding().range()];
        for text in texts {
            if let Some(rows) = text.rows.grad_remove(grads).map(to_vec) {
                for (&id, row) in text.ids.iter().zip(rows.chunks_exact(width)) {
                    let start = id as usize * width;
                    add_values(row, &mut table[start..start + width]);
                }
            }
        }
    }

    fn accumulate_on_device(
        &self,
        grads: &mut Gradients,
        texts: &[TextForward],
        pieces: &mut Pieces,
    ) {
        for (index, (spec, leaf)) in self.table.specs().iter().zip(&self.leaves).enumerate() {
            let gradient = match leaf {
                Some(Leaf::Vector(leaf)) => leaf.grad_remove(grads),
                Some(Leaf::Matrix(leaf)) => leaf.grad_remove(grads).map(|g| in_place(spec, g)),
                None => None,
            };
            if let Some(gradient) = gradient {
                pieces.add(index, gradient.cast(DType::F32));
            }
        }
        let spec = self.table.token_embedding();
        let Some(index) = self.table.index(&spec.name) else {
            return;
        };
        for text in texts {
            if let Some(rows_nw) = text.rows.grad_remove(grads) {
                let rows_nw = rows_nw.cast(DType::F32);
                let table_vw = ops::sum_by_token(rows_nw, &text.read_ids(), spec.shape[0]);
                pieces.add(index, table_vw.reshape([spec.len()]));
            }
        }
    }
}

/// Token ids as a tensor.
fn token_ids(ids: &[u32], device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let length = ids.len();
    Tensor::from_data(TensorData::new(ids, [length]), device)
}

/// A matrix's gradient, flat, in the order of the table.
fn in_place(spec: &ParamSpec, gradient: Tensor<2>) -> Tensor<1> {
    match *spec.shape.as_slice() {
        [outputs, inputs, height, width] => gradient
            .reshape([outputs, height, width, inputs])
            .permute([0, 3, 1, 2])
            .reshape([spec.len()]),
        _ => gradient.reshape([spec.len()]),
    }
}

/// The parameters under one name.
pub(super) struct Scope<'w> {
    weights: &'w Weights<'w>,
    prefix: String,
}

impl<'w> Scope<'w> {
    /// The weights that this is a part of.
    pub(super) const fn weights(&self) -> &'w Weights<'w> {
        self.weights
    }

    /// Whether any parameter deeper in is trained.
    pub(super) fn is_trained(&self, name: &str) -> bool {
        let prefix = format!("{}.", self.path(name));
        let mut specs = self.weights.table.specs().iter();
        specs.any(|spec| !spec.locked && spec.name.starts_with(&prefix))
    }

    /// The name that the parameters' begin with, without the dot.
    pub(super) fn name(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    /// A tensor of f32 as the towers compute with it.
    pub(super) fn activations<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        tensor.cast(self.weights.dtype)
    }

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

fn add_values(values: &[f32], out: &mut [f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += value;
    }
}
