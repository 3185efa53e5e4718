//! The configuration files beside the example, and what they mend of the guide's.

use std::path::Path;
use std::process::Command;

use testbed::{Backend, Config, Haproxy, HaproxyProcess, http};

use crate::bed::{Agent, Bed, Outcome, SOON, Setup, all_haproxies, example};

/// The order of rules that iocaine's guide has, which is what matters: see the README. SITE is a server that it does
/// not name.
const GUIDE: &str = "\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind {http}
    filter spoe engine iocaine config {spoe}
    acl forbidden_hdr req.hdr_cnt(iocaine-decision) gt 0
    use_backend decision-output if forbidden_hdr
    http-request set-header Iocaine-Decision %[var(txn.iocaine.response)]
    use_backend decision-output if !{ var(txn.iocaine.response) -m str default }
    default_backend site
backend site
    server SITE
backend decision-output
    server output OUTPUT
backend decision-agent
    mode {mode}
    option spop-check
    server agent {agent} check inter 200ms
";

/// `haproxy -c`: whether it accepts the file, and what it says.
fn check(haproxy: &Haproxy, file: &Path, folder: &Path) -> Outcome<(bool, String)> {
    let output = Command::new(&haproxy.path).arg("-c").arg("-f").arg(file).current_dir(folder).output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.success(), text))
}

fn mode(haproxy: &Haproxy) -> &'static str {
    if haproxy.version.speaks_mode_spop() { "mode spop" } else { "mode tcp" }
}

#[test]
fn our_files_are_valid_without_a_warning() -> Outcome {
    let text = std::fs::read_to_string(example("haproxy.cfg"))?;
    let open = "use_backend site if !decided";
    let closed = "#http-request return status 503";
    let (folder, top) = (tempfile::tempdir()?, example("../.."));
    let file = folder.path().join("haproxy.cfg");
    for haproxy in all_haproxies()? {
        for text in [text.clone(), text.replace(open, "").replace(closed, "http-request return status 503")] {
            std::fs::write(&file, text.replace("mode spop", mode(&haproxy)))?;
            let (accepted, said) = check(&haproxy, &file, &top)?;
            assert!(accepted, "{said}");
            let said: Vec<_> =
                said.lines().filter(|line| !line.contains("Configuration file is valid")).collect();
            assert!(said.iter().all(|line| line.is_empty()), "{said:#?}");
        }
    }
    assert!(
        text.contains(open)
            && text.contains(closed)
            && text.contains("\n    server agent 127.0.0.1:42068 check ")
    );
    assert!(std::fs::read_to_string(example("spoe.conf"))?.contains("timeout processing 100ms"));
    Ok(())
}

/// Why the guide's files do not work as printed: HAProxy refuses a server without a name, ...
#[tokio::test]
async fn the_guides_server_without_a_name_is_refused() -> Outcome {
    for haproxy in all_haproxies()? {
        let config = guide().replace("SITE", "{backend}").replace("OUTPUT", "127.0.0.1:42069");
        let config = config.agent("127.0.0.1:42068").backend("127.0.0.1:8000");
        let error = HaproxyProcess::start(&haproxy, &config).await.unwrap_err().to_string();
        assert!(error.contains("'server' expects <name> and <addr>"), "{error}");
    }
    Ok(())
}

/// ... and runs all `http-request` rules before the first `use_backend`, so that everybody has the header that is
/// forbidden.
#[tokio::test]
async fn the_guides_rules_turn_everybody_away() -> Outcome {
    for haproxy in all_haproxies()? {
        let (agent, backend) = (Agent::start(&[]).await?, Backend::start().await?);
        let config = guide().replace("SITE", "site {backend}").replace("OUTPUT", agent.output.to_string());
        let config = config.agent(agent.process.address()?).backend(backend.addr());
        let guide = HaproxyProcess::start(&haproxy, &config).await?;
        let warning = "placed after a 'use_backend' rule will still be processed before";
        assert!(guide.check_output().contains(warning), "{}", guide.check_output());
        guide.wait_server_status("decision-agent", "agent", "UP", SOON).await?;
        assert_eq!(http::get(guide.http(), "/", &[]).await?.status, 421);
        let ours = Bed::start(&haproxy, Setup::default()).await?;
        assert_eq!(http::get(ours.haproxy.http(), "/", &[]).await?.status, 200);
        assert!(!ours.haproxy.check_output().contains("WARNING"), "{}", ours.haproxy.check_output());
    }
    Ok(())
}

fn guide() -> Config {
    Config::new(GUIDE, std::fs::read_to_string(example("spoe.conf")).unwrap_or_default())
}
