//! What a scenario stands on: HAProxy, agents, a backend, and what they have said if it fails.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use spop_tokio::spop::OwnedTypedData;
use spop_tokio::{BoxError, Drained, Peer, Request, Server, Service, SocketListener};
use testbed::{AgentProcess, Backend, Config, Haproxy, HaproxyProcess, Lines, Version, http};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::log::{Log, above_debug};

pub(crate) type Outcome<T = ()> = Result<T, BoxError>;

/// For what should happen at once, on a machine that may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// How long HAProxy may wait for an agent, where the point is that it does not: see [`prompt`].
pub(crate) const PATIENCE: &str = "60s";

/// The program of the example.
pub(crate) static IP_REPUTATION: OnceLock<PathBuf> = OnceLock::new();

/// One scenario's HAProxy, and what its processes have said.
pub(crate) struct Bed {
    program: Haproxy,
    log: Log,
    printed: Mutex<Vec<(&'static str, Lines)>>,
    report: Mutex<Option<String>>,
}

impl Bed {
    pub(crate) fn new(program: Haproxy) -> Self {
        Self { program, log: Log::default(), printed: Mutex::default(), report: Mutex::default() }
    }

    pub(crate) fn program(&self) -> &Haproxy {
        &self.program
    }

    pub(crate) fn version(&self) -> Version {
        self.program.version
    }

    /// The log of the agents of this process.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Starts HAProxy.
    pub(crate) async fn haproxy(&self, config: &Config) -> Outcome<HaproxyProcess> {
        let haproxy = HaproxyProcess::start(&self.program, config).await?;
        let outputs = [("HAProxy's log", haproxy.logs()), ("HAProxy's stderr", haproxy.stderr())];
        self.printed().extend(outputs.map(|(name, lines)| (name, lines.clone())));
        Ok(haproxy)
    }

    /// Starts the example's agent, with its log on, at an address as `--listen` takes it.
    pub(crate) async fn ip_reputation(&self, listen: &str, more: &[&str]) -> Outcome<AgentProcess> {
        let mut command = Command::new(IP_REPUTATION.get().expect("built before the first scenario"));
        command.args(["-d", "--listen", listen]).args(more);
        let agent = AgentProcess::start(command, SOON).await?;
        self.printed().push(("ip-reputation", agent.logs().clone()));
        Ok(agent)
    }

    /// Starts the testbed's own agent as a process.
    pub(crate) async fn test_agent(&self, listen: &str, more: &[&str]) -> Outcome<AgentProcess> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_test-agent"));
        command.args(["--listen", listen]).args(more);
        self.agent(command, Stdio::null()).await
    }

    /// Starts an agent as a process.
    pub(crate) async fn agent(&self, command: Command, stdin: impl Into<Stdio>) -> Outcome<AgentProcess> {
        let agent = AgentProcess::start_with(command, stdin, SOON).await?;
        self.printed().push(("test-agent", agent.logs().clone()));
        Ok(agent)
    }

    /// Starts an agent in this process, a backend, and HAProxy between them.
    pub(crate) async fn start<S: Service>(&self, server: Server<S>, config: Config) -> Outcome<Setup> {
        let backend = Backend::start().await?;
        // HAProxy ends first, and then checks no more.
        let agent = Agent::start(server.drain_checks(0)).await?;
        let haproxy = self.haproxy(&config.agent(agent.address).backend(backend.addr())).await?;
        Ok(Setup { haproxy, agent, backend })
    }

    fn printed(&self) -> MutexGuard<'_, Vec<(&'static str, Lines)>> {
        self.printed.lock().expect("never held in a panic")
    }

    /// Keeps a line of measurements, to be printed with the table.
    pub(crate) fn report(&self, measurements: impl ToString) {
        *self.report.lock().expect("never held in a panic") = Some(measurements.to_string());
    }

    pub(crate) fn take_report(&self) -> Option<String> {
        self.report.lock().expect("never held in a panic").take()
    }

    /// The last that was said, for a failed test.
    pub(crate) fn evidence(&self) -> String {
        const LINES: usize = 60;
        let printed = self.printed();
        let printed = printed.iter().map(|(name, lines)| (*name, lines.all()));
        let mut text = String::new();
        for (name, lines) in printed.chain([("the log of agents in this process", self.log.lines())]) {
            let tail = lines.len().saturating_sub(LINES);
            if !lines.is_empty() {
                let _ = writeln!(text, "--- {name}:\n{}", lines[tail..].join("\n"));
            }
        }
        text
    }
}

