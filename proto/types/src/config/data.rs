//! The run file's `data` section.

use super::augmentation::augmentation;
use super::parse::{Folder, expand_braces};
use super::reader::{FRACTION, POSITIVE, Section};
use super::{CacheConfig, Captions, DataConfig, DataSource};
use serde_json::Value;
use std::path::PathBuf;

pub(super) fn data(mut section: Section<'_>, folder: &Folder<'_>) -> DataConfig {
    let config = DataConfig {
        sources: sources(&mut section, folder),
        lanes: section.count("lanes", 16),
        lane_group: section.count("lane_group", 1),
        shuffle_window: section.positive("shuffle_window", 1024),
        cache: cache(&mut section, folder),
        prefetch_bytes: section.bytes("prefetch_bytes", 256 << 20),
        max_skip_fraction: section.number("max_skip_fraction", 0.01, FRACTION),
        crop_scale_min: section.number("crop_scale_min", 0.9, FRACTION),
        augmentation: augmentation(&mut section),
        decode_threads: u32::try_from(section.integer("decode_threads", 0)).unwrap_or(0),
        lease_ahead_seconds: section.positive("lease_ahead_seconds", 90),
    };
    section.finish();
    config
}

fn cache_dir(cache: &mut Section<'_>, folder: &Folder<'_>) -> PathBuf {
    let dir = cache.required_string("dir", "/mnt/nvme/twinspan");
    if dir.contains("://") {
        cache.fault(
            "dir",
            format!("{dir:?} is a URL; give a folder on every worker's own disk"),
        );
    }
    folder.path(&dir)
}

fn cache(section: &mut Section<'_>, folder: &Folder<'_>) -> Option<CacheConfig> {
    if !section.has("cache") {
        section.take("cache");
        return None;
    }
    let mut cache = section.section("cache");
    let config = CacheConfig {
        dir: cache_dir(&mut cache, folder),
        size: cache.bytes("size", 64 << 30),
    };
    cache.finish();
    Some(config)
}

/// One source from `train`, or the list of `sources`.
fn sources(section: &mut Section<'_>, folder: &Folder<'_>) -> Vec<DataSource> {
    if !section.has("sources") {
        // A key without a value is a fault.
        section.take("sources");
        return vec![DataSource {
            urls: urls(section, "train", folder),
            weight: None,
            captions: Captions::default(),
        }];
    }
    if section.take("train").is_some() {
        section.fault("train", "stands beside sources; name all shards in sources");
    }
    let entries = section.sections("sources");
    if entries.is_empty() {
        let example =
            "is empty; give for example sources: [{urls: shards/{00000..00009}.tar, weight: 1}]";
        section.fault("sources", example);
    }
    let sources: Vec<DataSource> = entries
        .into_iter()
        .map(|entry| source(entry, folder))
        .collect();
    let weighted = sources.iter().filter(|source| source.weight.is_some());
    if !matches!(weighted.count(), n if n == 0 || n == sources.len()) {
        section.fault(
            "sources",
            "has weights on some and not on others; give all or none",
        );
    }
    sources
}

fn source(mut section: Section<'_>, folder: &Folder<'_>) -> DataSource {
    let captions = section.string("captions").map(|text| text.parse());
    let captions = captions.unwrap_or_else(|| Ok(Captions::default()));
    let weighted = section.has("weight");
    let weight = section.number("weight", 1.0, POSITIVE);
    let source = DataSource {
        urls: urls(&mut section, "urls", folder),
        weight: weighted.then_some(weight),
        captions: captions.unwrap_or_else(|message| {
            section.fault("captions", message);
            Captions::default()
        }),
    };
    section.finish();
    source
}

/// One URL pattern or a list of them, expanded.
fn urls(section: &mut Section<'_>, key: &'static str, folder: &Folder<'_>) -> Vec<String> {
    let patterns = match section.take(key) {
        Some(Value::String(pattern)) => vec![pattern],
        Some(Value::Array(patterns)) => {
            let texts = patterns.iter().filter_map(Value::as_str).map(str::to_owned);
            let texts: Vec<String> = texts.collect();
            if texts.len() < patterns.len() {
                section.fault(key, "must hold URLs only");
            }
            texts
        }
        Some(other) => {
            let message = format!("{other} is neither a URL nor a list of URLs");
            section.fault(key, message);
            Vec::new()
        }
        None => Vec::new(),
    };
    if patterns.is_empty() {
        let message =
            format!("names no shards; give for example {key}: shards/{{00000..00009}}.tar");
        section.fault(key, message);
    }
    let mut urls = Vec::new();
    for pattern in patterns {
        if pattern.contains('*') {
            let message = format!(
                "{pattern:?}: wildcards are not read; name the shards with braces such as {{00000..00009}}.tar, or their folder"
            );
            section.fault(key, message);
            continue;
        }
        if pattern.is_empty() {
            section.fault(key, "holds an empty URL");
            continue;
        }
        match expand_braces(&pattern) {
            Ok(expanded) => urls.extend(expanded.iter().map(|path| folder.url(path))),
            Err(message) => section.fault(key, message),
        }
    }
    let mut sorted: Vec<&String> = urls.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!(
            "{} is named twice; give a source a higher weight to see it more often",
            pair[0]
        );
        section.fault(key, message);
    }
    urls
}
