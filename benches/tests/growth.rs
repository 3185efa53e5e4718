//! What a frame costs does not depend on how many came with it, nor on how long its strings are.
//!
//! CPU time of this thread, the best of some rounds, and sizes so far apart that a cost in proportion would show in any
//! build and on any machine. The results, in instructions, are in `docs/performance.md`.

use std::hint::black_box;
use std::time::Duration;

use benches::measure::cpu_time;
use benches::profile::Profile;
use bytes::BytesMut;
use spop::{Actions, FrameDecoder, Instant, Notify, Scope, agent, haproxy};

/// The least CPU time that `times` runs of each take, of rounds in which both take turns.
fn fastest(times: u32, mut small: impl FnMut(), mut large: impl FnMut()) -> [Duration; 2] {
    let mut best = [Duration::MAX; 2];
    for _ in 0..7 {
        let works: [&mut dyn FnMut(); 2] = [&mut small, &mut large];
        for (work, best) in works.into_iter().zip(&mut best) {
            let start = cpu_time();
            (0..times).for_each(|_| work());
            *best = (*best).min(cpu_time() - start);
        }
    }
    best
}

/// Parses a frame and looks at all arguments.
fn decode(frame: &[u8]) {
    let decoder = FrameDecoder::new(u32::MAX);
    let notify = Notify::parse(decoder.peek(black_box(frame)).unwrap().unwrap()).unwrap();
    for message in notify.messages() {
        for arg in message.args() {
            black_box((arg.name.as_bytes(), arg.value));
        }
    }
}

#[test]
fn a_long_string_costs_what_a_short_one_does() {
    // In time rather than space: reading 4 MiB once takes a hundred times as long as decoding the short frame.
    let [short, long] = [3000, 4 << 20].map(|len| Profile::string(len).frame(0));
    let [short, long] = fastest(200, || decode(&short), || decode(&long));
    assert!(long < short * 5, "3000 bytes: {short:?}, 4 MiB: {long:?}");
}

/// No time passes.
const NOW: Instant = Instant::from_origin(Duration::ZERO);

/// An agent's connection after the HELLOs.
fn connected() -> agent::Connection {
    let mut connection = agent::Connection::new(agent::Config::new(), NOW);
    let mut input = BytesMut::new();
    // One to which everything may be sent at once.
    let haproxy = haproxy::Connection::new(haproxy::Config::new(haproxy::Engine::Applet));
    haproxy.hello(&mut input).unwrap();
    assert!(matches!(connection.handle_input(&mut input, NOW), Some(agent::Event::Connected(_))));
    transmit(&mut connection);
    connection
}

fn transmit(connection: &mut agent::Connection) {
    let sent = connection.poll_transmit(NOW).len();
    connection.transmitted(sent);
}

/// What answers a burst of so many frames.
fn burst(frames: u64) -> impl FnMut() {
    let burst: Vec<u8> = (0..frames).flat_map(|index| Profile::log_request().frame(index)).collect();
    let (mut connection, mut input) = (connected(), BytesMut::new());
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "ip_score", 42).unwrap();
    move || {
        input.extend_from_slice(&burst);
        while let Some(event) = connection.handle_input(&mut input, NOW) {
            if let agent::Event::Notify(_, ticket) = event {
                connection.ack(ticket, &actions).unwrap();
            }
        }
        transmit(&mut connection);
        assert!(input.is_empty());
    }
}

#[test]
fn a_frame_of_a_long_burst_costs_what_one_of_a_short_one_does() {
    const SHORT: u64 = 8;
    const TIMES_LONGER: u64 = 256;
    let mut short = burst(SHORT);
    let many_short = || (0..TIMES_LONGER).for_each(|_| short());
    let [short, long] = fastest(5, many_short, burst(SHORT * TIMES_LONGER));
    assert!(long < short * 4, "256 x 8 frames: {short:?}, 2048 frames: {long:?}");
}
