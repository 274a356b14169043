//! Where in a trace a request belongs: W3C Trace Context (<https://www.w3.org/TR/trace-context/>).

use crate::{SpanId, TraceId};
use tonic::metadata::MetadataMap;

/// The header.
pub const TRACEPARENT: &str = "traceparent";

/// Where in a trace something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that it belongs below.
    pub span: SpanId,
    /// Whether spans of the trace are exported.
    pub sampled: bool,
}

impl SpanContext {
    /// As the header `traceparent`.
    #[must_use]
    pub fn to_traceparent(&self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", self.trace, self.span)
    }

    /// Reads the header `traceparent`; none where it is not as the standard says.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut fields = header.split('-');
        let [version] = bytes(fields.next()?)?;
        let (trace, span, [flags]) = (
            bytes(fields.next()?)?,
            bytes(fields.next()?)?,
            bytes(fields.next()?)?,
        );
        // A later version may have more to say; this one has not.
        let fits = version != 0xff && (version != 0 || fields.next().is_none());
        (fits && trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            sampled: flags & 1 == 1,
        })
    }

    /// Puts it into a request's metadata.
    pub fn inject(&self, metadata: &mut MetadataMap) {
        if let Ok(value) = self.to_traceparent().parse() {
            metadata.insert(TRACEPARENT, value);
        }
    }
}

/// So many bytes in lower-case hexadecimal, and nothing else.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard.
    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_survives_a_requests_metadata() {
        let context = SpanContext::from_traceparent(HEADER).unwrap();
        assert!(context.sampled);
        let mut metadata = MetadataMap::new();
        context.inject(&mut metadata);
        let header = metadata.get(TRACEPARENT).unwrap().to_str().unwrap();
        assert_eq!(header, HEADER);
        assert_eq!(SpanContext::from_traceparent(header), Some(context));
    }

    #[test]
    fn a_later_version_may_say_more_and_nothing_else_is_taken() {
        let later = HEADER.replacen("00", "cc", 1) + "-what-the-future-brings";
        assert!(SpanContext::from_traceparent(&later).is_some());
        let zero = "0".repeat(16);
        for bad in [
            String::new(),
            HEADER.to_uppercase(),
            HEADER.replacen("00", "ff", 1),
            format!("{HEADER}-x"),
            HEADER[..HEADER.len() - 1].to_owned(),
            HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zero.repeat(2)),
            HEADER.replace("00f067aa0ba902b7", &zero),
            HEADER.replace("00f0", "é0"),
        ] {
            assert_eq!(SpanContext::from_traceparent(&bad), None, "{bad}");
        }
    }
}
