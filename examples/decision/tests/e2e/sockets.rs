//! Where the agent listens.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use testbed::http::{self, Request};
use testbed::{Backend, HaproxyProcess};

use crate::bed::{Agent, Outcome, SOON, Served, Setup, all_haproxies, config};

/// A crawler and a browser are told apart over this socket, behind each HAProxy that knows it.
async fn works_at(listen: &str, options: &[&str], since: (u32, u32)) -> Outcome {
    let agent = Agent::start(&[&["--listen", listen], options].concat()).await?;
    let backend = Backend::start().await?;
    let config = config(Setup::default())?.agent(agent.process.address()?).backend(backend.addr());
    let config = config.replace("127.0.0.1:42069", agent.output.to_string());
    for haproxy in all_haproxies()? {
        if haproxy.version < testbed::Version::new(since.0, since.1) {
            continue;
        }
        let haproxy = HaproxyProcess::start(&haproxy, &config).await?;
        haproxy.wait_server_status("decision-agent", "agent", "UP", SOON).await?;
        let crawler = Request::new("GET", "/").header("User-Agent", "GPTBot");
        assert_eq!(Served::of(&crawler.send(haproxy.http()).await?), Served::Garbage);
        assert_eq!(Served::of(&http::get(haproxy.http(), "/", &[]).await?), Served::Site);
    }
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_can_be_used_by_those_it_is_for() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agent.sock");
    let listen = format!("unix:{}", path.display());
    for (access, mode) in [("owner", 0o600), ("group", 0o660), ("everybody", 0o666)] {
        let mut agent = Agent::start(&["--listen", &listen, "--socket-access", access]).await?;
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, mode, "{access}");
        assert!(agent.process.terminate(SOON).await?.success());
        assert!(!path.exists(), "the socket is gone with the agent");
    }
    works_at(&listen, &["--socket-access", "everybody"], (2, 6)).await
}

#[tokio::test]
async fn an_abstract_socket_is_found_by_haproxy() -> Outcome {
    let name = format!("decision-test-{}", std::process::id());
    works_at(&format!("abns@{name}"), &[], (2, 6)).await?;
    works_at(&format!("abnsz@{name}"), &[], (3, 2)).await
}

#[tokio::test]
async fn a_second_agent_does_not_take_the_sockets_of_the_first() -> Outcome {
    let folder = tempfile::tempdir()?;
    let listen = format!("unix:{}", folder.path().join("agent.sock").display());
    let first = Agent::start(&["--listen", &listen]).await?;
    let Err(error) = Agent::start(&["--listen", &listen]).await else { panic!("it took the socket") };
    assert!(error.to_string().contains("another process listens at it"), "{error}");
    let taken = first.output.to_string();
    let Err(error) = Agent::start(&["--http", &taken]).await else { panic!("it took the port") };
    assert!(error.to_string().contains(&format!("--http {taken}: ")), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_agent_stops_when_asked_to() -> Outcome {
    let mut agent = Agent::start(&[]).await?;
    let client = http::Connection::open(agent.output, None, Duration::from_secs(5)).await?;
    assert!(agent.process.terminate(SOON).await?.success());
    drop(client);
    Ok(())
}
