//! A Unix socket in Linux's abstract namespace.

use std::io::{Error, Result};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};

use tokio::net::UnixListener;

/// Bytes of a name that HAProxy fills up with zeros.
const FULL: usize = 107;

/// A listener that is gone, name and all, when it is dropped.
#[derive(Debug)]
pub(super) struct AbstractSocket {
    listener: UnixListener,
    address: String,
}

impl AbstractSocket {
    /// Listens at `abns@NAME`, `abnsz@NAME`, `unix:@NAME` or `unix@@NAME`; `None` if `address` is no such.
    pub(super) fn bind(address: &str) -> Option<Result<Self>> {
        let (padded, name) = if let Some(name) = address.strip_prefix("abns@") {
            (true, name)
        } else {
            (false, ["abnsz@", "unix:@", "unix@@"].iter().find_map(|prefix| address.strip_prefix(prefix))?)
        };
        let explain = |error: Error| Error::new(error.kind(), format!("cannot listen at {address}: {error}"));
        Some(Self::try_bind(name, padded).map_err(explain))
    }

    fn try_bind(name: &str, padded: bool) -> Result<Self> {
        let mut bytes = name.as_bytes().to_vec();
        if padded && bytes.len() < FULL {
            bytes.resize(FULL, 0);
        }
        let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(bytes)?)?;
        listener.set_nonblocking(true)?;
        let kind = if padded { "abns" } else { "abnsz" };
        Ok(Self { listener: UnixListener::from_std(listener)?, address: format!("{kind}@{name}") })
    }

    pub(super) fn listener(&mut self) -> &mut UnixListener {
        &mut self.listener
    }

    /// As HAProxy writes it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}
