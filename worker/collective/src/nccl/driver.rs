//! The CUDA driver's library, opened at run time.

#![expect(unsafe_code, reason = "the CUDA driver is a C library")]

use super::loading::{open_first, symbols};
use super::{CudaApi, CudaFault, NcclMissing, RawContext, RawEvent, RawStream};
use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdeviceptr, CUevent, CUevent_flags_enum, CUstream, CUstream_flags_enum,
};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::{self, NonNull};

/// The driver's file; the name without a number belongs to development packages.
const NAME: &str = "libcuda.so.1";
/// `CUDA_ERROR_NOT_READY`.
const NOT_READY: u32 = 600;

// Answers are numbers here: a newer driver has some that cudarc's enum has not.
symbols! {
    struct Functions {
        cuInit: fn(c_uint) -> u32,
        cuGetErrorName: fn(u32, *mut *const c_char) -> u32,
        cuDeviceGet: fn(*mut CUdevice, c_int) -> u32,
        cuDevicePrimaryCtxRetain: fn(*mut CUcontext, CUdevice) -> u32,
        cuDevicePrimaryCtxRelease_v2: fn(CUdevice) -> u32,
        cuCtxSetCurrent: fn(CUcontext) -> u32,
        cuStreamCreate: fn(*mut CUstream, c_uint) -> u32,
        cuStreamDestroy_v2: fn(CUstream) -> u32,
        cuStreamWaitEvent: fn(CUstream, CUevent, c_uint) -> u32,
        cuEventCreate: fn(*mut CUevent, c_uint) -> u32,
        cuEventDestroy_v2: fn(CUevent) -> u32,
        cuEventRecord: fn(CUevent, CUstream) -> u32,
        cuEventQuery: fn(CUevent) -> u32,
        cuCtxRecordEvent: fn(CUcontext, CUevent) -> u32,
        cuCtxWaitEvent: fn(CUcontext, CUevent) -> u32,
        cuMemAlloc_v2: fn(*mut CUdeviceptr, usize) -> u32,
        cuMemFree_v2: fn(CUdeviceptr) -> u32,
        cuMemHostAlloc: fn(*mut *mut c_void, usize, c_uint) -> u32,
        cuMemFreeHost: fn(*mut c_void) -> u32,
        cuMemcpyHtoDAsync_v2: fn(CUdeviceptr, *const c_void, usize, CUstream) -> u32,
        cuMemcpyDtoHAsync_v2: fn(*mut c_void, CUdeviceptr, usize, CUstream) -> u32,
    }
}

/// The driver as it is installed.
pub struct CudaDriver {
    functions: Functions,
}

impl CudaDriver {
    /// Opens the driver.
    ///
    /// # Errors
    /// [`NcclMissing::Driver`] or [`NcclMissing::OldDriver`].
    pub fn open() -> Result<Self, NcclMissing> {
        let (file, library) = open_first(&[NAME]).map_err(|detail| NcclMissing::Driver {
            file: NAME.to_owned(),
            detail,
        })?;
        let functions = Functions::load(library).map_err(|symbol| NcclMissing::OldDriver {
            file: file.to_owned(),
            symbol,
        })?;
        Ok(Self { functions })
    }

    fn check(&self, function: &'static str, code: u32) -> Result<(), CudaFault> {
        if code == 0 {
            return Ok(());
        }
        let mut name = ptr::null();
        // SAFETY: the driver writes one pointer, null for a number that it does not know.
        unsafe { (self.functions.cuGetErrorName)(code, &raw mut name) };
        if name.is_null() {
            let answer = format!("error {code}");
            return Err(CudaFault { function, answer });
        }
        // SAFETY: the driver's names end with a zero and live as long as the driver.
        let name = unsafe { CStr::from_ptr(name) };
        let answer = format!("{} ({code})", name.to_string_lossy());
        Err(CudaFault { function, answer })
    }

    /// For what is let go of: there is nothing to do about an error, and a broken context gives one
    /// for everything.
    fn note(&self, function: &'static str, code: u32) {
        if let Err(fault) = self.check(function, code) {
            tracing::debug!(%fault, "not let go of in good order");
        }
    }

    fn device(&self, ordinal: u32) -> Result<CUdevice, CudaFault> {
        let mut device = 0;
        let ordinal = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        // SAFETY: the driver writes one int.
        let code = unsafe { (self.functions.cuDeviceGet)(&raw mut device, ordinal) };
        self.check("cuDeviceGet", code).map(|()| device)
    }
}

impl CudaApi for CudaDriver {
    fn retain(&self, ordinal: u32) -> Result<RawContext, CudaFault> {
        // SAFETY: it may be called any number of times.
        self.check("cuInit", unsafe { (self.functions.cuInit)(0) })?;
        let device = self.device(ordinal)?;
        let mut context = ptr::null_mut();
        // SAFETY: the driver writes one handle.
        let code = unsafe { (self.functions.cuDevicePrimaryCtxRetain)(&raw mut context, device) };
        self.check("cuDevicePrimaryCtxRetain", code)?;
        Ok(RawContext(context as usize))
    }

    unsafe fn release(&self, ordinal: u32) {
        let Ok(device) = self.device(ordinal) else {
            return;
        };
        // SAFETY: the caller has retained it.
        let code = unsafe { (self.functions.cuDevicePrimaryCtxRelease_v2)(device) };
        self.note("cuDevicePrimaryCtxRelease", code);
    }

    unsafe fn make_current(&self, context: RawContext) -> Result<(), CudaFault> {
        // SAFETY: the context lives.
        let code = unsafe { (self.functions.cuCtxSetCurrent)(context.0 as CUcontext) };
        self.check("cuCtxSetCurrent", code)
    }

