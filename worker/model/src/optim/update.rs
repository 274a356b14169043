//! The update of all parameters, in the memory where they lie.

use std::mem::replace;

use burn::tensor::{Tensor, TensorData};

use super::{AdamW, Moments};
use crate::Compute;
use crate::flat::{Flat, Resident};
use crate::gradient::{Gradient, Pieces};
use crate::params::{ParamTable, Tower};

/// AdamW over all parameters of a table.
pub struct Optimizer {
    /// 1 for each number of the towers that decays, else 0; where they lie on a device.
    decays: Option<Tensor<1>>,
}

impl Optimizer {
    /// For parameters where `compute` works.
    #[must_use]
    pub fn new(table: &ParamTable, compute: &Compute) -> Self {
        let decays = compute.resident.then(|| {
            let towers = table.specs().iter().filter(|s| s.tower != Tower::Shared);
            let decays = towers.flat_map(|spec| {
                let decays = spec.decay && !spec.locked;
                std::iter::repeat_n(f32::from(u8::from(decays)), spec.len())
            });
            let decays: Vec<f32> = decays.collect();
            let length = decays.len();
            Tensor::from_data(TensorData::new(decays, [length]), &compute.device)
        });
        Self { decays }
    }

    /// Updates every parameter that is not locked from `gradient` times `clip`.
    ///
    /// # Panics
    /// If they do not all lie where `compute` works.
    pub fn update(
        &self,
        adamw: &AdamW,
        table: &ParamTable,
        params: &mut Flat,
        gradient: &Gradient,
        clip: f32,
        moments: &mut Moments<Flat>,
    ) {
        // Nothing else may hold them, so that the device can write the new ones over the old ones.
        let taken = |flat: &mut Flat| replace(flat, Flat::Host(Vec::new()));
        let Moments {
            exp_avg,
            exp_avg_sq,
        } = moments;
        let old = (taken(params), taken(exp_avg), taken(exp_avg_sq));
        let new = match (old, gradient, &self.decays) {
            (
                (Flat::Host(mut p), Flat::Host(mut m), Flat::Host(mut v)),
                Gradient::Host(gradient),
                None,
            ) => {
                adamw.apply(table, &mut p, gradient, clip, &mut m, &mut v);
                [p, m, v].map(Flat::Host)
            }
            (
                (Flat::Resident(p), Flat::Resident(m), Flat::Resident(v)),
                Gradient::Resident(gradient),
                Some(decays),
            ) => adamw
                .on_device(gradient, decays, clip, *p, *m, *v)
                .map(|new| Flat::Resident(Box::new(new))),
            _ => panic!("parameters, moments and gradient lie in the same memory"),
        };
        [*params, *exp_avg, *exp_avg_sq] = new;
    }
}

impl AdamW {
    /// The same update on a device, element by element in as few passes as its backend needs.
    fn on_device(
        &self,
        gradient: &Pieces,
        decays: &Tensor<1>,
        clip: f32,
        mut params: Resident,
        mut exp_avg: Resident,
        mut exp_avg_sq: Resident,
    ) -> [Resident; 3] {
        self.update(
            &mut params.shared,
            &gradient.shared,
            &mut exp_avg.shared,
            &mut exp_avg_sq.shared,
            false,
            clip,
        );
        let [towers] = decays.dims();
        let g = gradient.whole().clone().slice(0..towers).mul_scalar(clip);
        let m = exp_avg.towers;
        let step = (g.clone() - m.clone()).mul_scalar(1.0 - self.beta1);
        let m = m + step;
        let square = (g.clone() * g).mul_scalar(1.0 - self.beta2);
        let v = exp_avg_sq.towers.mul_scalar(self.beta2) + square;
        let denominator = v
            .clone()
            .sqrt()
            .mul_scalar(self.root_correction)
            .add_scalar(self.eps);
        let keep = decays.clone().mul_scalar(self.keep - 1.0).add_scalar(1.0);
        let p = params.towers * keep - m.clone().mul_scalar(self.step_size) / denominator;
        params.towers = p;
        exp_avg.towers = m;
        exp_avg_sq.towers = v;
        [params, exp_avg, exp_avg_sq]
    }
}
