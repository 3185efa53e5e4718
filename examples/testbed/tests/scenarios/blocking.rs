//! The example `blocking`, with the configuration that lies beside it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::{AgentProcess, Backend, Config, build_example, http};

use crate::bed::{Bed, Outcome, SOON, expect, expect_no_failed_event};

/// Clients on both sides of the limit, over connections of their own and at the same time: the agent answers each
/// connection of HAProxy's in a thread.
pub(crate) async fn blocking(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let mut command = Command::new(build_example("blocking")?);
    command.arg("127.0.0.1:0");
    let agent = AgentProcess::start(command, SOON).await?;
    let config = Config::from_files(example("haproxy.cfg"), example("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:12345", "{agent}")
        .replace("examples/blocking/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}")
        // Short as it should be, but a machine that runs many tests at a time may take longer.
        .replace("timeout processing 100ms", "timeout processing 10s")
        .replace("check inter 2s", "check inter 200ms")
        .agent(agent.address()?)
        .backend(backend.addr());
    let haproxy = bed.haproxy(&config).await?;
    haproxy.wait_server_status("blocking", "agent", "UP", SOON).await?;
    let ask = async |last: u8| {
        let client = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        http::Request::new("GET", "/").source(client).send(haproxy.http()).await
    };
    for round in 0..5 {
        let answers = futures_util::future::join_all((1..=40).map(ask)).await;
        for (last, answer) in (1..=40).zip(answers) {
            match answer {
                Err(error) if error.is_closed() && last < 20 => {}
                answer => expect(&answer?, &[("x-ip-score", Some(&last.to_string()))]),
            }
        }
        assert_eq!(backend.requests(), 21 * (round + 1), "those below 20 are rejected");
    }
    expect_no_failed_event(&haproxy);
    let said = agent.logs().all();
    assert_eq!(said.len(), 1, "nothing failed: {said:?}");
    Ok(())
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../blocking").join(file)
}
