//! A web server to stand behind HAProxy.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::Error;
use crate::message::{Framing, Head, read_body};

/// More than these wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// After an error of `accept`, which would come again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

const BODY: &str = "hello from the backend\n";

/// A web server on a loopback port that answers every request with 200 and a short text, until it is dropped.
///
/// Each header of the request comes back in the response, with `x-echo-` before its name: that is how a test sees
/// what HAProxy has sent on.
#[derive(Debug)]
pub struct Backend {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    acceptor: AbortHandle,
}

impl Backend {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (addr, listener) = listener.map_err(Error::io("start the backend"))?;
        let requests = Arc::<AtomicUsize>::default();
        let acceptor = tokio::spawn(accept(listener, requests.clone())).abort_handle();
        Ok(Self { addr, requests, acceptor })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests have reached it.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, requests: Arc<AtomicUsize>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly; it passes, but not at once.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let requests = requests.clone();
        connections.spawn(async move {
            let _permit = permit;
            // Errors are HAProxy closing the connection; what matters is seen at the client.
            let _ = serve(stream, &requests).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection until the peer closes it.
async fn serve(stream: TcpStream, requests: &AtomicUsize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let head = Head::read(&mut stream, &mut Vec::new()).await?;
        requests.fetch_add(1, Ordering::SeqCst);
        match head.framing()? {
            Framing::Unsaid => {}
            framing => read_body(&mut stream, framing, &mut Vec::new()).await?,
        }
        stream.write_all(response(&head).as_bytes()).await?;
        if head.says_close() {
            return stream.shutdown().await;
        }
    }
}

fn response(request: &Head) -> String {
    let mut text =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", BODY.len());
    for (name, value) in &request.headers {
        let _ = write!(text, "x-echo-{name}: {value}\r\n");
    }
    if request.says_close() {
        text += "Connection: close\r\n";
    }
    text += "\r\n";
    if !request.first_line.starts_with("HEAD ") {
        text += BODY;
    }
    text
}
