//! Scores clients by their address, on the protocol crate alone: a thread for each connection, no async runtime.
//!
//! It shows what a runtime of your own has to do: [`serve`] follows the steps on [`Connection`], and every rule of the
//! protocol is in there.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use spop::agent::{Config, Connection, Event};
use spop::{Actions, ArgError, Notify, Scope, State};

/// Each is a thread. HAProxy's side is the `maxconn` of its `server` line.
const MAX_CONNECTIONS: usize = 256;

fn main() -> io::Result<()> {
    let address = match std::env::args().nth(1).as_deref() {
        Some("-h" | "--help") => {
            println!(
                "Answers check-client-ip with sess.<var-prefix>.ip_score.\n\nUsage: blocking [HOST:PORT]"
            );
            return Ok(());
        }
        Some(address) => address.to_owned(),
        None => "127.0.0.1:12345".to_owned(),
    };
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    // As many places as there may be connections: at the limit no more are accepted.
    let (place, places) = sync_channel(MAX_CONNECTIONS);
    for _ in 0..MAX_CONNECTIONS {
        let _ = place.send(());
    }
    while places.recv().is_ok() {
        let stream = accept(&listener);
        let place = Place(place.clone());
        let spawned = thread::Builder::new().spawn(move || {
            let _free_at_the_end = place;
            if let Err(error) = serve(stream) {
                eprintln!("connection failed: {error}");
            }
        });
        if let Err(error) = spawned {
            eprintln!("connection refused: {error}");
        }
    }
    Ok(())
}

/// Accepts until it works: what is wrong, such as no file descriptor left, is given time to pass.
fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream,
            Err(error) => eprintln!("cannot accept connections: {error}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Frees its place, even if a handler panics.
struct Place(SyncSender<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Drives one connection to its end.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let origin = Instant::now();
    let now = || spop::Instant::from_origin(origin.elapsed());
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut connection = Connection::new(Config::new(), now());
    let (mut input, mut chunk, mut drained) = (BytesMut::new(), [0; 16 * 1024], false);
    loop {
        while let Some(event) = connection.handle_input(&mut input, now()) {
            respond(&mut connection, event);
        }
        if mem::take(&mut drained) {
            connection.input_drained();
        }
        while let bytes @ [_, ..] = connection.poll_transmit(now()) {
            let sent = stream.write(bytes)?;
            connection.transmitted(sent);
        }
        match connection.state() {
            State::Closed => return Ok(()),
            // The peer may be gone.
            State::Lingering => _ = stream.shutdown(Shutdown::Write),
            _ => {}
        }
        // A timeout of zero would be none.
        let wait = connection.poll_timeout().map(|at| at.saturating_duration_since(now()));
        let wait = wait.map(|wait| wait.max(Duration::from_millis(1)));
        if connection.is_full() {
            thread::sleep(wait.unwrap_or_default());
        } else {
            stream.set_read_timeout(wait)?;
            match stream.read(&mut chunk) {
                Ok(0) => connection.handle_eof(&input).map_err(io::Error::other)?,
                Ok(read) => {
                    input.extend_from_slice(&chunk[..read]);
                    drained = read < chunk.len();
                }
                // HAProxy from 3.1 ends idle connections with a reset.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) if is_no_data(&error) => {}
                Err(error) => return Err(error),
            }
        }
        while connection.handle_timeout(now()).is_some() {}
    }
}

fn is_no_data(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Answers what is to be answered. HAProxy must not wait in vain, so a request that fails gets an answer, too.
fn respond(connection: &mut Connection, event: Event) {
    let (ticket, actions) = match event {
        Event::Notify(notify, ticket) => {
            (ticket, check_client_ip(&notify).unwrap_or_else(|_| failure("error")))
        }
        Event::Malformed(_, ticket) => (ticket, failure("malformed")),
        Event::Failed(error) => return eprintln!("connection failed: {error}"),
        _ => return,
    };
    if let Err(too_long) = connection.ack(ticket, &actions) {
        let _ = connection.ack(too_long.into_ticket(), &Actions::new());
    }
}

fn check_client_ip(notify: &Notify<Bytes>) -> Result<Actions, ArgError> {
    let mut actions = Actions::new();
    if let Some(message) = notify.message("check-client-ip")
        && let Some(ip) = message.get::<Option<IpAddr>>("ip")?
    {
        let last = match ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        // The name is plain, so that this cannot fail.
        let _ = actions.set_var(Scope::Session, "ip_score", last % 101);
    }
    Ok(actions)
}

/// What the rules of haproxy.cfg can tell from a score.
fn failure(word: &str) -> Actions {
    let mut actions = Actions::new();
    let _ = actions.set_var(Scope::Transaction, "failure", word);
    actions
}
