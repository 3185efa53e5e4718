//! The least an agent can do: one thread, one epoll loop, and ACKs that were made beforehand. See
//! [`benches::agents::Canned`].
//!
//! ```sh
//! limit-agent [--address 127.0.0.1:0]
//! ```

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;

use benches::agents::Canned;
use benches::cli;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const ROOM: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::exit("limit-agent", cli::address_only("limit-agent").and_then(|address| Ok(serve(&address)?)))
}

fn serve(address: &str) -> io::Result<()> {
    cli::raise_file_limit()?;
    let listener = cli::listen(address)?;
    let mut agent = Agent {
        poll: Poll::new()?,
        listener: TcpListener::from_std(listener),
        connections: HashMap::new(),
        next: 0,
        canned: Canned::new(),
        room: vec![0; ROOM],
    };
    agent.poll.registry().register(&mut agent.listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    loop {
        match agent.poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => agent.accept()?,
                Token(id) => agent.handle(id),
            }
        }
    }
}

struct Agent {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<usize, Connection>,
    next: usize,
    canned: Canned,
    /// Where every read goes: what is left of a frame in parts waits with its connection.
    room: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Agent {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut stream, Token(self.next), interest)?;
                    let connection = Connection { stream, input: Vec::new(), out: Vec::new() };
                    self.connections.insert(self.next, connection);
                    self.next += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => eprintln!("limit-agent: accept: {error}"),
            }
        }
    }

    fn handle(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !matches!(connection.turn(&self.canned, &mut self.room), Ok(true)) {
            self.connections.remove(&id);
        }
    }
}

impl Connection {
    /// Reads until the socket is empty, and answers after each read; returns whether the connection goes on.
    fn turn(&mut self, canned: &Canned, room: &mut [u8]) -> io::Result<bool> {
        loop {
            if !self.flush()? {
                // The peer must read first.
                return Ok(true);
            }
            let read = match self.stream.read(room) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let disconnect = self.answer(canned, &room[..read])?;
            if !self.flush()? {
                return Ok(true);
            }
            if disconnect {
                return Ok(false);
            }
            if read < room.len() {
                // A short read: there is no more, and epoll tells when there is.
                return Ok(true);
            }
        }
    }

    fn answer(&mut self, canned: &Canned, read: &[u8]) -> io::Result<bool> {
        if self.input.is_empty() {
            let (taken, disconnect) = canned.answer(read, &mut self.out)?;
            self.input.extend_from_slice(&read[taken..]);
            return Ok(disconnect);
        }
        self.input.extend_from_slice(read);
        let (taken, disconnect) = canned.answer(&self.input, &mut self.out)?;
        self.input.drain(..taken);
        Ok(disconnect)
    }

    /// Sends what there is; returns whether all of it left.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) if written == self.out.len() => self.out.clear(),
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
