//! NCCL's version, as its library numbers it.

use std::fmt;

/// A version of NCCL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NcclVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl NcclVersion {
    /// The version that `ncclGetVersion` calls by this number: major * 10000 + minor * 100 + patch,
    /// with major * 1000 up to 2.8.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        let major = if code < 10_000 { 1000 } else { 10_000 };
        Self {
            major: code / major,
            minor: code % major / 100,
            patch: code % 100,
        }
    }
}

impl fmt::Display for NcclVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_old_and_new_libraries_are_read() {
        for (code, version) in [(23_003, "2.30.3"), (2_708, "2.7.8"), (20_900, "2.9.0")] {
            assert_eq!(NcclVersion::from_code(code).to_string(), version);
        }
    }
}
