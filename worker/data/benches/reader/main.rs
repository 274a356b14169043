//! Samples a second that one core reads, decodes, augments, normalises and tokenises, as batches of
//! 64 pictures of 224 px: from disk, from an S3 server, and by webdataset, Pillow and open_clip.
//!
//!     cargo bench -p twinspan-data --bench reader
//!     TWINSPAN_BENCH_PYTHON=venv/bin/python cargo bench -p twinspan-data --bench reader
//!
//! Everything measured has one core to itself, the S3 server another. The Python needs the packages
//! webdataset, open_clip_torch and Pillow; without it, or without the S3 server that
//! `tests/install-servers.sh` installs, its column is left out and the reason printed. The three
//! take turns, and the medians of the turns are printed.

mod ours;
mod peer;
mod pictures;
mod table;

use pictures::Shards;
use std::error::Error;
use table::Row;
use twinspan_data::Stores;
use twinspan_testkit::servers::Seaweed;

/// Sides of the pictures in the shards.
const SIDES: [u32; 2] = [256, 512];
/// Batches of one turn.
const BATCHES: usize = 64;
/// Turns of each reader.
const TURNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    // The server inherits the first core, and all that is measured the last.
    cores
        .first()
        .map(|core| core_affinity::set_for_current(*core));
    let folder = tempfile::tempdir()?;
    let server = match Seaweed::start(&folder.path().join("seaweed")) {
        Ok(server) => Some(server),
        Err(reason) => {
            println!("nothing is read from S3: {reason}");
            None
        }
    };
    cores
        .last()
        .map(|core| core_affinity::set_for_current(*core));
    if cores.len() < 2 {
        println!("one core alone: the S3 server takes a part of what is measured");
    }
    if let Some(server) = &server {
        for (name, value) in server.env() {
            // SAFETY: no other thread has been started.
            #[allow(unsafe_code)]
            unsafe {
                std::env::set_var(name, value);
            }
        }
    }
    let python = peer::Python::from_env(folder.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;

    for side in SIDES {
        let shards = Shards::write(folder.path(), side)?;
        let on_disk = shards.index()?;
        let in_bucket = server.as_ref().map(|server| {
            let url = format!("s3://{}/{side}", server.bucket());
            runtime.block_on(shards.copy_to(&Stores::default(), &url))
        });
        let in_bucket = in_bucket.transpose()?;
        let mut row = Row::new(side, shards.mean_picture_bytes());
        for _ in 0..TURNS {
            row.disk.push(ours::samples_per_second(&on_disk, BATCHES)?);
            if let Some(index) = &in_bucket {
                row.s3.push(ours::samples_per_second(index, BATCHES)?);
            }
            if let Some(python) = &python {
                row.peer
                    .push(python.samples_per_second(shards.paths(), BATCHES)?);
            }
        }
        row.print();
    }
    Ok(())
}
