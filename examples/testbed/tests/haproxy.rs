//! The testbed against each HAProxy that there is.
//!
//! No agent of this workspace takes part: where one is needed, a canned answer to a health check stands in.

use std::path::Path;
use std::time::Duration;

use testbed::{
    Backend, Config, Error, Haproxy, HaproxyProcess, ReservedPort, Signal, Spoe, Version, haproxies, http,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(20);

/// All versions in turn; the name is printed, so that a failed test shows where it was.
fn each_haproxy() -> impl Iterator<Item = Haproxy> {
    let all = haproxies().unwrap_or_else(|error| panic!("{error}"));
    all.into_iter().inspect(|haproxy| println!("== {haproxy}"))
}

/// A filter that is there but never asks anything of an agent.
fn quiet() -> Spoe {
    Spoe::new("quiet").message("never", &["args src", "event on-http-response if { always_false }"])
}

fn config(backend: &Backend, agent: &ReservedPort) -> Config {
    Config::http(&quiet()).backend(backend.addr()).agent(agent.addr())
}

fn is_gone(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
}

#[tokio::test]
async fn proxies_to_the_backend_and_logs() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let before = backend.requests();
        let config =
            config(&backend, &agent).global("nbthread 1").frontend("http-request set-header x-by haproxy");
        let haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        assert_eq!(haproxy.version(), program.version);
        let response = http::get(haproxy.http(), "/hello?x=1", &[("x-mine", "1")]).await.unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "hello from the backend\n"));
        assert_eq!(response.header("x-echo-x-mine"), Some("1"));
        assert_eq!(response.header("X-Echo-X-By"), Some("haproxy"));
        assert_eq!(backend.requests(), before + 1);
        haproxy
            .wait_for_log("the request", SOON, |line| line.contains("GET /hello?x=1 HTTP/1.1"))
            .await
            .unwrap();
        let info = haproxy.cli("show info").await.unwrap();
        assert!(info.contains(&format!("Version: {}", program.version)), "{info}");
        assert!(info.contains("Nbthread: 1"), "{info}");
    }
}

#[tokio::test]
async fn no_log_line_is_lost_in_a_burst() {
    const REQUESTS: usize = 1000;
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        let mut client = http::Connection::open(haproxy.http(), None, SOON).await.unwrap();
        for n in 1..=REQUESTS {
            client.send(&http::Request::new("GET", &format!("/{n}"))).await.unwrap();
        }
        let last = format!("GET /{REQUESTS} ");
        haproxy.wait_for_log("the last request", SOON, |line| line.contains(&last)).await.unwrap();
        let logged = haproxy.logs().all().iter().filter(|line| line.contains("GET /")).count();
        assert_eq!(logged, REQUESTS);
    }
}

#[tokio::test]
async fn drop_leaves_no_process_no_port_and_no_file() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        let (pids, dir, http) = (haproxy.pids(), haproxy.dir().to_owned(), haproxy.http());
        assert!(pids.len() >= 2, "a master and a worker: {pids:?}");
        drop(haproxy);
        assert!(pids.iter().all(|&pid| is_gone(pid)), "{pids:?}");
        assert!(!dir.exists());
        assert!(matches!(http::get(http, "/", &[]).await, Err(Error::Io { .. })), "nobody listens there");
    }
}

#[tokio::test]
async fn a_frozen_haproxy_responds_once_it_is_thawed() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        let mut client = http::Connection::open(haproxy.http(), None, SOON).await.unwrap();
        let request = http::Request::new("GET", "/");
        client.send(&request).await.unwrap();
        haproxy.freeze().unwrap();
        let sent = tokio::time::timeout(Duration::from_millis(100), client.send(&request)).await;
        assert!(sent.is_err(), "{sent:?}");
        haproxy.thaw().unwrap();
        assert_eq!(http::get(haproxy.http(), "/", &[]).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_client_can_leave_with_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = http::Connection::open(listener.local_addr().unwrap(), None, SOON).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    client.reset_when_dropped().unwrap();
    drop(client);
    let read = accepted.read(&mut [0]).await;
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reload_replaces_the_worker_and_keeps_serving() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let config = config(&backend, &agent);
        let mut haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        // At once after the start, which 3.0's master would not notice without care.
        haproxy.reload().await.unwrap();
        let before = haproxy.pids();
        let mut client = http::Connection::open(haproxy.http(), None, SOON).await.unwrap();
        let request = http::Request::new("GET", "/");
        assert_eq!(client.send(&request).await.unwrap().status, 200);

        haproxy.reload_with(&config.clone().frontend("http-request deny if { path /new }")).await.unwrap();
        assert!(haproxy.pids().iter().any(|pid| !before.contains(pid)));
        assert_eq!(http::get(haproxy.http(), "/new", &[]).await.unwrap().status, 403);
        assert_eq!(http::get(haproxy.http(), "/", &[]).await.unwrap().status, 200);
        assert_eq!(haproxy.pids()[0], before[0], "the master stays");
    }
}

