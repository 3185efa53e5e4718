//! The client: HAProxy's role, against the server and against agents that misbehave.

mod support;

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use spop_tokio::spop::agent::{self, Event};
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Ack, Capabilities, Disconnect, EncodeError, Flags, Instant, NotifyWriter, Status};
use spop_tokio::{
    Actions, BoxError, Client, Driver, Error, Request, Scope, Server, Service, TypedData, health_check,
    service_fn,
};
use support::{Serving, echo, ended, frame, held, name_of, serve, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, JoinSet};

/// These agents have all the time in the world.
const NOW: Instant = Instant::from_origin(Duration::ZERO);

fn mux() -> Config {
    Config::new(Engine::Mux)
}

type Running = JoinHandle<Result<(), Error>>;

/// A client of a server, with its driver.
async fn client_of<S: Service>(server: Server<S>, config: Config) -> (Client, Running, Serving) {
    let (io, serving) = serve(server, 1 << 16);
    let (client, driver): (Client, Driver<_>) = soon(Client::connect(io, config)).await.unwrap();
    (client, tokio::spawn(driver.run()), serving)
}

/// Asks with a message of this name and no arguments.
fn ask(client: &Client, name: &'static str) -> impl Future<Output = Result<Ack<Bytes>, Error>> + use<> {
    let client = client.clone();
    async move { soon(client.notify(move |notify| notify.message(name).map(drop))).await }
}

/// An agent, step by step.
struct Agent {
    io: DuplexStream,
    connection: agent::Connection,
    input: BytesMut,
}

impl Agent {
    /// A client and the agent it is connected with.
    async fn connected() -> (Client, Running, Self) {
        let (haproxy, io) = tokio::io::duplex(1 << 16);
        let connection = agent::Connection::new(agent::Config::new(), NOW);
        let mut agent = Self { io, connection, input: BytesMut::new() };
        let connect = soon(Client::connect(haproxy, mux()));
        let (connected, event) = tokio::join!(connect, agent.event());
        assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
        let (client, driver) = connected.unwrap();
        (client, tokio::spawn(driver.run()), agent)
    }

    /// What HAProxy does next; `None` when it closes. Answers to HELLO and DISCONNECT are sent.
    async fn event(&mut self) -> Option<Event> {
        loop {
            let event = self.connection.handle_input(&mut self.input, NOW);
            self.transmit().await;
            if event.is_some() {
                return event;
            }
            if soon(self.io.read_buf(&mut self.input)).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// Sends what the connection has to send.
    async fn transmit(&mut self) {
        let out = self.connection.poll_transmit(NOW).to_vec();
        self.connection.transmitted(out.len());
        // Who has sent its DISCONNECT may be gone.
        let _ = soon(self.io.write_all(&out)).await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        soon(self.io.write_all(bytes)).await.unwrap();
    }
}

/// An agent that sends `bytes`, whatever it is asked, and closes.
fn agent_that_sends(bytes: Vec<u8>) -> DuplexStream {
    let (haproxy, mut agent) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        agent.read_u8().await?;
        agent.write_all(&bytes).await?;
        // Takes the rest, so that only the end of the stream comes after `bytes`.
        agent.shutdown().await?;
        agent.read_to_end(&mut Vec::new()).await
    });
    haproxy
}

/// An AGENT-DISCONNECT of this status.
fn agent_disconnect(status: Status) -> Vec<u8> {
    let mut connection = agent::Connection::new(agent::Config::new(), NOW);
    connection.disconnect(status, "");
    connection.poll_transmit(NOW).to_vec()
}

