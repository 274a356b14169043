//! Memory of the caller's on the device, on which collectives work without a copy.

#![expect(
    unsafe_code,
    reason = "a constructor takes the caller's word for a pointer"
)]

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Numbers on the device, and what keeps them there. Clones are the same memory.
#[derive(Clone)]
pub struct DeviceBuffer {
    pointer: u64,
    len: usize,
    /// Only ever dropped; the mutex makes what may be sent to another thread fit to be shared.
    _held: Arc<Mutex<dyn Any + Send>>,
}

impl DeviceBuffer {
    /// `len` f32 numbers at `pointer`. The engine keeps `held` until the device is past the
    /// collectives that it was given the buffer for, and drops it on a thread of its own.
    ///
    /// # Safety
    /// The numbers are dense memory of the engine's device, in its primary context, and stay so
    /// until `held` is dropped.
    pub unsafe fn new(pointer: u64, len: usize, held: impl Any + Send) -> Self {
        let held = Arc::new(Mutex::new(held));
        Self {
            pointer,
            len,
            _held: held,
        }
    }

    /// Where it lies on the device.
    #[must_use]
    pub fn pointer(&self) -> u64 {
        self.pointer
    }

    /// Its length in f32 numbers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers at {:#x}", self.len, self.pointer)
    }
}
