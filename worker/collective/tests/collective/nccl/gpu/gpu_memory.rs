//! Numbers on a real GPU, on a stream of their own in the primary context, as another engine of the
//! process has them.

#![expect(unsafe_code, reason = "the driver's interface is raw")]

use std::ptr::NonNull;
use std::time::Instant;
use twinspan_collective::DeviceBuffer;
use twinspan_collective::nccl::{CudaApi, CudaDriver, RawStream};

/// Device memory and a pinned block of the same length. Both live until the process ends, and so
/// does the context: a buffer may outlive what it is from.
pub struct GpuNumbers {
    cuda: CudaDriver,
    stream: RawStream,
    pointer: u64,
    host: NonNull<u8>,
    len: usize,
}

impl GpuNumbers {
    /// These numbers on device 0, copied there by a stream that nobody waits for.
    pub fn new(numbers: &[f32]) -> Self {
        let cuda = CudaDriver::open().expect("a driver");
        let context = cuda.retain(0).expect("a GPU");
        // SAFETY: the context is retained and never released.
        unsafe { cuda.make_current(context) }.expect("a context");
        let bytes = size_of_val(numbers);
        // SAFETY: the context is current.
        let stream = unsafe { cuda.create_stream() }.expect("a stream");
        // SAFETY: the context is current.
        let pointer = unsafe { cuda.allocate(bytes) }.expect("memory");
        // SAFETY: the context is current.
        let host = unsafe { cuda.allocate_pinned(bytes) }.expect("memory");
        let source = NonNull::from(numbers).cast();
        // SAFETY: the block was just made, and is as long as the numbers.
        unsafe { host.copy_from_nonoverlapping(source, bytes) };
        // SAFETY: both blocks are that long, and nothing touches them before the stream has passed
        // but what the driver orders behind it.
        unsafe { cuda.copy_to_device(pointer, host, bytes, stream) }.expect("a copy");
        let len = numbers.len();
        Self {
            cuda,
            stream,
            pointer,
            host,
            len,
        }
    }

    /// The numbers as a collective takes them.
    pub fn buffer(&self) -> DeviceBuffer {
        // SAFETY: the memory is of the primary context, and is never freed.
        unsafe { DeviceBuffer::new(self.pointer, self.len, ()) }
    }

    /// The numbers when the stream has come to a copy that it is given now.
    pub fn read(&self) -> Vec<f32> {
        let bytes = self.len * size_of::<f32>();
        // SAFETY: both blocks are that long, and the host waits for the copy below.
        unsafe {
            self.cuda
                .copy_to_host(self.host, self.pointer, bytes, self.stream)
        }
        .expect("a copy");
        // SAFETY: the context is current on this thread, on which the numbers were made.
        let end = unsafe { self.cuda.create_event() }.expect("an event");
        // SAFETY: both live.
        unsafe { self.cuda.record(end, self.stream) }.expect("a record");
        let deadline = Instant::now() + crate::worlds::BOUND;
        // SAFETY: the event lives.
        while !unsafe { self.cuda.is_done(end) }.expect("a sound device") {
            assert!(Instant::now() < deadline, "the device stands still");
            std::thread::yield_now();
        }
        let host = self.host.cast::<f32>();
        // SAFETY: the block holds that many numbers, and the copy into it is done.
        unsafe { std::slice::from_raw_parts(host.as_ptr(), self.len) }.to_vec()
    }
}
