//! How workers of one machine are started, and started again.

use super::children::{Children, Start};
use crate::exit::{Failure, failed};
use crate::worker::machine_name;
use anyhow::anyhow;
use twinspan_types::config::DeviceChoice;

/// Crashes of processes without a step in between before the run is given up.
const MOST_CRASHES: u32 = 8;

/// How workers are started, and how often they may crash.
pub struct Crew {
    /// `http://host:port` of the coordinator.
    pub url: String,
    workers: Vec<Start>,
    /// Crashes since the run's step last rose.
    crashes: u32,
    /// The highest step that was seen.
    pub step: u64,
}

impl Crew {
    /// Workers that find their coordinator at `url`, one for each device, each with so many threads,
    /// or with its share of this machine's cores, and all with these further arguments.
    pub fn new(
        url: String,
        threads: Option<usize>,
        devices: &[DeviceChoice],
        further: &[String],
    ) -> Self {
        let threads = threads.unwrap_or_else(|| threads_per_worker(devices.len()));
        let start = |(number, device): (usize, &DeviceChoice)| {
            let mut environment = vec![("RAYON_NUM_THREADS", threads.to_string())];
            let is_cuda = matches!(device, DeviceChoice::Cuda(_));
            if is_cuda && devices.iter().filter(|other| *other == device).count() > 1 {
                // NCCL refuses two ranks on one GPU of one host, and goes by this name of the host.
                let host = format!("{}-{}-{number}", machine_name(), std::process::id());
                environment.push(("NCCL_HOSTID", host));
            }
            let (threads, device) = (threads.to_string(), device.to_string());
            let arguments = ["worker", "--coordinator", &url, "--parent-pipe"];
            let own = ["--threads", &threads, "--device", &device];
            let arguments = arguments.into_iter().chain(own).map(str::to_owned);
            Start {
                name: format!("worker {number}"),
                arguments: arguments.chain(further.iter().cloned()).collect(),
                environment,
            }
        };
        Self {
            workers: devices.iter().enumerate().map(start).collect(),
            url,
            crashes: 0,
            step: 0,
        }
    }

    /// Starts every worker.
    pub fn start(&self, children: &mut Children) -> Result<(), Failure> {
        let mut workers = self.workers.iter();
        workers.try_for_each(|worker| children.start(worker).map_err(failed))
    }

    /// Starts a worker again, as it was: on the same device.
    pub fn start_again(&self, children: &mut Children, name: &str) -> Result<(), Failure> {
        let mut workers = self.workers.iter().filter(|worker| worker.name == name);
        workers.try_for_each(|worker| children.start(worker).map_err(failed))
    }

    /// The run has come to this step.
    pub fn stepped(&mut self, step: u64) {
        if step > self.step {
            (self.step, self.crashes) = (step, 0);
        }
    }

    /// Counts the crash of a process.
    ///
    /// # Errors
    /// There were too many without a step in between.
    pub fn count_crash(&mut self) -> Result<(), Failure> {
        self.crashes += 1;
        match self.crashes > MOST_CRASHES {
            true => Err(failed(anyhow!(
                "processes crashed {MOST_CRASHES} times without a step in between; look at their \
                 log lines above, and start the same command again to go on from the newest \
                 checkpoint"
            ))),
            false => Ok(()),
        }
    }
}

/// One process with one thread outruns one process with two by half, so cores are divided among
/// the workers and a worker of more threads is for machines with more cores than lanes.
fn threads_per_worker(workers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / workers.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew(devices: &[DeviceChoice]) -> Vec<Start> {
        let further = ["--host".to_owned(), "10.0.0.6".to_owned()];
        Crew::new("http://c:1".to_owned(), Some(3), devices, &further).workers
    }

    fn variable<'s>(start: &'s Start, name: &str) -> Option<&'s str> {
        let mut variables = start.environment.iter();
        let found = variables.find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn each_worker_is_told_its_device_and_its_threads() {
        let workers = crew(&[DeviceChoice::Cuda(0), DeviceChoice::Cuda(1)]);
        assert_eq!(workers[1].name, "worker 1");
        let line = workers[1].arguments.join(" ");
        assert_eq!(
            line,
            "worker --coordinator http://c:1 --parent-pipe --threads 3 --device cuda:1 --host \
             10.0.0.6"
        );
        assert_eq!(variable(&workers[1], "RAYON_NUM_THREADS"), Some("3"));
    }

    #[test]
    fn workers_that_share_a_gpu_are_hosts_of_their_own_to_nccl() {
        let shared = crew(&[DeviceChoice::Cuda(0); 2]);
        let [one, two] = [0, 1].map(|worker: usize| variable(&shared[worker], "NCCL_HOSTID"));
        assert!(one.is_some() && two.is_some() && one != two);
        for alone in [
            [DeviceChoice::Cuda(0), DeviceChoice::Cuda(1)],
            [DeviceChoice::Cpu; 2],
        ] {
            let workers = crew(&alone);
            let hosts = workers.iter().map(|start| variable(start, "NCCL_HOSTID"));
            assert!(hosts.into_iter().all(|host| host.is_none()));
        }
    }
}
