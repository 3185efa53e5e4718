//! The agent behind real HAProxys, with the files of this folder.

mod bed;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use bed::{BoxResult, SOON, agent, file, haproxy, until};
use testbed::{Backend, haproxies, http};

#[tokio::test]
async fn haproxy_does_what_the_list_says() -> BoxResult {
    let (site, canary) = (Backend::start().await?, Backend::start().await?);
    let agent = agent(&["--file", &file("blocklist.txt")]).await?;
    for program in haproxies()? {
        let haproxy = haproxy(&program, &agent, [&site, &canary]).await?;
        let ask = async |last: u8, request: http::Request| {
            request.source(Ipv4Addr::new(127, 0, 0, last)).deadline(SOON).send(haproxy.http()).await
        };
        let get = |path| http::Request::new("GET", path);
        for (last, request, status, text) in [
            (1, get("/"), 200, "hello"),
            (9, get("/"), 403, "Blocked: the whole network"),
            (3, get("/"), 403, "Blocked: the whole network"),
            (4, get("/"), 200, "Nothing to see here"),
            (9, get("/robots.txt"), 200, "hello"),
            // One that allows counts before those that block.
            (1, get("/.env"), 200, "hello"),
        ] {
            let response = ask(last, request).await?;
            let got = (response.status, response.text());
            assert!(got.0 == status && got.1.contains(text), "{program}: 127.0.0.{last}: {got:?}");
        }
        let before = (site.requests(), canary.requests());
        let response = ask(2, get("/")).await?;
        assert_eq!((site.requests(), canary.requests()), (before.0, before.1 + 1), "{program}: use-server");
        assert_eq!(response.header("x-echo-x-blocklist-reason"), Some("canary"), "{program}: to the server");
        assert_eq!(response.header("x-client-note"), Some("canary"), "{program}: on-http-response");
        let forged = ask(9, get("/robots.txt").header("x-blocklist-reason", "canary")).await?;
        let reason = forged.header("x-echo-x-blocklist-reason");
        assert_eq!(reason, Some("everybody may read it"), "{program}");
    }
    Ok(())
}

