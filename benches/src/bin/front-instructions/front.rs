//! What a `Router` with extractors costs next to a hand-written `Service` that does the same.
//!
//! Not in the library of the benchmarks: more callers there change what the compiler inlines into the other results.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use serde::Deserialize;
use spop::haproxy::{Config, Connection, Engine};
use spop::{NotifyId, NotifyWriter};
use spop_tokio::{Actions, Args, BoxError, Request, Router, Scope, Server, Service, State, Var};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

/// How the agent is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// A `Service` by hand.
    Service,
    /// A `Router` with an async handler.
    Async,
    /// A `Router` with a plain handler.
    Plain,
}

impl Agent {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Service, Self::Async, Self::Plain];
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Service => "service",
            Self::Async => "router-async",
            Self::Plain => "router-plain",
        })
    }
}

/// Requests of a burst.
pub(crate) const BURST: u64 = 16;

const MESSAGE: &str = "check-client-ip";
const SCORE: Var = Var::session("ip_score");

/// The agent's state.
struct Scores {
    local: u32,
}

impl Scores {
    fn of(&self, ip: Option<IpAddr>) -> u32 {
        ip.map_or(0, |ip| if ip.is_loopback() { self.local } else { 50 })
    }
}

struct ByHand(Arc<Scores>);

impl Service for ByHand {
    type Error = BoxError;

    async fn call(&self, request: Request) -> Result<Actions, BoxError> {
        let mut actions = Actions::new();
        for message in request.messages().filter(|message| message.name() == MESSAGE) {
            actions.set_var(Scope::Session, "ip_score", self.0.of(message.get("ip")?))?;
        }
        Ok(actions)
    }
}

#[derive(Deserialize)]
struct Check {
    ip: Option<IpAddr>,
}

async fn check(State(scores): State<Arc<Scores>>, Args(check): Args<Check>) -> Result<Actions, BoxError> {
    Ok(Actions::new().set(SCORE, scores.of(check.ip)))
}

fn check_at_once(State(scores): State<Arc<Scores>>, Args(check): Args<Check>) -> Result<Actions, BoxError> {
    Ok(Actions::new().set(SCORE, scores.of(check.ip)))
}

/// An agent and its client on one thread, with a pipe in memory between.
pub(crate) struct Front {
    runtime: Runtime,
    io: DuplexStream,
    burst: BytesMut,
    answer: Vec<u8>,
}

impl Front {
    /// Connects to an agent that is written this way.
    ///
    /// # Errors
    /// If there is no runtime, or the agent does not answer.
    pub(crate) fn new(agent: Agent) -> Result<Self, BoxError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (mut io, other) = duplex(128 * 1024);
        let scores = Arc::new(Scores { local: 100 });
        match agent {
            Agent::Service => serve(&runtime, ByHand(scores), other),
            Agent::Async => serve(&runtime, Router::new().message(MESSAGE, check).with_state(scores), other),
            Agent::Plain => {
                serve(&runtime, Router::new().message(MESSAGE, check_at_once).with_state(scores), other);
            }
        }
        let mut hello = BytesMut::new();
        Connection::new(Config::new(Engine::Mux)).hello(&mut hello)?;
        let mut burst = BytesMut::new();
        for stream_id in 1..=BURST {
            let mut notify = NotifyWriter::new(NotifyId { stream_id, frame_id: 1 }, 16_380, &mut burst);
            notify.message(MESSAGE)?.arg("ip", IpAddr::from([127, 0, 0, 1]))?;
            notify.finish();
        }
        let answer = runtime.block_on(async {
            io.write_all(&hello).await?;
            let len = io.read_u32().await?;
            io.read_exact(&mut vec![0; len as usize]).await?;
            // All answers are as long as the first.
            io.write_all(&burst).await?;
            let len = io.read_u32().await? as usize;
            io.read_exact(&mut vec![0; len + (BURST as usize - 1) * (4 + len)]).await?;
            Ok::<_, std::io::Error>(vec![0; BURST as usize * (4 + len)])
        })?;
        Ok(Self { runtime, io, burst, answer })
    }

    /// Has so many bursts answered.
    ///
    /// # Errors
    /// If the agent does not answer.
    pub(crate) fn run(&mut self, bursts: u64) -> Result<(), BoxError> {
        let Self { runtime, io, burst, answer } = self;
        runtime.block_on(async {
            for _ in 0..bursts {
                io.write_all(burst).await?;
                io.read_exact(answer).await?;
            }
            Ok(())
        })
    }
}

fn serve(runtime: &Runtime, service: impl Service, io: DuplexStream) {
    runtime.spawn(async move { Server::new(service).serve_connection(io).await });
}
