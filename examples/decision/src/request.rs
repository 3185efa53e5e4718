//! A request, as the message `check-request` describes it.

use std::net::IpAddr;

use spop_tokio::{ArgError, Headers, Message, TypedData};

/// A view of the message's arguments. Nothing in it has to be UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The path as the client has sent it; `*` if HAProxy finds none, as in `OPTIONS *` and CONNECT.
    pub path: &'a [u8],
    /// The client's address; `None` for one on a Unix socket, or if HAProxy is not told to send it.
    pub src: Option<IpAddr>,
    /// Whether it came over TLS; true if HAProxy is not told to say so.
    pub tls: bool,
    /// The headers.
    pub headers: Headers<'a>,
}

impl<'a> Request<'a> {
    /// Of `args req_path=path req_hdrs=req.hdrs src=src ssl=ssl_fc`, the last three optional. Others are ignored.
    ///
    /// # Errors
    /// If there is no argument `req_path`, or one has a type that it cannot have.
    pub fn read(message: &Message<'a>) -> Result<Self, ArgError> {
        // There must be one, of whatever value: else spoe.conf does not fit.
        message.get::<TypedData<'_>>("req_path")?;
        Ok(Self {
            path: message.get::<Option<&[u8]>>("req_path")?.unwrap_or(b"*"),
            // A client of IPv4 on a socket of IPv6 is the same client.
            src: message.get::<Option<IpAddr>>("src")?.map(|src| src.to_canonical()),
            tls: message.get::<Option<bool>>("ssl")?.unwrap_or(true),
            headers: message.get::<Option<Headers<'_>>>("req_hdrs")?.unwrap_or_default(),
        })
    }
}
