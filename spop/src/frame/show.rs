//! Frames as text, for people.

use core::fmt;

use super::{AgentHello, Disconnect, Frame, HaproxyHello, RawFrame};
use crate::wire::Text;

/// The type, and what the frame holds: `NOTIFY 1/1 check-client-ip ip=192.0.2.1`.
impl<B: AsRef<[u8]>> fmt::Display for Frame<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.frame_type())?;
        match self {
            Self::HaproxyHello(hello) => hello.fmt(f),
            Self::AgentHello(hello) => hello.fmt(f),
            Self::HaproxyDisconnect(disconnect) | Self::AgentDisconnect(disconnect) => disconnect.fmt(f),
            Self::Notify(notify) => notify.fmt(f),
            Self::Ack(ack) => ack.fmt(f),
            Self::Unset(raw) | Self::NotifyFragment(raw) | Self::Unknown(raw) => raw.fmt(f),
        }
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Frame<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({self})")
    }
}

/// The ids, and how long the payload is.
impl<B: AsRef<[u8]>> fmt::Display for RawFrame<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.header().id, self.payload().len())
    }
}

impl fmt::Display for HaproxyHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("versions")?;
        self.supported_versions.iter().try_for_each(|version| write!(f, " {version}"))?;
        write!(f, ", max-frame-size {}, capabilities \"{}\"", self.max_frame_size, self.capabilities)?;
        if let Some(id) = &self.engine_id {
            write!(f, ", engine-id {}", Text::new(id))?;
        }
        if self.healthcheck { f.write_str(", healthcheck") } else { Ok(()) }
    }
}

impl fmt::Display for AgentHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.version)?;
        if let Some(size) = self.max_frame_size {
            write!(f, ", max-frame-size {size}")?;
        }
        match &self.capabilities {
            Some(capabilities) => write!(f, ", capabilities \"{capabilities}\""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.message())
    }
}
