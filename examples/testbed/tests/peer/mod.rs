//! A peer without any state: for when there are thousands of them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use spop::{FrameType, LENGTH_PREFIX};
use testbed::check::Hello;
use testbed::check::wire::{message, notify, value};

/// Enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection with the HELLOs exchanged.
pub(crate) fn greeted(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    assert_eq!(exchange(&mut stream, &Hello::from_3_1().frame()), FrameType::AGENT_HELLO);
    stream
}

/// The same, with a first request answered.
pub(crate) fn connected(address: SocketAddr) -> TcpStream {
    let mut stream = greeted(address);
    assert_eq!(exchange(&mut stream, &ask(1, "/")), FrameType::ACK);
    stream
}

/// Sends a frame, and returns the type of the one that comes back.
pub(crate) fn exchange(stream: &mut TcpStream, frame: &[u8]) -> FrameType {
    stream.write_all(frame).unwrap();
    answer(stream)
}

/// The type of the frame that comes next.
pub(crate) fn answer(stream: &mut TcpStream) -> FrameType {
    let mut len = [0; LENGTH_PREFIX];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut answer).unwrap();
    FrameType(answer[0])
}

/// A request, to which test-agent answers with the same path.
pub(crate) fn ask(stream_id: u64, path: &str) -> Vec<u8> {
    notify((stream_id, 1), &message(b"ask", &[("path", value::string(path))]))
}
