//! The backward of the token embedding: rows summed by token.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::ops::IndexingUpdateOp;
use burn::tensor::{FloatDType, Int, Shape, Tensor, TensorData};

/// The rows of `rows` [n, w] that belong to a token, summed: [vocabulary, w], zeros where a token has
/// none. `ids` names each row's token; none leaves the row out.
///
/// A token's rows are added in their order, whatever the device.
pub fn sum_by_token(rows: Tensor<2>, ids: &[Option<u32>], vocabulary: usize) -> Tensor<2> {
    assert_eq!(
        rows.dims()[0],
        ids.len(),
        "sum_by_token: one id for each row"
    );
    let mut places: Vec<(u32, usize)> = ids
        .iter()
        .enumerate()
        .filter_map(|(place, id)| id.map(|id| (id, place)))
        .collect();
    places.sort_unstable();
    let mut tokens = Vec::new();
    let mut starts = Vec::new();
    for (number, &(id, _)) in places.iter().enumerate() {
        if tokens.last() != Some(&i64::from(id)) {
            tokens.push(i64::from(id));
            starts.push(number as i64);
        }
    }
    starts.push(places.len() as i64);
    let device = rows.device();
    let whole = |numbers: Vec<i64>| {
        let length = numbers.len();
        Tensor::<1, Int>::from_data(TensorData::new(numbers, [length]), &device).into_dispatch()
    };
    let ids = places.iter().map(|&(id, _)| i64::from(id)).collect();
    let places = places.iter().map(|&(_, place)| place as i64).collect();
    Tensor::from_dispatch(<Dispatch as TokenSum>::sum_rows_by_token(
        rows.into_dispatch(),
        whole(places),
        whole(ids),
        whole(starts),
        whole(tokens),
        vocabulary,
    ))
}

#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Fusion: cfg(feature = "gpu"))]
pub(super) trait TokenSum: Backend {
    /// `places` are the rows in the order of their tokens, `ids` those tokens; token `tokens[k]` has
    /// the places from `starts[k]` to `starts[k + 1]`.
    #[fusion(dtype = rows, shape = table_shape(rows, *vocabulary))]
    fn sum_rows_by_token(
        rows: FloatTensor<Self>,
        places: IntTensor<Self>,
        ids: IntTensor<Self>,
        starts: IntTensor<Self>,
        tokens: IntTensor<Self>,
        vocabulary: usize,
    ) -> FloatTensor<Self> {
        let _ = (starts, tokens);
        let shape = table_shape(&rows.shape(), vocabulary);
        let table = Self::float_zeros(shape, &rows.device(), FloatDType::from(rows.dtype()));
        let in_order = Self::float_select(rows, 0, places);
        Self::float_select_assign(table, 0, ids, in_order, IndexingUpdateOp::Add)
    }
}

fn table_shape(rows: &Shape, vocabulary: usize) -> Shape {
    let [_, width] = rows.dims();
    Shape::new([vocabulary, width])
}

impl TokenSum for Flex {}

#[cfg(feature = "gpu")]
mod gpu {
    //! burn's own `select_assign` walks all rows in every column; here each token of each column has a
    //! thread of its own.

    use super::{IntTensor, TokenSum, table_shape};
    use burn::backend::TensorMetadata;
    use burn::backend::cubecl::dtype_to_storage_type;
    use burn_cubecl::CubeBackend;
    use burn_cubecl::cubecl;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::ops::numeric::zeros_client;
    use burn_cubecl::tensor::CubeTensor;
    use cubecl::{CubeDim, calculate_cube_count_elemwise};

    #[cube(launch)]
    fn sum_kernel<I: Int>(
        rows: &[f32],
        places: &[I],
        starts: &[I],
        tokens: &[I],
        table: &mut [f32],
        width: usize,
        #[define(I)] _dtype: ElemType,
    ) {
        let token = ABSOLUTE_POS / width;
        let column = ABSOLUTE_POS % width;
        if token >= tokens.len() {
            terminate!();
        }
        let mut sum = 0.0f32;
        let first = usize::cast_from(starts[token]);
        let end = usize::cast_from(starts[token + 1]);
        for number in first..end {
            sum += rows[usize::cast_from(places[number]) * width + column];
        }
        table[usize::cast_from(tokens[token]) * width + column] = sum;
    }

    impl TokenSum for CubeBackend {
        fn sum_rows_by_token(
            rows: CubeTensor,
            places: IntTensor<Self>,
            _ids: IntTensor<Self>,
            starts: IntTensor<Self>,
            tokens: IntTensor<Self>,
            vocabulary: usize,
        ) -> CubeTensor {
            let rows = burn_cubecl::kernel::into_contiguous(rows);
            let [_, width] = rows.shape().dims();
            let [distinct] = tokens.shape().dims();
            let table = zeros_client(
                rows.client.clone(),
                rows.device.clone(),
                table_shape(&rows.shape(), vocabulary),
                rows.dtype,
            );
            let threads = (distinct * width).max(1);
            let block = CubeDim::new(&rows.client, threads);
            let blocks = calculate_cube_count_elemwise(&rows.client, threads, block);
            let index = dtype_to_storage_type(places.dtype);
            sum_kernel::launch(
                &table.client,
                blocks,
                block,
                rows.into_buffer_arg(),
                places.into_buffer_arg(),
                starts.into_buffer_arg(),
                tokens.into_buffer_arg(),
                table.clone().into_buffer_arg(),
                width,
                index,
            );
            table
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn rows_are_summed_by_token_and_rows_without_one_left_out() {
        let rows = Tensor::from_data(
            [[1.0, 2.0], [10.0, 20.0], [3.0, 4.0], [100.0, 0.0]],
            &Device::flex(),
        );
        let table = sum_by_token(rows, &[Some(3), Some(1), Some(3), None], 5);
        let expected = [[0.0, 0.0], [10.0, 20.0], [0.0, 0.0], [4.0, 6.0], [0.0, 0.0]];
        table
            .into_data()
            .assert_eq(&TensorData::from(expected), false);
    }
}