#[tokio::test]
async fn a_reload_that_fails_says_why_and_the_old_worker_serves() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let config = config(&backend, &agent);
        let mut haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        let error = haproxy.reload_with(&config.clone().frontend("no-such-keyword")).await.unwrap_err();
        assert!(
            matches!(&error, Error::BadConfig { output } if output.contains("no-such-keyword")),
            "{error}"
        );
        assert_eq!(http::get(haproxy.http(), "/", &[]).await.unwrap().status, 200);
        haproxy.reload_with(&config).await.unwrap();
        assert_eq!(http::get(haproxy.http(), "/", &[]).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_configuration_that_haproxy_refuses_is_an_error_in_its_words() {
    for program in each_haproxy() {
        let config = Config::new("frontend fe\n    bind {http}\n    no-such-keyword\n", "");
        let error = HaproxyProcess::start(&program, &config).await.unwrap_err();
        let Error::BadConfig { output } = &error else { panic!("{error}") };
        assert!(output.contains("unknown keyword 'no-such-keyword'"), "{output}");
        assert!(output.contains("haproxy.cfg:3"), "lines are counted as in the user's own file: {output}");
    }
}

#[tokio::test]
async fn a_start_that_fails_after_the_check_shows_its_output() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    for program in each_haproxy() {
        let config = Config::new(
            "frontend fe\n    mode http\n    timeout client 1s\n    bind {http}\n    bind TAKEN\n",
            "",
        );
        let error =
            HaproxyProcess::start(&program, &config.replace("TAKEN", taken.to_string())).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Ended { status: Some(_), .. }), "{text}");
        assert!(text.contains("cannot bind"), "{text}");
    }
}

#[tokio::test]
async fn without_an_agent_the_server_goes_down() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        let status = haproxy.wait_server_status("agents", "agent1", "DOWN", SOON).await.unwrap();
        assert_eq!(status.check_status, "L4CON");
        assert!(status.last_chk.contains("Connection refused"), "{status:?}");
        let is_down = |line: &str| line.contains("Server agents/agent1 is DOWN");
        haproxy.wait_for_log("the server to be down", SOON, is_down).await.unwrap();
        let error = haproxy.server_status("agents", "agent2").await.unwrap_err();
        assert!(error.to_string().contains("agents/agent2"), "{error}");
    }
}

#[tokio::test]
async fn up_means_that_a_health_check_has_passed() {
    let (backend, agent) = (Backend::start().await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let addr = agent.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut check, _)) = agent.accept().await {
            let mut hello = [0; 82];
            if check.read_exact(&mut hello).await.is_ok() {
                check.write_all(&agent_hello()).await.ok();
            }
        }
    });
    for program in each_haproxy() {
        let config = Config::http(&quiet()).backend(backend.addr()).agent(addr);
        let haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        let status = haproxy.wait_server_status("agents", "agent1", "UP", SOON).await.unwrap();
        assert_eq!(status.check_status, "L7OK");
        assert_eq!(status.check_desc, "Layer7 check passed");
        let soon = Duration::from_millis(10);
        let error = haproxy.wait_server_status("agents", "agent1", "DOWN", soon).await.unwrap_err();
        assert!(error.is_deadline() && error.to_string().contains("agents/agent1 to be DOWN"), "{error}");
    }
}

/// An AGENT-HELLO by hand: FIN, ids 0 and 0, version, max-frame-size 16380, no capabilities.
fn agent_hello() -> Vec<u8> {
    let body =
        b"\x65\0\0\0\x01\0\0\x07version\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\0";
    [&(body.len() as u32).to_be_bytes(), &body[..]].concat()
}

