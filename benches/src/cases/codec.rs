//! One frame: decode a NOTIFY and walk its arguments, build and encode an ACK.

use std::hint::black_box;

use bytes::BytesMut;
use peer::frame::FramePayload;
use peer::parser::parse_frame;
use spop::{AckWriter, Actions, FrameDecoder, Notify, NotifyId};
use tokio_util::codec::Encoder;

use super::{Case, Who};
use crate::limit;
use crate::profile::{MAX_FRAME_SIZE, Profile, VALUE, VARIABLE};

/// From a frame with its length prefix to every name and value in the caller's hands.
pub fn decode() -> Vec<Case> {
    Profile::all().iter().map(decode_case).collect()
}

/// How long the argument of [`strings`] is.
pub const STRINGS: [usize; 6] = [10, 100, 1000, 4000, 8000, 15_000];

/// The same, for one string argument of growing length; a case is named after it.
pub fn strings() -> Vec<Case> {
    STRINGS.iter().map(|&len| of_frame(Case::new("string", len, 1), &Profile::string(len))).collect()
}

fn decode_case(profile: &Profile) -> Case {
    of_frame(Case::new("decode", profile, 1), profile)
}

fn of_frame(case: Case, profile: &Profile) -> Case {
    let frame = profile.frame(0);
    let [a, b, c, d] = [(); 4].map(|()| frame.clone());
    case.add(Who::Limit, move || {
        limit_decode(black_box(&a), |frame| limit::notify(frame, limit_each));
    })
    .add(Who::LimitTwice, move || {
        limit_decode(black_box(&b), |frame| limit::notify_checked_first(frame, limit_each));
    })
    .add(Who::Ours, move || our_decode(black_box(&c)))
    .add(Who::Peer, move || peer_decode(black_box(&d)))
}

#[inline(always)]
fn limit_decode<'a>(input: &'a [u8], parse: impl FnOnce(&'a [u8]) -> Result<limit::Ids, limit::Bad>) {
    let frame = limit::split_frame(input).expect("a length").expect("a whole frame");
    black_box(parse(frame).expect("a good frame"));
}

#[inline(always)]
fn limit_each<'a>(message: &'a [u8], name: &'a [u8], value: limit::Value<'a>) {
    black_box(message);
    black_box(name);
    black_box(value);
}

#[inline(never)]
fn our_decode(input: &[u8]) {
    let frame = FrameDecoder::new(MAX_FRAME_SIZE).peek(input).expect("a length").expect("a whole frame");
    let notify = Notify::parse(frame).expect("a good frame");
    black_box(notify.id());
    for message in notify.messages() {
        for arg in message.args() {
            black_box(message.name().as_bytes());
            black_box(arg.name.as_bytes());
            black_box(arg.value);
        }
    }
}

#[inline(never)]
fn peer_decode(input: &[u8]) {
    let (_, frame) = parse_frame(input).expect("a good frame");
    black_box(&frame.metadata());
    if let FramePayload::ListOfMessages(messages) = frame.payload() {
        for message in messages {
            for (name, value) in &message.args {
                black_box(message.name.as_bytes());
                black_box(name.as_bytes());
                black_box(value);
            }
        }
    }
}

/// One set-var of an integer, built, and encoded with its length prefix into a buffer with enough capacity.
pub fn ack() -> Vec<Case> {
    let case = Case::new("ack", "set-var", 1);
    // Two bytes of varint, as after the first hundred requests of a connection.
    let id = NotifyId { stream_id: 1001, frame_id: 1 };
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| BytesMut::with_capacity(4096));
    let mut codec = peer::SpopCodec::default();
    vec![
        case.add(Who::Limit, move || limit_ack(black_box(id), &mut a))
            .add(Who::Ours, move || our_ack(black_box(id), &mut b))
            .add(Who::OursInPlace, move || our_ack_in_place(black_box(id), &mut c))
            .add(Who::Peer, move || peer_ack(black_box(id), &mut codec, &mut d)),
    ]
}

#[inline(never)]
fn limit_ack(id: NotifyId, out: &mut BytesMut) {
    out.clear();
    let ids = limit::Ids { stream: id.stream_id, frame: id.frame_id };
    let name = black_box(VARIABLE.1).as_bytes();
    limit::ack(ids, VARIABLE.0 as u8, name, black_box(VALUE), limit::MAX_FRAME_SIZE, out).expect("it fits");
    black_box(&*out);
}

#[inline(never)]
fn our_ack(id: NotifyId, out: &mut BytesMut) {
    out.clear();
    let mut actions = Actions::new();
    actions.set_var(VARIABLE.0, black_box(VARIABLE.1), black_box(VALUE)).expect("a good name");
    let mut ack = AckWriter::new(id, MAX_FRAME_SIZE as usize, out);
    ack.append(&actions).expect("it fits");
    ack.finish();
    black_box(&*out);
}

#[inline(never)]
fn our_ack_in_place(id: NotifyId, out: &mut BytesMut) {
    out.clear();
    let mut ack = AckWriter::new(id, MAX_FRAME_SIZE as usize, out);
    ack.set_var(VARIABLE.0, black_box(VARIABLE.1), black_box(VALUE)).expect("it fits");
    ack.finish();
    black_box(&*out);
}

#[inline(never)]
fn peer_ack(id: NotifyId, codec: &mut peer::SpopCodec, out: &mut BytesMut) {
    out.clear();
    let ack = peer::frames::Ack::new(id.stream_id, id.frame_id).set_var(
        peer::actions::VarScope::Session,
        black_box(VARIABLE.1),
        black_box(VALUE),
    );
    codec.encode(Box::new(ack), out).expect("it fits");
    black_box(&*out);
}
