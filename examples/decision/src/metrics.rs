//! What is counted, and shown at `/metrics` together with what `spop-tokio` counts. No label has a value that a client
//! could make up.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use spop_tokio::BoxError;

use crate::rules::{Outcome, Rule};
use crate::web::Answer;

/// Upper bounds in seconds: decisions take microseconds.
const BUCKETS: [f64; 9] = [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3, 1e-2];

/// How often samples are put into the buckets when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(1);

/// Makes all metrics of the process show up in the handle. Once in a process, from within a runtime.
///
/// # Errors
/// If it was done before.
pub fn install() -> Result<PrometheusHandle, BoxError> {
    let builder = PrometheusBuilder::new();
    // Of the decision, and of the whole request.
    let matcher = Matcher::Suffix("_duration_seconds".into());
    let builder = builder.set_buckets_for_metric(matcher, &BUCKETS);
    let handle = builder
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error: BuildError| error.to_string())?;
    describe_counter!("decision_total", "Decisions, by the rule that held and what it said");
    describe_counter!(
        "decision_errors_total",
        "Requests answered with the word of --on-error, by what was wrong"
    );
    describe_histogram!("decision_duration_seconds", Unit::Seconds, "Time that a decision took");
    describe_counter!("decision_pages_total", "Requests to the output server, by what was served");
    describe_counter!("decision_reloads_total", "Reads of the rules file after the start, by how it went");
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// The answer to a request to the metrics' address.
pub fn answer<B>(request: &Request<B>, report: &PrometheusHandle) -> Answer {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, report.render()),
        _ => (StatusCode::NOT_FOUND, "see /metrics\n".into()),
    };
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    answer
}

/// The metrics of the SPOP side, looked up once.
#[derive(Clone)]
pub struct Decisions {
    by_rule: Vec<[Counter; Outcome::ALL.len()]>,
    duration: Histogram,
}

impl Default for Decisions {
    fn default() -> Self {
        let count = |rule: Rule, outcome: Outcome| {
            let (rule, outcome) = (rule.as_str(), outcome.as_str());
            counter!("decision_total", "rule" => rule, "outcome" => outcome)
        };
        let by_rule = Rule::ALL.map(|rule| Outcome::ALL.map(|outcome| count(rule, outcome)));
        Self { by_rule: by_rule.into(), duration: histogram!("decision_duration_seconds") }
    }
}

impl Decisions {
    /// Counts a decision that was begun at `start`.
    pub fn add(&self, rule: Rule, outcome: Outcome, start: Instant) {
        self.by_rule[rule as usize][outcome as usize].increment(1);
        self.duration.record(start.elapsed());
    }
}

/// Counts a request that could not be decided.
pub fn count_error(kind: &'static str) {
    counter!("decision_errors_total", "kind" => kind).increment(1);
}

/// Counts a request to the output server.
pub fn count_page(page: &'static str) {
    counter!("decision_pages_total", "page" => page).increment(1);
}

/// Counts a read of the rules file.
pub fn count_reload(result: &'static str) {
    counter!("decision_reloads_total", "result" => result).increment(1);
}
