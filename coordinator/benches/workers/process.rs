//! What the system says of a process, and what it lets this one do.

use crate::Result;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::fmt;
use std::time::Duration;

/// Ticks of a second in `/proc/PID/stat`: Linux shows 100 to every program.
const TICKS: u64 = 100;

/// Lets this process and its children have as many connections as they may.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused the connections that are too many will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Memory and time of a process.
pub struct Usage {
    pub resident: Memory,
    /// The most that was ever resident.
    pub peak: Memory,
    pub cpu: Duration,
}

/// Bytes.
pub struct Memory(u64);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = |field: &str| -> Result<Memory> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kibibytes = line.and_then(|line| line.split_whitespace().next());
            let kibibytes = kibibytes.ok_or(format!("/proc/{pid}/status has no {field}"))?;
            Ok(Memory(kibibytes.parse::<u64>()? << 10))
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold spaces itself; user and system time are the 12th and
        // 13th field after it.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
        let times = fields.split_whitespace().skip(11).take(2);
        let ticks: Vec<u64> = times
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            resident: memory("VmRSS:")?,
            peak: memory("VmHWM:")?,
            cpu: Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS),
        })
    }
}
