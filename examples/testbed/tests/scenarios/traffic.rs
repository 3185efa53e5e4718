//! Clients that keep HAProxy and its agents busy while something happens to these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testbed::http;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bed::{Outcome, SOON};

/// Clients, each of which sends its next request when it has the answer to the last one.
///
/// They look at every answer: the header `x-path` must be the path asked for.
pub(crate) struct Traffic {
    tally: watch::Receiver<Tally>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

/// What the clients have seen.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Requests that have ended, well or not.
    pub(crate) requests: usize,
    /// No answer, or a wrong one. The client has stopped then.
    pub(crate) http_errors: Vec<Failed>,
    /// Answers with a status in `x-spoe-error`.
    pub(crate) spoe_errors: Vec<Failed>,
    pub(crate) longest: Duration,
    /// Requests by the agent that has answered, which is the header `x-agent`.
    by_agent: BTreeMap<String, usize>,
    /// When the last request of each client was sent that has ended.
    asked: BTreeMap<usize, Instant>,
}

/// A request that ended badly.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) started: Instant,
    pub(crate) took: Duration,
    pub(crate) why: String,
}

impl Traffic {
    pub(crate) fn start(clients: usize, to: SocketAddr) -> Self {
        let (count, tally) = watch::channel(Tally::default());
        let (stop, stopped) = watch::channel(false);
        let mut set = JoinSet::new();
        for client in 0..clients {
            set.spawn(Client::new(client, to).run(count.clone(), stopped.clone()));
        }
        Self { tally, stop, clients: set }
    }

    /// Waits until so many more requests have ended.
    pub(crate) async fn wait_for_more(&mut self, requests: usize) -> Outcome {
        let wanted = self.tally.borrow().requests + requests;
        self.wait("more answers", |tally| tally.requests >= wanted).await
    }

    /// Waits until the agent with that process id has answered so many requests.
    pub(crate) async fn wait_for_agent(&mut self, pid: u32, requests: usize) -> Outcome {
        let what = format!("answers of agent {pid}");
        self.wait(&what, |tally| tally.answers_of(pid) >= requests).await
    }

    /// Waits until each client has got an answer to something that it asked for after `start`.
    pub(crate) async fn wait_for_everybody_since(&mut self, start: Instant) -> Outcome {
        let clients = self.clients.len();
        let is_later =
            |tally: &Tally| tally.asked.values().filter(|&&asked| asked > start).count() == clients;
        self.wait("an answer to each client", is_later).await
    }

    /// How many requests the agent with that process id has answered.
    pub(crate) fn answers_of(&self, pid: u32) -> usize {
        self.tally.borrow().answers_of(pid)
    }

    async fn wait(&mut self, what: &str, enough: impl FnMut(&Tally) -> bool) -> Outcome {
        // The one error is that it takes too long, the other that all clients have stopped.
        let came = matches!(timeout(SOON, self.tally.wait_for(enough)).await, Ok(Ok(_)));
        if came { Ok(()) } else { Err(format!("{what} did not come: {:?}", *self.tally.borrow()).into()) }
    }

    /// Lets each client end the request that it has.
    pub(crate) async fn stop(mut self) -> Outcome<Tally> {
        self.stop.send_replace(true);
        while let Some(client) = timeout(SOON + Duration::from_secs(1), self.clients.join_next()).await? {
            client?;
        }
        Ok(self.tally.borrow().clone())
    }
}

impl Tally {
    fn answers_of(&self, pid: u32) -> usize {
        self.by_agent.get(&pid.to_string()).copied().unwrap_or_default()
    }

    /// Checks that nobody has noticed anything.
    #[track_caller]
    pub(crate) fn expect_no_error(&self) {
        assert!(self.http_errors.is_empty() && self.spoe_errors.is_empty(), "{self:?}");
    }
}

/// A line for a person.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, http_errors, spoe_errors, longest, .. } = self;
        let (http, spoe) = (http_errors.len(), spoe_errors.len());
        write!(f, "{requests} requests, {http} HTTP errors, {spoe} SPOE errors")?;
        if spoe > 0 {
            let words: BTreeSet<_> = spoe_errors.iter().map(|failed| &*failed.why).collect();
            write!(f, " (status {})", Vec::from_iter(words).join(", "))?;
        }
        write!(f, ", longest request {} ms", longest.as_millis())
    }
}

/// The same with the first errors.
impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}; {:?}", self.by_agent)?;
        self.http_errors.iter().take(5).try_for_each(|failed| write!(f, "\nHTTP: {failed:?}"))?;
        self.spoe_errors.iter().take(5).try_for_each(|failed| write!(f, "\nSPOE: {failed:?}"))
    }
}

/// A client that keeps its connection.
pub(crate) struct Client {
    number: usize,
    to: SocketAddr,
    connection: Option<http::Connection>,
    resets: bool,
}

/// How a request ended that got an answer: who has given it, or the SPOE status instead.
pub(crate) type Answer = Result<String, String>;

impl Client {
    pub(crate) fn new(number: usize, to: SocketAddr) -> Self {
        Self { number, to, connection: None, resets: false }
    }

    async fn run(mut self, tally: watch::Sender<Tally>, stopped: watch::Receiver<bool>) {
        for n in 0.. {
            if *stopped.borrow() {
                return;
            }
            let started = Instant::now();
            let result = self.ask(&format!("/{}/{n}", self.number)).await;
            let took = started.elapsed();
            let is_lost = result.is_err();
            tally.send_modify(|tally| {
                tally.requests += 1;
                tally.asked.insert(self.number, started);
                tally.longest = tally.longest.max(took);
                match result {
                    Ok(Ok(agent)) => *tally.by_agent.entry(agent).or_default() += 1,
                    Ok(Err(why)) => tally.spoe_errors.push(Failed { started, took, why }),
                    Err(error) => tally.http_errors.push(Failed { started, took, why: error.to_string() }),
                }
            });
            if is_lost {
                return;
            }
        }
    }

    /// Asks for a path. The connection is closed if this is dropped before its end, and after an error.
    pub(crate) async fn ask(&mut self, path: &str) -> Outcome<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.send(&http::Request::new("GET", path).deadline(SOON)).await?;
        // A worker of HAProxy that is about to go says so.
        if response.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        match (response.status, response.header("x-spoe-error"), response.header("x-path")) {
            (200, None, Some(answer)) if answer == path => {
                Ok(Ok(response.header("x-agent").unwrap_or_default().to_owned()))
            }
            (200, Some(status), _) => Ok(Err(status.to_owned())),
            _ => Err(format!("answer to {path}: {response:?}").into()),
        }
    }

    async fn connect(&mut self) -> Outcome<http::Connection> {
        let connection = http::Connection::open(self.to, None, SOON).await?;
        if self.resets {
            connection.reset_when_dropped()?;
        }
        Ok(connection)
    }

    /// Ends all later connections with a reset.
    pub(crate) fn with_resets(mut self) -> Self {
        self.resets = true;
        self
    }

    /// Ends the connection.
    pub(crate) fn leave(&mut self) {
        self.connection = None;
    }
}
