//! What a running connection costs: no allocation for a request whose handler is ready at once, and little memory.

mod support;

use std::future::IntoFuture;
use std::hint::black_box;
use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{Actions, BoxError, Request, Scope, Server, service_fn};
use support::{Haproxy, frame, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

const WARM_UP: usize = 100;
const EXCHANGES: usize = 1000;

/// A server and a HAProxy on one thread, the only one whose allocations are counted.
struct Pair {
    runtime: Runtime,
    haproxy: Haproxy<TcpStream>,
    server: JoinHandle<()>,
}

impl Pair {
    fn new(engine: Engine) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (haproxy, server) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move {
                Server::new(service_fn(handler))
                    .idle_timeout(Duration::from_secs(60))
                    .serve(listener)
                    .await
                    .map(drop)
                    .unwrap();
            });
            let io = soon(TcpStream::connect(address)).await.unwrap();
            io.set_nodelay(true).unwrap();
            (Haproxy::connect_as(io, Config::new(engine)).await, server)
        });
        Self { runtime, haproxy, server }
    }

    /// How many allocations an exchange of `burst` requests with a body of `body` bytes takes, in all `EXCHANGES`.
    fn allocations(mut self, burst: usize, body: usize) -> u64 {
        let body = vec![b'x'; body];
        let requests: Vec<u8> = (0..burst)
            .flat_map(|_| {
                let args = [("ip", std::net::Ipv4Addr::LOCALHOST.into()), ("body", body.as_slice().into())];
                self.haproxy.notify_with("check-client-ip", &args).1
            })
            .collect();
        // The same ids again and again: each is free once it is answered.
        let answer = self.runtime.block_on(async {
            self.haproxy.send(&requests).await;
            let mut answers = vec![0; 1 << 16];
            let len = soon(self.haproxy.io.read(&mut answers)).await.unwrap();
            answers.truncate(len);
            answers
        });
        let mut answers = vec![0; answer.len()];
        let io = &mut self.haproxy.io;
        let mut exchange = |count| {
            self.runtime.block_on(soon(async {
                for _ in 0..count {
                    io.write_all(&requests).await.unwrap();
                    io.read_exact(&mut answers).await.unwrap();
                }
            }));
        };
        exchange(WARM_UP);
        let counted = allocation_counter::measure(|| exchange(EXCHANGES));
        assert_eq!(answers, answer);
        assert!(!self.server.is_finished());
        counted.count_total
    }
}

/// Looks at an argument and sets two variables, without waiting.
async fn handler(request: Request) -> Result<Actions, BoxError> {
    let mut actions = Actions::new();
    if let Some(message) = request.message("check-client-ip") {
        let ip: std::net::IpAddr = message.get("ip")?;
        actions.set_var(Scope::Session, "ip_score", if ip.is_loopback() { 100 } else { 50 })?;
        actions.set_var(Scope::Transaction, "checked", true)?;
    }
    Ok(actions)
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn a_request_that_is_answered_at_once_takes_no_allocation() {
    for engine in [Engine::Mux, Engine::Applet] {
        assert_eq!(Pair::new(engine).allocations(1, 100), 0, "{engine:?}");
    }
}

#[cfg(feature = "tracing")]
#[test]
fn a_request_takes_no_allocation_where_nobody_wants_debug() {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(std::io::sink).finish();
    let counted =
        tracing::subscriber::with_default(subscriber, || Pair::new(Engine::Mux).allocations(20, 10));
    assert_eq!(counted, 0);
}

#[cfg(feature = "metrics")]
#[test]
fn a_request_that_is_counted_takes_no_allocation() {
    let metrics = support::metrics::Metrics::default();
    let counted = metrics::with_local_recorder(&metrics, || Pair::new(Engine::Mux).allocations(20, 10));
    assert_eq!(counted, 0);
    let requests = 20 * (1 + WARM_UP + EXCHANGES);
    assert_eq!(metrics.samples(spop_tokio::metrics::REQUEST_DURATION), requests);
    assert_eq!(metrics.get("spop_notifies_total{message=\"other\"}"), Some(requests as f64));
}

#[test]
fn a_burst_that_is_answered_at_once_takes_no_allocation() {
    assert_eq!(Pair::new(Engine::Mux).allocations(20, 10), 0);
}

#[test]
fn long_bursts_that_are_answered_at_once_take_no_allocation() {
    for (burst, body) in [(1, 4000), (16, 1000), (20, 200)] {
        assert_eq!(Pair::new(Engine::Mux).allocations(burst, body), 0, "{burst} requests of {body} bytes");
    }
}

#[test]
fn an_idle_connection_holds_little_memory() {
    const CONNECTIONS: usize = 100;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut haproxies = Vec::with_capacity(CONNECTIONS);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(Server::new(service_fn(handler)).serve(listener).into_future());
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..CONNECTIONS {
                let io = soon(TcpStream::connect(address)).await.unwrap();
                let mut haproxy = Haproxy::connect(io).await;
                // More than the connection keeps capacity for.
                let (_, bytes) = haproxy.notify_with("m", &[("body", [b'x'; 10_000].as_slice().into())]);
                haproxy.send(&bytes).await;
                haproxy.ack().await;
                haproxies.push(haproxy.io);
            }
            // Until they are quiet.
            tokio::time::pause();
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
    });
    let each = counted.bytes_current / CONNECTIONS as i64;
    println!("an idle connection: {each} bytes, HAProxy's end of it included");
    assert!(each < 8 * 1024, "{each}");
}

