//! A connection without a socket: a burst of NOTIFYs in, their ACKs out.

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use spop::{Actions, Instant, agent, haproxy};
use tokio_util::codec::{Decoder, Encoder};

use super::{Case, Who};
use crate::limit;
use crate::profile::{Profile, VALUE, VARIABLE};

/// No time passes.
const NOW: Instant = Instant::from_origin(Duration::ZERO);

/// Bursts of 1, 16 and 64 of each of two profiles.
pub fn connection() -> Vec<Case> {
    let mut cases = Vec::new();
    for profile in [Profile::log_request(), Profile::check_request()] {
        for burst in [1, 16, 64] {
            let name = format_args!("{profile} x{burst}");
            cases.push(of_burst(Case::new("connection", name, burst), &profile));
        }
    }
    cases
}

/// How many frames the bursts of [`bursts`] have.
pub const BURSTS: [u64; 5] = [1, 4, 16, 64, 256];

/// The same for bursts of growing length; a case is named after it.
pub fn bursts() -> Vec<Case> {
    BURSTS
        .iter()
        .map(|&frames| of_burst(Case::new("burst", frames, frames), &Profile::log_request()))
        .collect()
}

/// The NOTIFYs number 500 and following of a connection, in one piece.
pub(super) fn burst_of(profile: &Profile, frames: u64) -> Vec<u8> {
    (500..500 + frames).flat_map(|index| profile.frame(index)).collect()
}

fn of_burst(case: Case, profile: &Profile) -> Case {
    let burst = burst_of(profile, case.frames);
    let [a, b, c] = [(); 3].map(|()| burst.clone());
    let [mut in_a, mut in_b, mut in_c] = [(); 3].map(|()| BytesMut::with_capacity(128 * 1024));
    let [mut out_a, mut out_b, mut out_c] = [(); 3].map(|()| BytesMut::with_capacity(64 * 1024));
    let mut connection = connected();
    let mut codec = peer::SpopCodec::default();
    case.add(Who::Limit, move || limit_burst(&a, &mut in_a, &mut out_a))
        .add(Who::Ours, move || our_burst(&mut connection, &b, &mut in_b, &mut out_b))
        .add(Who::Peer, move || peer_burst(&mut codec, &c, &mut in_c, &mut out_c))
}

/// An agent's connection after the HELLOs.
fn connected() -> agent::Connection {
    let mut connection = agent::Connection::new(agent::Config::new(), NOW);
    let mut input = BytesMut::new();
    let haproxy = haproxy::Connection::new(haproxy::Config::new(haproxy::Engine::Mux));
    haproxy.hello(&mut input).expect("a short engine-id");
    let event = connection.handle_input(&mut input, NOW);
    assert!(matches!(event, Some(agent::Event::Connected(_))), "no HELLO");
    transmit(&mut connection, &mut BytesMut::new());
    connection
}

#[inline(never)]
fn limit_burst(burst: &[u8], input: &mut BytesMut, out: &mut BytesMut) {
    input.extend_from_slice(black_box(burst));
    out.clear();
    limit::answer_burst(input, VARIABLE.0 as u8, VARIABLE.1.as_bytes(), out).expect("good frames");
    black_box(&*out);
}

#[inline(never)]
fn our_burst(connection: &mut agent::Connection, burst: &[u8], input: &mut BytesMut, out: &mut BytesMut) {
    input.extend_from_slice(black_box(burst));
    out.clear();
    while let Some(event) = connection.handle_input(input, NOW) {
        let agent::Event::Notify(_, ticket) = event else { continue };
        let mut actions = Actions::new();
        actions.set_var(VARIABLE.0, VARIABLE.1, VALUE).expect("a good name");
        connection.ack(ticket, &actions).expect("a short answer");
    }
    transmit(connection, out);
    connection.input_drained();
    black_box(&*out);
}

/// Copies to `out` what the connection has to send, as a socket would.
fn transmit(connection: &mut agent::Connection, out: &mut BytesMut) {
    let sent = connection.poll_transmit(NOW);
    out.extend_from_slice(sent);
    let sent = sent.len();
    connection.transmitted(sent);
}

#[inline(never)]
fn peer_burst(codec: &mut peer::SpopCodec, burst: &[u8], input: &mut BytesMut, out: &mut BytesMut) {
    input.extend_from_slice(black_box(burst));
    out.clear();
    while let Some(frame) = codec.decode(input).expect("good frames") {
        let ids = frame.metadata();
        let ack = peer::frames::Ack::new(ids.stream_id, ids.frame_id).set_var(
            peer::actions::VarScope::Session,
            VARIABLE.1,
            VALUE,
        );
        codec.encode(Box::new(ack), out).expect("it fits");
    }
    black_box(&*out);
}
