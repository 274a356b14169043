//! The testkit's own claims.

mod proxy;
mod proxy_faults;
