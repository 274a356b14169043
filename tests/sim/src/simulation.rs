//! One seed from the first step to the last.

use crate::deeds::{COORDINATORS, Deed, WORKERS, deeds};
use crate::plane::WORKER_PORT;
use crate::state::{mix, undisturbed};
use crate::surroundings::Surroundings;
use crate::{coordinators, engine};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use turmoil::net::TcpListener;
use turmoil::{Builder, Sim};
use twinspan_types::{Fact, Index, LogRecord, Nonce, RunConfig, ShardEntry};

/// Steps of a simulated run.
const STEPS: u64 = 300;
/// Lanes of a simulated run.
const LANES: u32 = 8;
/// By then the run must have ended, whatever was done to it.
const LIMIT: Duration = Duration::from_secs(180);

/// What a simulated run came to.
#[derive(Debug, PartialEq)]
pub struct Report {
    /// What happened, line by line.
    pub book: Vec<String>,
    /// Simulated time.
    pub took: Duration,
    /// Generations that were formed.
    pub generations: u64,
    /// Terms that were opened.
    pub terms: u64,
}

/// Runs a seed and checks the run: it has ended at its last step, every step is in its files once and
/// with all its samples, and the last checkpoint's state is that of an undisturbed run.
///
/// # Errors
/// What does not hold, with the book of the run.
pub fn simulate(seed: u64) -> Result<Report> {
    let around = Surroundings::new(seed);
    let simulated = run(seed, &around);
    let checked = simulated.and_then(|took| check(&around, took));
    checked.with_context(|| format!("seed {seed}:\n{}", around.book().join("\n")))
}

fn run(seed: u64, around: &Surroundings) -> Result<Duration> {
    let (config, index) = (config()?, index());
    let mut builder = Builder::new();
    builder
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(2))
        .simulation_duration(LIMIT)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .repair_rate(0.05)
        .tcp_capacity(4096);
    let mut sim = builder.build();
    for host in COORDINATORS {
        let (around, config, index) = (around.clone(), config.clone(), index.clone());
        let boots = Rc::new(Cell::new(0));
        sim.host(host, move || {
            boots.set(boots.get() + 100);
            let (around, config, index) = (around.clone(), config.clone(), index.clone());
            let boot = boots.get();
            async move {
                if host == COORDINATORS[1] && boot == 100 {
                    // It is a spare: it tries to take the run over when it is under way.
                    sleep(Duration::from_secs(2)).await;
                }
                coordinators::machine(around, host, config, index, boot).await
            }
        });
    }
    for (place, host) in (0..).zip(WORKERS) {
        let around = around.clone();
        let boots = Rc::new(Cell::new(0));
        sim.host(host, move || {
            boots.set(boots.get() + 1);
            worker(around.clone(), host, place, boots.get())
        });
    }
    let operator = around.clone();
    sim.client("operator", async move {
        while !has_ended(&operator).await {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    });
    let mut deeds = deeds(seed).into_iter().peekable();
    let mut down = BTreeSet::new();
    loop {
        while let Some((_, deed)) = deeds.next_if(|(at, _)| *at <= sim.elapsed()) {
            around.note("chaos", format!("{deed:?} after {:?}", sim.elapsed()));
            carry_out(&mut sim, deed, &mut down);
        }
        match sim.step() {
            Ok(true) => return Ok(sim.elapsed()),
            Ok(false) => {}
            Err(error) => bail!("after {:?}: {error}", sim.elapsed()),
        }
    }
}

fn carry_out(sim: &mut Sim<'_>, deed: Deed, down: &mut BTreeSet<&'static str>) {
    match deed {
        Deed::Crash(host) => {
            if down.insert(host) {
                sim.crash(host);
            }
        }
        Deed::Start(host) => {
            if down.remove(host) {
                sim.bounce(host);
            }
        }
        Deed::Partition(one, other) => sim.partition(one, other),
        Deed::Repair(one, other) => sim.repair(one, other),
        Deed::Hold(one, other) => sim.hold(one, other),
        Deed::Release(one, other) => sim.release(one, other),
        Deed::Freeze(host) => others(host).for_each(|other| sim.hold(host, other)),
        Deed::Wake(host) => others(host).for_each(|other| sim.release(host, other)),
        Deed::Latency(most) => sim.set_max_message_latency(most),
        Deed::Loss(one_in) => {
            let rate = if one_in == 0 {
                0.0
            } else {
                1.0 / f64::from(one_in)
            };
            sim.set_fail_rate(rate);
        }
    }
}

