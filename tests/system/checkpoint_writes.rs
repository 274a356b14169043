//! Whichever write of a checkpoint is a run's last, its checkpoints are whole, and the run goes on
//! from one.

use crate::support::{BOUND, Workspace, bounded_output, checkpoint_step, signal};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use twinspan_testkit::harness::{TempRun, descendants};
use twinspan_testkit::proxy::{Gate, Moment, Passing, Way};
use twinspan_testkit::servers::{Seaweed, or_skip};

/// More writes than a checkpoint, its record and the retirement of another one consist of.
const MOST_WRITES: usize = 40;

/// One write below `checkpoints/` or `log/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Write {
    /// A file of a checkpoint, by the checkpoint's directory and its own name.
    File(String, String),
    /// A record of the log, by its fact.
    Record(String),
    /// The removal of a checkpoint's file, by its name.
    Removal(String),
}

impl Write {
    /// The write that a request to an S3 server asks for: an object, a part of one, the end of an
    /// upload in parts, or a removal.
    fn of(passing: Passing<'_>) -> Option<Self> {
        let body = String::from_utf8_lossy(passing.body);
        let (path, query) = passing
            .target
            .split_once('?')
            .unwrap_or((passing.target, ""));
        if passing.method == "POST" && query.starts_with("delete") {
            let (_, key) = body.split_once("/checkpoints/")?;
            let (_, file) = key.split_once('<')?.0.split_once('/')?;
            return Some(Self::Removal(file.to_owned()));
        }
        let writes =
            passing.method == "PUT" || passing.method == "POST" && query.contains("uploadId=");
        if !writes {
            return None;
        }
        if let Some((_, file)) = path.split_once("/checkpoints/") {
            let (directory, file) = file.split_once('/')?;
            return Some(Self::File(directory.to_owned(), file.to_owned()));
        }
        path.contains("/log/").then(|| {
            let record: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            let fact = record["fact"]
                .as_object()
                .and_then(|fact| fact.keys().next());
            Self::Record(fact.cloned().unwrap_or_default())
        })
    }

    /// What all writes of its kind have in common.
    fn kind(&self) -> String {
        match self {
            Self::File(_, file) => file.clone(),
            Self::Record(fact) => fact.clone(),
            Self::Removal(file) => format!("removal of {file}"),
        }
    }
}

/// One life of the run, from its start to the kill.
#[derive(Default)]
struct Life {
    /// The process whose children the others are.
    front: Option<u32>,
    /// Which write is to be the last, counted from the first one of this life's second checkpoint,
    /// and whether the server still gets it.
    last: Option<(usize, Moment)>,
    /// The directories of its checkpoints, in the order of their first writes.
    directories: Vec<String>,
    /// Writes since the second began.
    writes: usize,
    /// The last one, once it has come.
    fatal: Option<Write>,
}

impl Life {
    /// A write is on its way; kills all processes of the run where this is the moment.
    fn see(&mut self, write: Write, moment: Moment) -> Way {
        if moment == Moment::Before {
            if let Write::File(directory, _) = &write
                && !self.directories.contains(directory)
            {
                self.directories.push(directory.clone());
            }
            self.writes += usize::from(self.directories.len() > 1);
            if self.last.is_some_and(|(last, _)| self.writes == last) && self.fatal.is_none() {
                self.fatal = Some(write.clone());
            }
        }
        let is_last = self.last.is_some_and(|(_, last)| moment == last);
        if !is_last || self.fatal.as_ref() != Some(&write) {
            return Way::Open;
        }
        // The front process first: it would start the others again.
        let front = self.front.expect("a life that has begun");
        for process in std::iter::once(front).chain(descendants(front)) {
            let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
            // One that has ended by itself is as dead.
            let _ = kill_process(pid.expect("a process id"), Signal::KILL);
        }
        Way::Shut
    }

    /// Whether the last write was the first of the life's third checkpoint.
    fn reached_the_third(&self) -> bool {
        matches!(&self.fatal, Some(Write::File(directory, _))
            if self.directories.get(2) == Some(directory))
    }
}

/// A run whose output is in a bucket behind a gate.
struct Run {
    workspace: Workspace,
    life: Arc<Mutex<Life>>,
    url: String,
    seaweed: Seaweed,
    gate: Gate,
    _directory: TempRun,
}

