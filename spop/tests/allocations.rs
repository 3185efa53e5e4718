//! What the hot path allocates: nothing, as long as there is capacity in the buffers.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::BytesMut;
use spop::agent::{Config, Connection, Event};
use spop::haproxy::{self, Engine};
use spop::http::Headers;
use spop::{Ack, AckWriter, Actions, Instant, LENGTH_PREFIX, Notify, NotifyId, NotifyWriter, Scope, Var};

const ID: NotifyId = NotifyId { stream_id: 1, frame_id: 1 };

#[track_caller]
fn assert_allocates(times: u64, work: impl FnOnce()) {
    assert_eq!(allocation_counter::measure(work).count_total, times);
}

/// A NOTIFY with its length prefix: two messages, arguments of every type HAProxy sends.
fn notify() -> BytesMut {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::new(ID, 16_380, &mut out);
    notify.message("check-client-ip").unwrap();
    notify.arg("ip", Ipv4Addr::LOCALHOST).unwrap().arg("port", 4711i64).unwrap();
    notify.arg("ua", "curl/8.5.0").unwrap().arg("tls", true).unwrap().arg("sni", None::<&str>).unwrap();
    notify.message("log").unwrap().arg("", &b"\x00\xff"[..]).unwrap();
    notify.finish();
    out
}

/// An agent's connection after the HELLOs, and its input.
fn connected(engine: Engine) -> (Connection, BytesMut) {
    let now = Instant::default();
    let (mut connection, mut input) = (Connection::new(Config::new(), now), BytesMut::new());
    haproxy::Connection::new(haproxy::Config::new(engine)).hello(&mut input).unwrap();
    let event = connection.handle_input(&mut input, now);
    assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
    transmit(&mut connection, now);
    (connection, input)
}

/// The socket takes all that may be sent.
fn transmit(connection: &mut Connection, now: Instant) {
    loop {
        let len = connection.poll_transmit(now).len();
        if len == 0 {
            return;
        }
        connection.transmitted(len);
    }
}

#[test]
fn the_counter_counts() {
    assert_allocates(1, || drop(black_box(Box::new(1))));
}

#[test]
fn parsing_and_walking_a_notify_allocates_nothing() {
    let bytes = notify();
    assert_allocates(0, || {
        let notify = Notify::parse(&bytes[LENGTH_PREFIX..]).unwrap();
        for message in notify.messages() {
            for arg in message.args() {
                black_box((arg.name, arg.value));
            }
        }
        let message = notify.message("check-client-ip").unwrap();
        black_box(message.get::<IpAddr>("ip").unwrap());
        black_box(message.get::<u16>("port").unwrap());
        black_box(message.get::<&str>("ua").unwrap());
        black_box(message.get::<bool>("tls").unwrap());
        black_box(message.get::<Option<&str>>("sni").unwrap());
        black_box(notify.message("log").unwrap().nth::<&[u8]>(0).unwrap());
    });
}

#[test]
fn walking_headers_allocates_nothing() {
    let text = Headers::text(b"host: example.org\r\nno header\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n");
    let binary = Headers::binary(b"\x04host\x0bexample.org\x06cookie\x03a=1\x06cookie\x03b=2\0\0");
    assert_allocates(0, || {
        for headers in [text, binary] {
            assert_eq!(headers.iter().count(), 3);
            assert_eq!(headers.get_all("Cookie").count(), 2);
            black_box(headers.skipped());
        }
    });
}

#[test]
fn writing_an_ack_into_a_buffer_with_room_allocates_nothing() {
    let mut out = BytesMut::with_capacity(256);
    assert_allocates(0, || {
        let mut ack = AckWriter::new(ID, 16_380, &mut out);
        ack.set_var(Scope::Session, "ip_score", 42).unwrap();
        ack.set_var(Scope::Transaction, "country", "nz").unwrap();
        ack.unset_var(Scope::Transaction, "challenge").unwrap();
        ack.finish();
    });
}

#[test]
fn building_a_few_actions_allocates_nothing() {
    let mut out = BytesMut::with_capacity(256);
    assert_allocates(0, || {
        let mut actions = Actions::new().set(Var::session("ip_score"), 42);
        actions.set_var(Scope::Transaction, "country", "nz").unwrap();
        let mut ack = AckWriter::new(ID, 16_380, &mut out);
        ack.append(&actions).unwrap();
        ack.finish();
    });
}

#[test]
fn a_refused_action_allocates_its_name_for_the_error() {
    let mut actions = Actions::new();
    assert_allocates(1, || {
        black_box(actions.set_var(Scope::Session, "ip-score", 42).unwrap_err());
    });
}

#[test]
fn an_action_that_is_refused_in_place_allocates_nothing() {
    let mut out = BytesMut::with_capacity(1024);
    let mut ack = AckWriter::new(ID, 16_380, &mut out);
    assert_allocates(0, || {
        black_box(ack.set_var(Scope::Session, "ip-score", 42).unwrap_err());
    });
}

#[test]
fn walking_an_ack_allocates_nothing() {
    let mut out = BytesMut::new();
    let mut ack = AckWriter::new(ID, 16_380, &mut out);
    ack.set_var(Scope::Session, "ip_score", 42).unwrap();
    ack.finish();
    assert_allocates(0, || {
        let ack = Ack::parse(&out[LENGTH_PREFIX..]).unwrap();
        assert_eq!(ack.actions().count(), 1);
    });
}

/// The first NOTIFY makes the list of those that wait and the memory for the ACKs; the input buffer becomes a shared
/// one.
#[test]
fn a_connection_that_runs_allocates_nothing_per_notify() {
    for engine in [Engine::Applet, Engine::Mux] {
        let (mut connection, mut input) = connected(engine);
        let one = notify();
        for _ in 0..100 {
            input.extend_from_slice(&one);
        }
        for index in 0..100 {
            let now = Instant::default() + Duration::from_millis(index);
            let mut work = || {
                let event = connection.handle_input(&mut input, now);
                let Some(Event::Notify(notify, ticket)) = event else { panic!("{event:?}") };
                let ip: IpAddr = notify.message("check-client-ip").unwrap().get("ip").unwrap();
                let mut actions = Actions::new();
                actions.set_var(Scope::Session, "ip_score", if ip.is_loopback() { 0 } else { 42 }).unwrap();
                connection.ack(ticket, &actions).unwrap();
                transmit(&mut connection, now);
                connection.input_drained();
                black_box(connection.poll_timeout());
                assert_eq!(connection.handle_timeout(now), None);
            };
            if index == 0 {
                work();
            } else {
                assert_allocates(0, work);
            }
        }
    }
}
