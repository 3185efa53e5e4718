//! Stands between HAProxy and an agent, hands on what they send, and shows it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::frames::{Event, Frames};
use crate::output::Output;
use crate::socket::{Listener, Stream};

/// Connections at a time. Each has two threads.
const MAX_CONNECTIONS: usize = 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be accepted, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the threads share.
#[derive(Debug)]
struct Proxy {
    target: String,
    output: Output,
    start: Instant,
    open: AtomicUsize,
}

/// Runs until nobody reads the output any more.
pub(crate) fn run(listen: &str, target: &str, output: Output) -> io::Result<()> {
    let listener = Listener::bind(listen)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen at {listen}: {error}")))?;
    output.line(&format!("listening on {listener}, in front of {target}"))?;
    let proxy = Arc::new(Proxy {
        target: target.to_owned(),
        output,
        start: Instant::now(),
        open: AtomicUsize::new(0),
    });
    for number in 1.. {
        let client = loop {
            match listener.accept() {
                Ok(client) => break client,
                Err(error) => {
                    eprintln!("spop-dump: cannot accept a connection: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        };
        if proxy.open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            proxy.open.fetch_sub(1, Ordering::Relaxed);
            proxy.tell(number, Event::Note(format!("refused: there are {MAX_CONNECTIONS} others")))?;
            continue;
        }
        let shared = Arc::clone(&proxy);
        let connection = move || {
            let ended = shared.connection(number, client);
            shared.open.fetch_sub(1, Ordering::Relaxed);
            if ended.is_err() {
                // There is nobody left to show anything to.
                std::process::exit(1);
            }
        };
        if let Err(error) = thread::Builder::new().spawn(connection) {
            proxy.open.fetch_sub(1, Ordering::Relaxed);
            eprintln!("spop-dump: refused a connection: {error}");
        }
    }
    Ok(())
}

impl Proxy {
    fn tell(&self, number: u32, event: Event) -> io::Result<()> {
        self.output.event(Some(self.start.elapsed()), number, &event)
    }

    /// Serves one connection; its error is that of the output.
    fn connection(&self, number: u32, client: Stream) -> io::Result<()> {
        let agent = match Stream::connect(&self.target, CONNECT_TIMEOUT) {
            Ok(agent) => agent,
            Err(error) => {
                return self.tell(number, Event::Note(format!("cannot connect to {}: {error}", self.target)));
            }
        };
        let (mut frames, mut answers) = (Frames::default(), Frames::default());
        let served = thread::scope(|scope| {
            let (from, to) = (client.try_clone()?, agent.try_clone()?);
            let up = || self.hand_on(number, from, to, &mut frames);
            let up = thread::Builder::new().spawn_scoped(scope, up)?;
            let down = self.hand_on(number, agent, client, &mut answers);
            Ok(up.join().unwrap_or(Ok(())).and(down))
        });
        match served {
            Ok(shown) => shown?,
            Err(error) => {
                let error: io::Error = error;
                self.tell(number, Event::Note(format!("refused: {error}")))?;
            }
        }
        for frames in [&mut frames, &mut answers] {
            frames.finish().map_or(Ok(()), |event| self.tell(number, event))?;
        }
        self.tell(number, Event::End)
    }

    /// Shows each frame before it is sent on, so that an answer comes behind its request.
    fn hand_on(&self, number: u32, mut from: Stream, mut to: Stream, frames: &mut Frames) -> io::Result<()> {
        let mut chunk = vec![0; 32 * 1024];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => {
                    to.shutdown(Shutdown::Write);
                    return Ok(());
                }
                Ok(len) => {
                    frames.feed(&chunk[..len]);
                    while let Some(event) = frames.next() {
                        self.tell(number, event)?;
                    }
                    if to.write_all(&chunk[..len]).is_err() {
                        from.shutdown(Shutdown::Both);
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // HAProxy ends idle connections with a reset.
                Err(_) => {
                    to.shutdown(Shutdown::Both);
                    return Ok(());
                }
            }
        }
    }
}
