//! `twinspan train`: one coordinator and N workers as processes of this binary, watched until the
//! run is over.

mod chaos;
mod coordinator;
mod progress;
mod recovery;
mod summary;
mod watch;

use crate::args::TrainArgs;
use crate::exit::{Failure, failed, failure};
use crate::processes::{Children, Crew, GRACE, Report, Signals};
use crate::runtime::block_on;
use crate::{say, validate};
use anyhow::anyhow;
use chaos::{Chaos, Deeds};
use coordinator::{Addresses, first_report};
use progress::Progress;
use recovery::Recovery;
use summary::Summary;
use twinspan_types::RunConfig;
use twinspan_types::config::DeviceChoice;
use watch::Watch;

/// Trains a run to its end, or to the first Ctrl-C.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    let config = validate::with_workers(validate::load(&args.config)?, args.workers)?;
    let checked = validate::check(validate::with_eval(config, args.no_eval))?;
    let started = std::time::Instant::now();
    let end = to_end(args, &checked.config)?;
    let Report::Ended { checkpoint, .. } = &end.report else {
        let text = end.report.describe(&checked.config.url());
        return match end.report {
            Report::Failed { .. } => Err(failed(anyhow!(text))),
            _ => {
                say::log(text);
                Ok(())
            }
        };
    };
    let url = checked.config.url();
    let trained = block_on(twinspan_coordinator::trained(&url))?.map_err(failed)?;
    let wall = started.elapsed();
    let summary = Summary::new(&checked.config, &trained, wall, checkpoint, end.chaos);
    summary.print(args.json)?;
    summary.check_evaluation()
}

/// How the run's processes ended.
pub struct End {
    /// The coordinator's last word.
    pub report: Report,
    /// What chaos did to them, where it was asked for.
    chaos: Option<Deeds>,
}

/// Trains the run of a file that was checked, to its end or to the first Ctrl-C.
pub fn to_end(args: &TrainArgs, config: &RunConfig) -> Result<End, Failure> {
    let choice = args.device.unwrap_or(config.worker.device);
    let workers = config.cluster.workers.index();
    let (precision, collective) = (config.train.precision, config.cluster.collective);
    let devices = twinspan_worker::deal_devices(choice, workers, precision, collective)
        .map_err(|error| failure(error.is_bad_input(), error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(supervise(args, config, &devices))
}

async fn supervise(
    args: &TrainArgs,
    config: &RunConfig,
    devices: &[DeviceChoice],
) -> Result<End, Failure> {
    let mut signals = Signals::new()?;
    let mut children = Children::in_words();
    let coordinator = children.spawn(&coordinator::start(args, None));
    let mut coordinator = coordinator.map_err(failed)?;
    let (url, page) = match first_report(&mut coordinator).await? {
        Report::Listening { url, page } => (url, page),
        report => {
            let chaos = None;
            return Ok(End { report, chaos });
        }
    };
    let addresses = Addresses::new(args, config, &url, page.as_deref());
    let crew = Crew::new(url, args.threads, devices, &[]);
    crew.start(&mut children)?;
    let progress = Progress::new(config, args.json);
    progress.print(&format!("{}: coordinator at {}", config.run, crew.url));
    if let Some(page) = &page {
        progress.print(&format!("{}: status page at {page}", config.run));
    }
    let chaos = args
        .chaos
        .map(|seed| Chaos::new(seed, config.cluster.heartbeat_timeout));
    let mut watch = Watch {
        args,
        coordinator,
        children,
        crew,
        addresses,
        progress,
        chaos,
        recovery: Recovery::default(),
        report: None,
        stopping: false,
    };
    let outcome = watch.run(&mut signals).await;
    watch.progress.finish();
    let report = outcome?;
    watch.children.wait(GRACE).await;
    let chaos = watch.chaos.as_ref().map(Chaos::deeds);
    Ok(End { report, chaos })
}
