//! HAProxy's Stream Processing Offload Protocol, SPOP (SPOE.txt, section 3), without IO: bytes in, events and bytes out.
//!
//! HAProxy hands work on a stream to an agent: it sends NOTIFY frames with messages, such as the client's address or the
//! request's headers, and gets ACK frames with actions, which set variables that its rules can use.
//!
//! ```text
//!   bytes from the peer                                        bytes to the peer
//!         |                                                           ^
//!         v                                                           | appended
//!   FrameDecoder ---> RawFrame ---> Notify ----+          +---- AckWriter <--- Actions
//!   length, limit     header        checked,   |          |
//!                        |          borrowed   v          |
//!                        |                  your code ----+
//!                        v
//!          agent::Connection   or its mirror   haproxy::Connection
//!          HELLO, ids in flight, fragments, DISCONNECT: what may come when
//! ```
//!
//! - [`agent::Connection`] and [`haproxy::Connection`] are the two sides of a connection as state machines. They own no
//!   socket, no clock and no buffer. For a server that drives one, see the crate `spop-tokio`.
//! - [`Notify`] and [`Ack`] are views over the bytes they came in: checked once, whole, then walked without failing,
//!   allocating or copying. [`TypedData`] is one value, [`Text`] bytes that are meant as text, [`http::Headers`] the headers
//!   of a request.
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
//! ```
//! use bytes::BytesMut;
//! use spop::agent::{Config, Connection, Event};
//! use spop::{Actions, Phase};
//! use std::io::{Read, Write};
//!
//! fn serve(mut stream: impl Read + Write) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut connection = Connection::new(Config::new());
//!     let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
//!     let mut chunk = [0; 4096];
//!     while connection.phase() != Phase::Closed {
//!         let read = stream.read(&mut chunk)?;
//!         if read == 0 {
//!             connection.handle_eof(&input)?;
//!         }
//!         input.extend_from_slice(&chunk[..read]);
//!         while let Some(event) = connection.handle_input(&mut input, &mut out)? {
//!             match event {
//!                 Event::Notify(notify) => connection.ack(notify.id(), &Actions::new(), &mut out)?,
//!                 Event::Malformed(id, _) => connection.ack(id, &Actions::new(), &mut out)?,
//!                 _ => {}
//!             }
//!         }
//!         stream.write_all(&out)?;
//!         out.clear();
//!     }
//!     Ok(())
//! }
//! # serve(std::io::Cursor::new(vec![])).unwrap();
//! ```
//!
//! # Play HAProxy
//!
//! ```
//! use bytes::BytesMut;
//! use spop::{agent, haproxy};
//!
//! let mut haproxy = haproxy::Connection::new(haproxy::Config::new(haproxy::Engine::Mux));
//! let mut agent = agent::Connection::new(agent::Config::new());
//! let (mut to_agent, mut to_haproxy) = (BytesMut::new(), BytesMut::new());
//!
//! haproxy.hello(&mut to_agent)?;
//! let event = agent.handle_input(&mut to_agent, &mut to_haproxy)?;
//! assert!(matches!(event, Some(agent::Event::Connected(_))));
//! let event = haproxy.handle_input(&mut to_haproxy, &mut to_agent)?;
//! assert!(matches!(event, Some(haproxy::Event::Connected(_))));
//!
//! let mut notify = haproxy.notify(&mut to_agent)?;
//! notify.message("check-client-ip")?.arg("ip", std::net::Ipv4Addr::LOCALHOST)?;
//! let id = notify.finish();
//! let event = agent.handle_input(&mut to_agent, &mut to_haproxy)?;
//! let Some(agent::Event::Notify(notify)) = event else { panic!("no NOTIFY") };
//! assert_eq!(notify.id(), id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod agent;
mod capability;
pub mod conf;
#[cfg(feature = "serde")]
mod de;
mod decoder;
mod error;
mod fragments;
mod frame;
pub mod haproxy;
pub mod http;
mod negotiation;
mod parse;
#[cfg(feature = "serde")]
mod ser;
mod skim;
mod status;
mod typed_data;
pub mod varint;
mod version;

pub use capability::Capabilities;
#[cfg(feature = "serde")]
pub use de::field_names;
pub use decoder::FrameDecoder;
pub use error::{
    AckError, ArgError, ArgErrorKind, DecodeError, DecodeErrorKind, EncodeError, ProtocolError, UsageError,
    VarError,
};
pub use frame::{
    Ack, AckActions, AckWriter, Action, Actions, AgentHello, Arg, Args, Disconnect, Flags, Frame,
    FrameHeader, FrameType, HaproxyHello, LENGTH_PREFIX, Message, MessagePosition, Messages, Notify,
    NotifyId, NotifyWriter, RawFrame, Scope, Var,
};
pub use negotiation::{MIN_FRAME_SIZE, Negotiated, Phase};
#[cfg(feature = "serde")]
pub use ser::FieldError;
pub use status::Status;
pub use typed_data::{DataType, FromTypedData, OwnedTypedData, Text, ToTypedData, TypedData};
pub use version::Version;
