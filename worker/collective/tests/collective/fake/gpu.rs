//! A GPU whose streams are threads, and whose memory is a map.

#![expect(unsafe_code, reason = "pinned memory is raw in the driver's interface")]

use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use twinspan_collective::nccl::{CudaApi, CudaFault, RawContext, RawEvent, RawStream};

/// Nothing in a fake waits longer, not even where a test expects it to wait for ever.
const BOUND: Duration = Duration::from_secs(60);

/// Something that happens once.
#[derive(Debug, Default)]
pub struct Flag {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    pub fn raise(&self) {
        *self.raised.lock().expect("no panic") = true;
        self.changed.notify_all();
    }

    pub fn is_raised(&self) -> bool {
        *self.raised.lock().expect("no panic")
    }

    pub fn wait(&self) {
        let raised = self.raised.lock().expect("no panic");
        let waited = self
            .changed
            .wait_timeout_while(raised, BOUND, |raised| !*raised);
        drop(waited.expect("no panic"));
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// One GPU.
#[derive(Default)]
pub struct FakeGpu {
    numbers: AtomicUsize,
    state: Mutex<State>,
    /// The driver refuses to give the device.
    pub refuses: OnceLock<&'static str>,
}

#[derive(Default)]
struct State {
    retained: usize,
    streams: HashMap<usize, Sender<Work>>,
    /// What each event was last recorded for.
    events: HashMap<usize, Arc<Flag>>,
    memory: BTreeMap<u64, Vec<u8>>,
    pinned: HashMap<usize, Box<[u8]>>,
}

impl FakeGpu {
    fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().expect("no panic with the lock held"))
    }

    /// Does work when the stream comes to it.
    pub fn enqueue(&self, stream: RawStream, work: impl FnOnce() + Send + 'static) {
        self.state(|state| {
            let stream = &state.streams[&stream.0];
            stream.send(Box::new(work)).expect("a live stream");
        });
    }

    /// A stream of another engine in the same context.
    pub fn stream(&self) -> RawStream {
        let (sender, works) = channel::<Work>();
        let stream = self.number();
        // Ends when the stream is destroyed, with all work done.
        thread::spawn(move || works.into_iter().for_each(|work| work()));
        self.state(|state| state.streams.insert(stream, sender));
        RawStream(stream)
    }

    /// Memory with these numbers.
    pub fn numbers(&self, numbers: &[f32]) -> u64 {
        let pointer = self.allocate_now(size_of_val(numbers).max(1));
        self.write(pointer, bytemuck::cast_slice(numbers));
        pointer
    }

    fn allocate_now(&self, bytes: usize) -> u64 {
        self.state(|state| {
            let end = state.memory.last_key_value();
            let end = end.map_or(0x1000, |(pointer, block)| pointer + block.len() as u64);
            // A gap, so that no access runs from one block into the next.
            let pointer = (end + 0x1000) & !0xff;
            // What is not written yet is not zero.
            state.memory.insert(pointer, vec![0xa5; bytes]);
            pointer
        })
    }

    fn block<T>(&self, pointer: u64, length: usize, act: impl FnOnce(&mut [u8]) -> T) -> T {
        self.state(|state| {
            let (start, block) = state
                .memory
                .range_mut(..=pointer)
                .next_back()
                .expect("memory that was allocated");
            let offset = (pointer - start) as usize;
            act(&mut block[offset..offset + length])
        })
    }

    pub fn read(&self, pointer: u64, length: usize) -> Vec<u8> {
        self.block(pointer, length, |block| block.to_vec())
    }

    pub fn write(&self, pointer: u64, bytes: &[u8]) {
        self.block(pointer, bytes.len(), |block| block.copy_from_slice(bytes));
    }

    pub fn read_numbers(&self, pointer: u64, count: usize) -> Vec<f32> {
        let bytes = self.read(pointer, count * size_of::<f32>());
        let words = bytes.as_chunks().0.iter();
        words.map(|word| f32::from_le_bytes(*word)).collect()
    }

    /// Contexts, streams, events and blocks that nobody has let go of.
    pub fn left_over(&self) -> usize {
        self.state(|state| {
            let handles = state.retained + state.streams.len() + state.events.len();
            handles + state.memory.len() + state.pinned.len()
        })
    }

    /// Puts a flag behind all that these streams were given.
    fn record_on(&self, event: RawEvent, streams: impl Fn(usize) -> bool) {
        self.state(|state| {
            let flag = Arc::new(Flag::default());
            state.events.insert(event.0, Arc::clone(&flag));
            let streams: Vec<_> = state.streams.iter().filter(|(s, _)| streams(**s)).collect();
            let left = Arc::new(AtomicUsize::new(streams.len()));
            for (_, stream) in streams {
                let (flag, left) = (Arc::clone(&flag), Arc::clone(&left));
                let work = move || {
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        flag.raise();
                    }
                };
                stream.send(Box::new(work)).expect("a live stream");
            }
        });
    }

    fn wait_on(&self, event: RawEvent, streams: impl Fn(usize) -> bool) {
        self.state(|state| {
            let flag = &state.events[&event.0];
            for (_, stream) in state.streams.iter().filter(|(s, _)| streams(**s)) {
                let flag = Arc::clone(flag);
                let work = move || flag.wait();
                stream.send(Box::new(work)).expect("a live stream");
            }
        });
    }

    /// Waits until the device is past all that it was given.
    pub fn synchronize(&self, stream: RawStream) {
        let flag = Arc::new(Flag::default());
        let raise = Arc::clone(&flag);
        self.enqueue(stream, move || raise.raise());
        let began = Instant::now();
        flag.wait();
        assert!(began.elapsed() < BOUND, "the device stands still");
    }
}

