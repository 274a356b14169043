//! Matrix products through `gemm`, behind checked bounds.

use burn_flex::FlexTensor;
use gemm::Parallelism;

use super::glue::Slot;

/// Multiplications from which a product is shared among threads (burn-flex's own threshold).
const PARALLEL: usize = 192 * 192 * 192;

/// A strided matrix that borrows its numbers.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` numbers each, `stride` numbers apart.
    pub(super) fn rows(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// A tensor of two dimensions as it lies, with whatever strides; None where a stride is negative.
    pub(super) fn view(tensor: &'a FlexTensor) -> Option<Self> {
        let layout = tensor.layout();
        let [rows, columns] = layout.shape().dims();
        let [row_stride, column_stride] = [layout.strides()[0], layout.strides()[1]];
        Some(Self {
            data: &tensor.storage::<f32>()[layout.start_offset()..],
            rows,
            columns,
            row_stride: row_stride.try_into().ok()?,
            column_stride: column_stride.try_into().ok()?,
        })
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The numbers from the first element to the last one, both included.
    fn span(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (r, c) => (r - 1) * self.row_stride + (c - 1) * self.column_stride + 1,
        }
    }
}

/// `out = scale * lhs * rhs`; row i of the product starts at `out[i * stride]`.
pub(super) fn product(
    out: &mut [Slot],
    stride: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
) {
    check(out.len(), stride, lhs, rhs);
    // SAFETY: `check` holds for `out`, which is not read.
    unsafe { call(out.as_mut_ptr().cast(), stride, false, lhs, rhs, scale) }
}

/// [`product`] into numbers that are there already; `add` adds to them instead of replacing them.
pub(super) fn product_over(
    out: &mut [f32],
    stride: usize,
    add: bool,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
) {
    check(out.len(), stride, lhs, rhs);
    // SAFETY: `check` holds for `out`, whose numbers are initialised.
    unsafe { call(out.as_mut_ptr(), stride, add, lhs, rhs, scale) }
}

fn check(out_len: usize, stride: usize, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    assert_eq!(
        lhs.columns, rhs.rows,
        "the inner sizes of a matrix product differ"
    );
    let out_span = match (lhs.rows, rhs.columns) {
        (0, _) | (_, 0) => 0,
        (m, n) => (m - 1) * stride + n,
    };
    assert!(
        stride >= rhs.columns || lhs.rows <= 1,
        "the rows of a product overlap"
    );
    assert!(
        out_span <= out_len && lhs.span() <= lhs.data.len() && rhs.span() <= rhs.data.len(),
        "a matrix product reaches past its numbers"
    );
}

/// # Safety
///
/// `out` is valid for writes where [`check`] says, holds numbers when `read` is set, and `check`
/// passed for both matrices.
unsafe fn call(
    out: *mut f32,
    stride: usize,
    read: bool,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
) {
    let (m, n, k) = (lhs.rows, rhs.columns, lhs.columns);
    let work = m.saturating_mul(n).saturating_mul(k);
    let parallelism = match rayon::current_num_threads() {
        threads if threads > 1 && work >= PARALLEL => Parallelism::Rayon(threads),
        _ => Parallelism::None,
    };
    // SAFETY: the caller's promise covers every element that these sizes and strides name; a slice
    // holds at most isize::MAX bytes, so no stride wraps.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            read,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}
