//! Redis over TLS: `cargo test -p blocklist --features tls`.

mod bed;

use std::process::Command;

use bed::{BoxResult, SOON, command};
use testbed::{AgentProcess, RedisProcess};

#[tokio::test]
async fn the_list_comes_over_tls_from_a_redis_whose_certificate_is_trusted_and_from_no_other() -> BoxResult {
    let dir = tempfile::tempdir()?;
    let [key, certificate] =
        ["key.pem", "certificate.pem"].map(|name| dir.path().join(name).display().to_string());
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate]);
    let made =
        openssl.output().map_err(|error| format!("openssl, to be installed for this test: {error}"))?;
    assert!(made.status.success(), "{made:?}");
    let arguments = ["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let redis = RedisProcess::start_with(&[&arguments[..], &files].concat()).await?;
    let url = redis.url().replace("redis:", "rediss:");

    let mut trusting = command(&["--redis", &url]);
    trusting.env("SSL_CERT_FILE", &certificate);
    let trusting = AgentProcess::start(trusting, SOON).await?;
    let loaded = |line: &str| line.contains("list loaded");
    trusting.wait_for_log("the list", SOON, loaded).await?;

    let other = AgentProcess::start(command(&["--redis", &url]), SOON).await?;
    let refused = |line: &str| line.contains("the list stays as it is") && line.contains("certificate");
    other.wait_for_log("the refusal", SOON, refused).await?;
    assert!(!other.logs().all().iter().any(|line| loaded(line)));
    Ok(())
}
