//! The contract between workers, operators and the coordinator: generated code, the conversion
//! between wire and vocabulary, the mapping of errors to gRPC statuses, and how often is asked.

pub mod convert;
pub mod poll;
pub mod status;

/// The generated messages, client and server of `twinspan.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("twinspan.v1");
}

/// Longest message in bytes that either side takes: a world of thousands of ranks and lanes fits.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
