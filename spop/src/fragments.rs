//! Puts fragmented NOTIFYs together, within a bound.
//!
//! Only HAProxy up to 3.0 fragments, and only for an agent that says it can take it. Without that, it answers a payload
//! that does not fit by tearing down one connection after another, hundreds in a second; so we say it.

use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, DecodeErrorKind, ProtocolError};
use crate::frame::{Flags, FrameType, NotifyId, RawFrame};

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
    /// We gave this one up; fragments that were on their way already still come.
    refused: Option<NotifyId>,
}

#[derive(Debug)]
struct Partial {
    id: NotifyId,
    /// The first frame whole, then the payloads of the others.
    frame: BytesMut,
    frames: u32,
}

/// What a fragment led to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// More are to come, or it belongs to a NOTIFY that was given up.
    Pending,
    /// The NOTIFY is complete: its frame, as if it had come in one part.
    Complete(Bytes),
    /// HAProxy gave the NOTIFY up.
    Aborted(NotifyId),
    /// The NOTIFY passes the limits: no more of it is kept.
    TooBig(NotifyId, DecodeError),
}

impl Fragments {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, partial: None, refused: None }
    }

    /// Checks that a NOTIFY may start now.
    pub(crate) fn expect_none(&mut self, found: NotifyId) -> Result<(), ProtocolError> {
        self.refused = None;
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
        if frame.len() > self.limits.bytes {
            return Ok(self.refuse(id));
        }
        if let Some(flags) = frame.get_mut(1..5) {
            flags.copy_from_slice(&Flags::FIN.0.to_be_bytes());
        }
        self.partial = Some(Partial { id, frame, frames: 1 });
        Ok(Outcome::Pending)
    }

    /// Takes a fragment after the first one.
    pub(crate) fn push(&mut self, raw: &RawFrame<Bytes>) -> Result<Outcome, ProtocolError> {
        let header = raw.header();
        let Some(mut partial) = self.partial.take() else {
            if self.refused == Some(header.id) {
                return Ok(Outcome::Pending);
            }
            return Err(DecodeError::new(DecodeErrorKind::WrongType(FrameType::UNSET), 0).into());
        };
        if partial.id != header.id {
            return Err(ProtocolError::Interlaced { unfinished: partial.id, found: header.id });
        }
        if header.flags.is_abort() {
            return Ok(Outcome::Aborted(header.id));
        }
        partial.frames += 1;
        if partial.frames > self.limits.frames
            || partial.frame.len() + raw.payload().len() > self.limits.bytes
        {
            return Ok(self.refuse(header.id));
        }
        partial.frame.extend_from_slice(raw.payload());
        if header.flags.is_fin() {
            return Ok(Outcome::Complete(partial.frame.freeze()));
        }
        self.partial = Some(partial);
        Ok(Outcome::Pending)
    }

    fn refuse(&mut self, id: NotifyId) -> Outcome {
        self.refused = Some(id);
        Outcome::TooBig(id, DecodeError::new(DecodeErrorKind::FragmentsTooBig, 0))
    }
}
