//! A dense array of float64 values with a shape.

use crate::random::Rng;

/// Values in row-major order; a scalar has the shape `[]` and one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Length of every dimension, outermost first.
    pub shape: Vec<usize>,
    /// The values, the last dimension running fastest.
    pub data: Vec<f64>,
}

impl Tensor {
    /// A tensor of the given shape and values.
    ///
    /// # Panics
    /// If the number of values is not what the shape says.
    #[must_use]
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "a tensor of shape {shape:?} cannot hold {} values",
            data.len()
        );
        Self {
            shape: shape.to_vec(),
            data,
        }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(shape: &[usize]) -> Self {
        Self::new(shape, vec![0.0; shape.iter().product()])
    }

    /// A tensor from single-precision values, such as a checkpoint's.
    ///
    /// # Panics
    /// If the number of values is not what the shape says.
    #[must_use]
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        Self::new(shape, values.iter().map(|&v| f64::from(v)).collect())
    }

    /// Normal values around 0 with the given standard deviation.
    #[must_use]
    pub fn random(shape: &[usize], std: f64, rng: &mut Rng) -> Self {
        let count = shape.iter().product();
        Self::new(shape, (0..count).map(|_| std * rng.normal()).collect())
    }

    /// The shape as an array of `D` lengths.
    ///
    /// # Panics
    /// If the tensor does not have `D` dimensions.
    #[must_use]
    pub fn dims<const D: usize>(&self) -> [usize; D] {
        self.shape
            .as_slice()
            .try_into()
            .unwrap_or_else(|_| panic!("shape {:?} does not have {D} dimensions", self.shape))
    }

    /// Length of the last dimension; 1 for a scalar.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// How many rows of [`Self::width`] values there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.data.len() / self.width()
    }

    /// Row `r` with all leading dimensions taken as one.
    #[must_use]
    pub fn row(&self, r: usize) -> &[f64] {
        let width = self.width();
        &self.data[r * width..(r + 1) * width]
    }

    /// As [`Self::row`], to write.
    pub fn row_mut(&mut self, r: usize) -> &mut [f64] {
        let width = self.width();
        &mut self.data[r * width..(r + 1) * width]
    }

    /// The same values under another shape.
    ///
    /// # Panics
    /// If the number of values differs.
    #[must_use]
    pub fn reshaped(self, shape: &[usize]) -> Self {
        Self::new(shape, self.data)
    }

    /// Zeros of this shape with another last dimension.
    #[must_use]
    pub fn zeros_with_width(&self, width: usize) -> Self {
        let mut shape = self.shape.clone();
        let last = shape.last_mut().expect("a scalar has no last dimension");
        *last = width;
        Self::zeros(&shape)
    }

    /// Every value through a function.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self::new(&self.shape, self.data.iter().map(|&v| f(v)).collect())
    }

    /// The sum of two tensors of one shape.
    ///
    /// # Panics
    /// If the shapes differ.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add(other);
        sum
    }

    /// Adds a tensor of the same shape to this one.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.shape, other.shape, "shapes must be equal to be added");
        add_to(&mut self.data, &other.data);
    }

    /// The Euclidean norm of all values.
    #[must_use]
    pub fn norm(&self) -> f64 {
        dot(&self.data, &self.data).sqrt()
    }
}

/// Σ a·b.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// target += values.
pub(crate) fn add_to(target: &mut [f64], values: &[f64]) {
    add_scaled(target, 1.0, values);
}

/// target += factor · values.
pub(crate) fn add_scaled(target: &mut [f64], factor: f64, values: &[f64]) {
    debug_assert_eq!(target.len(), values.len());
    for (t, v) in target.iter_mut().zip(values) {
        *t += factor * v;
    }
}
