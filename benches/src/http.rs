//! HTTP clients that send the next request as the answer comes, all in one thread: a client that costs little beside
//! HAProxy.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::cli::Error;
use crate::measure::cpu_time;

/// The header in which HAProxy passes on what `option set-on-error` has left.
pub const ERROR_HEADER: &str = "x-spoe-error";

/// Latencies are kept to three digits, up to a minute.
const MAX_NANOS: u64 = 60_000_000_000;

/// How long all clients may be without an answer.
const SILENCE: Duration = Duration::from_secs(5);

/// A head and a body beyond this are nothing that is measured here.
const MAX_RESPONSE: usize = 64 * 1024;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\n\r\n";

/// What clients have seen.
#[derive(Debug)]
pub struct Seen {
    /// How long it was measured.
    pub time: Duration,
    /// From request to answer, in nanoseconds: one for each answer within `time`.
    pub latencies: Histogram<u64>,
    /// How often each value of [`ERROR_HEADER`] was in an answer.
    pub errors: BTreeMap<String, u64>,
    /// CPU time of the clients.
    pub cpu: Duration,
}

impl Seen {
    /// Answers per second.
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// A quantile of the latencies, in milliseconds.
    pub fn millis(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// Has `clients` keep-alive connections ask `address` for `/`, each again and again, for `warmup`, unmeasured, and then
/// for `time`.
///
/// # Errors
/// If a connection fails or ends, an answer is not 200, or none comes for 5 s.
pub fn load(address: SocketAddr, clients: usize, warmup: Duration, time: Duration) -> Result<Seen, Error> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut room = vec![0; MAX_RESPONSE];
    let start = Instant::now();
    let mut all = Vec::with_capacity(clients);
    for index in 0..clients {
        let mut client = Client::connect(address)?;
        poll.registry().register(&mut client.stream, Token(index), Interest::READABLE)?;
        client.ask(start)?;
        all.push(client);
    }
    let mut seen = Seen::new(time)?;
    let (measure_from, end) = (start + warmup, start + warmup + time);
    let (mut cpu_before, mut last_answer) = (None, start);
    loop {
        let now = Instant::now();
        if now >= end {
            seen.cpu = cpu_time() - cpu_before.unwrap_or_else(cpu_time);
            return Ok(seen);
        }
        if now >= measure_from {
            cpu_before.get_or_insert_with(cpu_time);
        }
        poll_until(&mut poll, &mut events, end - now)?;
        for event in &events {
            // Its own look at the clock: with many clients, the events of one turn take a while to handle.
            let now = Instant::now();
            let client = &mut all[event.token().0];
            let Some(response) = client.read(&mut room)? else { continue };
            last_answer = now;
            if now >= measure_from {
                seen.record(now - client.asked, response.spoe_error);
            }
            client.ask(now)?;
        }
        if last_answer.elapsed() > SILENCE {
            return Err(format!("{address}: no answer for {SILENCE:?} to {clients} clients").into());
        }
    }
}

fn poll_until(poll: &mut Poll, events: &mut Events, left: Duration) -> io::Result<()> {
    match poll.poll(events, Some(left.min(Duration::from_millis(100)))) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

impl Seen {
    fn new(time: Duration) -> Result<Self, Error> {
        let latencies = Histogram::new_with_bounds(1, MAX_NANOS, 3)?;
        Ok(Self { time, latencies, errors: BTreeMap::new(), cpu: Duration::ZERO })
    }

    fn record(&mut self, latency: Duration, error: Option<String>) {
        self.latencies.saturating_record(latency.as_nanos() as u64);
        if let Some(error) = error {
            *self.errors.entry(error).or_default() += 1;
        }
    }
}

struct Client {
    stream: TcpStream,
    /// What has come of an answer that came in parts.
    input: Vec<u8>,
    asked: Instant,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self, Error> {
        let connect = || {
            let stream = std::net::TcpStream::connect_timeout(&address, SILENCE)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            io::Result::Ok(stream)
        };
        let stream = connect().map_err(|error| format!("connect to {address}: {error}"))?;
        Ok(Self { stream: TcpStream::from_std(stream), input: Vec::new(), asked: Instant::now() })
    }

    /// Sends a request: far less than the socket's buffer, which is empty.
    fn ask(&mut self, now: Instant) -> Result<(), Error> {
        self.asked = now;
        Ok(self.stream.write_all(REQUEST)?)
    }

    /// Reads what there is; returns the answer if it is complete.
    fn read(&mut self, room: &mut [u8]) -> Result<Option<Response>, Error> {
        loop {
            match self.stream.read(room) {
                Ok(0) => return Err("a client's connection was closed".into()),
                Ok(read) => self.input.extend_from_slice(&room[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if let Some(response) = Response::parse(&self.input)? {
                self.input.clear();
                return Ok(Some(response));
            }
            if self.input.len() > MAX_RESPONSE {
                return Err("an answer longer than 64 KiB".into());
            }
        }
    }
}

/// What is of interest in an answer.
struct Response {
    spoe_error: Option<String>,
}

impl Response {
    /// `None` if it is not complete.
    fn parse(input: &[u8]) -> Result<Option<Self>, Error> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&input[..end])?;
        let bad = || Error::from(format!("not the answer that was expected:\n{head}"));
        let mut lines = head.split("\r\n");
        if lines.next().is_none_or(|line| !line.starts_with("HTTP/1.1 200")) {
            return Err(bad());
        }
        let (mut length, mut spoe_error) = (None, None);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case(ERROR_HEADER) {
                spoe_error = Some(value.trim().to_owned());
            }
        }
        let whole = end + 4 + length.ok_or_else(bad)?;
        match input.len() {
            len if len > whole => Err(bad()),
            len => Ok((len == whole).then_some(Self { spoe_error })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers every request of every connection with `parts`, one write each.
    fn server(parts: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || answer(stream.unwrap(), parts));
            }
        });
        address
    }

    fn answer(mut stream: std::net::TcpStream, parts: &[&str]) {
        let mut request = vec![0; REQUEST.len()];
        while stream.read_exact(&mut request).is_ok() {
            assert_eq!(request, REQUEST);
            for part in parts {
                if stream.write_all(part.as_bytes()).is_err() {
                    return;
                }
                thread::yield_now();
            }
        }
    }

    fn briefly(parts: &'static [&'static str]) -> Result<Seen, Error> {
        load(server(parts), 3, Duration::ZERO, Duration::from_millis(100))
    }

    #[test]
    fn answers_are_counted_and_errors_by_value() {
        let seen =
            briefly(&["HTTP/1.1 200 OK\r\nX-SPOE-error: 257\r\nContent-", "Length: 3\r\n", "\r\na", "bc"])
                .unwrap();
        assert!(seen.latencies.len() > 3);
        assert_eq!(seen.errors, BTreeMap::from([("257".into(), seen.latencies.len())]));
        assert!(seen.millis(0.5) <= seen.millis(1.0) && seen.per_second() > 30.0);
    }

    #[test]
    fn no_error_header_no_error() {
        let seen = briefly(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).unwrap();
        assert!(seen.errors.is_empty() && seen.latencies.len() > 3);
    }

    #[test]
    fn an_answer_that_is_not_200_is_shown() {
        let error = briefly(&["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"]).unwrap_err().to_string();
        assert!(error.contains("503 Busy"), "{error}");
    }
}
