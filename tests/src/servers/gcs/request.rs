//! What a request asks for.

use hyper::header::HeaderName;
use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use std::ops::Range;
use url::form_urlencoded;

/// Bucket, object and query of a request's target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) bucket: String,
    /// Empty for the bucket itself.
    pub(super) object: String,
    query: Vec<(String, String)>,
}

impl Target {
    /// `None` for a target that is no UTF-8.
    pub(super) fn parse(uri: &Uri) -> Option<Self> {
        let path = uri.path().trim_start_matches('/');
        let (bucket, object) = path.split_once('/').unwrap_or((path, ""));
        let decode = |part| percent_decode_str(part).decode_utf8().ok();
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Some(Self {
            bucket: decode(bucket)?.into_owned(),
            object: decode(object)?.into_owned(),
            query: query.into_owned().collect(),
        })
    }

    /// The value of a key of the query.
    pub(super) fn query(&self, key: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs.find_map(|(name, value)| (name == key).then_some(value.as_str()))
    }
}

/// A header's text.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The bytes that a `Range` asks of an object of this size; `None` when there
/// are none or the header is no single range.
pub(super) fn range(header: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => size.saturating_sub(suffix.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => {
            let last: usize = last.parse().ok()?;
            first.parse().ok()?..last.saturating_add(1).min(size)
        }
    };
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_cut_at_the_size_and_empty_ones_are_none() {
        assert_eq!(range("bytes=2-4", 10), Some(2..5));
        assert_eq!(range("bytes=2-40", 10), Some(2..10));
        assert_eq!(range("bytes=7-", 10), Some(7..10));
        assert_eq!(range("bytes=-3", 10), Some(7..10));
        assert_eq!(range("bytes=-30", 10), Some(0..10));
        assert_eq!(range("bytes=10-11", 10), None);
        assert_eq!(range("bytes=0-1,3-4", 10), None);
    }
}
