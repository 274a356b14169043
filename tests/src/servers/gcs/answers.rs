//! The stub's answers in the words of the XML API.

use super::objects::{Object, Page};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED};
use hyper::{Response, StatusCode};
use std::fmt::Write;
use std::ops::Range;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer without an object's headers.
pub(super) fn answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    set(&mut answer, CONTENT_TYPE.as_str(), content_type);
    answer
}

pub(super) fn xml(body: &str) -> Answer {
    let body = format!("<?xml version='1.0' encoding='UTF-8'?>{body}");
    answer(StatusCode::OK, "application/xml; charset=UTF-8", body)
}

pub(super) fn error(status: StatusCode, code: &str) -> Answer {
    let body =
        format!("<Error><Code>{code}</Code><Message>the stub says {status}</Message></Error>");
    let mut answer = xml(&body);
    *answer.status_mut() = status;
    answer
}

/// What follows a write.
pub(super) fn written(object: &Object) -> Answer {
    described(object, StatusCode::OK, Bytes::new())
}

/// An object or a part of it.
pub(super) fn content(object: &Object, range: Option<Range<usize>>) -> Answer {
    let Some(range) = range else {
        return described(object, StatusCode::OK, object.bytes.clone());
    };
    let body = object.bytes.slice(range.clone());
    let mut answer = described(object, StatusCode::PARTIAL_CONTENT, body);
    let size = object.bytes.len();
    let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    set(&mut answer, CONTENT_RANGE.as_str(), &value);
    answer
}

pub(super) fn list(page: &Page) -> Answer {
    let mut body = String::from("<ListBucketResult>");
    for (name, object) in &page.objects {
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{}</LastModified>\
             <ETag>{}</ETag></Contents>",
            escape(name),
            object.bytes.len(),
            humantime::format_rfc3339_millis(object.modified),
            escape(&object.e_tag()),
        );
    }
    for prefix in &page.prefixes {
        let prefix = escape(prefix);
        let _ = write!(
            body,
            "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"
        );
    }
    if let Some(next) = &page.next {
        let next = escape(next);
        let _ = write!(
            body,
            "<NextContinuationToken>{next}</NextContinuationToken>"
        );
    }
    body.push_str("</ListBucketResult>");
    xml(&body)
}

/// Text as XML holds it.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// Sets a header whose value is of ASCII characters.
pub(super) fn set(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn described(object: &Object, status: StatusCode, body: Bytes) -> Answer {
    let mut answer = answer(status, "application/octet-stream", body);
    set(&mut answer, ETAG.as_str(), &object.e_tag());
    let modified = httpdate::fmt_http_date(object.modified);
    set(&mut answer, LAST_MODIFIED.as_str(), &modified);
    let generation = object.generation.to_string();
    set(&mut answer, "x-goog-generation", &generation);
    answer
}
