//! What a server counts, with the feature `metrics`: metrics for the recorder of the crate
//! [metrics](https://docs.rs/metrics).
//!
//! | name | kind | labels | what it counts |
//! |---|---|---|---|
//! | [`spop_connections`](CONNECTIONS) | gauge | | connections that are open |
//! | [`spop_connections_total`](CONNECTIONS_TOTAL) | counter | | accepted connections, health checks among them |
//! | [`spop_disconnects_total`](DISCONNECTS) | counter | `by`, `status` | ended connections, without health checks |
//! | [`spop_health_checks_total`](HEALTH_CHECKS) | counter | `result` | health checks (`option spop-check`) |
//! | [`spop_notifies_total`](NOTIFIES) | counter | `message` | NOTIFYs by the names of their messages |
//! | [`spop_requests_in_flight`](REQUESTS_IN_FLIGHT) | gauge | | requests whose handlers wait for something |
//! | [`spop_request_duration_seconds`](REQUEST_DURATION) | histogram | | time from a NOTIFY to its ACK |
//! | [`spop_failures_total`](FAILURES) | counter | `kind` | requests that were answered with the fallback |
//! | [`spop_ack_bytes_total`](ACK_BYTES) | counter | | bytes of ACK frames |
//!
//! - `by` is `agent` or `haproxy`: who ended the connection. `status` is the code of the DISCONNECT, 99 for one that
//!   SPOE.txt does not have, and `none` without a DISCONNECT, which is how HAProxy from 3.1 leaves.
//! - `result` is `passed` or `failed`; a server that shuts down fails them.
//! - `message` is a name that the server knows, see [`Server::message_labels`](crate::Server::message_labels), or
//!   `other`: a peer cannot add labels. A NOTIFY with several messages counts for each.
//! - Handlers that answer without waiting are never in flight.
//! - The duration is that of every request that could be read, failed or not. Those that HAProxy gave up, or whose
//!   connection ended before, have none.
//! - `kind` is the word of a [`FailureKind`](crate::FailureKind).
//!
//! Install the recorder before [`Server::serve`](crate::Server::serve): the server looks its metrics up there, once.
//! Bytes and seconds are told to the recorder as units. Many exporters want to know the buckets of a histogram:
//! handlers that need no one else take microseconds, and [`Server::request_timeout`](crate::Server::request_timeout) is
//! the longest there is.

/// Gauge: connections that are open.
pub const CONNECTIONS: &str = "spop_connections";
/// Counter: connections that were accepted.
pub const CONNECTIONS_TOTAL: &str = "spop_connections_total";
/// Counter: connections that ended, with the labels `by` and `status`.
pub const DISCONNECTS: &str = "spop_disconnects_total";
/// Counter: health checks, with the label `result`.
pub const HEALTH_CHECKS: &str = "spop_health_checks_total";
/// Counter: NOTIFYs, with the label `message`.
pub const NOTIFIES: &str = "spop_notifies_total";
/// Gauge: requests whose handlers wait for something.
pub const REQUESTS_IN_FLIGHT: &str = "spop_requests_in_flight";
/// Histogram: time from a NOTIFY to its ACK, in seconds.
pub const REQUEST_DURATION: &str = "spop_request_duration_seconds";
/// Counter: requests that were answered with the fallback, with the label `kind`.
pub const FAILURES: &str = "spop_failures_total";
/// Counter: bytes of ACK frames, with their length prefixes.
pub const ACK_BYTES: &str = "spop_ack_bytes_total";
