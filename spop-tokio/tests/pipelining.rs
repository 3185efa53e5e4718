//! Requests of one connection: in flight at the same time, answered as they finish, in as few writes as can be.

mod support;

use std::sync::Arc;
use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine, Event};
use spop_tokio::spop::{Ack, Capabilities, FrameType};
use spop_tokio::{Actions, BoxError, Peer, Request, Server, service_fn};
use support::{Haproxy, answer, echo, frame, held, name_of, serve, serve_recorded, soon, types};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

/// As many as HAProxy sends at a time.
const WINDOW: usize = 20;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("m{index}")).collect()
}

#[tokio::test]
async fn a_request_is_answered_with_its_ids_and_the_handlers_actions() {
    let (io, _serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let id = haproxy.ask("check-client-ip").await;
    let ack = haproxy.ack().await;
    assert_eq!((ack.id(), name_of(&ack).as_str()), (id, "check-client-ip"));
}

#[tokio::test]
async fn requests_of_one_connection_are_in_flight_at_the_same_time() {
    let all = Arc::new(Barrier::new(WINDOW));
    let service = service_fn(move |_: Request| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            Ok::<_, BoxError>(Actions::new())
        }
    });
    let (io, _serving) = serve(Server::new(service), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let mut ids = Vec::new();
    for name in names(WINDOW) {
        ids.push(haproxy.ask(&name).await);
    }
    haproxy.acks(&ids).await;
}

#[tokio::test]
async fn requests_are_answered_in_the_order_in_which_they_finish() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["a", "b", "c"]).await;
    let [a, b, c] = calls.take(3).await.try_into().ok().unwrap();
    for call in [c, a, b] {
        let name = call.name.clone();
        call.echo();
        assert_eq!(name_of(&haproxy.ack().await), name);
    }
}

#[tokio::test]
async fn answers_that_are_ready_together_leave_in_one_write() {
    let (server, mut calls) = held();
    let (io, writes, _serving) = serve_recorded(server);
    let mut haproxy = Haproxy::connect(io).await;
    let ids = haproxy.ask_all(&names(WINDOW)).await;
    let calls = calls.take(WINDOW).await;
    writes.take();
    for call in calls {
        call.echo();
    }
    haproxy.acks(&ids).await;
    let writes = writes.take();
    assert_eq!(writes.len(), 1);
    assert_eq!(types(&writes[0]), [FrameType::ACK; WINDOW]);
}

#[tokio::test]
async fn a_burst_in_one_read_is_answered_in_one_write() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()));
    let mut haproxy = Haproxy::connect(io).await;
    writes.take();
    let ids = haproxy.ask_all(&names(WINDOW)).await;
    let acks = haproxy.acks(&ids).await;
    assert_eq!(acks.iter().map(name_of).collect::<Vec<_>>(), names(WINDOW));
    let writes = writes.take();
    assert_eq!(writes.len(), 1);
    assert_eq!(types(&writes[0]), [FrameType::ACK; WINDOW]);
}

#[tokio::test]
async fn an_answer_that_is_ready_does_not_wait_for_its_neighbours() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["slow", "quick"]).await;
    let _slow = calls.next().await;
    calls.next().await.echo();
    assert_eq!(name_of(&haproxy.ack().await), "quick");
}

#[tokio::test]
async fn a_handler_that_wakes_itself_again_and_again_does_not_hold_its_neighbours_up() {
    let service = service_fn(|request: Request| async move {
        while request.message("busy").is_some() {
            tokio::task::yield_now().await;
        }
        Ok::<_, BoxError>(Actions::new())
    });
    let (io, _serving) = serve(Server::new(service), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["busy", "busy", "busy"]).await;
    let id = haproxy.ask("quick").await;
    assert_eq!(haproxy.ack().await.id(), id);
}

