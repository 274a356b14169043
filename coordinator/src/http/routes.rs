//! What is answered at which path.

use super::{Routes, Shared, assets, error, json, stream};
use crate::screen::Show;
use crate::view::Document;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use twinspan_telemetry::metrics::CONTENT_TYPE;
use twinspan_types::Step;

/// Below this lies the API.
pub const API: &str = "/api/v1";
/// The paths below it that are no document's.
pub const OTHERS: [&str; 3] = ["/openapi.json", "/stream", "/steps/{step}"];
/// The description of the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// All of it.
pub fn router(shared: Shared) -> Router {
    let mut router = Routes::new()
        .route("/", get(|| async { assets::page() }))
        .route("/assets/{*name}", get(asset))
        .route("/metrics", get(metrics))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is nothing at this path") });
    let [openapi, streamed, step] = OTHERS.map(|path| format!("{API}{path}"));
    router = router
        .route(&openapi, get(|| async { json(OPENAPI.to_owned()) }))
        .route(&streamed, get(stream::stream))
        .route(&step, get(one_step));
    for document in Document::STREAMED {
        let path = format!("{API}/{}", document.name());
        let handler = move |State(shared): State<Shared>| show(shared, document);
        router = router.route(&path, get(handler));
    }
    router.with_state(shared)
}

async fn show(shared: Shared, document: Document) -> Response {
    let shown = shared.ask(|answer| Show::Document(document, answer)).await;
    match shown {
        Ok(Some(text)) => json(text),
        Ok(None) => error(
            StatusCode::NOT_FOUND,
            "no rank has told of this step in full: /api/v1/steps lists those that are shown",
        ),
        Err(refused) => refused,
    }
}

async fn one_step(State(shared): State<Shared>, Path(step): Path<String>) -> Response {
    match step.parse() {
        Ok(step) => show(shared, Document::Step(Step(step))).await,
        Err(_) => error(StatusCode::NOT_FOUND, "a step is a whole number"),
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    assets::asset(&name)
        .unwrap_or_else(|| error(StatusCode::NOT_FOUND, "the page has no such file"))
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.ask(Show::Metrics).await {
        Ok(text) => {
            let kind = HeaderValue::from_static(CONTENT_TYPE);
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(refused) => refused,
    }
}
