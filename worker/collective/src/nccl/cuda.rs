//! What the engine needs of the CUDA driver, as a trait so that tests can do without it.

#![expect(unsafe_code, reason = "raw handles are the caller's word")]

use std::ptr::NonNull;

/// A context's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawContext(pub usize);

/// A stream's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawStream(pub usize);

/// An event's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawEvent(pub usize);

/// What the driver refused: the function and the driver's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{function} says {answer}")]
pub struct CudaFault {
    /// The driver's function.
    pub function: &'static str,
    /// The driver's name for the error, and its number.
    pub answer: String,
}

/// Functions of `libcuda.so.1`. None of them waits for the device, except where it is said.
///
/// Contexts, streams, events and memory are raw: all methods that take some must be given live ones
/// of one device, and all but [`CudaApi::retain`] must be called on a thread on which that device's
/// context is current.
pub trait CudaApi: Send + Sync {
    /// The primary context of the device of this number, which is kept until it is released as often
    /// as it was retained. It is the context that the engine of the tensors uses, too.
    ///
    /// # Errors
    /// When there is no such device, or it cannot be used.
    fn retain(&self, ordinal: u32) -> Result<RawContext, CudaFault>;

    /// Lets go of a primary context.
    ///
    /// # Safety
    /// It was retained, and nothing made in it is used afterwards.
    unsafe fn release(&self, ordinal: u32);

    /// Makes a context this thread's.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// A live context.
    unsafe fn make_current(&self, context: RawContext) -> Result<(), CudaFault>;

    /// A stream that does not wait for the default stream.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// The thread has a current context.
    unsafe fn create_stream(&self) -> Result<RawStream, CudaFault>;

    /// Destroys a stream, when its work is done.
    ///
    /// # Safety
    /// A live stream, which is gone afterwards.
    unsafe fn destroy_stream(&self, stream: RawStream);

    /// An event without time.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// The thread has a current context.
    unsafe fn create_event(&self) -> Result<RawEvent, CudaFault>;

    /// Destroys an event.
    ///
    /// # Safety
    /// A live event, which is gone afterwards.
    unsafe fn destroy_event(&self, event: RawEvent);

    /// Records all that the stream was given so far.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// Live handles of one context.
    unsafe fn record(&self, event: RawEvent, stream: RawStream) -> Result<(), CudaFault>;

    /// Whether what was recorded is done.
    ///
    /// # Errors
    /// The driver's, also that of work before it.
    ///
    /// # Safety
    /// A live event.
    unsafe fn is_done(&self, event: RawEvent) -> Result<bool, CudaFault>;

    /// What the stream is given from now on waits for what was recorded.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// Live handles.
    unsafe fn stream_waits(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaFault>;

    /// Records all that the context was given so far, on whatever stream.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// Live handles of one context.
    unsafe fn record_context(&self, context: RawContext, event: RawEvent) -> Result<(), CudaFault>;

    /// What the context is given from now on, on whatever stream, waits for what was recorded.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// Live handles.
    unsafe fn context_waits(&self, context: RawContext, event: RawEvent) -> Result<(), CudaFault>;

    /// Device memory.
    ///
    /// # Errors
    /// When there is not enough.
    ///
    /// # Safety
    /// The thread has a current context.
    unsafe fn allocate(&self, bytes: usize) -> Result<u64, CudaFault>;

    /// Frees device memory. It waits for the whole context.
    ///
    /// # Safety
    /// Memory from [`CudaApi::allocate`] that nothing uses.
    unsafe fn free(&self, pointer: u64);

    /// Host memory that the device reads and writes by itself.
    ///
    /// # Errors
    /// When there is not enough.
    ///
    /// # Safety
    /// The thread has a current context.
    unsafe fn allocate_pinned(&self, bytes: usize) -> Result<NonNull<u8>, CudaFault>;

    /// Frees such host memory. It waits for the whole context.
    ///
    /// # Safety
    /// Memory from [`CudaApi::allocate_pinned`] that nothing uses.
    unsafe fn free_pinned(&self, pointer: NonNull<u8>);

    /// Copies to the device when the stream comes to it.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// `from` is pinned, both have `bytes` bytes, and nobody touches them until the stream has
    /// passed.
    unsafe fn copy_to_device(
        &self,
        to: u64,
        from: NonNull<u8>,
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), CudaFault>;

    /// Copies to the host when the stream comes to it.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Safety
    /// As [`CudaApi::copy_to_device`], with `to` pinned.
    unsafe fn copy_to_host(
        &self,
        to: NonNull<u8>,
        from: u64,
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), CudaFault>;
}
