//! The metrics of an agent, for Prometheus: one place for all examples.
//!
//! Whoever can connect can hold a place for five seconds, whether it sends nothing or reads nothing. When all 16 places are
//! taken the next one waits in the listener's backlog.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use spop_tokio::BoxError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Upper bounds in seconds: an answer takes microseconds, but a machine may be busy.
const BUCKETS: [f64; 8] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0];

/// How often samples are put into the buckets when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(1);

/// How many clients are served at a time.
const MAX_CONNECTIONS: usize = 16;

/// How long a client may take for its request and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// After an error of `accept`, such as no file descriptor left: it passes, but not at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Records from now on, and serves what is recorded at `/metrics`. To be called before the server is made, which looks its
/// metrics up.
///
/// # Errors
/// If nobody can listen at `address`, or if there is a recorder already.
pub async fn serve(address: SocketAddr) -> Result<(), BoxError> {
    let explain = |error| format!("--metrics {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(explain)?;
    let durations = Matcher::Suffix("_duration_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &BUCKETS)?;
    let report = builder.install_recorder()?;
    info!("metrics at http://{}/metrics", listener.local_addr()?);
    tokio::spawn(upkeep(report.clone()));
    tokio::spawn(accept(listener, report));
    Ok(())
}

async fn upkeep(report: PrometheusHandle) {
    loop {
        report.run_upkeep();
        sleep(UPKEEP).await;
    }
}

async fn accept(listener: TcpListener, report: PrometheusHandle) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let report = report.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer_one(stream, &report).await {
                        debug!(%error, "metrics: connection failed");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "metrics: cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one request, and closes.
async fn answer_one(stream: TcpStream, report: &PrometheusHandle) -> Result<(), BoxError> {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(&request, report))));
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    Ok(timeout(PATIENCE, connection).await??)
}

fn answer<B>(request: &Request<B>, report: &PrometheusHandle) -> Response<String> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, report.render()),
        _ => (StatusCode::NOT_FOUND, "see /metrics\n".into()),
    };
    let mut answer = Response::new(text);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    answer
}