/// An address that may go to another thread.
struct Address(usize);

impl CudaApi for SharedGpu {
    fn retain(&self, _ordinal: u32) -> Result<RawContext, CudaFault> {
        if let Some(answer) = self.refuses.get() {
            return Err(CudaFault {
                function: "cuDeviceGet",
                answer: (*answer).to_owned(),
            });
        }
        self.state(|state| state.retained += 1);
        Ok(RawContext(1))
    }

    unsafe fn release(&self, _ordinal: u32) {
        self.state(|state| state.retained -= 1);
    }

    unsafe fn make_current(&self, _context: RawContext) -> Result<(), CudaFault> {
        Ok(())
    }

    unsafe fn create_stream(&self) -> Result<RawStream, CudaFault> {
        Ok(self.stream())
    }

    unsafe fn destroy_stream(&self, stream: RawStream) {
        let gone = self.state(|state| state.streams.remove(&stream.0));
        assert!(gone.is_some(), "a stream is destroyed once");
    }

    unsafe fn create_event(&self) -> Result<RawEvent, CudaFault> {
        let event = self.number();
        self.state(|state| state.events.insert(event, Arc::default()));
        Ok(RawEvent(event))
    }

    unsafe fn destroy_event(&self, event: RawEvent) {
        let gone = self.state(|state| state.events.remove(&event.0));
        assert!(gone.is_some(), "an event is destroyed once");
    }

    unsafe fn record(&self, event: RawEvent, stream: RawStream) -> Result<(), CudaFault> {
        self.record_on(event, |other| other == stream.0);
        Ok(())
    }

    unsafe fn is_done(&self, event: RawEvent) -> Result<bool, CudaFault> {
        Ok(self.state(|state| state.events[&event.0].is_raised()))
    }

    unsafe fn stream_waits(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaFault> {
        self.wait_on(event, |other| other == stream.0);
        Ok(())
    }

    unsafe fn record_context(&self, _: RawContext, event: RawEvent) -> Result<(), CudaFault> {
        self.record_on(event, |_| true);
        Ok(())
    }

    unsafe fn context_waits(&self, _: RawContext, event: RawEvent) -> Result<(), CudaFault> {
        self.wait_on(event, |_| true);
        Ok(())
    }

    unsafe fn allocate(&self, bytes: usize) -> Result<u64, CudaFault> {
        Ok(self.allocate_now(bytes))
    }

    unsafe fn free(&self, pointer: u64) {
        let gone = self.state(|state| state.memory.remove(&pointer));
        assert!(gone.is_some(), "memory is freed once");
    }

    unsafe fn allocate_pinned(&self, bytes: usize) -> Result<NonNull<u8>, CudaFault> {
        let mut block = vec![0; bytes].into_boxed_slice();
        let pointer = NonNull::from(&mut block[..]).cast::<u8>();
        self.state(|state| state.pinned.insert(pointer.as_ptr() as usize, block));
        Ok(pointer)
    }

    unsafe fn free_pinned(&self, pointer: NonNull<u8>) {
        let gone = self.state(|state| state.pinned.remove(&(pointer.as_ptr() as usize)));
        assert!(gone.is_some(), "pinned memory is freed once");
    }

    unsafe fn copy_to_device(
        &self,
        to: u64,
        from: NonNull<u8>,
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), CudaFault> {
        let (gpu, from) = (self.clone(), Address(from.as_ptr() as usize));
        self.enqueue(stream, move || {
            let Address(from) = from;
            let mut copy = vec![0; bytes];
            // SAFETY: the block is that long and lives until the stream has passed.
            unsafe { std::ptr::copy_nonoverlapping(from as *const u8, copy.as_mut_ptr(), bytes) };
            gpu.write(to, &copy);
        });
        Ok(())
    }

    unsafe fn copy_to_host(
        &self,
        to: NonNull<u8>,
        from: u64,
        bytes: usize,
        stream: RawStream,
    ) -> Result<(), CudaFault> {
        let (gpu, to) = (self.clone(), Address(to.as_ptr() as usize));
        self.enqueue(stream, move || {
            let Address(to) = to;
            let copy = gpu.read(from, bytes);
            // SAFETY: the block is that long and lives until the stream has passed.
            unsafe { std::ptr::copy_nonoverlapping(copy.as_ptr(), to as *mut u8, bytes) };
        });
        Ok(())
    }
}

/// A GPU as the engine and its streams share it.
#[derive(Clone)]
pub struct SharedGpu(pub Arc<FakeGpu>);

impl std::ops::Deref for SharedGpu {
    type Target = FakeGpu;

    fn deref(&self) -> &FakeGpu {
        &self.0
    }
}
