//! HAProxy's side, as the agent prints and checks it.

use std::path::Path;
use std::process::{Command, Output};

use testbed::haproxies;

fn agent(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ip-reputation")).args(args).output().unwrap()
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
         frontend web\n    bind unix@{spoe}.sock\n    filter spoe engine ip-reputation config {spoe}\n{}\n",
        backend.join("\n")
    )
}

#[test]
fn every_haproxy_takes_the_configuration_that_is_printed_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let [spoe, cfg] = ["spoe.conf", "haproxy.cfg"].map(|name| dir.path().join(name));
    for haproxy in haproxies().unwrap() {
        let printed = agent(&["--print-config", &haproxy.version.to_string()]);
        assert!(printed.status.success(), "{printed:?}");
        let printed = text(&printed.stdout);
        std::fs::write(&spoe, &printed).unwrap();
        std::fs::write(&cfg, haproxy_cfg(&printed, &spoe)).unwrap();
        let checked = Command::new(&haproxy.path).arg("-c").arg("-f").arg(&cfg).output().unwrap();
        let said = text(&checked.stderr) + &text(&checked.stdout);
        assert!(checked.status.success() && !said.contains("WARNING"), "{haproxy}: {said}\n{printed}");
        let checked = agent(&["--check-config", spoe.to_str().unwrap()]);
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn the_spoe_conf_of_this_folder_fits() {
    let checked = agent(&["--check-config", concat!(env!("CARGO_MANIFEST_DIR"), "/spoe.conf")]);
    assert!(checked.status.success(), "{}", text(&checked.stdout));
}

#[test]
fn what_does_not_fit_is_said_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spoe.conf");
    let good = text(&agent(&["--print-config", "3.4"]).stdout);
    for (line, with, want) in [
        ("timeout processing 100ms", "timeout processing 20ms", "not above the agent's request_timeout"),
        ("var-prefix iprep", "var-prefix ip", "the var-prefix is ip, the agent's iprep"),
        ("spoe-message check-client-ip", "spoe-message check-ip", "there is no spoe-message check-client-ip"),
    ] {
        assert!(good.contains(line), "{good}");
        std::fs::write(&path, good.replace(line, with)).unwrap();
        let checked = agent(&["--check-config", path.to_str().unwrap()]);
        let said = text(&checked.stdout);
        assert!(
            !checked.status.success() && said.contains("spoe.conf: line ") && said.contains(want),
            "{said}"
        );
    }
}