#[tokio::test]
async fn stops_at_once_or_when_the_work_is_done() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let mut haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        haproxy.stop(SOON).await.unwrap();
        assert_eq!(haproxy.pids(), [0; 0]);
        assert!(haproxy.reload().await.is_err(), "it is gone");

        let mut haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        // Half a request: something to finish.
        let mut client = tokio::net::TcpStream::connect(haproxy.http()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
        http::get(haproxy.http(), "/", &[]).await.unwrap();
        haproxy.signal(Signal::USR1).unwrap();
        assert!(haproxy.wait_exit(Duration::from_millis(100)).await.unwrap_err().is_deadline());
        client.write_all(b"x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        haproxy.wait_exit(SOON).await.unwrap();

        let mut haproxy = HaproxyProcess::start(&program, &config(&backend, &agent)).await.unwrap();
        haproxy.stop_graceful(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn a_rejected_connection_is_closed_and_an_unanswered_one_a_deadline() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let rules = "tcp-request content reject if { src 127.0.0.5 }\n\
                     timeout tarpit 10s\n\
                     http-request tarpit if { path /later }";
        let config = config(&backend, &agent).frontend(rules);
        let haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        let request = http::Request::new("GET", "/").source([127, 0, 0, 5]);
        let error = request.send(haproxy.http()).await.unwrap_err();
        assert!(error.is_closed(), "{error}");
        let late = http::Request::new("GET", "/later").deadline(Duration::from_millis(50));
        assert!(late.send(haproxy.http()).await.unwrap_err().is_deadline());
    }
}

#[tokio::test]
async fn any_request_can_be_sent() {
    let (backend, agent) = (Backend::start().await.unwrap(), ReservedPort::new().unwrap());
    for program in each_haproxy() {
        let config = config(&backend, &agent).frontend("bind unix@{dir}/http.sock");
        let haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        let socket = haproxy.dir().join("http.sock");
        let mut client = http::Connection::open(socket.as_path(), None, SOON).await.unwrap();
        let requests = [
            http::Request::new("POST", "/").body("a body"),
            http::Request::new("PUT", "/")
                .header("Transfer-Encoding", "chunked")
                .body("3\r\nabc\r\n0\r\n\r\n"),
            http::Request::new("HEAD", "/"),
            http::Request::new("OPTIONS", "*"),
            http::Request::new("GET", "/").header("Host", "example.org"),
        ];
        for request in &requests {
            let response = client.send(request).await.unwrap();
            assert_eq!(response.status, 200, "{request:?}");
        }
        let response = client.send_bytes(b"BAD REQUEST\r\n\r\n", SOON).await.unwrap();
        assert_eq!(response.status, 400);
    }
}

#[test]
fn a_package_that_is_not_there_cannot_be_built() {
    let error = testbed::build_example("no-such-example").unwrap_err();
    assert!(error.to_string().contains("`no-such-example`"), "{error}");
}

#[tokio::test]
async fn a_users_own_files_run_as_they_are() {
    let backend = Backend::start().await.unwrap();
    let agent = ReservedPort::new().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let config = Config::from_files(files.join("haproxy.cfg"), files.join("spoe.conf")).unwrap();
    let config = config
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:9000", backend.addr().to_string())
        .replace("127.0.0.1:12345", agent.addr().to_string());
    for program in each_haproxy() {
        let haproxy = HaproxyProcess::start(&program, &config).await.unwrap();
        assert_eq!(http::get(haproxy.http(), "/", &[]).await.unwrap().status, 200);
        let is_request = |line: &str| line.contains("GET / HTTP/1.1");
        haproxy.wait_for_log("the request", SOON, is_request).await.unwrap();
        let logged = haproxy.logs().all().iter().filter(|line| is_request(line)).count();
        assert_eq!(logged, 1, "the file logs to stdout by itself, which is enough");
    }
}

#[tokio::test]
async fn warnings_of_an_agent_without_timeouts_are_seen() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let (haproxy_cfg, spoe_conf) = (files.join("haproxy.cfg"), files.join("spoe.conf"));
    let complete = Config::from_files(haproxy_cfg, spoe_conf).unwrap().replace("127.0.0.1:8080", "{http}");
    let incomplete = complete.clone().replace("timeout hello 2s", "");
    for program in each_haproxy() {
        let old_engine = program.version < Version::new(3, 1);
        for (config, expected) in [(&complete, false), (&incomplete, old_engine)] {
            let haproxy = HaproxyProcess::start(&program, config).await.unwrap();
            let warned = haproxy.check_output().contains("missing timeouts for SPOE agent");
            assert_eq!(warned, expected, "{}", haproxy.check_output());
        }
    }
}
