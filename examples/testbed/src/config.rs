//! The two configuration files of HAProxy, with placeholders for what is known only at the start.

use std::fs;
use std::path::Path;

use crate::{Error, Spoe, Version};

/// A complete configuration with one frontend, and places for the caller's own lines.
const HTTP: &str = "\
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 30s
    timeout server 30s

frontend fe
    bind {http}
    filter spoe engine {engine} config {spoe}
{frontend lines}
    http-after-response set-header x-spoe-error %[var(txn.{prefix}.error)] if { var(txn.{prefix}.error) -m found }
    default_backend web

backend web
    server web1 {backend}

backend agents
    mode {mode}
    option spop-check
    timeout connect 5s
    timeout server 3m
    # Without it a check has only `inter` to finish, which a busy machine misses.
    timeout check 5s
{agents lines}
    server agent1 {agent} check inter 200ms fall 2 rise 1
";

/// The text of haproxy.cfg and of the SPOE file, with placeholders.
///
/// Both texts may use:
///
/// | placeholder | becomes |
/// |---|---|
/// | `{http}` | the frontend's address, a free loopback port |
/// | `{agent}` | the agent's address, see [`Config::agent`] |
/// | `{backend}` | the backend's address, see [`Config::backend`] |
/// | `{spoe}` | the path of the SPOE file |
/// | `{mode}` | the mode of a backend of agents: `tcp` up to HAProxy 3.0, then `spop` |
/// | `{dir}` | a folder for this HAProxy only; also the one it runs in, where the SPOE file is `spoe.conf` |
///
/// Log lines and a stats socket are added at the start, in a file of their own: the text needs neither.
///
/// ```
/// use testbed::{Config, Spoe};
///
/// let spoe = Spoe::new("iprep").message("check-ip", &["args ip=src", "event on-client-session"]);
/// let config = Config::http(&spoe)
///     .frontend("http-after-response set-header x-score %[var(sess.iprep.score)]")
///     .agent("unix@/run/agent.sock")
///     .backend("127.0.0.1:8080");
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    haproxy_cfg: String,
    spoe_conf: String,
    replacements: Vec<(String, String)>,
    global: String,
    frontend: String,
    agents: String,
    agent: Option<String>,
    backend: Option<String>,
}

/// The texts with everything replaced.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) haproxy_cfg: String,
    pub(crate) spoe_conf: String,
    /// For a section `global` before that of haproxy.cfg.
    pub(crate) global: String,
}

/// What the placeholders become; the rest is known to the `Config`.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) http: String,
    pub(crate) version: Version,
    pub(crate) dir: &'a Path,
}

impl Config {
    /// Two texts, with placeholders.
    pub fn new(haproxy_cfg: impl Into<String>, spoe_conf: impl Into<String>) -> Self {
        Self {
            haproxy_cfg: haproxy_cfg.into(),
            spoe_conf: spoe_conf.into(),
            replacements: Vec::new(),
            global: String::new(),
            frontend: String::new(),
            agents: String::new(),
            agent: None,
            backend: None,
        }
    }

