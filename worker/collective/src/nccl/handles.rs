//! The driver's handles with their owners, so that what follows need not know of raw ones.

#![expect(unsafe_code, reason = "raw handles are made safe here")]

use super::{CudaApi, CudaFault, RawContext, RawEvent, RawStream};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// A device's primary context, retained.
pub(super) struct PrimaryContext {
    cuda: Arc<dyn CudaApi>,
    ordinal: u32,
    raw: RawContext,
}

impl PrimaryContext {
    pub fn retain(cuda: Arc<dyn CudaApi>, ordinal: u32) -> Result<Self, CudaFault> {
        let raw = cuda.retain(ordinal)?;
        Ok(Self { cuda, ordinal, raw })
    }
}

impl Drop for PrimaryContext {
    fn drop(&mut self) {
        // SAFETY: it was retained, and whatever was made in it through this has an owner that is
        // dropped before.
        unsafe { self.cuda.release(self.ordinal) };
    }
}

/// A point of the stream's work.
#[derive(Debug)]
pub(super) struct Mark(RawEvent);

/// A device as its thread has it: its context is the thread's, and there is one stream.
pub(super) struct Device {
    cuda: Arc<dyn CudaApi>,
    stream: RawStream,
    /// Events that mark nothing now.
    spare: Vec<RawEvent>,
    context: PrimaryContext,
    /// The context is current on this thread alone.
    _here: PhantomData<*const ()>,
}

impl Device {
    /// Makes the context this thread's, and a stream in it.
    pub fn enter(context: PrimaryContext) -> Result<Self, CudaFault> {
        let cuda = Arc::clone(&context.cuda);
        // SAFETY: the context is retained.
        unsafe { cuda.make_current(context.raw) }?;
        // SAFETY: a context is current.
        let stream = unsafe { cuda.create_stream() }?;
        Ok(Self {
            cuda,
            stream,
            spare: Vec::new(),
            context,
            _here: PhantomData,
        })
    }

    pub fn stream(&self) -> RawStream {
        self.stream
    }

    fn event(&mut self) -> Result<RawEvent, CudaFault> {
        match self.spare.pop() {
            Some(event) => Ok(event),
            // SAFETY: the context is current on this thread, which a device never leaves.
            None => unsafe { self.cuda.create_event() },
        }
    }

    /// Marks all that the stream was given so far.
    pub fn mark(&mut self) -> Result<Mark, CudaFault> {
        let event = self.event()?;
        // SAFETY: event and stream live, in one context.
        unsafe { self.cuda.record(event, self.stream) }?;
        Ok(Mark(event))
    }

    /// Whether the stream is past a mark.
    pub fn is_past(&self, mark: &Mark) -> Result<bool, CudaFault> {
        // SAFETY: a mark's event lives as long as the device.
        unsafe { self.cuda.is_done(mark.0) }
    }

    /// Takes back a mark that is needed no more.
    pub fn forget(&mut self, mark: Mark) {
        self.spare.push(mark.0);
    }

    /// What the stream is given from now on waits for all that the context was given so far.
    pub fn follow_context(&mut self) -> Result<(), CudaFault> {
        let event = self.event()?;
        // SAFETY: context and event live, and the event is of the context.
        unsafe { self.cuda.record_context(self.context.raw, event) }?;
        // SAFETY: stream and event live.
        unsafe { self.cuda.stream_waits(self.stream, event) }?;
        // The stream waits for what was recorded now, whatever the event records next.
        self.spare.push(event);
        Ok(())
    }

    /// What the context is given from now on waits until the stream is past the mark.
    pub fn lead_context(&self, mark: &Mark) -> Result<(), CudaFault> {
        // SAFETY: context and event live.
        unsafe { self.cuda.context_waits(self.context.raw, mark.0) }
    }

    /// Device memory.
    pub fn allocate(&self, bytes: usize) -> Result<u64, CudaFault> {
        // SAFETY: the context is current on this thread, which a device never leaves.
        unsafe { self.cuda.allocate(bytes) }
    }

    /// Pinned host memory.
    pub fn allocate_pinned(&self, bytes: usize) -> Result<NonNull<u8>, CudaFault> {
        // SAFETY: the context is current on this thread, which a device never leaves.
        unsafe { self.cuda.allocate_pinned(bytes) }
    }

    /// The driver, for what needs the caller's word.
    pub fn driver(&self) -> &dyn CudaApi {
        self.cuda.as_ref()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for event in self.spare.drain(..) {
            // SAFETY: the event lives, and is used no more.
            unsafe { self.cuda.destroy_event(event) };
        }
        // SAFETY: the stream lives, and is used no more; work on it goes on by itself.
        unsafe { self.cuda.destroy_stream(self.stream) };
    }
}
