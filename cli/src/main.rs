//! The front door: one file for each subcommand, no logic of its own.

mod args;
mod checkpoint;
mod classify;
mod coordinator;
mod counter;
mod data;
mod embed;
mod eval;
mod exit;
mod lines;
mod model;
mod parent;
mod passed_over;
mod processes;
mod runtime;
mod say;
mod search;
mod status;
mod train;
mod validate;
mod worker;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    twinspan_telemetry::init(cli.log.as_deref(), &twinspan_telemetry::env);
    let result = match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Coordinator(args) => coordinator::run(&args),
        Command::Worker(args) => worker::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Eval(args) => eval::run(&args.task),
        Command::Classify(args) => classify::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Data(args) => data::run(&args.task),
        Command::Checkpoint(args) => checkpoint::run(&args.task),
        Command::Validate(args) => validate::run(&args),
    };
    exit::report(result)
}