/// Lets HAProxy have one connection to the agent, so that a test knows which one a request takes.
pub(crate) fn with_one_connection(config: Config) -> Config {
    config.global("nbthread 1").agents("default-server maxconn 1")
}

/// HAProxy between a client, an agent of this process and a backend.
pub(crate) struct Setup {
    // First: connections of the agent then end from that side.
    pub(crate) haproxy: HaproxyProcess,
    pub(crate) agent: Agent,
    #[expect(dead_code, reason = "serves until it is dropped")]
    backend: Backend,
}

impl Setup {
    /// `GET target` over a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Outcome<http::Response> {
        self.send(&http::Request::new("GET", target)).await
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn send(&self, request: &http::Request) -> Outcome<http::Response> {
        Ok(request.clone().deadline(SOON).send(self.haproxy.http()).await?)
    }

    /// The end of a scenario in which nothing has failed: neither HAProxy's log nor the agent's says otherwise.
    pub(crate) async fn finish(self, bed: &Bed) -> Outcome {
        expect_no_failed_event(&self.haproxy);
        self.finish_after_failures().await?;
        assert_eq!(above_debug(&bed.log().lines()), [""; 0], "the agent's log is about everyday things only");
        Ok(())
    }

    /// The end of a scenario that had requests fail.
    pub(crate) async fn finish_after_failures(self) -> Outcome {
        drop(self.haproxy);
        let drained = self.agent.stop().await?;
        assert_eq!(drained.unanswered, 0);
        Ok(())
    }
}

/// An agent in this process.
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<Drained, spop_tokio::Error>>,
}

impl Agent {
    pub(crate) async fn start<S: Service>(server: Server<S>) -> Outcome<Self> {
        Self::start_at("127.0.0.1:0", server).await
    }

    pub(crate) async fn start_at<S: Service>(address: &str, server: Server<S>) -> Outcome<Self> {
        let listener = SocketListener::bind(address).await?;
        let address = listener.tcp_addr().ok_or("no TCP address")?;
        let (shutdown, signal) = oneshot::channel::<()>();
        let server = server.serve(listener).with_graceful_shutdown(async {
            // Also if this value is dropped.
            let _ = signal.await;
        });
        Ok(Self { address, shutdown: Some(shutdown), server: tokio::spawn(server.into_future()) })
    }

    /// What SIGTERM does to a process with `shutdown_signal`.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.shutdown.take());
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(mut self) -> Outcome<Drained> {
        self.begin_stop();
        Ok(timeout(SOON, self.server).await.map_err(|_| "the agent does not stop")???)
    }
}

/// The requests that a service has got.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Recorded>>>);

/// One NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) connection: Peer,
    pub(crate) messages: Vec<(String, Vec<Argument>)>,
}

/// The name and the value of an argument.
pub(crate) type Argument = (String, OwnedTypedData);

impl Recorder {
    pub(crate) fn add(&self, request: &Request) {
        let messages = request.messages().map(|message| {
            let args = message.args().map(|arg| (arg.name.to_string(), arg.value.into_owned()));
            (message.name().to_string(), args.collect())
        });
        let recorded =
            Recorded { connection: request.connection().peer().clone(), messages: messages.collect() };
        self.0.lock().expect("never held in a panic").push(recorded);
    }

    /// All since the last call.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.0.lock().expect("never held in a panic"))
    }

    /// The only one since the last call.
    pub(crate) fn take_one(&self) -> Recorded {
        let [one] = <[Recorded; 1]>::try_from(self.take()).expect("HAProxy has asked once");
        one
    }
}

/// Checks that the answer came through the backend, that the filter has reported no error, and that these headers are
/// as given; `None` means that it is not there.
#[track_caller]
pub(crate) fn expect(response: &http::Response, headers: &[(&str, Option<&str>)]) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("x-spoe-error"), None, "{response:?}");
    for (name, value) in headers {
        assert_eq!(response.header(name), *value, "{name} of {response:?}");
    }
}

/// Checks that HAProxy has logged no event of a filter with a status other than 0.
#[track_caller]
pub(crate) fn expect_no_failed_event(haproxy: &HaproxyProcess) {
    let is_failed = |line: &String| line.contains("SPOE: ") && !line.contains(" st=0 ");
    let failed: Vec<_> = haproxy.logs().all().into_iter().filter(is_failed).collect();
    assert_eq!(failed, [""; 0]);
}

/// Checks that `work` has not waited for [`PATIENCE`] to end.
pub(crate) async fn prompt<T>(work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let done = work.await;
    assert!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());
    done
}
