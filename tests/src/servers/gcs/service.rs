//! From a request to an answer: metadata server, faults, identity, objects.

use super::answers::{self, Answer, error};
use super::identity::Identity;
use super::objects::{ListQuery, Objects};
use super::request::{Target, header, range};
use bytes::Bytes;
use hyper::header::{IF_MATCH, IF_NONE_MATCH, RANGE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use std::collections::VecDeque;
use std::time::SystemTime;

/// Where a machine in the cloud asks for a token.
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// What the stub was asked so far. Every request to the bucket counts once
/// under what it asks, however it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcsCounts {
    /// Objects or parts of them.
    pub gets: u64,
    /// Objects' headers.
    pub heads: u64,
    /// Pages of lists.
    pub lists: u64,
    /// Objects written at once, and the parts, beginnings and ends of uploads.
    pub writes: u64,
    /// Objects deleted and uploads given up.
    pub deletes: u64,
    /// Tokens that the metadata server issued.
    pub tokens: u64,
    /// Requests to the bucket without valid credentials.
    pub unauthenticated: u64,
    /// Requests to the bucket that failed because the test said so.
    pub injected: u64,
}

/// All that the stub knows.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) bucket: &'static str,
    pub(super) identity: Identity,
    pub(super) objects: Objects,
    /// The statuses with which the next requests fail.
    pub(super) failures: VecDeque<StatusCode>,
    pub(super) counts: GcsCounts,
}

impl Service {
    pub(super) fn handle(&mut self, request: &Parts, body: Bytes, now: SystemTime) -> Answer {
        if request.uri.path() == TOKEN_PATH {
            return self.token(request, now);
        }
        let Some(target) = Target::parse(&request.uri) else {
            return error(StatusCode::BAD_REQUEST, "InvalidURI");
        };
        self.count(&request.method, &target);
        if let Some(status) = self.failures.pop_front() {
            self.counts.injected += 1;
            return error(status, "Injected");
        }
        let authorization = header(&request.headers, hyper::header::AUTHORIZATION);
        if !self.identity.admits(authorization, now) {
            self.counts.unauthenticated += 1;
            return error(StatusCode::UNAUTHORIZED, "AuthenticationRequired");
        }
        if target.bucket != self.bucket {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket");
        }
        self.authorized(request, &target, body, now)
    }

    fn token(&mut self, request: &Parts, now: SystemTime) -> Answer {
        let flavor = request.headers.get("metadata-flavor");
        if flavor.is_none_or(|value| value != "Google") {
            return error(StatusCode::FORBIDDEN, "MissingMetadataFlavor");
        }
        self.counts.tokens += 1;
        let token = self.identity.issue(now).to_string();
        answers::answer(StatusCode::OK, "application/json", token)
    }

    fn count(&mut self, method: &Method, target: &Target) {
        let counts = &mut self.counts;
        match (method, target.object.is_empty()) {
            (&Method::GET, true) => counts.lists += 1,
            (&Method::GET, false) => counts.gets += 1,
            (&Method::HEAD, _) => counts.heads += 1,
            (&Method::DELETE, _) => counts.deletes += 1,
            _ => counts.writes += 1,
        }
    }

    fn authorized(
        &mut self,
        request: &Parts,
        target: &Target,
        body: Bytes,
        now: SystemTime,
    ) -> Answer {
        let no_object = target.object.is_empty();
        match (&request.method, target.query("uploadId")) {
            (&Method::GET, None) if no_object => self.list(target),
            // Anything else on a bucket, and a copy, whose empty body is no object.
            _ if no_object || request.headers.contains_key("x-goog-copy-source") => {
                error(StatusCode::BAD_REQUEST, "NotInThisStub")
            }
            (&Method::GET | &Method::HEAD, None) => self.get(request, &target.object),
            (&Method::PUT, None) => self.put(request, &target.object, body, now),
            (&Method::DELETE, None) => deleted(self.objects.delete(&target.object), "NoSuchKey"),
            (&Method::POST, None) if target.query("uploads").is_some() => {
                let id = self.objects.begin_upload();
                answers::xml(&format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
                     </InitiateMultipartUploadResult>"
                ))
            }
            (&Method::PUT, Some(upload)) => self.put_part(target, upload, body),
            (&Method::POST, Some(upload)) => self.complete(target, upload, now),
            (&Method::DELETE, Some(upload)) => deleted(self.objects.abort(upload), "NoSuchUpload"),
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn list(&self, target: &Target) -> Answer {
        let query = |key| target.query(key).unwrap_or_default().to_owned();
        answers::list(&self.objects.list(&ListQuery {
            prefix: query("prefix"),
            delimiter: target.query("delimiter").map(str::to_owned),
            start_after: query("start-after"),
            token: query("continuation-token"),
            max_keys: target.query("max-keys").and_then(|keys| keys.parse().ok()),
        }))
    }

    fn get(&self, request: &Parts, name: &str) -> Answer {
        let Some(object) = self.objects.get(name) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let tag = object.e_tag();
        if header(&request.headers, IF_MATCH).is_some_and(|wanted| wanted != tag) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        if header(&request.headers, IF_NONE_MATCH).is_some_and(|known| known == tag) {
            return error(StatusCode::NOT_MODIFIED, "NotModified");
        }
        let Some(asked) = header(&request.headers, RANGE) else {
            return answers::content(object, None);
        };
        match range(asked, object.bytes.len()) {
            Some(range) => answers::content(object, Some(range)),
            None => error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        }
    }

    fn put(&mut self, request: &Parts, name: &str, body: Bytes, now: SystemTime) -> Answer {
        let condition = request.headers.get("x-goog-if-generation-match");
        let expected = condition.map(|value| value.to_str().unwrap_or_default().parse());
        let Ok(expected) = expected.transpose() else {
            return error(StatusCode::BAD_REQUEST, "InvalidArgument");
        };
        match self.objects.put(name, body, expected, now) {
            Some(object) => answers::written(&object),
            None => error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        }
    }

    fn put_part(&mut self, target: &Target, upload: &str, body: Bytes) -> Answer {
        let number = target.query("partNumber").and_then(|n| n.parse().ok());
        let Some(number) = number else {
            return error(StatusCode::BAD_REQUEST, "InvalidArgument");
        };
        let mut answer = answers::answer(StatusCode::OK, "text/plain", "");
        answers::set(&mut answer, "etag", &format!("\"part-{number}\""));
        match self.objects.put_part(upload, number, body) {
            Some(()) => answer,
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        }
    }

    fn complete(&mut self, target: &Target, upload: &str, now: SystemTime) -> Answer {
        let Some(object) = self.objects.complete(upload, &target.object, now) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let mut answer = answers::xml(&format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            answers::escape(&object.e_tag())
        ));
        let generation = object.generation.to_string();
        answers::set(&mut answer, "x-goog-generation", &generation);
        answer
    }
}

fn deleted(was_there: bool, absent: &str) -> Answer {
    if was_there {
        answers::answer(StatusCode::NO_CONTENT, "text/plain", "")
    } else {
        error(StatusCode::NOT_FOUND, absent)
    }
}