#[tokio::test]
async fn a_request_is_answered() {
    let service = service_fn(|request: Request| async move {
        let message = request.message("sum").ok_or("no message")?;
        let (a, b): (i64, i64) = (message.get("a")?, message.nth(1)?);
        let mut actions = Actions::new();
        actions.set_var(Scope::Session, "sum", a + b)?;
        Ok::<_, BoxError>(actions)
    });
    let (client, _driver, _serving) = client_of(Server::new(service), mux()).await;
    let ask = client.notify(|notify| {
        notify.message("sum")?.arg("a", 40)?.arg("", 2)?;
        Ok(())
    });
    let ack = soon(ask).await.unwrap();
    let actions: Vec<_> = ack.actions().collect();
    let [spop_tokio::spop::Action::SetVar { scope: Scope::Session, name, value }] = actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((name.to_str().unwrap(), value), ("sum", TypedData::Int64(42)));
}

#[tokio::test]
async fn a_client_knows_what_was_negotiated() {
    let server = Server::new(echo()).max_frame_size(1000);
    let (client, _driver, _serving) = client_of(server, mux().engine_id(b"e")).await;
    let negotiated = client.negotiated();
    assert_eq!(negotiated.max_frame_size, 1000);
    assert_eq!(negotiated.capabilities, Capabilities::PIPELINING);
    assert_eq!(negotiated.engine_id.as_deref(), Some(&b"e"[..]));
}

