//! The output server, without HAProxy before it.

use spop_tokio::Client;
use spop_tokio::spop::haproxy::{Config, Engine};
use testbed::http::{Connection, Request, get};
use tokio::net::TcpStream;

use crate::bed::{Agent, Outcome, SOON, Served};

#[tokio::test]
async fn the_word_in_the_header_decides() -> Outcome {
    let agent = Agent::start(&["--decision-header", "X-Verdict"]).await?;
    let ask = |words: &[&str]| {
        let request = words.iter().fold(Request::new("GET", "/"), |r, word| r.header("x-verdict", word));
        async move { Outcome::Ok(request.send(agent.output).await?) }
    };
    for words in [&["default"][..], &[]] {
        assert_eq!(ask(words).await?.status, 421, "{words:?}");
    }
    assert_eq!(ask(&["default"]).await?.body, b"");
    for words in [&["garbage"][..], &["grabage"], &[""], &["default, garbage"], &["default", "default"]] {
        assert_eq!(Served::of(&ask(words).await?), Served::Garbage, "{words:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_challenge_that_is_not_ours_is_not_shown() -> Outcome {
    let agent = Agent::start(&[]).await?;
    for challenge in [None, Some(""), Some("1.'-alert(1)-'"), Some("</script>"), Some("17")] {
        let request = Request::new("GET", "/").header("Iocaine-Decision", "challenge");
        let request =
            challenge.iter().fold(request, |request, value| request.header("Decision-Challenge", value));
        let response = request.send(agent.output).await?;
        assert_eq!(response.status, 503, "{challenge:?}");
        assert!(challenge.is_none_or(|text| text.is_empty() || !response.text().contains(text)));
    }
    agent
        .process
        .wait_for_log("what to do", SOON, |line| line.contains("set-header Decision-Challenge"))
        .await?;
    Ok(())
}

/// Whatever the request is: the whole page, marked as nothing to keep.
#[tokio::test]
async fn garbage_is_the_same_at_every_visit_and_nothing_to_keep() -> Outcome {
    let agent = Agent::start(&[]).await?;
    for method in ["GET", "POST", "FOO"] {
        let ask = async |target| {
            let request = Request::new(method, target).header("Iocaine-Decision", "garbage");
            request.send(agent.output).await
        };
        let (first, again, other) = (ask("/a?b").await?, ask("/a?b").await?, ask("/a?c").await?);
        assert_eq!((Served::of(&first), &first.body), (Served::Garbage, &again.body));
        assert_ne!(first.body, other.body);
    }
    let head = Request::new("HEAD", "/a").header("Iocaine-Decision", "garbage").send(agent.output).await?;
    assert_eq!((head.status, head.header("x-robots-tag")), (200, Some("noindex")));
    Ok(())
}

#[tokio::test]
async fn a_large_body_is_not_read() -> Outcome {
    let agent = Agent::start(&[]).await?;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nIocaine-Decision: garbage\r\nContent-Length: 41000000\r\n\r\n";
    // The answer comes though the body never does.
    let response =
        Connection::open(agent.output, None, SOON).await?.send_bytes(head.as_bytes(), SOON).await?;
    assert_eq!(Served::of(&response), Served::Garbage);
    Ok(())
}

/// Names that clients make up do not show, nor cost anything.
#[tokio::test]
async fn metrics_do_not_grow_with_hosts() -> Outcome {
    let agent = Agent::start(&[]).await?;
    let mut connection = Connection::open(agent.output, None, SOON).await?;
    let mut lines = Vec::new();
    for hosts in [10, 5000] {
        for host in 0..hosts {
            let request = Request::new("GET", "/").header("Host", &format!("host{host}.example"));
            connection.send(&request.header("Iocaine-Decision", "garbage").deadline(SOON)).await?;
        }
        let metrics = agent.metrics().await?;
        assert!(!metrics.contains("host1"));
        lines.push(metrics.lines().count());
    }
    assert_eq!(lines[0], lines[1]);
    assert_eq!(agent.count("decision_pages_total", "garbage").await?, 5010);
    assert_eq!(get(agent.metrics, "/", &[]).await?.status, 404);
    Ok(())
}

/// Metrics of both sides are on one page.
#[tokio::test]
async fn metrics_show_the_spop_side_too() -> Outcome {
    let agent = Agent::start(&[]).await?;
    let stream = TcpStream::connect(agent.process.address()?).await?;
    let (client, driver) = Client::connect(stream, Config::new(Engine::Mux)).await?;
    let driver = tokio::spawn(driver.run());
    for message in ["check-request", "check-request", "made-up"] {
        client.notify(move |notify| notify.message(message)?.arg("req_path", "/").map(drop)).await?;
    }
    for (metric, label, count) in [
        ("decision_total", "default", 2),
        ("spop_connections_total", "", 1),
        ("spop_notifies_total", "\"check-request\"", 2),
        ("spop_notifies_total", "\"other\"", 1),
        ("spop_request_duration_seconds_bucket", "+Inf", 3),
    ] {
        assert_eq!(agent.count(metric, label).await?, count, "{metric} {label}");
    }
    assert!(!agent.metrics().await?.contains("made-up"));
    drop(client);
    driver.await??;
    Ok(())
}
