//! How a thread calls NCCL for an operation.

#![expect(unsafe_code, reason = "NCCL's functions take raw handles and memory")]

use super::port::{Command, DeviceWork, HostWork, Task};
use super::thread::{InFlight, Shell, Work};
use super::watch::{Event, Flight, Ticket};
use super::{CudaFault, NcclStatus, RawComm};
use std::ops::Range;

impl Shell<'_> {
    /// Begins the command that waits, if its time has come.
    pub(super) fn begin(&mut self) {
        let comm = match self.comm {
            Some(comm) if self.watch.takes_calls() => comm,
            _ => return,
        };
        // There is one staging block, and it may have to grow.
        let idle = self.watch.is_idle();
        let ready = |command: &mut Command| idle || matches!(command.task, Task::Device(..));
        let Some(command) = self.waiting.take_if(ready) else {
            return;
        };
        let Command {
            operation,
            sequence,
            task,
        } = command;
        self.tickets += 1;
        let flight = Flight {
            ticket: Ticket(self.tickets),
            operation,
            sequence,
        };
        let called = match task {
            Task::Device(work, reply) => {
                let called = self.call_on_device(comm, &work);
                let launched = Some(reply);
                let work = Work::Device {
                    _held: work,
                    launched,
                };
                self.fly(flight, work);
                called
            }
            Task::Host(work, done) => {
                let result = self.result_of(&work);
                let called = self.call_on_host(comm, work);
                self.fly(flight, Work::Host { result, done });
                called
            }
        };
        match called {
            Ok(status) => self.tell(Event::Called(flight, self.health(status))),
            Err(fault) => self.tell(Event::DeviceFailed(fault.to_string())),
        }
    }

    fn fly(&mut self, flight: Flight, work: Work) {
        let end = None;
        self.flights.push_back(InFlight { flight, end, work });
        self.say_what_is_under_way();
    }

    fn call_on_device(
        &mut self,
        comm: RawComm,
        work: &DeviceWork,
    ) -> Result<NcclStatus, CudaFault> {
        self.device.follow_context()?;
        let (nccl, stream) = (&self.orders.parts.nccl, self.device.stream());
        Ok(match work {
            DeviceWork::Gather { local, out } => {
                let bytes = local.len() * size_of::<f32>();
                // SAFETY: the communicator takes calls; the buffers are the device's and have been
                // compared, and they are held until the stream has passed.
                unsafe { nccl.all_gather(local.pointer(), out.pointer(), bytes, comm, stream) }
            }
            DeviceWork::Sum(buffer) => {
                // SAFETY: as above.
                unsafe { nccl.all_reduce_sum(buffer.pointer(), buffer.len(), comm, stream) }
            }
        })
    }

    /// Where in the staging block the result of a work lies: a gather's behind what it sends.
    fn result_of(&self, work: &HostWork) -> Range<usize> {
        match work {
            HostWork::Gather(bytes) => bytes.len()..bytes.len() * (self.orders.world.index() + 1),
            HostWork::Sum(bytes) | HostWork::Broadcast(bytes, _) => 0..bytes.len(),
        }
    }

    fn call_on_host(&mut self, comm: RawComm, work: HostWork) -> Result<NcclStatus, CudaFault> {
        let result = self.result_of(&work);
        let (HostWork::Gather(bytes) | HostWork::Sum(bytes) | HostWork::Broadcast(bytes, _)) =
            &work;
        self.staging.grow(&self.device, result.end)?;
        self.staging.send(&self.device, bytes)?;
        let (nccl, stream) = (&self.orders.parts.nccl, self.device.stream());
        let (block, length) = (self.staging.pointer(), bytes.len());
        Ok(match work {
            HostWork::Gather(_) => {
                let all = block + length as u64;
                // SAFETY: the communicator takes calls; the block has room for what is sent and for
                // as much of every rank, and is left alone until the stream has passed.
                unsafe { nccl.all_gather(block, all, length, comm, stream) }
            }
            HostWork::Sum(_) => {
                // SAFETY: as above; the bytes are whole numbers.
                unsafe { nccl.all_reduce_sum(block, length / size_of::<f32>(), comm, stream) }
            }
            HostWork::Broadcast(_, root) => {
                // SAFETY: as above.
                unsafe { nccl.broadcast(block, length, root, comm, stream) }
            }
        })
    }
}
