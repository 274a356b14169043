//! Simulates any number of seeds and says which of them fail.

use clap::Parser;
use std::process::ExitCode;
use std::time::Instant;
use twinspan_sim::simulate;

/// Simulates runs whose machines die and whose network fails as a seed decides.
#[derive(Parser)]
#[command(after_help = "Examples:
  twinspan-sim --seeds 1000
  twinspan-sim --from 42 --seeds 1 --book")]
struct Args {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Print what happened in each run
    #[arg(long)]
    book: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let started = Instant::now();
    let mut failed = 0;
    for seed in args.from..args.from + args.seeds {
        match simulate(seed) {
            Ok(report) => {
                if args.book {
                    println!("{}", report.book.join("\n"));
                }
                println!(
                    "seed {seed}: {:.1} s, {} generations, {} terms",
                    report.took.as_secs_f64(),
                    report.generations,
                    report.terms
                );
            }
            Err(error) => {
                failed += 1;
                println!("seed {seed} FAILED: {error:#}");
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} of {} seeds failed, in {seconds:.0} s",
        failed, args.seeds
    );
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