#[tokio::test]
async fn every_argument_reaches_the_agent() -> BoxResult {
    let (site, list) = (Backend::start().await?, tempfile::NamedTempFile::new()?);
    let lines = "host=old.example.org # host\npath^=/wp-admin/ # path\nmethod=TRACE # method\n\
                 header^=EvilBot/ # header\ncookie=stolen # cookie\n";
    std::fs::write(list.path(), lines)?;
    let agent = agent(&["--file", &list.path().display().to_string()]).await?;
    for program in haproxies()? {
        let haproxy = haproxy(&program, &agent, [&site, &site]).await?;
        let get = |path| http::Request::new("GET", path);
        for (request, want) in [
            (get("/"), None),
            (get("/").header("Host", "OLD.example.org:8080"), Some("host")),
            (get("/wp-admin/x?y"), Some("path")),
            (get("/wp-admin"), None),
            (http::Request::new("TRACE", "/"), Some("method")),
            (get("/").header("User-Agent", "EvilBot/2.0 (x, y)"), Some("header")),
            (get("/").header("Cookie", "a=b; session=stolen"), Some("cookie")),
            (http::Request::new("OPTIONS", "*"), None),
        ] {
            let response = request.clone().deadline(SOON).send(haproxy.http()).await?;
            let blocked = want.map(|reason| format!("Blocked: {reason}\n"));
            let got = (response.status == 403).then(|| response.text());
            assert_eq!(got, blocked, "{program}: {request:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_list_that_changes_counts_without_a_restart() -> BoxResult {
    let (site, list) = (Backend::start().await?, tempfile::NamedTempFile::new()?);
    std::fs::write(list.path(), "192.0.2.1\n")?;
    let agent = agent(&["--file", &list.path().display().to_string()]).await?;
    let program = haproxies()?.pop().ok_or("no HAProxy")?;
    let haproxy = haproxy(&program, &agent, [&site, &site]).await?;
    assert_eq!(http::get(haproxy.http(), "/", &[]).await?.status, 200);
    let mark = agent.logs().mark();
    std::fs::write(list.path(), "192.0.2.1\nnonsense\n127.0.0.0/8 # now\n")?;
    let loaded = |line: &str| line.contains("list loaded") && line.contains("entries=2");
    agent.logs().wait_for_since(mark, "the new list", SOON, loaded).await?;
    let bad = |line: &str| line.contains(":2: ignored: \"nonsense\" is no address");
    agent.logs().wait_for_since(mark, "the bad line", SOON, bad).await?;
    // The log's line comes a moment before the exchange.
    until("a 403", async || Ok(http::get(haproxy.http(), "/", &[]).await?.status == 403)).await?;
    Ok(())
}

#[tokio::test]
async fn without_the_agent_the_site_serves_and_the_agent_comes_back() -> BoxResult {
    let (site, port) = (Backend::start().await?, testbed::ReservedPort::new()?);
    let start = async || {
        let mut command = bed::command(&["--file", &file("blocklist.txt")]);
        command.args(["--listen", &port.addr().to_string()]);
        testbed::AgentProcess::start(command, SOON).await
    };
    let program = haproxies()?.pop().ok_or("no HAProxy")?;
    let mut agent = start().await?;
    let haproxy = haproxy(&program, &agent, [&site, &site]).await?;
    let ask = async || {
        http::Request::new("GET", "/").source(Ipv4Addr::new(127, 0, 0, 9)).send(haproxy.http()).await
    };
    assert_eq!(ask().await?.status, 403);
    agent.kill()?;
    haproxy.wait_server_status("blocklist", "agent", "DOWN", SOON).await?;
    assert_eq!(ask().await?.status, 200);
    let _agent = start().await?;
    haproxy.wait_server_status("blocklist", "agent", "UP", SOON).await?;
    assert_eq!(ask().await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_stopped_under_load_leaves_no_request_unanswered() -> BoxResult {
    let site = Backend::start().await?;
    let program = haproxies()?.pop().ok_or("no HAProxy")?;
    let mut agent = agent(&["--file", &file("blocklist.txt")]).await?;
    let haproxy = haproxy(&program, &agent, [&site, &site]).await?;
    let address = haproxy.http();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let source = Ipv4Addr::new(127, 0, 0, 9).into();
                let mut client = http::Connection::open(address, Some(source), SOON).await?;
                // Blocked until HAProxy knows that the agent is gone, and let in from then on: never an error.
                let mut blocked = 0;
                loop {
                    match client.send(&http::Request::new("GET", "/")).await?.status {
                        403 => blocked += 1,
                        200 => return Ok::<usize, testbed::Error>(blocked),
                        other => panic!("{other} after {blocked}"),
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(agent.terminate(SOON).await?.success());
    for client in clients {
        assert!(client.await?? > 10);
    }
    let stopped = |line: &str| line.contains("stopped unanswered=0");
    agent.wait_for_log("its last line", SOON, stopped).await?;
    Ok(())
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_blocklist")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A haproxy.cfg with the backend that is in the comments of a printed spoe.conf.
fn haproxy_cfg(spoe: &str, path: &Path) -> String {
    let comments = spoe.lines().filter_map(|line| line.strip_prefix("# "));
    let backend: Vec<_> = comments.skip_while(|line| !line.starts_with("backend ")).collect();
    let spoe = path.display();
    format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
         frontend web\n    bind unix@{spoe}.sock\n    filter spoe engine blocklist config {spoe}\n{}\n",
        backend.join("\n")
    )
}

#[test]
fn every_haproxy_takes_the_configuration_that_is_printed_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let [spoe, cfg] = ["spoe.conf", "haproxy.cfg"].map(|name| dir.path().join(name));
    for haproxy in haproxies().unwrap() {
        let printed = run(&["--print-config", &haproxy.version.to_string()]);
        assert!(printed.status.success(), "{printed:?}");
        let printed = text(&printed.stdout);
        std::fs::write(&spoe, &printed).unwrap();
        std::fs::write(&cfg, haproxy_cfg(&printed, &spoe)).unwrap();
        let checked = Command::new(&haproxy.path).arg("-c").arg("-f").arg(&cfg).output().unwrap();
        let said = text(&checked.stderr) + &text(&checked.stdout);
        assert!(checked.status.success() && !said.contains("WARNING"), "{haproxy}: {said}\n{printed}");
        let checked = run(&["--check-config", spoe.to_str().unwrap()]);
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn the_spoe_conf_of_this_folder_fits() {
    let checked = run(&["--check-config", &file("spoe.conf")]);
    assert!(checked.status.success(), "{}", text(&checked.stdout));
}

#[test]
fn a_file_that_is_not_there_is_said_to_be() {
    let output = run(&["--listen", "127.0.0.1:0", "--file", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("blocklist: /nonexistent: No such file"), "{output:?}");
}
