use super::*;
use crate::error::DecodeErrorKind;

const HEADER: FrameHeader = FrameHeader::whole(FrameType::ACK, NotifyId { stream_id: 1, frame_id: 1 });

fn put(frame: &mut OpenFrame<'_>, bytes: &[u8]) -> Result<(), EncodeError> {
    frame.append(|out| {
        out.put_slice(bytes);
        Ok(())
    })
}

#[test]
fn flags_are_in_network_order() {
    let (header, _) = FrameHeader::parse(&[3, 0, 0, 0, 1, 0, 0]).unwrap();
    assert_eq!(header.flags, Flags::FIN);
    let (header, _) = FrameHeader::parse(&[3, 1, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(header.flags, Flags(0x0100_0000));
    assert!(!header.flags.is_fin());
}

#[test]
fn fin_and_abort_are_the_two_lowest_bits() {
    for (bits, fin, abort) in
        [(0, false, false), (1, true, false), (2, false, true), (3, true, true), (u32::MAX - 3, false, false)]
    {
        assert_eq!((Flags(bits).is_fin(), Flags(bits).is_abort()), (fin, abort), "{bits:#x}");
    }
}

#[test]
fn ids_are_varints_of_64_bits() {
    let max = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];
    let frame = [&[103, 0, 0, 0, 1][..], &max, &[0xf0, 0x00], b"payload"].concat();
    let (header, payload) = FrameHeader::parse(&frame).unwrap();
    assert_eq!(header.id, NotifyId { stream_id: u64::MAX, frame_id: 240 });
    assert_eq!(payload, b"payload");

    let mut out = BytesMut::new();
    header.put(&mut out);
    assert_eq!(out[..], frame[..17]);
}

#[test]
fn an_id_past_64_bits_is_an_error_at_its_place() {
    let overflow = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0f];
    let frame = [&[103, 0, 0, 0, 1, 0x00][..], &overflow].concat();
    let error = FrameHeader::parse(&frame).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::VarintOverflow, 6));
}

#[test]
fn a_frame_in_progress_has_a_length_that_no_peer_takes() {
    let mut out = BytesMut::new();
    core::mem::forget(OpenFrame::new(&mut out, HEADER, 16_380));
    assert_eq!(out[..4], [0xff; 4]);
}

#[test]
fn the_length_is_written_last() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut frame = OpenFrame::new(&mut out, HEADER, 16_380);
    put(&mut frame, b"xyz").unwrap();
    frame.finish();
    drop(frame);
    assert_eq!(out[..], *b"before\0\0\0\x0a\x67\0\0\0\x01\x01\x01xyz");
}

#[test]
fn a_frame_that_is_not_finished_is_taken_back() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut frame = OpenFrame::new(&mut out, HEADER, 16_380);
    put(&mut frame, b"xyz").unwrap();
    drop(frame);
    assert_eq!(out[..], *b"before");
}

#[test]
fn what_does_not_fit_leaves_nothing() {
    let mut out = BytesMut::new();
    let mut frame = OpenFrame::new(&mut out, HEADER, 10);
    assert_eq!(frame.remaining(), 3);
    assert_eq!(put(&mut frame, b"1234"), Err(EncodeError::FrameTooBig { max: 10 }));
    assert!(frame.is_empty());
    put(&mut frame, b"123").unwrap();
    assert_eq!((frame.remaining(), frame.is_empty()), (0, false));
    frame.finish();
    drop(frame);
    assert_eq!(out[..], *b"\0\0\0\x0a\x67\0\0\0\x01\x01\x01123");
}

#[test]
fn a_limit_past_32_bits_is_that_of_the_length_prefix() {
    let mut out = BytesMut::new();
    let frame = OpenFrame::new(&mut out, HEADER, usize::MAX);
    assert!(frame.remaining() <= u32::MAX as usize);
}
