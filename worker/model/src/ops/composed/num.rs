//! A backend's tensor with the signs of arithmetic, so that formulas read as formulas.

use std::ops::{Add, Div, Mul, Sub};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, FloatDType, Shape, Slice};

use crate::ops::exact::{ExactProduct, tf32_is_allowed};
use crate::ops::total::RUN;

/// A tensor of backend `B`. Tensors of one rank that meet are broadcast along dimensions of 1.
pub(super) struct Num<B: Backend>(pub FloatTensor<B>);

impl<B: Backend> Clone for Num<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: Backend> Num<B> {
    /// In f32, in which norms, softmax and sums are computed whatever the tensor is stored in.
    pub(super) fn wide(tensor: FloatTensor<B>) -> Self {
        Self(tensor).cast(DType::F32)
    }

    pub(super) fn dtype(&self) -> DType {
        self.0.dtype()
    }

    pub(super) fn dims<const D: usize>(&self) -> [usize; D] {
        self.0.shape().dims()
    }

    pub(super) fn cast(self, dtype: DType) -> Self {
        match self.dtype() == dtype {
            true => self,
            false => Self(B::float_cast(self.0, FloatDType::from(dtype))),
        }
    }

    pub(super) fn reshape(self, shape: impl Into<Shape>) -> Self {
        Self(B::float_reshape(self.0, shape.into()))
    }

    pub(super) fn permute(self, axes: &[usize]) -> Self {
        Self(B::float_permute(self.0, axes))
    }

    pub(super) fn transpose(self) -> Self {
        Self(B::float_transpose(self.0))
    }

    pub(super) fn slice(self, slices: &[Slice]) -> Self {
        Self(B::float_slice(self.0, slices))
    }

    pub(super) fn cat(parts: Vec<Self>, dim: usize) -> Self {
        let parts = parts.into_iter().map(|part| part.0).collect();
        Self(B::float_cat(parts, dim))
    }

    /// Zeros of that shape beside `self`, of its type.
    pub(super) fn zeros(&self, shape: impl Into<Shape>) -> Self {
        let dtype = FloatDType::from(self.dtype());
        Self(B::float_zeros(shape.into(), &self.0.device(), dtype))
    }

    /// Sums along `dim`, which stays as 1.
    pub(super) fn sum(self, dim: usize) -> Self {
        Self(B::float_sum_dim(self.0, dim))
    }

    /// The sums of the columns of a matrix [R, C], [1, C], in runs of runs of rows.
    pub(super) fn column_sums(self) -> Self {
        let [rows, columns] = self.dims();
        if rows <= RUN {
            return self.sum(0);
        }
        let whole = rows / RUN * RUN;
        let all = Slice::full();
        let runs = self.clone().slice(&[Slice::from(0..whole), all]);
        let runs = runs.reshape([rows / RUN, RUN, columns]).sum(1);
        let sums = runs.reshape([rows / RUN, columns]).column_sums();
        match rows - whole {
            0 => sums,
            _ => sums + self.slice(&[Slice::from(whole..rows), all]).sum(0),
        }
    }

    /// A row [1, C] as a vector [C].
    pub(super) fn vector(self) -> Self {
        let [_, width] = self.dims();
        self.reshape([width])
    }

    pub(super) fn mean(self, dim: usize) -> Self {
        Self(B::float_mean_dim(self.0, dim))
    }

    pub(super) fn max(self, dim: usize) -> Self {
        Self(B::float_max_dim(self.0, dim))
    }

    pub(super) fn exp(self) -> Self {
        Self(B::float_exp(self.0))
    }

    pub(super) fn erf(self) -> Self {
        Self(B::float_erf(self.0))
    }

    pub(super) fn sqrt(self) -> Self {
        Self(B::float_sqrt(self.0))
    }

    pub(super) fn recip(self) -> Self {
        Self(B::float_recip(self.0))
    }

    pub(super) fn at_least(self, least: f32) -> Self {
        Self(B::float_clamp_min(self.0, least.into()))
    }

    pub(super) fn times(self, factor: f32) -> Self {
        Self(B::float_mul_scalar(self.0, factor.into()))
    }

    pub(super) fn plus(self, addend: f32) -> Self {
        Self(B::float_add_scalar(self.0, addend.into()))
    }

    /// 1 where it is greater than `bound`, else 0.
    pub(super) fn above(self, bound: f32) -> Self {
        let (device, dtype) = (self.0.device(), FloatDType::from(self.dtype()));
        let bools = burn::backend::get_or_init_device_settings::<B>(&device).bool_dtype;
        let above = B::float_greater_elem(self.0, bound.into(), bools);
        Self(B::bool_into_float(above, dtype))
    }
}

impl<B: ExactProduct> Num<B> {
    pub(super) fn matmul(self, right: Self) -> Self {
        match self.dtype() == DType::F32 && !tf32_is_allowed() {
            true => Self(B::multiply_exactly(self.0, right.0)),
            false => Self(B::float_matmul(self.0, right.0)),
        }
    }
}

impl<B: Backend> Add for Num<B> {
    type Output = Self;

    fn add(self, right: Self) -> Self {
        Self(B::float_add(self.0, right.0))
    }
}

impl<B: Backend> Sub for Num<B> {
    type Output = Self;

    fn sub(self, right: Self) -> Self {
        Self(B::float_sub(self.0, right.0))
    }
}

impl<B: Backend> Mul for Num<B> {
    type Output = Self;

    fn mul(self, right: Self) -> Self {
        Self(B::float_mul(self.0, right.0))
    }
}

impl<B: Backend> Div for Num<B> {
    type Output = Self;

    fn div(self, right: Self) -> Self {
        Self(B::float_div(self.0, right.0))
    }
}
