//! The description of the API against what is served, over a real socket.

use super::routes::{API, OPENAPI, OTHERS};
use super::*;
use crate::screen::Show;
use crate::view::{Document, sample};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

fn spec() -> Value {
    serde_json::from_str(OPENAPI).expect("JSON")
}

/// Fails where a document has a property too many or too few, or of another type.
fn check(spec: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("a name");
        return check(spec, &spec["components"]["schemas"][name], value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let choice = if value.is_null() {
            choices.last()
        } else {
            choices.first()
        };
        return check(spec, choice.expect("a choice"), value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |wanted: &Value| *wanted == kind || *wanted == "number" && kind == "integer";
    let known = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(fits),
        one => fits(one),
    };
    assert!(known, "{place} is {value}, and is to be {}", schema["type"]);
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{place} is {value}");
    }
    if let Value::Array(items) = value {
        for item in items {
            check(spec, &schema["items"], item, &format!("{place}[]"));
        }
    }
    if let Value::Object(members) = value {
        let empty = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let further = &schema["additionalProperties"];
        for (name, member) in members {
            let described = properties
                .get(name)
                .or(further.is_object().then_some(further));
            let described = described.unwrap_or_else(|| panic!("{place}.{name} is not described"));
            check(spec, described, member, &format!("{place}.{name}"));
        }
        for name in properties.keys() {
            assert!(members.contains_key(name), "{place}.{name} is missing");
        }
    }
}

#[test]
fn every_document_is_as_the_description_says() {
    let spec = spec();
    let status = sample::status();
    for mut view in [sample::full(), sample::empty()] {
        let step = Document::Step(sample::SAMPLED);
        for document in Document::STREAMED.into_iter().chain([step]) {
            let Some(text) = view.document(document, &status) else {
                continue;
            };
            let value: Value = serde_json::from_str(&text).expect("JSON");
            let path = match document {
                Document::Step(_) => format!("{API}/steps/{{step}}"),
                other => format!("{API}/{}", other.name()),
            };
            let answer = &spec["paths"][&path]["get"]["responses"]["200"];
            let schema = &answer["content"]["application/json"]["schema"];
            check(&spec, schema, &value, &path);
        }
    }
}

#[test]
fn every_path_of_the_api_is_described_and_no_other() {
    let documents = Document::STREAMED.map(|document| format!("{API}/{}", document.name()));
    let others = OTHERS.map(|path| format!("{API}{path}"));
    let served: BTreeSet<String> = documents
        .into_iter()
        .chain(others)
        .chain(["/metrics".to_owned()])
        .collect();
    let spec = spec();
    let described = spec["paths"].as_object().expect("paths").keys().cloned();
    assert_eq!(described.collect::<BTreeSet<_>>(), served);
}

/// A page over a view with something of everything; gives its address, and whoever shows it.
async fn page(stop: oneshot::Receiver<()>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (asks, mut queue) = mpsc::channel(8);
    let shows = tokio::spawn(async move {
        let (mut view, status) = (sample::full(), sample::status());
        let mut feed = Feed::default();
        while let Some(ask) = queue.recv().await {
            match ask {
                Ask::Show(Show::Document(document, answer)) => {
                    let _ = answer.send(view.document(document, &status));
                }
                Ask::Show(Show::Metrics(answer)) => {
                    let _ = answer.send(view.prometheus(&status, sample::NOW));
                }
                Ask::Show(Show::Watch(answer)) => {
                    let now = tokio::time::Instant::now();
                    let _ = answer.send(feed.watch(now, &mut view, &status));
                }
                Ask::Request(..) | Ask::Stop => {}
            }
        }
    });
    tokio::spawn(serve(listener, asks, async {
        let _ = stop.await;
    }));
    (address, shows)
}

/// What is answered to `GET path`, head and body, as the host is called.
async fn get(address: SocketAddr, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test]
async fn the_page_its_files_and_the_metrics_are_served_and_nothing_else() {
    let (_stop, stopped) = oneshot::channel();
    let (address, _shows) = page(stopped).await;
    for (path, status, kind) in [
        ("/", "200", "text/html"),
        ("/assets/app.js", "200", "text/javascript"),
        ("/assets/style.css", "200", "text/css"),
        ("/metrics", "200", "application/openmetrics-text"),
        ("/api/v1/run", "200", "application/json"),
        ("/api/v1/openapi.json", "200", "application/json"),
        ("/api/v1/steps/999999", "404", "application/json"),
        ("/api/v1/steps/x", "404", "application/json"),
        ("/assets/../driver.rs", "404", "application/json"),
        ("/secret", "404", "application/json"),
    ] {
        let answer = get(address, path, "localhost").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
        assert!(
            answer.contains(&format!("content-type: {kind}")),
            "{path}: {answer}"
        );
        assert!(answer.contains("content-security-policy: default-src 'self'"));
    }
    let elsewhere = get(address, "/api/v1/run", "evil.example").await;
    assert!(elsewhere.starts_with("HTTP/1.1 403"), "{elsewhere}");
}

#[tokio::test]
async fn the_stream_brings_every_document_and_ends_with_the_coordinator() {
    let (_stop, stopped) = oneshot::channel();
    let (address, shows) = page(stopped).await;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let (mut text, mut chunk) = (String::new(), [0; 4096]);
    let all = |text: &str| {
        let mut documents = Document::STREAMED.iter();
        documents.all(|document| text.contains(&format!("event: {}\n", document.name())))
    };
    while !all(&text) {
        let read = stream.read(&mut chunk).await.expect("more");
        assert!(read > 0, "it ended with {text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    // Nobody shows anything any more: the stream ends as one that was told whole.
    shows.abort();
    while !text.ends_with("0\r\n\r\n") {
        let read = stream.read(&mut chunk).await.expect("more");
        assert!(read > 0, "it was cut");
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
}
