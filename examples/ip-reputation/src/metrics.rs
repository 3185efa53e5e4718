//! Metrics for Prometheus.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use spop_tokio::BoxError;
use spop_tokio::metrics::REQUEST_DURATION;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Upper bounds in seconds: an answer takes microseconds, but a machine may be busy.
const BUCKETS: [f64; 8] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0];

/// How often samples are put into the buckets when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(1);

/// How long a client may take: there is one at a time.
const PATIENCE: Duration = Duration::from_secs(5);

/// After an error of `accept`, such as no file descriptor left: it passes, but not at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Records from now on, and serves what is recorded at `/metrics`. To be called before the server is made, which looks
/// its metrics up.
pub(crate) async fn serve(address: SocketAddr) -> Result<(), BoxError> {
    let listener = TcpListener::bind(address).await?;
    let duration = Matcher::Full(REQUEST_DURATION.into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(duration, &BUCKETS)?;
    let report = builder.install_recorder()?;
    info!("metrics at http://{}/metrics", listener.local_addr()?);
    tokio::spawn(accept(listener, report));
    Ok(())
}

async fn accept(listener: TcpListener, report: PrometheusHandle) {
    loop {
        report.run_upkeep();
        match timeout(UPKEEP, listener.accept()).await {
            Ok(Ok((stream, _))) => {
                if let Err(error) = answer_one(stream, &report).await {
                    debug!(%error, "metrics: connection failed");
                }
            }
            Ok(Err(error)) => {
                warn!(%error, "metrics: cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {}
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
    answer
}