#[tokio::test]
async fn requests_overlap_up_to_the_window() {
    for (config, window) in [(mux(), 20), (mux().max_waiting_frames(3), 3), (mux().pipelining(false), 1)] {
        let (server, mut calls) = held();
        let (client, _driver, _serving) = client_of(server, config).await;
        let mut asked = JoinSet::new();
        for _ in 0..window + 5 {
            asked.spawn(ask(&client, "m"));
        }
        let mut in_flight = calls.take(window).await;
        for _ in 0..5 {
            assert!(calls.is_empty(), "more than {window} at a time");
            in_flight.pop().unwrap().echo();
            soon(asked.join_next()).await.unwrap().unwrap().unwrap();
            in_flight.push(calls.next().await);
        }
        in_flight.into_iter().for_each(support::Call::echo);
        soon(asked.join_all()).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
}

#[tokio::test]
async fn an_agent_that_does_not_pipeline_is_asked_one_by_one() {
    let (server, mut calls) = held();
    let (client, _driver, _serving) = client_of(server.pipelining(false), mux()).await;
    let mut asked = JoinSet::new();
    asked.spawn(ask(&client, "m"));
    asked.spawn(ask(&client, "m"));
    for _ in 0..2 {
        let call = calls.next().await;
        assert!(calls.is_empty());
        call.echo();
        soon(asked.join_next()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn answers_find_who_asked_in_any_order() {
    let (server, mut calls) = held();
    let (client, _driver, _serving) = client_of(server, mux()).await;
    let a = tokio::spawn(ask(&client, "a"));
    let b = tokio::spawn(ask(&client, "b"));
    for call in calls.take(2).await.into_iter().rev() {
        call.echo();
    }
    assert_eq!(name_of(&soon(b).await.unwrap().unwrap()), "b");
    assert_eq!(name_of(&soon(a).await.unwrap().unwrap()), "a");
}

#[tokio::test]
async fn a_request_that_is_given_up_frees_its_place_and_its_late_answer_is_ignored() {
    let (server, mut calls) = held();
    let (client, _driver, _serving) = client_of(server, mux().pipelining(false)).await;
    let given_up = tokio::spawn(ask(&client, "given-up"));
    let late = calls.next().await;
    given_up.abort();
    let next = tokio::spawn(ask(&client, "next"));
    let call = calls.next().await;
    assert_eq!(call.name, "next");
    late.echo();
    call.echo();
    assert_eq!(name_of(&soon(next).await.unwrap().unwrap()), "next");
}

#[tokio::test]
async fn a_request_that_is_given_up_in_the_queue_is_never_sent() {
    let (server, mut calls) = held();
    let (client, _driver, _serving) = client_of(server, mux().pipelining(false)).await;
    let first = tokio::spawn(ask(&client, "first"));
    let call = calls.next().await;
    let given_up = tokio::spawn(ask(&client, "given-up"));
    tokio::task::yield_now().await;
    given_up.abort();
    let last = tokio::spawn(ask(&client, "last"));
    call.echo();
    soon(first).await.unwrap().unwrap();
    let call = calls.next().await;
    assert_eq!(call.name, "last");
    call.echo();
    soon(last).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_cannot_be_built_is_not_sent() {
    let (server, mut calls) = held();
    let (client, _driver, _serving) = client_of(server, mux()).await;
    let too_big = |notify: &mut NotifyWriter<'_>| {
        notify.message("m")?.arg("", TypedData::Binary(&[0; 20_000]))?;
        Ok(())
    };
    let own = |notify: &mut NotifyWriter<'_>| {
        notify.message("m")?;
        Err(EncodeError::EmptyMessageName)
    };
    for error in
        [soon(client.notify(too_big)).await.unwrap_err(), soon(client.notify(own)).await.unwrap_err()]
    {
        assert!(error.is_encode() && !error.is_closed(), "{error}");
    }
    let next = tokio::spawn(ask(&client, "next"));
    let call = calls.next().await;
    assert_eq!(call.name, "next");
    call.echo();
    soon(next).await.unwrap().unwrap();
}

#[tokio::test]
async fn when_the_agent_disconnects_who_waits_gets_its_status() {
    let (client, driver, mut agent) = Agent::connected().await;
    let asked = tokio::spawn(ask(&client, "m"));
    assert!(matches!(agent.event().await, Some(Event::Notify(..))));
    agent.send(&agent_disconnect(Status::RESOURCE)).await;
    let error = soon(asked).await.unwrap().unwrap_err();
    assert_eq!((error.status(), error.is_closed()), (Some(Status::RESOURCE), true));
    assert_eq!(
        error.to_string(),
        "the peer disconnected with status 13 (resource allocation error): \"resource allocation error\""
            .replace('"', "")
    );
    soon(driver).await.unwrap().unwrap();
    let late = ask(&client, "m").await.unwrap_err();
    assert!(late.is_closed());
}

#[tokio::test]
async fn when_the_agent_just_closes_who_waits_gets_to_know_it() {
    let (client, driver, mut agent) = Agent::connected().await;
    let asked = tokio::spawn(ask(&client, "m"));
    assert!(matches!(agent.event().await, Some(Event::Notify(..))));
    drop(agent);
    let error = soon(asked).await.unwrap().unwrap_err();
    assert_eq!((error.status(), error.is_closed()), (None, true));
    soon(driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn when_the_agent_breaks_the_protocol_all_get_to_know_why() {
    let foreign = frame(103, 1, (99, 1), b"");
    let garbage = b"HTTP".to_vec();
    for (bytes, status) in [(foreign, Status::FRAME_ID_NOT_FOUND), (garbage, Status::TOO_BIG)] {
        let (client, driver, mut agent) = Agent::connected().await;
        let asked = tokio::spawn(ask(&client, "m"));
        assert!(matches!(agent.event().await, Some(Event::Notify(..))));
        agent.send(&bytes).await;
        let error = soon(asked).await.unwrap().unwrap_err();
        assert_eq!(error.status(), Some(status), "{error}");
        let Some(Event::Disconnected(Disconnect { status: told, .. })) = agent.event().await else {
            panic!("the agent gets no HAPROXY-DISCONNECT");
        };
        assert_eq!(told, status);
        assert_eq!(soon(driver).await.unwrap().unwrap_err().status(), Some(status));
    }
}

#[tokio::test]
async fn without_clients_the_driver_disconnects_and_ends() {
    let (client, driver, mut agent) = Agent::connected().await;
    let other = client.clone();
    drop(client);
    let asked = tokio::spawn(ask(&other, "m"));
    let Some(Event::Notify(_, ticket)) = agent.event().await else { panic!("a clone is enough") };
    drop(other);
    agent.connection.ack(ticket, &support::answer("last")).unwrap();
    agent.transmit().await;
    assert_eq!(name_of(&soon(asked).await.unwrap().unwrap()), "last");
    let Some(Event::Disconnected(disconnect)) = agent.event().await else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.status, Status::NORMAL);
    soon(driver).await.unwrap().unwrap();
    assert!(agent.event().await.is_none(), "it closes");
}

#[tokio::test]
async fn the_server_takes_the_disconnect_for_a_normal_end() {
    let (client, driver, serving) = client_of(Server::new(echo()), mux()).await;
    ask(&client, "m").await.unwrap();
    drop(client);
    soon(driver).await.unwrap().unwrap();
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn big_requests_and_big_answers_do_not_block_each_other() {
    let service = service_fn(|_: Request| async {
        let mut actions = Actions::new();
        actions.set_var(Scope::Transaction, "big", "x".repeat(8000).as_str())?;
        Ok::<_, BoxError>(actions)
    });
    let server = Server::new(service).longest_answer(8_100);
    // No frame fits: both sides have something to write and something to read all the time.
    let (io, _serving) = serve(server.write_timeout(Duration::from_secs(3600)), 64);
    let (client, driver) = soon(Client::connect(io, mux())).await.unwrap();
    tokio::spawn(driver.run());
    let mut asked = JoinSet::new();
    for _ in 0..40 {
        let client = client.clone();
        let ask = async move {
            let build = |notify: &mut NotifyWriter<'_>| {
                notify.message("m")?.arg("", TypedData::Binary(&[0; 8000])).map(drop)
            };
            client.notify(build).await
        };
        asked.spawn(ask);
    }
    soon(asked.join_all()).await.into_iter().for_each(|answer| drop(answer.unwrap()));
}

#[tokio::test]
async fn requests_leave_in_fragments_where_the_agent_takes_them() {
    let server = Server::new(echo()).max_frame_size(256);
    let (client, _driver, _serving) = client_of(server, Config::new(Engine::Applet)).await;
    let build = |notify: &mut NotifyWriter<'_>| {
        notify.message("long")?.arg("", TypedData::Binary(&[0; 5000])).map(drop)
    };
    let ack = soon(client.notify(build)).await.unwrap();
    assert_eq!((name_of(&ack).as_str(), ack.flags()), ("long", Flags::FIN));
}

#[tokio::test]
async fn an_agent_that_refuses_is_an_error_with_its_status() {
    let io = agent_that_sends(agent_disconnect(Status::BAD_VERSION));
    let error = soon(Client::connect(io, mux())).await.unwrap_err();
    assert_eq!((error.status(), error.is_closed()), (Some(Status::BAD_VERSION), true));
}

#[tokio::test]
async fn an_agent_that_closes_is_an_error_without_a_status() {
    let error = soon(Client::connect(agent_that_sends(vec![]), mux())).await.unwrap_err();
    assert_eq!((error.status(), error.is_closed()), (None, true));
}

#[tokio::test]
async fn an_agent_that_speaks_no_spop_is_an_error_with_the_status_it_would_get() {
    let io = agent_that_sends(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let error = soon(Client::connect(io, mux())).await.unwrap_err();
    assert_eq!((error.status(), error.is_closed()), (Some(Status::TOO_BIG), false));
}

#[tokio::test]
async fn a_health_check_passes_a_server() {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let negotiated = soon(health_check(io, mux())).await.unwrap();
    assert_eq!(negotiated.engine_id, None);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_health_check_fails_an_agent_that_refuses_or_leaves() {
    let refusing = agent_that_sends(agent_disconnect(Status::RESOURCE));
    let error = soon(health_check(refusing, mux())).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::RESOURCE));
    assert!(soon(health_check(agent_that_sends(vec![]), mux())).await.unwrap_err().is_closed());
}
