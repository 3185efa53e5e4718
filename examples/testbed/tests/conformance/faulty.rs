//! An agent in a thread that does everything right, but for the fault it is given.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use spop::agent::{Config, Connection, Event};
use spop::{Actions, FrameType, Instant, LENGTH_PREFIX, Scope, State};

/// Makes of a frame, with its length prefix, what is sent in its place.
pub(crate) type Fault = fn(&[u8]) -> Option<Vec<u8>>;

/// No time passes.
const NOW: Instant = Instant::from_origin(Duration::ZERO);

/// Starts the agent; it lives as long as the test. Returns its address.
pub(crate) fn faulty_agent(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, fault));
        }
    });
    address.to_string()
}

/// Serves one connection, to its end, whatever that is.
fn serve(mut stream: TcpStream, fault: Fault) -> Option<()> {
    let mut connection = Connection::new(Config::new(), NOW);
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut chunk = [0; 64 * 1024];
    while !matches!(connection.state(), State::Lingering | State::Closed) {
        let read = stream.read(&mut chunk).ok()?;
        input.extend_from_slice(&chunk[..read]);
        if read == 0 {
            connection.handle_eof(&input).ok()?;
        }
        answer(&mut connection, &mut input);
        while let part @ [_, ..] = connection.poll_transmit(NOW) {
            out.extend_from_slice(part);
            let sent = part.len();
            connection.transmitted(sent);
        }
        let mut disconnected = false;
        while let Some(len) = out.first_chunk() {
            let frame = out.split_to(LENGTH_PREFIX + u32::from_be_bytes(*len) as usize);
            let frame = fault(&frame).unwrap_or_default();
            disconnected |= frame.get(LENGTH_PREFIX) == Some(&FrameType::AGENT_DISCONNECT.0);
            stream.write_all(&frame).ok()?;
        }
        if disconnected {
            break;
        }
    }
    Some(())
}

fn answer(connection: &mut Connection, input: &mut BytesMut) {
    while let Some(event) = connection.handle_input(input, NOW) {
        let (ticket, word) = match event {
            Event::Notify(_, ticket) => (ticket, "none"),
            Event::Malformed(_, ticket) => (ticket, "malformed"),
            _ => continue,
        };
        let mut actions = Actions::new();
        actions.set_var(Scope::Transaction, "failure", word).unwrap();
        connection.ack(ticket, &actions).unwrap();
    }
}
