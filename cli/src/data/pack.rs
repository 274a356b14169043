//! `twinspan data pack`: shards of pictures and captions.

use crate::args::PackArgs;
use crate::counter::Counter;
use crate::eval;
use crate::exit::{Failure, failure};
use crate::runtime::block_on;
use crate::say;
use indicatif::HumanBytes;
use twinspan_data::pack::{Columns, Keys, Packed, Request};
use twinspan_types::config::url_of_path;

/// Makes shards and prints what was made.
pub fn run(args: &PackArgs) -> Result<(), Failure> {
    let request = Request {
        input: args.input.clone(),
        columns: Columns {
            image: args.image_column.clone(),
            caption: args.caption_column.clone(),
        },
        out: url_of_path(&args.out),
        shard_samples: args.shard_samples,
        overwrite: args.overwrite,
        skip_bad: args.skip_bad,
    };
    let packed = pack(&request)?;
    match args.json {
        true => say::result(serde_json::json!(packed))?,
        false => say::result(eval::table(&rows(&packed)))?,
    }
    Ok(())
}

fn pack(request: &Request) -> Result<Packed, Failure> {
    let (checked, written) = (
        Counter::new("samples checked"),
        Counter::new("samples written"),
    );
    let on_check = |done, total| checked.show(done, total);
    let on_write = |done, total| written.show(done, total);
    let packed = twinspan_data::pack::pack(request, &on_check, &on_write);
    block_on(packed)?.map_err(|error| failure(error.is_bad_input(), error))
}

fn rows(packed: &Packed) -> Vec<(String, String)> {
    let row = |name: &str, value: String| (name.to_owned(), value);
    let keys = match packed.keys {
        Keys::Stems => "names of the pictures",
        Keys::Numbers => "running numbers",
    };
    let mut rows = vec![
        row("shards", packed.shards.to_string()),
        row("samples", packed.samples.to_string()),
        row("bytes", HumanBytes(packed.bytes).to_string()),
        row("keys", keys.to_owned()),
    ];
    if packed.other_files > 0 {
        rows.push(row("other files", packed.other_files.to_string()));
    }
    if packed.left_out > 0 {
        rows.push(row("samples left out", packed.left_out.to_string()));
    }
    let left_out = packed.left_out_first.iter();
    rows.extend(left_out.map(|bad| row("", bad.to_string())));
    rows
}
