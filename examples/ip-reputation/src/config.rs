//! HAProxy's side: printed from the code, and a file checked against it.

use std::path::Path;

use spop_tokio::spop::conf::{Conf, HaproxyVersion};
use spop_tokio::{BoxError, Router, Server};

const ENGINE: &str = "ip-reputation";
const NEWEST: HaproxyVersion = HaproxyVersion::new(3, 4);

/// spoe.conf, with the backend for haproxy.cfg in comments.
pub(crate) fn print(server: &Server<Router>, version: HaproxyVersion) -> Result<(), BoxError> {
    println!("# In haproxy.cfg: `filter spoe engine {ENGINE} config THIS-FILE` in a frontend, and\n#");
    let backend = server.haproxy_backend(ENGINE, "127.0.0.1:12345", version);
    backend.lines().for_each(|line| println!("# {line}"));
    print!("\n{}", server.spoe_conf(ENGINE, version));
    Ok(())
}

/// Prints what does not fit in a spoe.conf.
pub(crate) fn check(server: &Server<Router>, path: &Path) -> Result<(), BoxError> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let conf = Conf::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let findings = [conf.lint(NEWEST), server.check_conf(&conf, ENGINE)].concat();
    findings.iter().for_each(|finding| println!("{}: {finding}", path.display()));
    if findings.is_empty() { Ok(()) } else { Err(format!("{} does not fit", path.display()).into()) }
}
