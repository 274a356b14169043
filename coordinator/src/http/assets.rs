//! The page's files, which are part of this program.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// A file by its name below `/assets`.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const PAGE: &str = include_str!("page/index.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("page/", $name)),
        }
    };
}

const ASSETS: &[Asset] = &[
    asset!("app.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("checkpoints.js", SCRIPT),
    asset!("curves.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("favicon.svg", PICTURE),
    asset!("format.js", SCRIPT),
    asset!("header.js", SCRIPT),
    asset!("lanes.js", SCRIPT),
    asset!("parts.css", STYLE),
    asset!("phases.js", SCRIPT),
    asset!("rank.js", SCRIPT),
    asset!("ranks.js", SCRIPT),
    asset!("skips.js", SCRIPT),
    asset!("steps.js", SCRIPT),
    asset!("stream.js", SCRIPT),
    asset!("strip.js", SCRIPT),
    asset!("style.css", STYLE),
    asset!("timeline.js", SCRIPT),
    asset!("waterfall.js", SCRIPT),
];

/// The page itself.
pub fn page() -> Response {
    answer("text/html; charset=utf-8", PAGE.as_bytes())
}

/// One of its files.
pub fn asset(name: &str) -> Option<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    Some(answer(asset.kind, asset.bytes))
}

fn answer(kind: &'static str, bytes: &'static [u8]) -> Response {
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
        bytes,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/page");
        let files = std::fs::read_dir(folder).expect("the page's folder");
        let names = files.map(|file| file.expect("a file").file_name());
        let names = names.map(|name| name.into_string().expect("text"));
        let mut names: Vec<String> = names.filter(|name| name != "index.html").collect();
        names.sort();
        let served: Vec<&str> = ASSETS.iter().map(|asset| asset.name).collect();
        assert_eq!(served, names);
    }
}
