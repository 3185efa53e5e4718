use std::{fmt, io};

use spop::{Disconnect, EncodeError, ProtocolError, Status};

/// Any error, as a handler may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a connection or a request failed.
///
/// Opaque: ask it questions, or read its text.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Io(io::Error),
    Protocol(ProtocolError),
    Encode(EncodeError),
    Disconnected(Disconnect),
    Timeout(&'static str),
    Closed,
}

impl Error {
    pub(crate) fn timeout(what: &'static str) -> Self {
        Self(Kind::Timeout(what))
    }

    /// The connection ended before an answer came.
    pub(crate) fn closed() -> Self {
        Self(Kind::Closed)
    }

    /// The same error, for another one who waits.
    pub(crate) fn again(&self) -> Self {
        Self(match &self.0 {
            Kind::Io(error) => Kind::Io(io::Error::new(error.kind(), error.to_string())),
            Kind::Protocol(error) => Kind::Protocol(*error),
            Kind::Encode(error) => Kind::Encode(*error),
            Kind::Disconnected(disconnect) => Kind::Disconnected(disconnect.clone()),
            Kind::Timeout(what) => Kind::Timeout(what),
            Kind::Closed => Kind::Closed,
        })
    }

    /// Returns whether the peer was too slow.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::Timeout(_))
    }

    /// Returns whether the connection ended, by a DISCONNECT or without one, before an answer came.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed | Kind::Disconnected(_))
    }

    /// Returns whether the request could not be encoded; then it was not sent.
    pub fn is_encode(&self) -> bool {
        matches!(self.0, Kind::Encode(_))
    }

    /// Returns the status of the DISCONNECT that was sent or received, if one was.
    pub fn status(&self) -> Option<Status> {
        match &self.0 {
            Kind::Protocol(error) => Some(error.status()),
            Kind::Disconnected(disconnect) => Some(disconnect.status),
            Kind::Timeout(_) => Some(Status::TIMEOUT),
            Kind::Io(_) | Kind::Encode(_) | Kind::Closed => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Io(error) => write!(f, "I/O error: {error}"),
            Kind::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Kind::Encode(error) => write!(f, "cannot be encoded: {error}"),
            Kind::Disconnected(disconnect) => {
                write!(f, "the peer disconnected with status {}: {}", disconnect.status, disconnect.message())
            }
            Kind::Timeout(what) => write!(f, "{what}"),
            Kind::Closed => f.write_str("the connection was closed before the answer came"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Io(error) => Some(error),
            Kind::Protocol(error) => Some(error),
            Kind::Encode(error) => Some(error),
            Kind::Disconnected(_) | Kind::Timeout(_) | Kind::Closed => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self(Kind::Io(error))
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self(Kind::Protocol(error))
    }
}

impl From<spop::DecodeError> for Error {
    fn from(error: spop::DecodeError) -> Self {
        ProtocolError::from(error).into()
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self(Kind::Encode(error))
    }
}

impl From<Disconnect> for Error {
    fn from(disconnect: Disconnect) -> Self {
        Self(Kind::Disconnected(disconnect))
    }
}
