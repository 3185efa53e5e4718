//! What a connection costs that has nothing to do.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use benches::agents::Canned;
use benches::cli::{self, Error};
use benches::process::Process;
use benches::profile::Profile;
use bytes::BytesMut;
use spop::haproxy::{Config, Connection, Engine};

use super::{Options, Part, Report};
use crate::agent::{Agent, FEED_FLUSH, LIMIT, OURS, Spec};
use crate::figures::Figures;
use crate::table::{Table, cell, three_digits};

pub(crate) const PART: Part = Part {
    name: "idle",
    about: "memory of 10,000 idle connections, fresh ones and such that had a burst",
    by_default: true,
    least_rounds: 5,
    measure,
    report,
};

/// What is measured: resident bytes per connection.
pub(crate) const FRESH: &str = "rss_after_hello";
pub(crate) const USED: &str = "rss_after_burst";
pub(crate) const CASE: &str = "10000 connections";

const CONNECTIONS: usize = 10_000;

/// As many NOTIFYs as HAProxy lets wait on a connection.
const BURST: u64 = 20;

const AGENTS: [Spec; 3] = [OURS, LIMIT, FEED_FLUSH];

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    cli::raise_file_limit()?;
    for _ in options.rounds(PART.name) {
        for spec in &AGENTS {
            let agent = Agent::start(&options.programs, spec, &[])?;
            let resident = || Ok::<_, Error>((Process(agent.pid()).memory()?.now * 1024) as f64);
            let before = resident()?;
            let mut idle = Idle::connect(&agent.address)?;
            let fresh = resident()?;
            idle.burst()?;
            let used = resident()?;
            for (quantity, now) in [(FRESH, fresh), (USED, used)] {
                let each = (now - before) / CONNECTIONS as f64;
                figures.add(PART.name, CASE, spec.key, quantity, each);
            }
        }
    }
    Ok(())
}

struct Idle {
    streams: Vec<TcpStream>,
    burst: Vec<u8>,
    /// How long the answer to a burst is: the same for all agents.
    answer: usize,
}

impl Idle {
    /// Opens the connections; each has had its HELLO answered.
    fn connect(address: &str) -> Result<Self, Error> {
        let mut hello = BytesMut::new();
        Connection::new(Config::new(Engine::Mux)).hello(&mut hello)?;
        let streams = (0..CONNECTIONS).map(|open| connect(address, &hello, open));
        let burst: Vec<u8> = (0..BURST).flat_map(|index| Profile::log_request().frame(index)).collect();
        let mut answer = Vec::new();
        Canned::new().answer(&burst, &mut answer)?;
        Ok(Self { streams: streams.collect::<Result<_, _>>()?, burst, answer: answer.len() })
    }

    /// Has every connection answer a burst.
    fn burst(&mut self) -> Result<(), Error> {
        let mut answer = vec![0; self.answer];
        for stream in &mut self.streams {
            stream.write_all(&self.burst)?;
            stream.read_exact(&mut answer)?;
        }
        Ok(())
    }
}

fn connect(address: &str, hello: &[u8], open: usize) -> Result<TcpStream, Error> {
    let shake_hands = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        stream.write_all(hello)?;
        let mut len = [0; 4];
        stream.read_exact(&mut len)?;
        stream.read_exact(&mut vec![0; u32::from_be_bytes(len) as usize])?;
        Ok(stream)
    };
    shake_hands().map_err(|error: std::io::Error| {
        let help = match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                "; does the agent's `ulimit -Hn` allow so many?"
            }
            _ => "; `ulimit -Hn` must be above 10100",
        };
        format!("connection {open} of {CONNECTIONS}: {error}{help}").into()
    })
}

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let mut table = Table::new(["KiB per idle connection", "after the HELLO", "after a burst of 20"]);
    for spec in &AGENTS {
        let kib =
            |quantity| cell(figures.median(CASE, spec.key, quantity), |bytes| three_digits(bytes / 1024.0));
        table.row([spec.title.to_owned(), kib(FRESH), kib(USED)]);
    }
    Report { markdown: table.into_text(), plots: Vec::new() }
}
