//! The output server: what those get whom HAProxy turns away.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tracing::warn;

use crate::challenge::{COOKIE, Challenges};
use crate::metrics::count_page;
use crate::page::{Location, Pages};
use crate::web::Answer;

/// The challenge's page.
const CHALLENGE: &str = include_str!("challenge.html");

/// The header that brings the challenge, set in HAProxy's output backend.
const CHALLENGE_HEADER: HeaderName = HeaderName::from_static("decision-challenge");

/// Longer than any challenge of ours.
const MAX_CHALLENGE: usize = 64;

/// Answers requests by the decision that HAProxy has written on them.
pub struct Output {
    /// The header with the decision, set in HAProxy's output backend.
    pub decision_header: HeaderName,
    /// Makes garbage.
    pub pages: Pages,
    /// Knows how hard and how long good challenges are.
    pub challenges: Challenges,
}

impl Output {
    /// The answer to a request.
    pub fn answer<B>(&self, request: &Request<B>) -> Answer {
        let headers = request.headers();
        let mut words = headers.get_all(&self.decision_header).iter().map(HeaderValue::as_bytes);
        // With more than one value somebody else has written into it.
        match (words.next(), words.next()) {
            (None, _) => misdirected(
                "This server is for requests that HAProxy has a decision on, and there is none.\n",
            ),
            (Some(b"default"), None) => misdirected(""),
            (Some(b"challenge"), None) => self.challenge(headers),
            _ => self.garbage(request),
        }
    }

    fn garbage<B>(&self, request: &Request<B>) -> Answer {
        count_page("garbage");
        let (headers, uri) = (request.headers(), request.uri());
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let location = Location {
            host: host.unwrap_or_default(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
        };
        // A 200 to CONNECT would open a tunnel.
        let status = if request.method() == Method::CONNECT { StatusCode::FORBIDDEN } else { StatusCode::OK };
        html(status, self.pages.render(location))
    }

    fn challenge(&self, headers: &HeaderMap) -> Answer {
        let challenge = headers.get(CHALLENGE_HEADER).and_then(|challenge| challenge.to_str().ok());
        let Some(challenge) = challenge.filter(|challenge| is_challenge(challenge)) else {
            return no_challenge();
        };
        count_page("challenge");
        let (_, nonce) = challenge.split_once('.').unwrap_or_default();
        let page = CHALLENGE
            .replace("@NONCE@", nonce)
            .replace("@CHALLENGE@", challenge)
            .replace("@BITS@", &self.challenges.bits().to_string())
            .replace("@MAX-AGE@", &self.challenges.lifetime().as_secs().to_string())
            .replace("@COOKIE@", COOKIE);
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; base-uri 'none'"
        );
        let mut answer = html(StatusCode::FORBIDDEN, page);
        // Cannot fail: the nonce is digits and letters.
        if let Ok(policy) = HeaderValue::try_from(policy) {
            answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }
}

/// It goes into a script, so nothing but what ours is made of may be in it.
fn is_challenge(text: &str) -> bool {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'.'));
    plain && text.len() <= MAX_CHALLENGE && text.contains('.')
}

fn no_challenge() -> Answer {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        warn!(
            "a client cannot be challenged: HAProxy's output backend lacks \
             `http-request set-header Decision-Challenge %[var(txn.<var-prefix>.challenge)]`"
        );
    }
    count_page("no-challenge");
    html(
        StatusCode::SERVICE_UNAVAILABLE,
        "<!doctype html><p>This site's protection is set up wrongly.</p>\n".into(),
    )
}

fn misdirected(text: &'static str) -> Answer {
    count_page("misdirected");
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = StatusCode::MISDIRECTED_REQUEST;
    not_to_be_kept(&mut answer);
    answer
}

fn html(status: StatusCode, page: String) -> Answer {
    let mut answer = Response::new(Full::new(page.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    not_to_be_kept(&mut answer);
    answer
}

/// Neither by caches nor by search engines.
fn not_to_be_kept(answer: &mut Answer) {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
}
