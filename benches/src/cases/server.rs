//! A server and its client on one thread: bursts of NOTIFYs through a pipe in memory and through TCP.
//!
//! The client writes a burst that was made beforehand and counts the bytes that come back. Its work and the kernel's
//! are in every result, so ratios are closer to 1 here than under `spop-load`, which looks at the agent alone.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::connection::burst_of;
use super::{Case, Who};
use crate::agents::{self, Mode, Work};
use crate::profile::Profile;

/// Bursts of 1, 16 and 64 of log-request, and of 16 of check-request, in memory and over TCP.
pub fn server() -> Vec<Case> {
    let bursts =
        [(Profile::log_request(), [1, 16, 64].as_slice()), (Profile::check_request(), [16].as_slice())];
    let mut cases = Vec::new();
    for (profile, sizes) in &bursts {
        for &frames in *sizes {
            cases.push(case("server-duplex", profile, frames, |runtime| runtime.block_on(async { pipe() })));
            cases.push(case("server-tcp", profile, frames, |runtime| runtime.block_on(loopback())));
        }
    }
    cases
}

fn case<Io>(group: &'static str, profile: &Profile, frames: u64, connect: fn(&Runtime) -> (Io, Io)) -> Case
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let burst = burst_of(profile, frames);
    let mut case = Case::new(group, format_args!("{profile} x{frames}"), frames);
    for who in [Who::Limit, Who::Ours, Who::Peer, Who::PeerReadme] {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, agent) = connect(&runtime);
        spawn(&runtime, who, agent);
        let mut client = Client::new(&runtime, client, &burst);
        case.contestants.push((
            who,
            Box::new(move |times| {
                runtime.block_on(async {
                    for _ in 0..times {
                        client.round_trip().await;
                    }
                });
            }),
        ));
    }
    case
}

fn pipe() -> (DuplexStream, DuplexStream) {
    duplex(128 * 1024)
}

async fn loopback() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (client, agent) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (client, (agent, _)) = (client.expect("a connection"), agent.expect("a connection"));
    client.set_nodelay(true).expect("an open socket");
    agent.set_nodelay(true).expect("an open socket");
    (client, agent)
}

fn spawn(runtime: &Runtime, who: Who, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    runtime.spawn(async move {
        match who {
            Who::Ours | Who::OursInPlace => {
                let _ = agents::server(Work::default()).serve_connection(io).await;
            }
            Who::Limit | Who::LimitTwice => drop(agents::serve_limit(io).await),
            Who::Peer => drop(agents::serve_peer(io, Mode::FeedFlush, Duration::ZERO).await),
            Who::PeerReadme => drop(agents::serve_peer(io, Mode::Readme, Duration::ZERO).await),
        }
    });
}

/// HAProxy's side, as cheap as can be.
struct Client<Io> {
    io: Io,
    burst: Vec<u8>,
    answer: Vec<u8>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Client<Io> {
    /// Says hello, and finds out how long the answer to a burst is: the same for all agents.
    fn new(runtime: &Runtime, mut io: Io, burst: &[u8]) -> Self {
        let answer = agents::Canned::new();
        let mut out = Vec::new();
        answer.answer(burst, &mut out).expect("good frames");
        runtime.block_on(async {
            let haproxy =
                spop::haproxy::Connection::new(spop::haproxy::Config::new(spop::haproxy::Engine::Mux));
            let mut hello = bytes::BytesMut::new();
            haproxy.hello(&mut hello).expect("a short engine-id");
            io.write_all(&hello).await.expect("an agent");
            let len = io.read_u32().await.expect("an agent");
            io.read_exact(&mut vec![0; len as usize]).await.expect("an agent");
        });
        Self { io, burst: burst.into(), answer: vec![0; out.len()] }
    }

    async fn round_trip(&mut self) {
        self.io.write_all(&self.burst).await.expect("an agent that listens");
        self.io.read_exact(&mut self.answer).await.expect("an agent that answers");
    }
}
