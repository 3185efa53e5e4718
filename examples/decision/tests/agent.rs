//! Messages of all kinds, over one connection that stays, without HAProxy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use decision::agent::{Agent, fallback};
use decision::challenge::Challenges;
use decision::metrics::Decisions;
use decision::reload::Current;
use decision::request::Request;
use decision::rules::{DEFAULT, Outcome, Rule, Rules};
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Action, EncodeError, LENGTH_PREFIX, Notify, NotifyWriter, TypedData};
use spop_tokio::{BoxError, Client, Scope, Server};

async fn connect(rules: &str) -> Result<Client, BoxError> {
    let agent = Agent {
        rules: Arc::new(Current::new(Rules::parse(rules)?)),
        poison: "a1b2c3d4".into(),
        challenges: Challenges::new(b"secret", 8, Duration::from_secs(3600)),
        on_error: Outcome::Garbage,
        metrics: Decisions::default(),
    };
    let (haproxy, io) = tokio::io::duplex(65_536);
    let server = Server::new(agent.router()).on_failure(fallback(Outcome::Garbage));
    tokio::spawn(async move { server.serve_connection(io).await });
    let (client, driver) = Client::connect(haproxy, Config::new(Engine::Mux)).await?;
    tokio::spawn(driver.run());
    Ok(client)
}

