//! `twinspan status`: what a running coordinator sees.

use crate::args::StatusArgs;
use crate::eval::percent;
use crate::exit::{Failure, bad_input, failed};
use crate::say;
use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::json;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_types::config::EvalConfig;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Prints one look at the run.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let status = runtime.block_on(async {
        let mut client = connect(&args.url).map_err(bad_input)?;
        let context = || {
            format!(
                "no coordinator answers at {}; it prints its address when it starts",
                args.url
            )
        };
        look(&mut client)
            .await
            .with_context(context)
            .map_err(failed)
    })?;
    if args.json {
        say::result(to_json(&status))
    } else {
        say::result(describe(&status))
    }
}

/// A client of the coordinator at `url`; connects with the first call.
pub fn connect(url: &str) -> Result<CoordinatorClient<Channel>> {
    let context =
        || format!("{url:?} is no coordinator URL; give for example http://127.0.0.1:7700");
    let endpoint = Endpoint::from_shared(with_scheme(url)).with_context(context)?;
    let channel = endpoint
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .connect_lazy();
    Ok(CoordinatorClient::new(channel))
}

/// `host:port` means `http://host:port`.
pub fn with_scheme(url: &str) -> String {
    match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    }
}

/// One look.
pub async fn look(client: &mut CoordinatorClient<Channel>) -> Result<v1::GetStatusResponse> {
    let response = client.get_status(v1::GetStatusRequest {}).await;
    Ok(response
        .map_err(|status| anyhow::anyhow!("{}", status.message()))?
        .into_inner())
}

/// The name of a state in words.
pub fn state_name(status: &v1::GetStatusResponse) -> &'static str {
    match status.state() {
        v1::RunState::Unspecified => "unknown",
        v1::RunState::WaitingForWorkers => "waiting for workers",
        v1::RunState::Training => "training",
        v1::RunState::Stopping => "stopping",
        v1::RunState::Stopped => "stopped",
        v1::RunState::Ended => "ended",
        v1::RunState::Failed => "failed",
    }
}

/// The first figure of every set, in a line.
pub fn evaluation(evaluation: &v1::Evaluation) -> String {
    let first =
        |metric: &&v1::Metric| metric.name.ends_with("top1") || metric.name.ends_with("R@1");
    let metrics = evaluation.metrics.iter().filter(first);
    let figures = metrics.map(|v1::Metric { name, value }| {
        let name = name.trim_start_matches(EvalConfig::METRICS);
        format!("  {name} {}", percent(*value))
    });
    let figures: String = figures.collect();
    format!("evaluation of step {}:{figures}", evaluation.step)
}

fn describe(status: &v1::GetStatusResponse) -> String {
    let mut text = format!(
        "{}: {} {}\nstep {}/{}  generation {}  term {}  skipped {}  checkpoint {}",
        status.run,
        state_name(status),
        status.message,
        status.step,
        status.total_steps,
        status.generation,
        status.term,
        status.skipped,
        status.checkpoint.as_deref().unwrap_or("none"),
    );
    if let Some(metrics) = &status.metrics {
        text.push_str(&format!(
            "\nloss {:.4}  logit scale {:.2}  lr {:.2e}  {:.0} samples/s",
            metrics.loss, metrics.logit_scale, metrics.lr, metrics.samples_per_second
        ));
    }
    if let Some(newest) = &status.evaluation {
        text.push_str(&format!("\n{}", evaluation(newest)));
    }
    if let Some(straggler) = &status.straggler {
        text.push_str(&format!(
            "\nrank {} on {} holds the others up: {} takes it {:.3} s a step longer than their median",
            straggler.rank,
            straggler.host,
            name_of(straggler.phase().as_str_name(), "SPAN_NAME_"),
            straggler.excess_seconds
        ));
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "rank",
        "worker",
        "host",
        "pid",
        "step",
        "phase",
        "last heartbeat",
        "memory",
    ]);
    for rank in &status.ranks {
        table.add_row([
            rank.rank.to_string(),
            rank.worker.clone(),
            rank.host.clone(),
            rank.pid.to_string(),
            rank.step.to_string(),
            name_of(rank.phase().as_str_name(), "PHASE_").replace('_', " "),
            format!("{:.1} s ago", rank.heartbeat_age_seconds),
            memory(rank),
        ]);
    }
    format!("{text}\n{table}")
}

/// A name of the contract in lower case.
fn name_of(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

fn memory(rank: &v1::RankStatus) -> String {
    let bytes = rank.vitals.map_or(0, |vitals| vitals.memory_bytes);
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

fn to_json(status: &v1::GetStatusResponse) -> serde_json::Value {
    let ranks = status.ranks.iter().map(|rank| {
        json!({
            "rank": rank.rank, "worker": rank.worker, "host": rank.host, "pid": rank.pid,
            "address": rank.address, "step": rank.step,
            "phase": name_of(rank.phase().as_str_name(), "PHASE_"),
            "heartbeat_age_seconds": rank.heartbeat_age_seconds,
            "lease_age_seconds": rank.lease_age_seconds, "device": rank.device,
            "memory_bytes": rank.vitals.map(|vitals| vitals.memory_bytes),
            "draining": rank.draining,
        })
    });
    let metrics = status.metrics.map(|metrics| {
        json!({
            "loss": metrics.loss, "logit_scale": metrics.logit_scale, "lr": metrics.lr,
            "grad_norm": metrics.grad_norm, "samples_per_second": metrics.samples_per_second,
        })
    });
    let evaluation = status.evaluation.as_ref().map(|evaluation| {
        let metrics = evaluation.metrics.iter();
        let mut figures: serde_json::Map<_, _> = metrics
            .map(|v1::Metric { name, value }| (name.clone(), json!(value)))
            .collect();
        figures.insert("step".to_owned(), json!(evaluation.step));
        figures
    });
    let straggler = status.straggler.as_ref().map(|straggler| {
        json!({
            "rank": straggler.rank, "worker": straggler.worker, "host": straggler.host,
            "phase": name_of(straggler.phase().as_str_name(), "SPAN_NAME_"),
            "excess_seconds": straggler.excess_seconds,
            "from_step": straggler.from_step, "through_step": straggler.through_step,
        })
    });
    json!({
        "evaluation": evaluation, "straggler": straggler,
        "run": status.run, "state": state_name(status), "message": status.message,
        "term": status.term, "generation": status.generation, "step": status.step,
        "total_steps": status.total_steps, "skipped": status.skipped,
        "checkpoint": status.checkpoint, "metrics": metrics, "ranks": ranks.collect::<Vec<_>>(),
    })
}