/// All machines but one.
fn others(host: &str) -> impl Iterator<Item = &'static str> {
    let all = WORKERS.into_iter().chain(COORDINATORS);
    all.filter(move |other| *other != host)
}

/// A machine that runs a worker, and starts it again when it ends before the run does.
async fn worker(
    around: Surroundings,
    host: &'static str,
    place: u64,
    boot: u64,
) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", WORKER_PORT)).await?;
    for process in 0.. {
        let nonce = Nonce(mix(place << 32 | boot << 16 | process));
        let ended = engine::process(&around, host, nonce, &listener).await;
        if has_ended(&around).await {
            return Ok(());
        }
        around.note(host, format!("ended: {ended:?}"));
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// The facts of the run's log.
async fn facts(around: &Surroundings) -> Vec<Fact> {
    let mut facts = Vec::new();
    loop {
        let path = format!("log/{:08}.json", facts.len());
        let Ok(Some(bytes)) = around.files.read(&path).await else {
            return facts;
        };
        let Ok(record) = serde_json::from_slice::<LogRecord>(&bytes) else {
            return facts;
        };
        facts.push(record.fact);
    }
}

async fn has_ended(around: &Surroundings) -> bool {
    let facts = facts(around).await;
    let ended = facts
        .iter()
        .any(|fact| matches!(fact, Fact::RunEnded { .. }));
    ended && matches!(around.files.size("metrics.jsonl").await, Ok(Some(_)))
}

fn check(around: &Surroundings, took: Duration) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let facts = facts(around).await;
        let steps: Vec<(u64, u64)> = undisturbed(LANES).take(STEPS as usize).collect();
        let text = around
            .files
            .read("metrics.jsonl")
            .await?
            .context("no metrics")?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = BTreeMap::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)?;
            let step = line["step"].as_u64().context("no step")?;
            let hash = line["sample_hash"].as_str().context("no hash")?.to_owned();
            ensure!(
                lines.insert(step, hash).is_none(),
                "step {step} is told twice"
            );
        }
        for (step, (hash, _)) in (1..).zip(&steps) {
            let told = lines
                .get(&step)
                .with_context(|| format!("step {step} is missing"))?;
            ensure!(
                *told == format!("{hash:016x}"),
                "step {step} has other samples"
            );
        }
        ensure!(lines.len() as u64 == STEPS, "{} steps", lines.len());
        let committed = facts.iter().rev().find_map(|fact| match fact {
            Fact::CheckpointCommitted { name, .. } => Some(*name),
            _ => None,
        });
        let name = committed.context("no checkpoint")?;
        let state = around.restore(&name.directory()).await;
        let state = state.map_err(anyhow::Error::msg)?;
        ensure!(
            state.step.0 == STEPS,
            "the last checkpoint is of step {}",
            state.step
        );
        let last = steps.last().map(|(_, value)| *value);
        ensure!(
            Some(state.value) == last,
            "the state is not the undisturbed run's"
        );
        let count = |is: fn(&Fact) -> bool| facts.iter().filter(|fact| is(fact)).count() as u64;
        Ok(Report {
            book: around.book(),
            took,
            generations: count(|fact| matches!(fact, Fact::WorldFormed { .. })),
            terms: count(|fact| matches!(fact, Fact::TermOpened { .. })),
        })
    })
}

fn config() -> Result<RunConfig> {
    let text = format!(
        "
run: sim
output: memory://runs
model: {{}}
data: {{train: 'file:///shards/0.tar', lanes: {LANES}, lease_ahead_seconds: 5}}
train: {{global_batch: 64, steps: {STEPS}}}
checkpoint: {{every_steps: 40, keep_last: 2}}
cluster:
  workers: 4
  min_workers: 1
  heartbeat_timeout: 1s
  step_timeout: 4s
  join_timeout: 60s
  join_window: 200ms
  takeover_after: 1s
  checksum_every: 1
"
    );
    Ok(RunConfig::parse(
        &text,
        Path::new("sim.yaml"),
        Path::new("/"),
    )?)
}

fn index() -> Index {
    Index::of_one_source(vec![ShardEntry {
        url: "file:///shards/0.tar".to_owned(),
        samples: 1 << 20,
        bytes: 1 << 30,
        etag: None,
    }])
}
