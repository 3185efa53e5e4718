//! A small web server, which answers every request at once.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{debug, warn};

/// More than these wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// How long a connection may be without a request, and the request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// After an error of `accept`, such as no file descriptor left: it passes, but not at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// Listens at `address`.
///
/// # Errors
/// What the system says, with the address and the option that has it.
pub async fn bind(option: &str, address: SocketAddr) -> io::Result<TcpListener> {
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("{option} {address}: {error}"));
    TcpListener::bind(address).await.map_err(explain)
}

/// Answers requests with `answer`, which gets no part of their bodies: what is left of one when the answer is ready is
/// not waited for, and the connection ends. Never returns.
pub async fn serve<F>(listener: TcpListener, answer: F)
where
    F: Fn(&Request<Incoming>) -> Answer + Send + Sync + 'static,
{
    let (permits, answer) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Arc::new(answer));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = answer.clone();
                tokio::spawn(async move {
                    serve_one(stream, &*answer).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, answer: impl Fn(&Request<Incoming>) -> Answer) {
    // If the system refuses that, answers leave a little later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answer = answer(&request);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // HAProxy lets control characters through: a header with them is ignored, and the request is answered.
        .ignore_invalid_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "connection failed");
    }
}