/// The variables that are set, in order.
async fn ask(
    client: &Client,
    write: impl FnOnce(&mut NotifyWriter<'_>) -> Result<(), EncodeError> + Send + 'static,
) -> Result<Vec<(String, String)>, BoxError> {
    let ack = client.notify(write).await?;
    let set = ack.actions().map(|action| match action {
        Action::SetVar { scope: Scope::Transaction, name, value: TypedData::String(value) } => {
            (name.to_string(), value.to_string())
        }
        other => panic!("{other:?}"),
    });
    Ok(set.collect())
}

/// The one word, for these arguments.
async fn response(
    client: &Client,
    args: Vec<(&'static str, TypedData<'static>)>,
) -> Result<String, BoxError> {
    let set = ask(client, move |notify| {
        notify.message("check-request")?;
        args.iter().try_for_each(|(name, value)| notify.arg(name, *value).map(drop))
    });
    let set = set.await?;
    let [(name, value)] = &set[..] else { panic!("{set:?}") };
    assert_eq!(name, "response");
    Ok(value.clone())
}

#[tokio::test]
async fn every_odd_message_is_answered_and_the_connection_stays() -> Result<(), BoxError> {
    let client = connect(DEFAULT).await?;
    let path = ("req_path", TypedData::from("/"));
    let text = |text: &'static str| ("req_hdrs", TypedData::from(text));
    let null = TypedData::Null;
    let bot: &[u8] = b"\x0auser-agent\x06GPTBot\0\0";
    for (what, args, word) in [
        (
            "all there is",
            vec![("req_method", "GET".into()), path, ("req_query", null), text("a: 1\r\n\r\n")],
            "default",
        ),
        ("a crawler", vec![path, text("User-Agent: GPTBot\r\n\r\n")], "garbage"),
        ("headers as req.hdrs_bin has them", vec![path, ("req_hdrs", TypedData::Binary(bot))], "garbage"),
        ("path as BINARY", vec![("req_path", TypedData::Binary(b"/a1b2c3d4"))], "garbage"),
        ("no method", vec![path], "default"),
        ("a NULL path", vec![("req_path", null)], "default"),
        ("NULL headers", vec![path, ("req_hdrs", null)], "default"),
        ("a NULL address", vec![path, ("src", null)], "default"),
        ("a line without a colon", vec![path, text("oops\r\nuser-agent: GPTBot\r\n\r\n")], "garbage"),
        ("a name with a space", vec![path, text("a b: 1\r\nuser-agent: GPTBot\r\n\r\n")], "garbage"),
        ("an empty name", vec![path, text(": 1\r\nuser-agent: GPTBot\r\n\r\n")], "garbage"),
        ("lines that end with LF", vec![path, text("a: 1\nuser-agent: GPTBot\n\n")], "garbage"),
        ("no end", vec![path, text("user-agent: GPTBot")], "garbage"),
        ("DEL", vec![path, text("a: \x7f\r\nuser-agent: GPTBot\r\n\r\n")], "garbage"),
        ("a name twice", vec![path, path], "default"),
        ("arguments without a name", vec![("", 1.into()), ("", 2.into()), path], "default"),
        // Answered with the word for errors, garbage here.
        ("no path", vec![("req_method", "GET".into())], "garbage"),
        ("no arguments", vec![], "garbage"),
        ("a number as path", vec![("req_path", 7.into())], "garbage"),
        ("a number as headers", vec![path, ("req_hdrs", 7.into())], "garbage"),
        ("a text as address", vec![path, ("src", "192.0.2.1".into())], "garbage"),
        ("a text as ssl", vec![path, ("ssl", "yes".into())], "garbage"),
    ] {
        assert_eq!(response(&client, args).await.map_err(|e| format!("{what}: {e}"))?, word, "{what}");
    }
    assert_eq!(response(&client, vec![path]).await?, "default", "after all of them");
    Ok(())
}

#[tokio::test]
async fn every_check_request_of_a_notify_is_answered_and_nothing_else() -> Result<(), BoxError> {
    let client = connect(DEFAULT).await?;
    let set = ask(&client, |notify| {
        notify.message("something-else")?.arg("req_path", "/")?;
        notify.message("check-request")?.arg("req_path", "/")?;
        notify.message("check-request")?.arg("req_path", "/a1b2c3d4")?;
        Ok(())
    });
    let response = |word: &str| ("response".to_owned(), word.to_owned());
    assert_eq!(set.await?, [response("default"), response("garbage")]);
    assert_eq!(ask(&client, |_| Ok(())).await?, []);
    Ok(())
}

#[tokio::test]
async fn who_is_challenged_gets_a_challenge_for_the_own_network() -> Result<(), BoxError> {
    let client = connect("[challenged-paths]\nprefix = [\"/\"]\n").await?;
    let challenge = async |address: &str| {
        let address: IpAddr = address.parse()?;
        let set = ask(&client, move |notify| {
            notify.message("check-request")?.arg("req_path", "/")?.arg("src", address).map(drop)
        });
        let set = set.await?;
        let [(response, word), (name, challenge)] = &set[..] else { panic!("{set:?}") };
        assert_eq!((&**response, &**word, &**name), ("response", "challenge", "challenge"));
        Ok::<_, BoxError>(challenge.clone())
    };
    let mac = |challenge: String| challenge.split_once('.').map(|(_, mac)| mac.to_owned());
    // The first part is the time, to the second: the same in one of a few tries.
    let mut tries = 0;
    while challenge("192.0.2.1").await? != challenge("::ffff:192.0.2.2").await? {
        tries += 1;
        assert!(tries < 100, "the same network");
    }
    let one = mac(challenge("192.0.2.1").await?);
    assert_ne!(one, mac(challenge("198.51.100.1").await?));
    assert_ne!(one, mac(challenge("2001:db8::1").await?));
    Ok(())
}

/// What the README's measurements send.
#[tokio::test]
async fn the_frames_to_measure_with_are_decided_as_their_names_say() -> Result<(), BoxError> {
    let rules = Rules::parse(DEFAULT)?;
    for (name, rule) in [("browser", Rule::Default), ("bot", Rule::AiCrawler), ("long", Rule::Default)] {
        let file = format!("{}/tests/frames/{name}.notify", env!("CARGO_MANIFEST_DIR"));
        let frame = std::fs::read(file)?;
        let notify = Notify::parse(&frame[LENGTH_PREFIX..])?;
        let message = notify.message("check-request").ok_or("another message")?;
        assert_eq!(rules.decide(&Request::read(&message)?, "a1b2c3d4").1, rule, "{name}");
    }
    Ok(())
}
