//! HAProxy's side, as the agent prints and checks it.

use std::path::Path;
use std::process::Command;

use decision::config;
use spop_tokio::spop::conf::HaproxyVersion;
use testbed::haproxies;

/// A haproxy.cfg with the backend that is in the comments of a printed spoe.conf.
fn haproxy_cfg(spoe: &str, path: &Path) -> String {
    let comments = spoe.lines().filter_map(|line| line.strip_prefix("# "));
    let backend: Vec<_> = comments.skip_while(|line| !line.starts_with("backend ")).collect();
    let spoe = path.display();
    format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
         frontend web\n    bind unix@{spoe}.sock\n    filter spoe engine iocaine config {spoe}\n{}\n",
        backend.join("\n")
    )
}

#[test]
fn every_haproxy_takes_the_configuration_that_is_printed_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let [spoe, cfg] = ["spoe.conf", "haproxy.cfg"].map(|name| dir.path().join(name));
    for haproxy in haproxies().unwrap() {
        let version: HaproxyVersion = haproxy.version.to_string().parse().unwrap();
        let printed = config::print(version).unwrap();
        std::fs::write(&spoe, &printed).unwrap();
        std::fs::write(&cfg, haproxy_cfg(&printed, &spoe)).unwrap();
        let output = Command::new(&haproxy.path).arg("-c").arg("-f").arg(&cfg).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
        assert!(output.status.success() && !said.contains("WARNING"), "{haproxy}: {said}\n{printed}");
        assert_eq!(config::check(&spoe).unwrap(), [""; 0]);
    }
}

#[test]
fn the_spoe_conf_of_this_folder_fits() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spoe.conf");
    assert_eq!(config::check(&path).unwrap(), [""; 0]);
}
