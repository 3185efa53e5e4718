//! Puts fragmented NOTIFYs together, within a bound.
//!
//! Only HAProxy up to 3.0 fragments, and only for an agent that says it can take it. Without that, it answers a payload
//! that does not fit by tearing down one connection after another, hundreds in a second; so we say it.

use bytes::{Bytes, BytesMut};

use super::ProtocolError;
use crate::frame::RawFrame;
use crate::wire::{DecodeError, DecodeErrorKind, Flags, FrameType, NotifyId};

/// What one connection may hold of a NOTIFY that is not complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) frames: u32,
}

/// The one NOTIFY of a connection that may be incomplete: HAProxy sends nothing else before its last fragment.
#[derive(Debug)]
pub(crate) struct Fragments {
    limits: Limits,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    id: NotifyId,
    /// The first frame whole, then the payloads of the others; nothing once that would pass the limits.
    frame: Option<BytesMut>,
    frames: u32,
}

/// What a fragment led to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// More are to come.
    Pending,
    /// The NOTIFY is complete: its frame, as if it had come in one part.
    Complete(Bytes),
    /// HAProxy gave the NOTIFY up.
    Aborted,
    /// The NOTIFY is complete, but was not kept: it passes the limits.
    TooBig(NotifyId, DecodeError),
}

impl Fragments {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, partial: None }
    }

    /// Returns whether a NOTIFY has come in part.
    pub(crate) fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Checks that a NOTIFY may start now.
    pub(crate) fn expect_none(&self, found: NotifyId) -> Result<(), ProtocolError> {
        match &self.partial {
            Some(partial) => Err(ProtocolError::Interlaced { unfinished: partial.id, found }),
            None => Ok(()),
        }
    }

    /// Takes the first fragment of a NOTIFY.
    pub(crate) fn start(&mut self, raw: RawFrame<Bytes>) -> Result<Outcome, ProtocolError> {
        let id = raw.header().id;
        self.expect_none(id)?;
        let mut frame = BytesMut::from(raw.into_inner());
        if let Some(flags) = frame.get_mut(1..5) {
            flags.copy_from_slice(&Flags::FIN.0.to_be_bytes());
        }
        let frame = Some(frame).filter(|frame| frame.len() <= self.limits.bytes);
        self.partial = Some(Partial { id, frame, frames: 1 });
        Ok(Outcome::Pending)
    }

    /// Takes a fragment after the first one.
    ///
    /// All of a NOTIFY that passes the limits is taken as well, and thrown away. SPOE.txt 3.2.10 has an ACK with ABORT
    /// to make HAProxy stop sending, but that is no way out: HAProxy up to 3.0 takes it for a slot given back that was
    /// never taken, and never uses the connection again; and if it has sent the last fragment already, it takes it for
    /// an answer (wire pitfall P31).
    pub(crate) fn push(&mut self, raw: &RawFrame<Bytes>) -> Result<Outcome, ProtocolError> {
        let header = raw.header();
        let Some(mut partial) = self.partial.take() else {
            return Err(DecodeError::new(DecodeErrorKind::WrongType(FrameType::UNSET), 0).into());
        };
        if partial.id != header.id {
            return Err(ProtocolError::Interlaced { unfinished: partial.id, found: header.id });
        }
        if header.flags.is_abort() {
            return Ok(Outcome::Aborted);
        }
        partial.frames = partial.frames.saturating_add(1);
        let Limits { bytes, frames } = self.limits;
        partial.frame = partial
            .frame
            .filter(|frame| partial.frames <= frames && frame.len() + raw.payload().len() <= bytes);
        if let Some(frame) = &mut partial.frame {
            frame.extend_from_slice(raw.payload());
        }
        if !header.flags.is_fin() {
            self.partial = Some(partial);
            return Ok(Outcome::Pending);
        }
        Ok(match partial.frame {
            Some(frame) => Outcome::Complete(frame.freeze()),
            None => Outcome::TooBig(header.id, DecodeError::new(DecodeErrorKind::FragmentsTooBig, 0)),
        })
    }
}
