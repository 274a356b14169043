//! What every answer carries, and who gets none.

use super::error;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The page loads nothing from elsewhere, and nobody shows it in a frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'";

/// Names under which a program on this machine reaches what listens to it alone.
const NAMES_OF_HERE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A router whose answers say what a browser may do with them. Where only this machine is listened
/// to, a page of elsewhere whose name was made to point here is refused.
pub fn guarded(router: Router, only_here: Option<IpAddr>) -> Router {
    let own = only_here.map(|address| SocketAddr::new(address, 0).to_string());
    let own = own.map(|own| Arc::<str>::from(own.trim_end_matches(":0")));
    router.layer(from_fn(move |request: Request, next: Next| {
        let own = own.clone();
        async move {
            let refused = own.is_some_and(|own| !is_of_here(request.headers(), &own));
            let mut answer = match refused {
                true => error(
                    StatusCode::FORBIDDEN,
                    "this address is for this machine: ask for it by the name localhost",
                ),
                false => next.run(request).await,
            };
            protect(&mut answer);
            answer
        }
    }))
}

fn protect(answer: &mut Response) {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a request names this machine. Its port says nothing: it may have been forwarded.
fn is_of_here(headers: &HeaderMap, own: &str) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        // The last part of an address of IPv6 is no port.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let mut names = NAMES_OF_HERE.iter().copied().chain([own]);
    names.any(|here| here.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the page listens.
    const OWN: &str = "127.0.1.1";

    fn headers(hosts: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for host in hosts {
            let host = HeaderValue::from_str(host).expect("a header");
            headers.append(header::HOST, host);
        }
        headers
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_not_of_here() {
        for host in [
            "localhost:41234",
            "127.0.0.1:1",
            "[::1]:80",
            "[::1]",
            "LOCALHOST",
            "127.0.1.1:8",
        ] {
            assert!(is_of_here(&headers(&[host]), OWN), "{host}");
        }
        for host in [
            "evil.example:41234",
            "localhost.evil.example",
            "127.0.0.1.evil:1",
            "",
        ] {
            assert!(!is_of_here(&headers(&[host]), OWN), "{host}");
        }
        assert!(!is_of_here(&headers(&[]), OWN));
        assert!(!is_of_here(&headers(&["localhost", "evil.example"]), OWN));
    }
}
