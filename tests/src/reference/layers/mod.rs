//! Single layers, each with a backward that takes the forward's inputs and the
//! gradient of its output.

pub mod activation;
pub mod attention;
pub mod conv;
pub mod linear;
pub mod named;
pub mod norm;
pub mod pool;

pub use activation::{Activation, relu, relu_backward};
pub use attention::{AttentionGrad, attention, attention_backward};
pub use conv::{ConvGrad, conv2d, conv2d_backward};
pub use linear::{LinearGrad, linear, linear_backward, project, project_backward};
pub use norm::{
    BatchStats, NormGrad, batch_norm, batch_norm_backward, layer_norm, layer_norm_backward,
};
pub use pool::{avg_pool, avg_pool_backward};
