//! `twinspan data inspect`: what shards hold.

use crate::args::InspectArgs;
use crate::counter::Counter;
use crate::eval;
use crate::exit::{Failure, failure};
use crate::runtime::block_on;
use crate::say;
use indicatif::HumanBytes;
use twinspan_data::inspect::{Closeness, Inspection, Shown, Spread};

/// Looks at samples and prints what they are like.
pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let urls = super::urls(&args.urls)?;
    let closeness = Closeness {
        limit: args.limit,
        shown: args.samples,
    };
    let inspection = inspect(&urls, closeness)?;
    match args.json {
        true => say::result(serde_json::json!(inspection))?,
        false => say::result(eval::table(&rows(&inspection)))?,
    }
    Ok(())
}

fn inspect(urls: &[String], closeness: Closeness) -> Result<Inspection, Failure> {
    let counter = Counter::new("samples read");
    let on_progress = |done, total| counter.show(done, total);
    let inspection = twinspan_data::inspect::inspect(urls, closeness, &on_progress);
    block_on(inspection)?.map_err(|error| failure(error.is_bad_input(), error))
}

fn rows(found: &Inspection) -> Vec<(String, String)> {
    let row = |name: &str, value: String| (name.to_owned(), value);
    let formats = found.formats.iter();
    let formats: Vec<String> = formats
        .map(|(format, count)| format!("{count} {format}"))
        .collect();
    let mut rows = vec![
        row("shards", found.shards.to_string()),
        row("samples", found.samples.to_string()),
        row("bytes", HumanBytes(found.bytes).to_string()),
        row("samples looked at", looked_at(found)),
        row("pictures", formats.join(", ")),
        row("", "min / median / 95 % / max".to_owned()),
        row("width", spread(found.width)),
        row("height", spread(found.height)),
        row("caption characters", spread(found.caption_characters)),
        row("caption tokens", tokens(found)),
        row("bytes of a sample", spread(found.sample_bytes)),
    ];
    for (reason, unusable) in &found.unusable {
        let more = match unusable.count > unusable.keys.len() as u64 {
            true => ", ...",
            false => "",
        };
        let keys = unusable.keys.join(", ");
        rows.push(row(reason, format!("{}: {keys}{more}", unusable.count)));
    }
    let damaged = found.damaged.iter();
    rows.extend(damaged.map(|(shard, damage)| row("damaged", format!("{shard}: {damage}"))));
    rows.extend(
        found
            .shown
            .iter()
            .map(|sample| row(&sample.key, show(sample))),
    );
    rows
}

fn looked_at(found: &Inspection) -> String {
    match found.looked_at == found.samples {
        true => format!("{} (all)", found.looked_at),
        false => found.looked_at.to_string(),
    }
}

fn spread(spread: Spread) -> String {
    let Spread {
        min,
        median,
        p95,
        max,
    } = spread;
    format!("{min} / {median} / {p95} / {max}")
}

fn tokens(found: &Inspection) -> String {
    let tokens = spread(found.caption_tokens);
    match found.captions_cut {
        0 => tokens,
        cut => format!("{tokens}; {cut} are longer than 77"),
    }
}

fn show(sample: &Shown) -> String {
    let picture = match sample.picture {
        Some((width, height, format)) => format!("{width} x {height} {format}"),
        None => "no picture".to_owned(),
    };
    match &sample.caption {
        Some(caption) => format!("{picture}, {caption:?}"),
        None => format!("{picture}, no caption"),
    }
}