    /// Two files as a user would run them; [`Config::replace`] puts the placeholders where their addresses are.
    pub fn from_files(haproxy_cfg: impl AsRef<Path>, spoe_conf: impl AsRef<Path>) -> Result<Self, Error> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())));
        Ok(Self::new(read(haproxy_cfg.as_ref())?, read(spoe_conf.as_ref())?))
    }

    /// A complete configuration around a SPOE filter: frontend `fe`, backend `web` with the server `web1`, backend
    /// `agents` with the server `agent1`, health-checked every 200 ms.
    ///
    /// The status that the filter leaves when the agent failed is sent to the client as the header `x-spoe-error`.
    pub fn http(spoe: &Spoe) -> Self {
        let text = HTTP.replace("{engine}", spoe.engine()).replace("{prefix}", spoe.engine());
        Self::new(text, spoe.to_conf())
    }

    /// Adds a line, or several, to the section `global`, such as `tune.bufsize 8192`.
    pub fn global(mut self, line: &str) -> Self {
        push_indented(&mut self.global, line);
        self
    }

    /// Adds a line, or several, to the frontend of [`Config::http`].
    pub fn frontend(mut self, line: &str) -> Self {
        push_indented(&mut self.frontend, line);
        self
    }

    /// Adds a line, or several, to the backend of agents of [`Config::http`].
    pub fn agents(mut self, line: &str) -> Self {
        push_indented(&mut self.agents, line);
        self
    }

    /// Where `{agent}` is: `127.0.0.1:port`, a `SocketAddr`, or `unix@/path`.
    pub fn agent(mut self, address: impl ToString) -> Self {
        self.agent = Some(address.to_string());
        self
    }

    /// Where `{backend}` is.
    pub fn backend(mut self, address: impl ToString) -> Self {
        self.backend = Some(address.to_string());
        self
    }

    /// Replaces a literal text in both files, before the placeholders are replaced. A text that neither file has is
    /// an error at the start, so that a test notices when the file has changed.
    pub fn replace(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.replacements.push((from.into(), to.into()));
        self
    }

    pub(crate) fn render(&self, place: &Place<'_>) -> Result<Rendered, Error> {
        let (mut haproxy_cfg, mut spoe_conf) = (self.haproxy_cfg.clone(), self.spoe_conf.clone());
        for (from, to) in &self.replacements {
            if !haproxy_cfg.contains(from) && !spoe_conf.contains(from) {
                return Err(Error::Usage(format!("neither configuration file contains {from:?}")));
            }
            haproxy_cfg = haproxy_cfg.replace(from, to);
            spoe_conf = spoe_conf.replace(from, to);
        }
        let fill = |text: &str| self.fill(text, place);
        Ok(Rendered {
            haproxy_cfg: fill(&haproxy_cfg)?,
            spoe_conf: fill(&spoe_conf)?,
            global: fill(&self.global)?,
        })
    }

    /// Replaces the placeholders.
    fn fill(&self, text: &str, place: &Place<'_>) -> Result<String, Error> {
        let dir = place.dir.display().to_string();
        let mode = if place.version.speaks_mode_spop() { "spop" } else { "tcp" };
        let placeholders = [
            // First, because the caller's own lines may have placeholders.
            ("{frontend lines}", Some(self.frontend.as_str())),
            ("{agents lines}", Some(&self.agents)),
            ("{http}", Some(&place.http)),
            ("{agent}", self.agent.as_deref()),
            ("{backend}", self.backend.as_deref()),
            ("{spoe}", Some("{dir}/spoe.conf")),
            ("{mode}", Some(mode)),
            ("{dir}", Some(&dir)),
        ];
        placeholders.into_iter().try_fold(text.to_owned(), |text, (placeholder, value)| match value {
            Some(value) => Ok(text.replace(placeholder, value)),
            None if text.contains(placeholder) => {
                Err(Error::Usage(format!("the configuration has {placeholder}, but no address was given")))
            }
            None => Ok(text),
        })
    }

    /// True if the text logs to HAProxy's output by itself, so that the testbed must not do it once more.
    pub(crate) fn logs_to_stdout(&self) -> bool {
        self.haproxy_cfg.lines().any(|line| line.trim_start().starts_with("log stdout"))
    }
}

/// Adds lines of a section.
pub(crate) fn push_indented(text: &mut String, lines: &str) {
    for line in lines.lines() {
        text.push_str("    ");
        text.push_str(line.trim());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(config: &Config, version: Version) -> Result<(String, String), Error> {
        let texts =
            config.render(&Place { http: "127.0.0.1:1".to_owned(), version, dir: Path::new("/d") })?;
        Ok((texts.haproxy_cfg, texts.spoe_conf))
    }

    #[test]
    fn placeholders_become_addresses_paths_and_the_mode() {
        let config = Config::new("{http} {agent} {backend} {spoe} {mode} { src }", "{dir}")
            .agent("a:1")
            .backend("b:2");
        let (cfg, spoe) = render(&config, Version::new(3, 0)).unwrap();
        assert_eq!(cfg, "127.0.0.1:1 a:1 b:2 /d/spoe.conf tcp { src }");
        assert_eq!(spoe, "/d");
        assert!(render(&config, Version::new(3, 1)).unwrap().0.contains(" spop "));
    }

    #[test]
    fn literal_replacements_come_first_and_must_match() {
        let config = Config::new("bind *:80", "").replace("*:80", "{http}");
        assert_eq!(render(&config, Version::new(3, 2)).unwrap().0, "bind 127.0.0.1:1");
        let error = render(&config.replace("10.0.0.1", ""), Version::new(3, 2)).unwrap_err();
        assert!(error.to_string().contains("10.0.0.1"), "{error}");
    }

    #[test]
    fn an_address_that_is_used_must_be_given() {
        let error = render(&Config::new("", "{agent}"), Version::new(3, 2)).unwrap_err();
        assert!(error.to_string().contains("{agent}"), "{error}");
    }

    #[test]
    fn own_lines_land_in_their_sections() {
        let spoe = Spoe::new("e").message("m", &["args src"]).agent("option continue-on-error");
        let config = Config::http(&spoe).frontend("one\ntwo").agents("three").agent("a").backend("b");
        let (cfg, spoe) = render(&config, Version::new(3, 2)).unwrap();
        assert!(cfg.contains("\n    one\n    two\n") && cfg.contains("\n    three\n"), "{cfg}");
        assert!(!cfg.contains("lines}") && cfg.contains("if { var(txn.e.error) -m found }"), "{cfg}");
        assert!(
            spoe.contains("    messages m\n") && spoe.contains("\n    option continue-on-error\n"),
            "{spoe}"
        );
        assert!(spoe.ends_with("\nspoe-message m\n    args src\n"), "{spoe}");
    }
}
