//! What it costs a run to tell of itself: the quickstart's model, with all telemetry off and with it
//! on, in turns. On means: every tenth step traced and exported over OTLP, metrics exported, the
//! status page open and the metrics scraped once a second. Whole runs differ by more than that from one
//! to the next on most machines, so what a rank's telemetry takes by itself is told as well.
//!
//! ```text
//! cargo bench --workspace --bench telemetry [-- PAIRS]
//! ```

mod collector;
mod own;
mod visitor;

use collector::Collector;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use visitor::Visitor;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Steps of one run: long enough that its start does not count.
const STEPS: u64 = 150;
/// Pairs of runs unless another number is given.
const PAIRS: usize = 12;

/// What a run gave.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Of its steps alone.
    samples_per_second: f64,
    /// Processor time of all its processes.
    cpu_seconds: f64,
}

fn main() -> Result<()> {
    let pairs = std::env::args().find_map(|argument| argument.parse().ok());
    let pairs: usize = pairs.unwrap_or(PAIRS);
    let folder = tempfile::tempdir()?;
    let collector = Collector::start()?;
    // What is read from the disk once is read fast from then on.
    run(folder.path(), "warm-up", None)?;
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        let off = || run(folder.path(), &format!("off-{pair}"), None);
        let on = || run(folder.path(), &format!("on-{pair}"), Some(&collector));
        // Whatever is first in one pair is second in the next.
        let (off, on) = match pair % 2 {
            0 => (off()?, on()?),
            _ => {
                let on = on()?;
                (off()?, on)
            }
        };
        let speed = on.samples_per_second / off.samples_per_second;
        let cpu = on.cpu_seconds / off.cpu_seconds;
        eprintln!(
            "pair {pair}: {:.1} samples/s off, {:.1} on: {speed:.4}; processor time {cpu:.4}",
            off.samples_per_second, on.samples_per_second
        );
        ratios.push((speed, cpu));
    }
    let (speed, cpu): (Vec<f64>, Vec<f64>) = ratios.into_iter().unzip();
    println!("samples/s, on over off: {}", spread(speed));
    println!("processor time, on over off: {}", spread(cpu));
    let (step, traced) = own::measure(&collector)?;
    println!("a rank's own time for it: {step:.1?} a step, and {traced:.1?} more for a traced one");
    println!("requests that the collector took: {}", collector.requests());
    Ok(())
}

/// Minimum, median and maximum.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    let median = (at(last / 2) + at(last.div_ceil(2))) / 2.0;
    format!("median {median:.4} ({:.4} to {:.4})", at(0), at(last))
}

fn run(folder: &Path, name: &str, collector: Option<&Collector>) -> Result<Measured> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let text = std::fs::read_to_string(configs.join("quickstart.yaml"))?;
    let telemetry = match collector {
        Some(_) => "telemetry: {trace_every: 10}",
        None => "telemetry: {trace_every: 0, http: off}",
    };
    let data = configs.join("../tests/data").display().to_string();
    let model = configs.join("models").display().to_string();
    let text = text
        .replace("run: quickstart", &format!("run: {name}"))
        .replace("../tests/data", &data)
        .replace("models/", &format!("{model}/"))
        .replace("steps: 768", &format!("steps: {STEPS}"));
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, format!("{text}\n{telemetry}\n"))?;
    let before = cpu_of_children();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinspan"));
    command
        .args(["train", &file.display().to_string(), "--no-eval", "--json"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(collector) = collector {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "5000");
    }
    let mut child = command.spawn()?;
    let lines = BufReader::new(child.stderr.take().ok_or("no log")?);
    let mut visitor = None;
    for line in lines.lines() {
        let line = line?;
        if let Some((_, page)) = line.split_once("status page at ") {
            visitor = Some(Visitor::start(page.trim())?);
        }
    }
    let output = child.wait_with_output()?;
    drop(visitor);
    if !output.status.success() {
        return Err(format!("{name} failed").into());
    }
    let result: Value = serde_json::from_slice(&output.stdout)?;
    let figure = result["samples_per_second"].as_f64();
    Ok(Measured {
        samples_per_second: figure.ok_or("no samples_per_second")?,
        cpu_seconds: cpu_of_children() - before,
    })
}

/// Seconds of processor time of the children that have ended, and theirs.
fn cpu_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    // cutime and cstime, in hundredths of a second.
    let ticks = fields.split_whitespace().skip(13).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
