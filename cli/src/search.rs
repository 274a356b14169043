//! `twinspan search`: the pictures nearest to a text.

use crate::args::{SearchArgs, SearchKind};
use crate::exit::{Failure, bad_input};
use crate::{model, say};
use anyhow::anyhow;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use twinspan_data::vectors::{Kind, VectorReader};
use twinspan_worker::eval::SearchReport;

/// Looks for a text and prints what is nearest.
pub fn run(args: &SearchArgs) -> Result<(), Failure> {
    let query = args.query.trim();
    if query.is_empty() {
        return Err(bad_input(anyhow!(
            "the text to look for is empty: give words, such as 'red car'"
        )));
    }
    let kind = match args.kind {
        SearchKind::Image => Kind::Image,
        SearchKind::Text => Kind::Text,
    };
    let model = model::load(&args.checkpoint)?;
    let vectors = VectorReader::open(&args.vectors, &model.space()).map_err(bad_input)?;
    let embedding = model.embed_texts(&[model.tokenizer().encode(query)]);
    let report = twinspan_worker::eval::search(&embedding, vectors, kind, args.k.get())
        .map_err(bad_input)?;
    if report.searched == 0 {
        return Err(bad_input(anyhow!(
            "{} holds no vector of the kind {kind}: embed some, or search with another --kind",
            args.vectors.display()
        )));
    }
    match args.json {
        true => say::result(json!({
            "query": query,
            "kind": kind,
            "searched": report.searched,
            "results": report.results,
        })),
        false => say::result(table(&report)),
    }
}

fn table(report: &SearchReport) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "cosine", "nearest"]);
    for (rank, found) in (1..).zip(&report.results) {
        let (rank, cosine): (i32, _) = (rank, format!("{:.3}", found.cosine));
        table.add_row([rank.to_string(), cosine, found.key.clone()]);
    }
    if let Some(ranks) = table.column_mut(0) {
        ranks.set_cell_alignment(CellAlignment::Right);
    }
    table
}