#[tokio::test(start_paused = true)]
async fn at_the_in_flight_cap_no_handler_starts_and_little_is_read() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server.max_in_flight(2), 64);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["a", "b"]).await;
    let _in_flight = calls.take(2).await;
    // More than HAProxy has under way on a connection, most often.
    let more = haproxy.notify("more").1.repeat(200_000);
    let stuck = tokio::time::timeout(Duration::from_secs(5), haproxy.io.write_all(&more)).await;
    assert!(stuck.is_err(), "all of it was read");
    assert!(calls.is_empty());
}

#[tokio::test]
async fn a_peer_that_leaves_at_the_in_flight_cap_is_noticed() {
    let (server, mut calls) = held();
    let (io, serving) = serve(server.max_in_flight(2), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&names(WINDOW)).await;
    let mut in_flight = calls.take(2).await;
    drop(haproxy);
    for call in &mut in_flight {
        call.dropped().await;
    }
    assert_eq!(support::ended(serving).await.unwrap(), 2, "requests without an answer");
}

#[tokio::test]
async fn below_the_in_flight_cap_reading_goes_on() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server.max_in_flight(2), 64);
    let mut haproxy = Haproxy::connect(io).await;
    let more: Vec<_> = names(WINDOW).iter().map(|name| haproxy.notify(name).1).collect();
    let (mut read, mut write) = tokio::io::split(&mut haproxy.io);
    let send = async { soon(write.write_all(&more.concat())).await.unwrap() };
    let answer_all = async {
        for name in names(WINDOW) {
            let call = calls.next().await;
            assert_eq!(call.name, name);
            call.echo();
        }
    };
    let receive = async {
        let answers = names(WINDOW).iter().map(|name| 4 + 7 + answer(name).as_bytes().len()).sum();
        soon(read.read_exact(&mut vec![0; answers])).await.unwrap();
    };
    tokio::join!(send, answer_all, receive);
}

#[tokio::test]
async fn a_request_that_waits_in_the_input_starts_when_another_one_is_answered() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server.max_in_flight(1), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        let call = calls.next().await;
        assert_eq!(call.name, name);
        assert!(calls.is_empty());
        call.echo();
        assert_eq!(name_of(&haproxy.ack().await), name);
    }
}

