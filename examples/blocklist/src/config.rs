//! HAProxy's side: printed from the code, and a file checked against it.

use std::path::Path;
use std::sync::Arc;

use spop_tokio::spop::conf::{Conf, HaproxyVersion};
use spop_tokio::{BoxError, Router, Server};

use crate::agent::Agent;
use crate::current::Current;

const ENGINE: &str = "blocklist";
const NEWEST: HaproxyVersion = HaproxyVersion::new(3, 4);

/// spoe.conf, with the backend for haproxy.cfg in comments.
///
/// # Errors
/// None that could come.
pub fn print(version: HaproxyVersion) -> Result<(), BoxError> {
    let server = server()?;
    println!("# In haproxy.cfg: `filter spoe engine {ENGINE} config THIS-FILE` in a frontend, and\n#");
    let backend = server.haproxy_backend(ENGINE, "127.0.0.1:12345", version);
    backend.lines().for_each(|line| println!("# {line}"));
    print!("\n{}", server.spoe_conf(ENGINE, version));
    Ok(())
}

/// Says what does not fit in a spoe.conf.
///
/// # Errors
/// If something does not, or if the file cannot be read.
pub fn check(path: &Path) -> Result<(), BoxError> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let conf = Conf::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let findings = [conf.lint(NEWEST), server()?.check_conf(&conf, ENGINE)].concat();
    findings.iter().for_each(|finding| println!("{}: {finding}", path.display()));
    if findings.is_empty() { Ok(()) } else { Err(format!("{} does not fit", path.display()).into()) }
}

/// What the agent says of itself does not depend on its list.
fn server() -> Result<Server<Router>, BoxError> {
    Ok(Agent::new(Arc::new(Current::unknown()), false).server()?)
}
