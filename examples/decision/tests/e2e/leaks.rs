//! What an outsider could make grow.

use spop_tokio::health_check;
use spop_tokio::spop::haproxy::{Config, Engine};
use tokio::net::UnixStream;

use crate::bed::{Agent, Outcome};

const CONNECTIONS: usize = 10_000;

/// About 1 KiB for each connection that there ever was, in iocaine 3.5.1.
#[tokio::test]
async fn connections_that_are_over_leave_nothing_behind() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agent.sock");
    let agent = Agent::start(&["--listen", &format!("unix:{}", path.display())]).await?;
    let mut memory = Vec::new();
    for _ in 0..2 {
        for _ in 0..CONNECTIONS {
            health_check(UnixStream::connect(&path).await?, Config::new(Engine::Mux)).await?;
        }
        memory.push(agent.process.resident_bytes()?);
    }
    let grown = memory[1].saturating_sub(memory[0]);
    assert!(
        grown < (CONNECTIONS * 200) as u64,
        "{grown} bytes more after {CONNECTIONS} connections: {memory:?}"
    );
    Ok(())
}