impl Run {
    fn new() -> Option<Self> {
        let directory = TempRun::new().expect("a directory");
        let seaweed = or_skip(Seaweed::start(directory.path()))?;
        let life = Arc::new(Mutex::new(Life::default()));
        let seen = Arc::clone(&life);
        let gate = Gate::start(seaweed.address(), move |passing, moment| {
            match Write::of(passing) {
                Some(write) => seen.lock().expect("no panic").see(write, moment),
                None => Way::Open,
            }
        });
        let bucket = seaweed.bucket();
        let workspace = Workspace::new(1_000_000, |run| {
            let run = run.replace("keep_last: 2", "keep_last: 1");
            format!("{run}\noutput: s3://{bucket}/runs\n")
        });
        Some(Self {
            workspace,
            life,
            url: format!("s3://{bucket}/runs/toy"),
            seaweed,
            gate: gate.expect("a gate"),
            _directory: directory,
        })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("no panic")
    }

    /// Starts the run, or goes on with it, for a new life.
    fn start(&mut self, last: Option<(usize, Moment)>) -> std::process::Child {
        *self.life() = Life {
            last,
            ..Life::default()
        };
        self.workspace.env = self.seaweed.env_at(&self.gate.endpoint());
        let front = self.workspace.start(&["--no-eval"]);
        self.life().front = Some(front.id());
        front
    }

    /// The step of the newest checkpoint in force, all of which must be whole.
    fn newest_whole(&mut self) -> u64 {
        self.workspace.env = self.seaweed.env();
        let command = ["checkpoint", "verify", &self.url, "--json"];
        let output = self.workspace.output(&command);
        let errors = String::from_utf8_lossy(&output.stderr);
        let checked = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{errors}{checked}");
        let checked: serde_json::Value = serde_json::from_str(&checked).expect("JSON");
        let checked = checked.as_array().expect("lines");
        assert!(checked.iter().all(|one| one["state"] == "whole"));
        let newest = checked.last().and_then(|newest| newest["step"].as_u64());
        newest.expect("a checkpoint in force")
    }

    /// Waits until a checkpoint that this life began is in force.
    fn wait_for_a_checkpoint(&self) {
        let start = Instant::now();
        while self.life().directories.len() < 2 {
            assert!(start.elapsed() < BOUND, "no checkpoint in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn killed_at_any_write_of_a_checkpoint_a_run_has_a_whole_one_and_goes_on_from_it() {
    let Some(mut run) = Run::new() else {
        return;
    };
    let mut newest = 0;
    let mut kinds = BTreeSet::new();
    // Each life goes on from the last one's checkpoint, and comes to one of its own before it is
    // killed at the next.
    for last in 1.. {
        assert!(last <= MOST_WRITES, "a third checkpoint never began");
        let mut reached_the_third = false;
        for moment in [Moment::Before, Moment::After] {
            let front = run.start(Some((last, moment)));
            let output = bounded_output(front);
            let errors = String::from_utf8_lossy(&output.stderr);
            let (fatal, first) = {
                let life = run.life();
                reached_the_third = life.reached_the_third();
                (life.fatal.clone(), life.directories.first().cloned())
            };
            let fatal = fatal.unwrap_or_else(|| panic!("not killed at write {last}: {errors}"));
            kinds.insert(fatal.kind());
            let step = run.newest_whole();
            let own = first.and_then(|directory| checkpoint_step(Path::new(&directory)));
            assert!(
                own > Some(newest) && Some(step) >= own,
                "write {last}, {moment:?}: {fatal:?} left {step}; begun from {newest}, then {own:?}"
            );
            newest = step;
        }
        if reached_the_third {
            break;
        }
    }
    let expected = [
        "checkpoint_committed",
        "checkpoint_retired",
        "manifest.json",
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "optimizer-00001-of-00002.safetensors",
        "optimizer-00002-of-00002.safetensors",
        "removal of manifest.json",
    ];
    let missed: Vec<_> = expected
        .iter()
        .filter(|kind| !kinds.contains(**kind))
        .collect();
    assert!(
        missed.is_empty(),
        "never the last write: {missed:?}; were: {kinds:?}"
    );

    let front = run.start(None);
    run.wait_for_a_checkpoint();
    signal(front.id(), Signal::INT);
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(run.newest_whole() > newest);
}
