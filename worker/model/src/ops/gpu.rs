//! GPUs take every operation as it is composed.

use burn_cubecl::{Cube, CubeBackend};

use super::activation::{Activation, ActivationBackward};
use super::attention::{Attention, AttentionBackward};
use super::avg_pool::{AvgPool, AvgPoolBackward};
use super::batch_norm::{BatchNorm, BatchNormBackward};
use super::im2col::{Im2col, Im2colBackward};
use super::l2_normalize::{L2Normalize, L2NormalizeBackward};
use super::layer_norm::{LayerNorm, LayerNormBackward};
use super::linear::{Linear, LinearBackward};

impl Activation for CubeBackend {}
impl ActivationBackward for Cube {}
impl Attention for CubeBackend {}
impl AttentionBackward for Cube {}
impl AvgPool for CubeBackend {}
impl AvgPoolBackward for Cube {}
impl BatchNorm for CubeBackend {}
impl BatchNormBackward for Cube {}
impl Im2col for CubeBackend {}
impl Im2colBackward for Cube {}
impl L2Normalize for CubeBackend {}
impl L2NormalizeBackward for Cube {}
impl LayerNorm for CubeBackend {}
impl LayerNormBackward for Cube {}
impl Linear for CubeBackend {}
impl LinearBackward for Cube {}