    unsafe fn create_stream(&self) -> Result<RawStream, CudaFault> {
        let mut stream = ptr::null_mut();
        let flags = CUstream_flags_enum::CU_STREAM_NON_BLOCKING as c_uint;
        // SAFETY: the driver writes one handle.
        let code = unsafe { (self.functions.cuStreamCreate)(&raw mut stream, flags) };
        self.check("cuStreamCreate", code)?;
        Ok(RawStream(stream as usize))
    }

    unsafe fn destroy_stream(&self, stream: RawStream) {
        // SAFETY: the stream lives; the caller does not use it again.
        let code = unsafe { (self.functions.cuStreamDestroy_v2)(stream.0 as CUstream) };
        self.note("cuStreamDestroy", code);
    }

    unsafe fn create_event(&self) -> Result<RawEvent, CudaFault> {
        let mut event = ptr::null_mut();
        let flags = CUevent_flags_enum::CU_EVENT_DISABLE_TIMING as c_uint;
        // SAFETY: the driver writes one handle.
        let code = unsafe { (self.functions.cuEventCreate)(&raw mut event, flags) };
        self.check("cuEventCreate", code)?;
        Ok(RawEvent(event as usize))
    }

    unsafe fn destroy_event(&self, event: RawEvent) {
        // SAFETY: the event lives; the caller does not use it again.
        let code = unsafe { (self.functions.cuEventDestroy_v2)(event.0 as CUevent) };
        self.note("cuEventDestroy", code);
    }

    unsafe fn record(&self, event: RawEvent, stream: RawStream) -> Result<(), CudaFault> {
        let (event, stream) = (event.0 as CUevent, stream.0 as CUstream);
        // SAFETY: both live.
        let code = unsafe { (self.functions.cuEventRecord)(event, stream) };
        self.check("cuEventRecord", code)
    }

    unsafe fn is_done(&self, event: RawEvent) -> Result<bool, CudaFault> {
        // SAFETY: the event lives.
        match unsafe { (self.functions.cuEventQuery)(event.0 as CUevent) } {
            NOT_READY => Ok(false),
            code => self.check("cuEventQuery", code).map(|()| true),
        }
    }

    unsafe fn stream_waits(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaFault> {
        let (event, stream) = (event.0 as CUevent, stream.0 as CUstream);
        // SAFETY: both live.
        let code = unsafe { (self.functions.cuStreamWaitEvent)(stream, event, 0) };
        self.check("cuStreamWaitEvent", code)
    }

    unsafe fn record_context(&self, context: RawContext, event: RawEvent) -> Result<(), CudaFault> {
        let (context, event) = (context.0 as CUcontext, event.0 as CUevent);
        // SAFETY: both live.
        let code = unsafe { (self.functions.cuCtxRecordEvent)(context, event) };
        self.check("cuCtxRecordEvent", code)
    }

    unsafe fn context_waits(&self, context: RawContext, event: RawEvent) -> Result<(), CudaFault> {
        let (context, event) = (context.0 as CUcontext, event.0 as CUevent);
        // SAFETY: both live.
        let code = unsafe { (self.functions.cuCtxWaitEvent)(context, event) };
        self.check("cuCtxWaitEvent", code)
    }

    unsafe fn allocate(&self, bytes: usize) -> Result<u64, CudaFault> {
        let mut pointer = 0;
        // SAFETY: the driver writes one pointer.
        let code = unsafe { (self.functions.cuMemAlloc_v2)(&raw mut pointer, bytes) };
        self.check("cuMemAlloc", code).map(|()| pointer)
    }

    unsafe fn free(&self, pointer: u64) {
        // SAFETY: the memory is the driver's, and nothing uses it.
        let code = unsafe { (self.functions.cuMemFree_v2)(pointer) };
        self.note("cuMemFree", code);
    }

    unsafe fn allocate_pinned(&self, bytes: usize) -> Result<NonNull<u8>, CudaFault> {
        let mut pointer = ptr::null_mut();
        // SAFETY: the driver writes one pointer.
        let code = unsafe { (self.functions.cuMemHostAlloc)(&raw mut pointer, bytes, 0) };
        self.check("cuMemHostAlloc", code)?;
        NonNull::new(pointer.cast()).ok_or_else(|| CudaFault {
            function: "cuMemHostAlloc",
            answer: "no memory".to_owned(),
        })
    }

    unsafe fn free_pinned(&self, pointer: NonNull<u8>) {
        // SAFETY: the memory is the driver's, and nothing uses it.
        let code = unsafe { (self.functions.cuMemFreeHost)(pointer.as_ptr().cast()) };
        self.note("cuMemFreeHost", code);
    }

    unsafe fn copy_to_device(
        &self,
        to: u64,
        from: NonNull<u8>,
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), CudaFault> {
        let copy = self.functions.cuMemcpyHtoDAsync_v2;
        let from = from.as_ptr().cast_const().cast();
        // SAFETY: the caller vouches for both ends until the stream has passed.
        let code = unsafe { copy(to, from, bytes, stream.0 as CUstream) };
        self.check("cuMemcpyHtoDAsync", code)
    }

    unsafe fn copy_to_host(
        &self,
        to: NonNull<u8>,
        from: u64,
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), CudaFault> {
        let copy = self.functions.cuMemcpyDtoHAsync_v2;
        let to = to.as_ptr().cast();
        // SAFETY: the caller vouches for both ends until the stream has passed.
        let code = unsafe { copy(to, from, bytes, stream.0 as CUstream) };
        self.check("cuMemcpyDtoHAsync", code)
    }
}
