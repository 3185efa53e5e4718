//! HAProxy's side of the agent: printed from the code, and a file checked against it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use spop_tokio::spop::conf::{Conf, HaproxyVersion};
use spop_tokio::{BoxError, Router, Server};

use crate::agent::{Agent, REQUEST_TIMEOUT, VAR_PREFIX};
use crate::challenge::Challenges;
use crate::metrics::Decisions;
use crate::reload::Current;
use crate::rules::{DEFAULT, Outcome, Rules};

const ENGINE: &str = "iocaine";
const NEWEST: HaproxyVersion = HaproxyVersion::new(3, 4);

/// spoe.conf, with the backend for haproxy.cfg in comments.
///
/// # Errors
/// None that could come.
pub fn print(version: HaproxyVersion) -> Result<String, BoxError> {
    let server = server()?;
    let backend = server.haproxy_backend(ENGINE, "127.0.0.1:42068", version);
    let comments: String = backend.lines().map(|line| format!("# {line}\n")).collect();
    let filter = format!("`filter spoe engine {ENGINE} config THIS-FILE` in a frontend");
    Ok(format!("# In haproxy.cfg: {filter}, and\n#\n{comments}\n{}", server.spoe_conf(ENGINE, version)))
}

/// What in a spoe.conf does not fit, a line each.
///
/// # Errors
/// If it cannot be read.
pub fn check(path: &Path) -> Result<Vec<String>, BoxError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let conf = Conf::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
    let findings = [conf.lint(NEWEST), server()?.check_conf(&conf, ENGINE)].concat();
    Ok(findings.iter().map(|finding| format!("{shown}: {finding}")).collect())
}

/// The agent with the rules that are built in: what it says of itself does not depend on them.
fn server() -> Result<Server<Router>, BoxError> {
    let agent = Agent {
        rules: Arc::new(Current::new(Rules::parse(DEFAULT)?)),
        poison: String::new(),
        challenges: Challenges::new(&[], 1, Duration::ZERO),
        on_error: Outcome::Default,
        metrics: Decisions::default(),
    };
    Ok(Server::new(agent.router()).request_timeout(REQUEST_TIMEOUT).var_prefix(VAR_PREFIX)?)
}
