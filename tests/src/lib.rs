//! What twinspan's tests stand on: a float64 reference of CLIP training as
//! plain loops ([`reference`](mod@reference)), helpers for tests that start real processes
//! ([`harness`]), real object stores ([`servers`]), a network that fails on
//! plan ([`proxy`]), machines whose links go down ([`netns`]), a Python with
//! open_clip ([`python`]), what dashboards and alerts ask for ([`expressions`])
//! and a small generator of repeatable values ([`random`]).
//!
//! Nothing here depends on the crates under test, so an agreement between the
//! two is evidence.

mod background;
pub mod expressions;
pub mod harness;
pub mod netns;
pub mod proxy;
pub mod python;
pub mod random;
pub mod reference;
pub mod servers;
mod skip;
