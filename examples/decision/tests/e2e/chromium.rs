//! A real Chromium without a window, driven over the DevTools protocol: JSON with a zero byte behind it, by two pipes.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use crate::bed::{Outcome, SOON};

/// Chromium wants the protocol on file descriptors 3 and 4.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

const ARGS: [&str; 13] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
];

/// A browser with one page. Dropping it ends it.
pub(crate) struct Chromium {
    _process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
    // Last, as fields are dropped in order.
    _profile: TempDir,
}

impl Chromium {
    pub(crate) async fn start() -> Outcome<Self> {
        let profile = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", START]).arg(testbed::chromium()?).args(ARGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (requests, answers) =
            (process.stdin.take().ok_or("no pipe")?, process.stdout.take().ok_or("no pipe")?);
        let mut browser = Self {
            _process: process,
            requests,
            answers: BufReader::new(answers),
            session: None,
            calls: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await?;
        browser.session = attached["sessionId"].as_str().map(Into::into);
        for domain in ["Page", "Network", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(browser)
    }

    /// Calls a method of the protocol.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Outcome<Value> {
        self.calls += 1;
        let mut request = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        let exchange = async {
            self.requests.write_all(&[request.to_string().as_bytes(), b"\0"].concat()).await?;
            loop {
                let message = self.read().await?;
                if message["id"] != self.calls {
                    self.events.push(message);
                } else if message["error"].is_null() {
                    return Ok(message["result"].clone());
                } else {
                    return Err(format!("{method}: {}", message["error"]).into());
                }
            }
        };
        timeout(SOON, exchange).await.map_err(|_| format!("Chromium does not answer {method}"))?
    }

    async fn read(&mut self) -> Outcome<Value> {
        let mut bytes = Vec::new();
        self.answers.read_until(0, &mut bytes).await?;
        if bytes.pop() != Some(0) {
            return Err("Chromium has ended".into());
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Opens a page, and waits until it shows `text`: it may have gone elsewhere meanwhile.
    pub(crate) async fn open(&mut self, url: &str, text: &str) -> Outcome {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": url })).await?;
        let script = json!({ "expression": "document.body.innerText", "returnByValue": true });
        let mut shown = String::new();
        let wait = async {
            loop {
                // It fails while one page makes way for the next.
                if let Ok(answer) = self.call("Runtime.evaluate", script.clone()).await {
                    shown = answer["result"]["value"].as_str().unwrap_or_default().into();
                    if shown.contains(text) {
                        return;
                    }
                }
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(SOON, wait).await;
        waited.map_err(|_| format!("waited for {text:?}, and see {shown:?}").into())
    }

    /// The status of each page since the last `open`, in order.
    pub(crate) fn pages(&self) -> Vec<u64> {
        let pages = self.events_of("Network.responseReceived").filter(|params| params["type"] == "Document");
        pages.filter_map(|params| params["response"]["status"].as_u64()).collect()
    }

    /// The URLs of all requests since the last `open`.
    pub(crate) fn urls(&self) -> Vec<&str> {
        let requests = self.events_of("Network.requestWillBeSent");
        requests.filter_map(|params| params["request"]["url"].as_str()).collect()
    }

    fn events_of(&self, method: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
    }
}
