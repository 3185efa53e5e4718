use alloc::vec::Vec;

use bytes::BytesMut;

use super::{OpenFrame, RawFrame, put_item};
use crate::Status;
use crate::wire::{DecodeError, DecodeErrorKind, FrameHeader, FrameType, FromTypedData, NotifyId, Text};

const STATUS_CODE: &str = "status-code";
const MESSAGE: &str = "message";

/// A HAPROXY-DISCONNECT or AGENT-DISCONNECT: the last frame of its sender (SPOE.txt 3.2.7, 3.2.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// `status-code`.
    pub status: Status,
    /// `message`: for a person.
    pub message: Vec<u8>,
}

impl Disconnect {
    /// HAProxy up to 3.0 does not act on a DISCONNECT whose message is longer.
    const MAX_MESSAGE: usize = 255;

    /// Creates one with HAProxy's own text for `status`.
    pub fn new(status: Status) -> Self {
        Self { status, message: status.reason().into() }
    }

    /// Returns the message, which need not be UTF-8.
    pub fn message(&self) -> Text<'_> {
        Text::new(&self.message)
    }

    /// Parses a frame of the type `frame_type`, from its type byte to its end. As in HAProxy both items may be missing:
    /// the status is [`Status::NORMAL`] then.
    ///
    /// # Errors
    /// If an item has the wrong type, or what else is wrong with the frame.
    pub fn parse(frame: &[u8]) -> Result<Self, DecodeError> {
        Self::from_raw(&RawFrame::parse(frame)?)
    }

    pub(crate) fn from_raw<B: AsRef<[u8]>>(raw: &RawFrame<B>) -> Result<Self, DecodeError> {
        let found = raw.header().frame_type;
        let expected = match found {
            FrameType::HAPROXY_DISCONNECT => FrameType::HAPROXY_DISCONNECT,
            _ => FrameType::AGENT_DISCONNECT,
        };
        raw.expect_control(expected)?;
        let mut disconnect = Self { status: Status::NORMAL, message: Vec::new() };
        raw.for_each_item(|name, value| {
            let Some(value) = value else { return Ok(()) };
            if name == STATUS_CODE.as_bytes() {
                let code = u32::from_typed_data(value);
                disconnect.status = Status(code.map_err(|_| DecodeErrorKind::ItemType(STATUS_CODE))?);
            } else if name == MESSAGE.as_bytes() {
                let text = Text::from_typed_data(value);
                disconnect.message =
                    text.map_err(|_| DecodeErrorKind::ItemType(MESSAGE))?.as_bytes().to_vec();
            }
            Ok(())
        })?;
        Ok(disconnect)
    }

    /// Appends the frame with its length prefix, as HAPROXY-DISCONNECT or AGENT-DISCONNECT by `frame_type`.
    ///
    /// The status is sent as [`Status::sendable`], and at most 255 bytes of the message: more makes HAProxy up to 3.0
    /// ignore the frame.
    pub(crate) fn encode(&self, frame_type: FrameType, out: &mut BytesMut) {
        let header = FrameHeader::whole(frame_type, NotifyId::ZERO);
        let mut frame = OpenFrame::new(out, header, u32::MAX as usize);
        // Cannot fail: the items are of bounded size.
        let _ = frame.append(|frame| {
            put_item(frame, STATUS_CODE, self.status.sendable().0);
            let message = self.message.get(..Self::MAX_MESSAGE).unwrap_or(&self.message);
            put_item(frame, MESSAGE, Text::new(message));
            Ok(())
        });
        frame.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::control;
    use super::*;
    use crate::Frame;
    use crate::wire::{LENGTH_PREFIX, TypedData};

    const BOTH: [FrameType; 2] = [FrameType::HAPROXY_DISCONNECT, FrameType::AGENT_DISCONNECT];

    fn encoded(disconnect: &Disconnect, frame_type: FrameType) -> Vec<u8> {
        let frame = match frame_type {
            FrameType::HAPROXY_DISCONNECT => Frame::<&[u8]>::HaproxyDisconnect(disconnect.clone()),
            _ => Frame::AgentDisconnect(disconnect.clone()),
        };
        let mut out = BytesMut::new();
        frame.encode(&mut out).unwrap();
        out.to_vec()
    }

    fn parsed(items: &[(&str, TypedData<'_>)]) -> Result<Disconnect, DecodeError> {
        Disconnect::parse(&control(FrameType::AGENT_DISCONNECT, items))
    }

    #[test]
    fn a_normal_end_is_written_byte_for_byte_as_haproxys() {
        let items = b"\0\0\0\x01\0\0\x0bstatus-code\x03\0\x07message\x08\x06normal";
        for (frame_type, code) in [(BOTH[0], 2), (BOTH[1], 102)] {
            let bytes = [&[0, 0, 0, 37, code][..], items].concat();
            assert_eq!(encoded(&Disconnect::new(Status::NORMAL), frame_type), bytes);
        }
    }

    #[test]
    fn every_status_leaves_with_haproxys_text() {
        for code in (0..=13).chain([99]) {
            let disconnect = Disconnect::new(Status(code));
            for frame_type in BOTH {
                let read = Disconnect::parse(&encoded(&disconnect, frame_type)[LENGTH_PREFIX..]).unwrap();
                assert_eq!(read, disconnect);
                assert_eq!(read.message().to_str(), Ok(Status(code).reason()));
            }
        }
    }

    #[test]
    fn no_code_leaves_that_haproxy_crashes_on() {
        for code in (14..=98).chain([100, 300, u32::MAX]) {
            for frame_type in BOTH {
                let bytes = encoded(&Disconnect::new(Status(code)), frame_type);
                assert_eq!(Disconnect::parse(&bytes[LENGTH_PREFIX..]).unwrap().status, Status(99), "{code}");
            }
        }
    }

    #[test]
    fn a_message_is_cut_at_the_255_bytes_haproxy_reads() {
        for (len, sent) in [(254, 254), (255, 255), (256, 255), (100_000, 255)] {
            let disconnect = Disconnect { status: Status::UNKNOWN, message: vec![b'x'; len] };
            let bytes = encoded(&disconnect, FrameType::AGENT_DISCONNECT);
            assert_eq!(Disconnect::parse(&bytes[LENGTH_PREFIX..]).unwrap().message, vec![b'x'; sent]);
        }
    }

    #[test]
    fn a_code_that_is_not_known_is_read_as_it_is() {
        for value in [50u64.into(), 50i64.into(), 50u32.into(), TypedData::Int32(50)] {
            assert_eq!(parsed(&[(STATUS_CODE, value)]).unwrap().status, Status(50), "{value:?}");
        }
    }

    #[test]
    fn both_items_may_be_missing() {
        assert_eq!(parsed(&[]).unwrap(), Disconnect { status: Status::NORMAL, message: Vec::new() });
    }

    #[test]
    fn other_items_are_skipped() {
        let items = [("x", 1.into()), (STATUS_CODE, 2u32.into()), ("y", TypedData::Null)];
        assert_eq!(parsed(&items).unwrap().status, Status::TIMEOUT);
    }

    #[test]
    fn an_item_of_another_type_is_an_error() {
        for (name, value) in [
            (STATUS_CODE, "0".into()),
            (STATUS_CODE, TypedData::Null),
            (STATUS_CODE, (-1).into()),
            (STATUS_CODE, (1u64 << 32).into()),
            (MESSAGE, 1.into()),
            (MESSAGE, TypedData::Binary(b"text")),
        ] {
            let error = parsed(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::ItemType(name), "{value:?}");
        }
        let error = parsed(&[("", 1.into())]).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::EmptyItemName);
    }

    #[test]
    fn the_sender_is_told_by_the_type() {
        for frame_type in BOTH {
            let bytes = encoded(&Disconnect::new(Status::IO), frame_type);
            assert_eq!(Frame::parse(&bytes[LENGTH_PREFIX..]).unwrap().frame_type(), frame_type);
        }
    }
}
