//! The metrics of a server, for the feature `metrics`: see [`crate::metrics`].

use std::collections::BTreeSet;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use spop::Status;
use tokio::time::Instant;

use super::config::FailureKind;
use crate::Request;
use crate::metrics::{
    ACK_BYTES, CONNECTIONS, CONNECTIONS_TOTAL, DISCONNECTS, FAILURES, HEALTH_CHECKS, NOTIFIES,
    REQUEST_DURATION, REQUESTS_IN_FLIGHT,
};

/// All metrics of a server, looked up once.
#[derive(Debug)]
pub(super) struct Metrics {
    open: Gauge,
    accepted: Counter,
    passed_checks: Counter,
    failed_checks: Counter,
    /// By name.
    messages: Vec<(Box<str>, Counter)>,
    other_messages: Counter,
    in_flight: Gauge,
    duration: Histogram,
    failures: [Counter; FailureKind::ALL.len()],
    ack_bytes: Counter,
}

impl Metrics {
    /// Tells the recorder what there is. Messages that are none of `names` are others.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        describe();
        let message = |name: &str| counter!(NOTIFIES, "message" => name.to_owned());
        let names: BTreeSet<_> = names.into_iter().collect();
        Self {
            open: gauge!(CONNECTIONS),
            accepted: counter!(CONNECTIONS_TOTAL),
            passed_checks: counter!(HEALTH_CHECKS, "result" => "passed"),
            failed_checks: counter!(HEALTH_CHECKS, "result" => "failed"),
            messages: names.into_iter().map(|name| (name.into(), message(name))).collect(),
            other_messages: message("other"),
            in_flight: gauge!(REQUESTS_IN_FLIGHT),
            duration: histogram!(REQUEST_DURATION),
            failures: FailureKind::ALL.map(|kind| counter!(FAILURES, "kind" => kind.as_str())),
            ack_bytes: counter!(ACK_BYTES),
        }
    }

    /// A connection was accepted.
    pub(super) fn connection(&self) -> OpenConnection<'_> {
        self.accepted.increment(1);
        self.open.increment(1);
        OpenConnection { metrics: self, end: Some(DROPPED) }
    }

    /// A NOTIFY has come.
    pub(super) fn request(&self, request: &Request) -> Measure<'_> {
        let at = Instant::now();
        for message in request.messages() {
            let known = self.messages.iter().find(|(name, _)| message.name() == **name);
            known.map_or(&self.other_messages, |(_, counter)| counter).increment(1);
        }
        Measure { start: Some((self, at)), waits: false }
    }

    /// An ACK of `bytes` bytes is to be sent.
    pub(super) fn ack(&self, bytes: usize) {
        self.ack_bytes.increment(bytes as u64);
    }

    /// A request is answered with the fallback.
    pub(super) fn failed(&self, kind: FailureKind) {
        self.failures[kind as usize].increment(1);
    }
}

/// Who ended a connection, and with which status.
type End = (&'static str, Option<Status>);

const AGENT: &str = "agent";
const HAPROXY: &str = "haproxy";
/// How a connection ends of which nobody says how it does.
const DROPPED: End = (AGENT, None);

/// A connection that is open, until it is dropped.
pub(super) struct OpenConnection<'c> {
    metrics: &'c Metrics,
    /// `None` for a health check.
    end: Option<End>,
}

impl<'c> OpenConnection<'c> {
    pub(super) fn metrics(&self) -> &'c Metrics {
        self.metrics
    }

    /// HAProxy ends it.
    pub(super) fn ended_by_haproxy(&mut self, status: Option<Status>) {
        self.ended((HAPROXY, status));
    }

    /// The agent ends it.
    pub(super) fn ended_by_agent(&mut self, status: Option<Status>) {
        self.ended((AGENT, status));
    }

    /// The first one to end it counts.
    fn ended(&mut self, end: End) {
        if self.end == Some(DROPPED) {
            self.end = Some(end);
        }
    }

    /// It is a health check.
    pub(super) fn checked(&mut self, passed: bool) {
        self.end = None;
        let Metrics { passed_checks, failed_checks, .. } = self.metrics;
        if passed { passed_checks } else { failed_checks }.increment(1);
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.metrics.open.decrement(1);
        if let Some((by, status)) = self.end {
            let status = status.map_or("none".to_owned(), |status| status.sendable().0.to_string());
            counter!(DISCONNECTS, "by" => by, "status" => status).increment(1);
        }
    }
}

/// A request, from its NOTIFY on.
#[derive(Default)]
pub(super) struct Measure<'c> {
    /// None for one that is not counted.
    start: Option<(&'c Metrics, Instant)>,
    waits: bool,
}

impl Measure<'_> {
    /// Its handler waits for something.
    pub(super) fn waits(&mut self) {
        if let Some((metrics, _)) = self.start {
            metrics.in_flight.increment(1);
            self.waits = true;
        }
    }

    /// Its ACK is written.
    pub(super) fn answered(&self) {
        if let Some((metrics, start)) = self.start {
            metrics.duration.record(start.elapsed());
        }
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        if let (true, Some((metrics, _))) = (self.waits, self.start) {
            metrics.in_flight.decrement(1);
        }
    }
}

fn describe() {
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections that are open");
    describe_counter!(CONNECTIONS_TOTAL, Unit::Count, "Connections that were accepted");
    describe_counter!(
        DISCONNECTS,
        Unit::Count,
        "Connections that ended, by who ended them and the DISCONNECT's status"
    );
    describe_counter!(HEALTH_CHECKS, Unit::Count, "Health checks, by what they were told");
    describe_counter!(NOTIFIES, Unit::Count, "NOTIFYs, by the name of each of their messages");
    describe_gauge!(REQUESTS_IN_FLIGHT, Unit::Count, "Requests whose handlers wait for something");
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time from a NOTIFY to its ACK");
    describe_counter!(
        FAILURES,
        Unit::Count,
        "Requests that were answered with the fallback, by what was wrong"
    );
    describe_counter!(ACK_BYTES, Unit::Bytes, "Bytes of ACK frames");
}