#[test]
fn the_future_of_a_connection_is_small() {
    let server = Server::new(service_fn(handler));
    let (_haproxy, agent) = tokio::io::duplex(64);
    let future = server.serve_connection(agent);
    let size = size_of_val(&future);
    println!("the future of serve_connection: {size} bytes");
    assert!(size < 4096, "{size}");
}

#[test]
fn a_request_in_flight_holds_no_more_than_64_kib_of_what_came_with_it() {
    const CONNECTIONS: usize = 10;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut haproxies = Vec::with_capacity(CONNECTIONS);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let hang = service_fn(|request: Request| async move {
        let _held = request;
        std::future::pending::<Result<Actions, BoxError>>().await
    });
    runtime.spawn(Server::new(hang).serve(listener).into_future());
    // Frames that are ignored, and a request that cannot be read: its answer says that all is taken.
    let filling = frame(77, 1, (1, 1), &[0; 16_000]).repeat(8);
    let end = frame(3, 1, (99, 1), b"\xc8");
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..CONNECTIONS {
                let io = soon(TcpStream::connect(address)).await.unwrap();
                let mut haproxy = Haproxy::connect(io).await;
                let request = frame(3, 1, (1, 1), b"\x01m\0");
                haproxy.send(&[request, filling.clone(), end.clone()].concat()).await;
                let mut answer = [0; 64];
                assert!(soon(haproxy.io.read(&mut answer)).await.unwrap() > 0);
                haproxies.push(haproxy.io);
            }
        });
    });
    let each = counted.bytes_current / CONNECTIONS as i64;
    println!("a connection with a request in flight: {each} bytes");
    // What is kept for the next burst of the thread is among it.
    assert!(each < 80 * 1024, "{each}");
}

/// What a request of so many messages holds while they all wait, its frame not counted.
#[cfg(feature = "test-util")]
fn bytes_while_waiting(messages: usize) -> u64 {
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use spop_tokio::Service;

    let router = spop_tokio::Router::new().message("m", pending::<()>).max_messages(usize::MAX);
    let builder = (0..messages).fold(spop_tokio::Request::builder(), |builder, _| builder.message("m"));
    let request = builder.build();
    let measured = allocation_counter::measure(|| {
        let mut call = pin!(router.call(request));
        for _ in 0..2 {
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    });
    measured.bytes_max
}

// Before there was a bound, 16 MB of messages of three bytes each made 1.45 GB.
#[cfg(feature = "test-util")]
#[test]
fn a_message_that_waits_costs_half_a_kilobyte_and_a_notify_has_64_of_them() {
    let [one, all, more] = [1, 64, 640].map(bytes_while_waiting);
    assert!(one <= 512, "{one}");
    assert!(all <= 64 * 768, "{all}");
    assert!(more <= 12 * all, "{more} for 640, {all} for 64");
}