#[tokio::test]
async fn handlers_that_are_ready_at_once_never_fill_the_cap() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()).max_in_flight(1));
    let mut haproxy = Haproxy::connect(io).await;
    writes.take();
    let ids = haproxy.ask_all(&names(WINDOW)).await;
    haproxy.acks(&ids).await;
    assert_eq!(writes.take().len(), 1);
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_answered() {
    let (io, _serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    for byte in haproxy.notify("slow").1 {
        haproxy.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(name_of(&haproxy.ack().await), "slow");
}

#[tokio::test]
async fn a_request_that_fills_the_frame_is_answered() {
    let (io, _serving) = serve(Server::new(echo()), 1 << 10);
    let mut haproxy = Haproxy::connect(io).await;
    // Header 7, name 1 + 3, count 1, argument name 1, type 1 and length 3.
    let body = vec![0; support::MAX_FRAME as usize - 17];
    let (_, bytes) = haproxy.notify_with("big", &[("", spop_tokio::TypedData::Binary(&body))]);
    assert_eq!(bytes.len(), 4 + support::MAX_FRAME as usize);
    haproxy.send(&bytes).await;
    assert_eq!(name_of(&haproxy.ack().await), "big");
}

#[tokio::test]
async fn frames_of_unknown_type_are_ignored() {
    let (io, _serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    for frame_type in [4, 100, 101, 102, 103, 104, 255] {
        haproxy.send(&frame(frame_type, 1, (7, 7), b"whatever")).await;
        haproxy.ask("next").await;
        assert_eq!(name_of(&haproxy.ack().await), "next", "after type {frame_type}");
    }
}

#[tokio::test]
async fn reserved_flags_are_ignored() {
    let (io, _serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let (id, _) = haproxy.notify("m");
    haproxy.send(&frame(3, 0xffff_fffd, (id.stream_id, id.frame_id), b"\x05flags\0")).await;
    assert_eq!(name_of(&haproxy.ack().await), "flags");
}

#[tokio::test]
async fn a_request_without_messages_is_answered() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let (id, _) = haproxy.notify("m");
    haproxy.send(&frame(3, 1, (id.stream_id, id.frame_id), b"")).await;
    let call = calls.next().await;
    assert_eq!(call.request.messages().len(), 0);
    call.answer(Actions::new());
    assert_eq!(haproxy.ack().await.id(), id);
}

/// What an ACK without actions has after its header.
async fn empty_answer(engine: Engine) -> Vec<u8> {
    let service = service_fn(|_: Request| async { Ok::<_, BoxError>(Actions::new()) });
    let (io, writes, _serving) = serve_recorded(Server::new(service));
    let mut haproxy = Haproxy::connect_as(io, Config::new(engine)).await;
    writes.take();
    haproxy.ask("m").await;
    let _: Ack<_> = haproxy.ack().await;
    writes.take().concat().split_off(4 + 7)
}

#[tokio::test]
async fn an_answer_without_actions_has_a_byte_for_haproxy_from_3_1() {
    assert_eq!(empty_answer(Engine::Mux).await, [0]);
}

#[tokio::test]
async fn an_answer_without_actions_is_empty_for_haproxy_up_to_3_0() {
    assert_eq!(empty_answer(Engine::Applet).await, []);
}

#[tokio::test]
async fn stream_id_0_is_an_id_like_any_other() {
    let (io, _serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Applet)).await;
    let id = haproxy.ask("first").await;
    assert_eq!(id.stream_id, 0);
    assert_eq!(haproxy.ack().await.id(), id);
}

#[tokio::test]
async fn ids_are_echoed_whatever_they_are() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()));
    let mut haproxy = Haproxy::connect(io).await;
    for id in [(u64::MAX, u64::MAX), (0, 0), (1 << 32, 240), (2287, 2288)] {
        writes.take();
        haproxy.send(&frame(3, 1, id, b"\x01m\0")).await;
        let want = frame(103, 1, id, answer("m").as_bytes());
        let written = soon(async {
            loop {
                match writes.take() {
                    none if none.is_empty() => tokio::task::yield_now().await,
                    some => return some.concat(),
                }
            }
        });
        assert_eq!(written.await, want, "{id:?}");
    }
}

#[tokio::test]
async fn a_handler_sees_the_connection_it_works_for() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server, 1 << 16);
    let config = Config::new(Engine::Mux).engine_id(b"engine").max_frame_size(1000);
    let mut haproxy = Haproxy::connect_as(io, config).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    let connection = call.request.connection();
    assert_eq!(*connection.peer(), Peer::Other);
    assert_eq!(connection.negotiated().engine_id.as_deref(), Some(&b"engine"[..]));
    assert_eq!(connection.negotiated().max_frame_size, 1000);
    assert_eq!(connection.negotiated().capabilities, Capabilities::PIPELINING);
}

#[tokio::test]
async fn without_pipelining_haproxy_is_told_so() {
    let (io, _serving) = serve(Server::new(echo()).pipelining(false), 1 << 16);
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux));
    haproxy.hello().await;
    let Some(Event::Connected(negotiated)) = haproxy.event().await.unwrap() else {
        panic!("no AGENT-HELLO");
    };
    assert_eq!(negotiated.capabilities, Capabilities::NONE);
}

/// The read size must settle: the rest of a burst that was a little longer says nothing of the next one.
#[tokio::test]
async fn bursts_of_any_size_are_answered_in_one_write_each() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()).max_in_flight(1024));
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Applet).max_waiting_frames(1024)).await;
    for requests in [600, 10, 100, 150, 1, 1, 1, 1, 300, 600] {
        writes.take();
        let ids = haproxy.ask_all(&names(requests)).await;
        haproxy.acks(&ids).await;
        assert_eq!(writes.take().len(), 1, "{requests} requests");
    }
}
