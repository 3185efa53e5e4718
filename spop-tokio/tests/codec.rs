//! The codec: bare frames on a stream.

mod support;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{
    Ack, AckWriter, AgentHello, Capabilities, Disconnect, Frame, FrameDecoder, Notify, NotifyId,
    NotifyWriter, Scope, Status, Version,
};
use spop_tokio::{Actions, Error, SpopCodec, Var};
use support::haproxy::hello;
use support::{MAX_FRAME, frame, frames, soon};
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{Decoder, Encoder, Framed, FramedRead};

const ID: NotifyId = NotifyId { stream_id: 1, frame_id: 1 };

/// One frame of every type, as they stand on the wire.
fn one_of_each() -> Vec<Vec<u8>> {
    let mut notify = BytesMut::new();
    let mut writer = NotifyWriter::new(ID, 1000, &mut notify);
    writer.message("m").unwrap().arg("a", 1).unwrap().arg("", "text").unwrap();
    writer.finish();
    let mut ack = BytesMut::new();
    let mut writer = AckWriter::new(ID, 1000, &mut ack);
    writer.set_var(Scope::Session, "a", true).unwrap();
    writer.finish();
    let agent_hello = AgentHello {
        version: Version::V2_0,
        max_frame_size: Some(1000),
        capabilities: Some(Capabilities::PIPELINING),
    };
    let encoded = |frame: Frame<Vec<u8>>| {
        let mut out = BytesMut::new();
        frame.encode(&mut out).unwrap();
        out.to_vec()
    };
    vec![
        frame(0, 1, (1, 1), b"rest"),
        hello(Config::new(Engine::Applet)),
        encoded(Frame::HaproxyDisconnect(Disconnect::new(Status::TIMEOUT))),
        notify.to_vec(),
        frame(3, 0, (1, 1), b"first"),
        encoded(Frame::AgentHello(agent_hello)),
        encoded(Frame::AgentDisconnect(Disconnect::new(Status::NORMAL))),
        ack.to_vec(),
        frame(77, 1, (5, 6), b"whatever"),
    ]
}

#[tokio::test]
async fn frames_of_every_type_survive_a_round_trip() {
    let wire = one_of_each();
    let (a, b) = tokio::io::duplex(1 << 16);
    let mut sender = Framed::new(a, SpopCodec::new(MAX_FRAME));
    let mut receiver = Framed::new(b, SpopCodec::new(MAX_FRAME));
    for frame in frames(&mut wire.concat()[..].into()) {
        soon(sender.feed(frame)).await.unwrap();
    }
    soon(SinkExt::<Frame<bytes::Bytes>>::close(&mut sender)).await.unwrap();
    let mut again = Vec::new();
    while let Some(frame) = soon(receiver.next()).await {
        let mut out = BytesMut::new();
        frame.unwrap().encode(&mut out).unwrap();
        again.push(out.to_vec());
    }
    assert_eq!(again, wire);
}

#[test]
fn frames_that_come_byte_by_byte_are_decoded_with_their_last_byte() {
    let mut codec = SpopCodec::new(MAX_FRAME);
    let mut input = BytesMut::new();
    for wire in one_of_each() {
        let (last, first) = wire.split_last().unwrap();
        for byte in first {
            input.extend_from_slice(&[*byte]);
            assert!(codec.decode(&mut input).unwrap().is_none());
        }
        input.extend_from_slice(&[*last]);
        assert!(codec.decode(&mut input).unwrap().is_some());
    }
}

/// The first error that reading `bytes` returns.
async fn error_of(bytes: &[u8]) -> Error {
    let mut frames = FramedRead::new(bytes, SpopCodec::new(1000));
    soon(frames.next()).await.expect("an item").expect_err("an error")
}

#[tokio::test]
async fn an_error_has_the_status_a_disconnect_would_carry() {
    for (bytes, status) in [
        (frame(3, 1, (1, 1), &[0; 1000]), Status::TOO_BIG),
        (vec![0, 0, 0, 6], Status::INVALID),
        (frame(1, 1, (0, 0), b""), Status::NO_VERSION),
        (frame(3, 1, (1, 1), b"\x09cut"), Status::INVALID),
        (frame(103, 0, (1, 1), b""), Status::FRAGMENTATION_NOT_SUPPORTED),
    ] {
        let error = error_of(&bytes).await;
        assert_eq!(error.status(), Some(status), "{error}");
    }
}

#[tokio::test]
async fn a_frame_too_long_is_refused_before_it_is_there() {
    assert_eq!(error_of(&1001u32.to_be_bytes()).await.status(), Some(Status::TOO_BIG));
}

#[tokio::test]
async fn a_frame_as_long_as_may_be_is_taken() {
    let (mut sender, receiver) = tokio::io::duplex(64);
    let longest = frame(77, 1, (1, 1), &[0; 1000 - 7]);
    let send = tokio::spawn(async move { sender.write_all(&longest).await });
    let mut frames = FramedRead::new(receiver, SpopCodec::new(1000));
    assert!(matches!(soon(frames.next()).await, Some(Ok(Frame::Unknown(_)))));
    soon(send).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_ends_in_the_middle_of_a_frame_is_an_error() {
    let wire = frame(77, 1, (1, 1), b"x");
    for cut in 1..wire.len() {
        let error = error_of(&wire[..cut]).await;
        assert_eq!(error.status(), None, "{error}");
    }
}

#[test]
fn a_borrowed_frame_can_be_encoded() {
    let wire = frame(3, 1, (1, 1), b"\x01m\0");
    let mut out = BytesMut::new();
    let notify = Notify::parse(&wire[4..]).unwrap();
    SpopCodec::new(MAX_FRAME).encode(Frame::Notify(notify), &mut out).unwrap();
    assert_eq!(out, wire);
    assert!(FrameDecoder::new(MAX_FRAME).decode(&mut out).unwrap().is_some());
}

#[test]
fn a_frame_that_is_longer_than_the_peer_takes_is_not_sent() {
    let mut codec = SpopCodec::new(MAX_FRAME).max_sent(20);
    let ack = |len| Frame::Ack(Ack::new(ID, &Actions::new().set(Var::session("a"), "x".repeat(len))));
    let mut out = BytesMut::from(&b"before"[..]);
    let error = codec.encode(ack(10), &mut out).unwrap_err();
    assert!(error.is_encode() && out == b"before"[..], "{error}");
    codec.encode(ack(5), &mut out).unwrap();
    assert_eq!(out.len(), b"before".len() + 4 + 19);
}

#[test]
fn a_frame_that_is_longer_than_is_taken_is_an_error_before_it_is_there() {
    let mut codec = SpopCodec::default().max_received(20);
    let error = codec.decode(&mut BytesMut::from(&b"\0\0\0\x15"[..])).unwrap_err();
    assert_eq!(error.status(), Some(Status::TOO_BIG));
}

#[test]
fn a_notify_of_ones_own_has_what_was_written_or_an_error() {
    let notify = Notify::build(ID, |notify| notify.message("m")?.arg("n", 7).map(drop)).unwrap();
    assert_eq!(notify.to_string(), "1/1 m n=7");
    let error = Notify::build(ID, |notify| notify.payload(b"\x05m").map(drop)).unwrap_err();
    assert!(error.to_string().starts_with("payload cannot be read: "), "{error}");
}
