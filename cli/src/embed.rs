//! `twinspan embed`: pictures and texts to vectors.

use crate::args::EmbedArgs;
use crate::counter::Counter;
use crate::exit::{Failure, bad_input, failed, failure};
use crate::runtime::block_on;
use crate::{data, eval, lines, model, passed_over, say};
use anyhow::anyhow;
use serde::Serialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use twinspan_data::vectors::VectorFile;
use twinspan_data::{PassedOver, Pictures};

/// What was written.
#[derive(Serialize)]
struct Embedded {
    out: PathBuf,
    images: u64,
    texts: usize,
    embed_dim: usize,
    model: String,
    passed_over: Vec<PassedOver>,
}

/// Embeds what was given, writes the vectors, and prints how many there are.
pub fn run(args: &EmbedArgs) -> Result<(), Failure> {
    let out = VectorFile::at(&args.out).map_err(bad_input)?;
    let texts = match &args.texts {
        Some(file) => lines::read(file, "texts")?,
        None => Vec::new(),
    };
    let pictures = args.images.as_deref().map(pictures).transpose()?;
    let model = model::load(&args.checkpoint)?;
    let space = model.space();
    let mut writer = out.writer(&space).map_err(failed)?;
    let mut embedded = Embedded {
        out: args.out.clone(),
        images: 0,
        texts: texts.len(),
        embed_dim: space.embed_dim,
        model: space.model,
        passed_over: Vec::new(),
    };
    if let Some(pictures) = &pictures {
        let counter = Counter::new("pictures embedded");
        let on_progress = |done, total| counter.show(done, total);
        let written =
            twinspan_worker::eval::write_pictures(&model, pictures, &mut writer, &on_progress);
        let written = block_on(written)?.map_err(failed)?;
        embedded.images = written.images;
        embedded.passed_over = written.passed_over;
    }
    passed_over::tell(&embedded.passed_over);
    if pictures.is_some() && embedded.images == 0 {
        return Err(failed(anyhow!(
            "none of {} pictures could be embedded, and nothing was written: convert them to \
             JPEG, PNG or WebP",
            embedded.passed_over.len()
        )));
    }
    let counter = Counter::new("texts embedded");
    let on_progress = |done, total| counter.show(done, total);
    twinspan_worker::eval::write_texts(&model, &texts, &mut writer, &on_progress)
        .map_err(failed)?;
    drop(counter);
    writer.finish().map_err(failed)?;
    match args.json {
        true => say::result(serde_json::json!(embedded)),
        false => say::result(eval::table(&rows(&embedded))),
    }
}

/// The pictures that were meant: a file, a folder with pictures below it, or else shards.
fn pictures(given: &str) -> Result<Pictures, Failure> {
    let path = Path::new(given);
    let is_shard = path.extension() == Some(OsStr::new("tar"));
    if path.is_file() && !is_shard {
        return Pictures::files(&[path.to_owned()]).map_err(bad_input);
    }
    let is_folder = path.is_dir();
    if is_folder && let Some(pictures) = Pictures::folder(path).map_err(bad_input)? {
        return Ok(pictures);
    }
    let urls = data::urls(&[given.to_owned()])?;
    let counter = Counter::new("shards counted");
    let on_progress = |done, total| counter.show(done, total);
    let shards = block_on(Pictures::shards(&urls, &on_progress))?;
    shards.map_err(|error| {
        let is_bad_input = error.is_bad_input();
        let error = anyhow!(error);
        failure(
            is_bad_input,
            match is_folder {
                true => error.context(format!("{given} holds no picture")),
                false => error,
            },
        )
    })
}

fn rows(embedded: &Embedded) -> Vec<(String, String)> {
    let row = |name: &str, value: String| (name.to_owned(), value);
    vec![
        row("vectors", embedded.out.display().to_string()),
        row("pictures", embedded.images.to_string()),
        row(
            "pictures passed over",
            embedded.passed_over.len().to_string(),
        ),
        row("texts", embedded.texts.to_string()),
        row("width", embedded.embed_dim.to_string()),
    ]
}
