//! HAProxy's Stream Processing Offload Protocol, SPOP (SPOE.txt, section 3), without IO: bytes in, events and bytes
//! out.
//!
//! HAProxy hands work on a stream to an agent: it sends NOTIFY frames with messages, such as the client's address or
//! the request's headers, and gets ACK frames with actions, which set variables that its rules can use.
//!
//! ```text
//!   bytes from the peer                                        bytes to the peer
//!         |                                                           ^
//!         v                                                           |
//!   FrameDecoder ---> RawFrame ---> Notify ----+          +---- AckWriter <--- Actions
//!   length, limit     header        checked,   |          |
//!                        |          borrowed   v          |
//!                        |                  your code ----+
//!                        v
//!          agent::Connection   or its mirror   haproxy::Connection
//!          HELLO, tickets, fragments, flow control, timeouts, DISCONNECT: what may come when
//! ```
//!
//! - [`agent::Connection`] and [`haproxy::Connection`] are the two sides of a connection as state machines. They own no
//!   socket and no clock. For a server that drives one, see the crate `spop-tokio`.
//! - [`Notify`] and [`Ack`] are views over the bytes they came in: checked once, whole, then walked without failing,
//!   allocating or copying. [`TypedData`] is one value, [`Text`] bytes that are meant as text, [`http::Headers`] the
//!   headers of a request.
//! - [`Actions`] and [`AckWriter`] build answers; a name that HAProxy would drop without a word is an error.
//! - [`Frame`] is any frame, for tools.
//!
//! What HAProxy 2.6 to 3.5 does is the measure where SPOE.txt says something else; the docs say where. `no_std` with
//! `alloc`.
//!
//! # Answer a NOTIFY
//!
//! ```
//! use bytes::BytesMut;
//! use spop::{AckWriter, Notify, Scope};
//! use std::net::IpAddr;
//!
//! fn answer(frame: &[u8], out: &mut BytesMut) -> Result<(), Box<dyn std::error::Error>> {
//!     let notify = Notify::parse(frame)?;
//!     let mut ack = AckWriter::new(notify.id(), 16_380, out);
//!     if let Some(message) = notify.message("check-client-ip") {
//!         // `args ip=src` in the spoe-message section; NULL for a client on a Unix socket
//!         if let Some(ip) = message.get::<Option<IpAddr>>("ip")? {
//!             ack.set_var(Scope::Session, "ip_score", if ip.is_loopback() { 100 } else { 50 })?;
//!         }
//!     }
//!     ack.finish();
//!     Ok(())
//! }
//! # let frame = b"\x03\0\0\0\x01\x01\x01\x0fcheck-client-ip\x01\x02ip\x06\x7f\0\0\x01";
//! # let mut out = BytesMut::new();
//! # answer(frame, &mut out).unwrap();
//! # assert_eq!(&out[4..], b"\x67\0\0\0\x01\x01\x01\x01\x03\x01\x08ip_score\x02\x64");
//! ```
//!
//! # Drive a connection
//!
//! By the steps on [`agent::Connection`], with a thread for each connection. This is the heart of the example `blocking`:
//!
//! ```
//! use bytes::BytesMut;
//! use spop::agent::{Config, Connection, Event};
//! use spop::{Actions, State};
//! use std::io::{self, ErrorKind, Read, Write};
//! use std::net::{Shutdown, TcpStream};
//! use std::time::{Duration, Instant};
//! use std::{mem, thread};
//!
//! /// Drives one connection to its end.
//! fn serve(mut stream: TcpStream) -> io::Result<()> {
//!     let origin = Instant::now();
//!     let now = || spop::Instant::from_origin(origin.elapsed());
//!     stream.set_write_timeout(Some(Duration::from_secs(10)))?;
//!     let mut connection = Connection::new(Config::new(), now());
//!     let (mut input, mut chunk, mut drained) = (BytesMut::new(), [0; 16 * 1024], false);
//!     loop {
//!         while let Some(event) = connection.handle_input(&mut input, now()) {
//!             respond(&mut connection, event);
//!         }
//!         if mem::take(&mut drained) {
//!             connection.input_drained();
//!         }
//!         while let bytes @ [_, ..] = connection.poll_transmit(now()) {
//!             let sent = stream.write(bytes)?;
//!             connection.transmitted(sent);
//!         }
//!         match connection.state() {
//!             State::Closed => return Ok(()),
//!             // The peer may be gone.
//!             State::Lingering => _ = stream.shutdown(Shutdown::Write),
//!             _ => {}
//!         }
//!         // A timeout of zero would be none.
//!         let wait = connection.poll_timeout().map(|at| at.saturating_duration_since(now()));
//!         let wait = wait.map(|wait| wait.max(Duration::from_millis(1)));
//!         if connection.is_full() {
//!             thread::sleep(wait.unwrap_or_default());
//!         } else {
//!             stream.set_read_timeout(wait)?;
//!             match stream.read(&mut chunk) {
//!                 Ok(0) => connection.handle_eof(&input).map_err(io::Error::other)?,
//!                 Ok(read) => {
//!                     input.extend_from_slice(&chunk[..read]);
//!                     drained = read < chunk.len();
//!                 }
//!                 // HAProxy from 3.1 ends idle connections with a reset.
//!                 Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
//!                 Err(error) if is_no_data(&error) => {}
//!                 Err(error) => return Err(error),
//!             }
//!         }
//!         while connection.handle_timeout(now()).is_some() {}
//!     }
//! }
//!
//! fn is_no_data(error: &io::Error) -> bool {
//!     matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
//! }
//!
//! fn respond(connection: &mut Connection, event: Event) {
//!     if let Event::Notify(_, ticket) | Event::Malformed(_, ticket) = event {
//!         connection.ack(ticket, &Actions::new()).expect("no action is never too long");
//!     }
//! }
//! # use spop::haproxy;
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! # let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//! # let agent = std::thread::spawn(move || serve(listener.accept().unwrap().0).map_err(|error| error.to_string()));
//! # let mut peer = haproxy::Connection::new(haproxy::Config::new(haproxy::Engine::Mux));
//! # let (mut input, mut out, mut asked, mut chunk) = (BytesMut::new(), BytesMut::new(), 0, [0; 4096]);
//! # peer.hello(&mut out).unwrap();
//! # loop {
//! #     stream.write_all(&out.split()).unwrap();
//! #     let len = stream.read(&mut chunk).unwrap();
//! #     input.extend_from_slice(&chunk[..len]);
//! #     match peer.handle_input(&mut input, &mut out).unwrap() {
//! #         Some(haproxy::Event::Connected(_) | haproxy::Event::Ack(_)) if asked < 3 => {
//! #             peer.notify(&mut out).unwrap().finish();
//! #             asked += 1;
//! #         }
//! #         Some(haproxy::Event::Ack(_)) => peer.disconnect(spop::Status::NORMAL, &mut out),
//! #         Some(haproxy::Event::Disconnected(_)) => break,
//! #         other => assert!(other.is_none() && len > 0, "{other:?}"),
//! #     }
//! # }
//! # drop(stream);
//! # agent.join().unwrap().unwrap();
//! ```
//!
//! # Play HAProxy
//!
//! ```
//! use bytes::BytesMut;
//! use spop::{Instant, agent, haproxy};
//!
//! let now = Instant::default();
//! let mut haproxy = haproxy::Connection::new(haproxy::Config::new(haproxy::Engine::Mux));
//! let mut agent = agent::Connection::new(agent::Config::new(), now);
//! let (mut to_agent, mut to_haproxy) = (BytesMut::new(), BytesMut::new());
//!
//! haproxy.hello(&mut to_agent)?;
//! let event = agent.handle_input(&mut to_agent, now);
//! assert!(matches!(event, Some(agent::Event::Connected(_))));
//! to_haproxy.extend_from_slice(agent.poll_transmit(now));
//! agent.transmitted(to_haproxy.len());
//! let event = haproxy.handle_input(&mut to_haproxy, &mut to_agent)?;
//! assert!(matches!(event, Some(haproxy::Event::Connected(_))));
//!
//! let mut notify = haproxy.notify(&mut to_agent)?;
//! notify.message("check-client-ip")?.arg("ip", std::net::Ipv4Addr::LOCALHOST)?;
//! let id = notify.finish();
//! let event = agent.handle_input(&mut to_agent, now);
//! let Some(agent::Event::Notify(notify, ticket)) = event else { panic!("no NOTIFY") };
//! assert_eq!((notify.id(), ticket.id()), (id, id));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod capability;
pub mod conf;
mod connection;
#[cfg(feature = "serde")]
mod de;
mod frame;
pub mod http;
#[cfg(feature = "serde")]
mod ser;
mod status;
mod version;
mod wire;

pub use capability::Capabilities;
pub use connection::{
    FrameDecoder, Instant, MIN_FRAME_SIZE, Negotiated, ProtocolError, State, UsageError, agent, haproxy,
};
#[cfg(feature = "serde")]
pub use de::field_names;
pub use frame::{
    Ack, AckActions, AckWriter, Action, Actions, AgentHello, Arg, ArgError, Args, Disconnect, EncodeError,
    Frame, HaproxyHello, Message, MessagePosition, Messages, Notify, NotifyWriter, RawFrame, Scope, Var,
    VarError,
};
#[cfg(feature = "serde")]
pub use ser::FieldError;
pub use status::Status;
pub use version::Version;
pub use wire::{
    ArgErrorKind, DataType, DecodeError, DecodeErrorKind, Flags, FrameHeader, FrameType, FromTypedData,
    LENGTH_PREFIX, NotifyId, OwnedTypedData, Text, ToTypedData, TypedData, varint,
};
