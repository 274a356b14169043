//! Pictures as the image tower takes them: `(value / 255 - mean) / std`, colour by colour, in f32 as
//! open_clip computes it.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::config::{IMAGE_MEAN, IMAGE_STD};

/// Normalised pictures `[batch, side, side, 3]` from bytes. A device with bytes of its own gets those,
/// a quarter of what their numbers would be; else the host computes.
pub(super) fn normalized(pixels: &[u8], batch: usize, side: usize, device: &Device) -> Tensor<4> {
    let shape = [batch, side, side, 3];
    let plain = device.clone().inner();
    let x_bhwc = match plain != Device::flex() && plain.supports_dtype(DType::U8) {
        true => {
            let data = TensorData::new(pixels.to_vec(), shape);
            let bytes = Tensor::<4, Int>::from_data(data, (&plain, DType::U8));
            on_device(bytes)
        }
        false => Tensor::from_data(TensorData::new(on_host(pixels), shape), &plain),
    };
    match device.is_autodiff() {
        true => x_bhwc.autodiff(),
        false => x_bhwc,
    }
}

fn on_device(bytes_bhwc: Tensor<4, Int>) -> Tensor<4> {
    let device = bytes_bhwc.device();
    let colours = |numbers: [f64; 3]| {
        let numbers = numbers.map(|number| number as f32);
        Tensor::<1>::from_data(numbers, &device).reshape([1, 1, 1, 3])
    };
    let x_bhwc = bytes_bhwc.float().cast(DType::F32).div_scalar(255.0);
    (x_bhwc - colours(IMAGE_MEAN)) / colours(IMAGE_STD)
}

fn on_host(pixels: &[u8]) -> Vec<f32> {
    let tables: [[f32; 256]; 3] = std::array::from_fn(|colour| {
        let (mean, std) = (IMAGE_MEAN[colour] as f32, IMAGE_STD[colour] as f32);
        std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
    });
    let mut values = Vec::with_capacity(pixels.len());
    for pixel in pixels.chunks_exact(3) {
        values.extend((0..3).map(|colour| tables[colour][usize::from(pixel[colour])]));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_normalised_colour_by_colour() {
        let values = on_host(&[0, 255, 128]);
        let expected = [
            -0.481_454_66 / 0.268_629_55,
            (1.0 - 0.457_827_5) / 0.261_302_6,
            (128.0 / 255.0 - 0.408_210_73) / 0.275_777_1,
        ];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }

    #[test]
    fn a_device_makes_of_bytes_what_the_host_makes_of_them() {
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
        let data = TensorData::new(bytes.clone(), [1, 16, 16, 3]);
        let options = (&Device::flex(), DType::U8);
        let x_bhwc = on_device(Tensor::<4, Int>::from_data(data, options));
        let values: Vec<f32> = x_bhwc.into_data().try_into_vec().expect("f32");
        for (device, host) in values.iter().zip(on_host(&bytes)) {
            assert!((device - host).abs() < 1e-6, "{device} {host}");
        }
    }
}
