//! HAProxy's side, from what the service says of its messages: printed, and checked.

use std::time::Duration;

use spop::conf::{Conf, Engine, Finding, HaproxyVersion, Section, SectionKind};

use super::Server;
use crate::Service;
use crate::service::MessageSpec;

impl<S: Service> Server<S> {
    /// Returns spoe.conf for this agent: an engine with the messages of the service, to be printed.
    ///
    /// The messages have the arguments and events that their [`Route`](crate::Route)s say, or else the names that their
    /// `Args` have, with the samples of these names where HAProxy has some. `timeout processing` is twice the
    /// [`request_timeout`](Self::request_timeout). Look it over: a sample or an event that only you know is a guess.
    ///
    /// ```
    /// use spop_tokio::spop::conf::HaproxyVersion;
    /// use spop_tokio::{Route, Router, Server, Var};
    ///
    /// const SCORE: Var = Var::session("ip_score");
    ///
    /// let check = Route::new(|| (SCORE, 50)).sets([SCORE]).samples(["ip=src"]).event("on-client-session");
    /// let server = Server::new(Router::new().message("check-client-ip", check)).var_prefix("iprep")?;
    /// let conf = server.spoe_conf("ip-reputation", HaproxyVersion::new(3, 4));
    /// assert_eq!(
    ///     conf.to_string(),
    ///     "[ip-reputation]\n\n\
    ///      spoe-agent ip-reputation\n    \
    ///          messages check-client-ip\n    \
    ///          option var-prefix iprep\n    \
    ///          option set-on-error error\n    \
    ///          timeout processing 1000ms\n    \
    ///          use-backend ip-reputation\n\n\
    ///      spoe-message check-client-ip\n    \
    ///          args ip=src\n    \
    ///          event on-client-session\n"
    /// );
    /// assert!(server.check_conf(&conf, "ip-reputation").is_empty());
    /// # Ok::<(), spop_tokio::VarPrefixError>(())
    /// ```
    pub fn spoe_conf(&self, engine: &str, version: HaproxyVersion) -> Conf {
        let messages = self.service.messages();
        let prefix = match &self.config.var_prefix {
            Some(prefix) => prefix.to_string(),
            None => engine.replace(|char: char| !char.is_ascii_alphanumeric(), "_"),
        };
        let processing = self.config.request_timeout.map_or(Duration::from_secs(1), |timeout| timeout * 2);
        let mut agent = Section::new(SectionKind::Agent, engine)
            .line(["messages"].into_iter().chain(messages.iter().map(|message| message.name.as_str())))
            .line(["option", "var-prefix", &prefix])
            .line(["option", "set-on-error", "error"]);
        if !version.has_mode_spop() {
            agent = agent.line(["timeout", "hello", "500ms"]).line(["timeout", "idle", "1m"]);
        }
        let agent = agent
            .line(["timeout", "processing", &format!("{}ms", processing.as_millis())])
            .line(["use-backend", engine]);
        let sections = messages.iter().map(message_section);
        Conf::new([sections.fold(Engine::new(engine).section(agent), Engine::section)])
    }

    /// Returns the backend that [`spoe_conf`](Self::spoe_conf) uses, for haproxy.cfg, with one agent at `address`, such
    /// as `127.0.0.1:12345` or `unix@/run/agent.sock`.
    pub fn haproxy_backend(&self, engine: &str, address: &str, version: HaproxyVersion) -> String {
        let mode = if version.has_mode_spop() { "spop" } else { "tcp" };
        let timeouts =
            if version.has_mode_spop() { "" } else { "    timeout connect 1s\n    timeout server 1m\n" };
        format!(
            "backend {engine}\n    mode {mode}\n{timeouts}    option spop-check\n    server agent {address} check\n"
        )
    }

    /// Returns what does not fit between this agent and `engine` of spoe.conf: messages that nobody handles or sends,
    /// arguments that a handler reads and does not get or the other way round, another `var-prefix`, variables that are
    /// too long for it, and a `timeout processing` that is over before [`request_timeout`](Self::request_timeout).
    ///
    /// What does not fit in the file itself is [`Conf::lint`]'s.
    pub fn check_conf(&self, conf: &Conf, engine: &str) -> Vec<Finding> {
        let Some(found) = conf.engine(engine) else {
            return vec![Finding::of_file(format!("there is no engine [{engine}]"))];
        };
        let messages = self.service.messages();
        let mut findings = Vec::new();
        for agent in found.agents() {
            self.check_agent(agent, &messages, &mut findings);
        }
        for message in found.messages().filter(|message| found.sent().any(|name| name == message.name())) {
            match messages.iter().find(|known| known.name == message.name()) {
                Some(known) => check_args(message, known, &mut findings),
                None => {
                    let handled: Vec<_> = messages.iter().map(|message| message.name.as_str()).collect();
                    let what = format!("nobody handles it; there are handlers for {}", handled.join(", "));
                    findings.push(Finding::of_section(message, what));
                }
            }
        }
        for known in messages.iter().filter(|known| !found.sent().any(|name| name == known.name)) {
            findings
                .push(Finding::of_file(format!("nobody sends message {}, which has a handler", known.name)));
        }
        findings
    }

    fn check_agent(&self, agent: &Section, messages: &[MessageSpec], findings: &mut Vec<Finding>) {
        let mut find = |what: String| findings.push(Finding::of_section(agent, what));
        let prefix = agent.var_prefix();
        if let Some(want) = self.config.var_prefix.as_deref().filter(|want| *want != prefix) {
            find(format!("the var-prefix is {prefix}, the agent's {want}"));
        }
        for message in messages {
            for error in message.vars.iter().filter_map(|var| var.check_prefix(prefix).err()) {
                find(format!("message {}: {error}", message.name));
            }
        }
        match (agent.timeout("processing"), self.config.request_timeout) {
            (Some(processing), Some(request)) if processing <= request => find(format!(
                "timeout processing is {processing:?}, not above the agent's request_timeout of {request:?}: \
                 its fallback comes too late"
            )),
            (Some(processing), None) => {
                find(format!("timeout processing is {processing:?}, the agent has no request_timeout"));
            }
            _ => {}
        }
    }
}

fn check_args(message: &Section, known: &MessageSpec, findings: &mut Vec<Finding>) {
    let Some(read) = known.args else { return };
    let mut find = |what: String| findings.push(Finding::of_section(message, what));
    for name in read.iter().filter(|name| !message.arg_names().any(|sent| sent == **name)) {
        find(format!("no argument {name}, which the handler reads"));
    }
    for name in message.arg_names().filter(|sent| !sent.is_empty() && !read.contains(sent)) {
        find(format!("the handler does not read argument {name}"));
    }
}

fn message_section(message: &MessageSpec) -> Section {
    let args = if message.samples.is_empty() {
        message.args.unwrap_or_default().iter().map(|name| format!("{name}={}", sample(name))).collect()
    } else {
        message.samples.clone()
    };
    let mut section = Section::new(SectionKind::Message, &message.name);
    if !args.is_empty() {
        section = section.line(["args".to_owned()].into_iter().chain(args));
    }
    section.line(["event", message.event.as_deref().unwrap_or("on-frontend-http-request")])
}

/// The sample that an argument of this name most likely is.
fn sample(name: &str) -> &str {
    match name {
        "ip" | "addr" | "client_ip" => "src",
        "headers" | "hdrs" | "req_hdrs" => "req.hdrs",
        "res_hdrs" => "res.hdrs",
        "ua" | "user_agent" => "req.fhdr(user-agent)",
        "host" => "req.hdr(host)",
        "body" => "req.body",
        "ssl" | "tls" => "ssl_fc",
        "sni" => "ssl_fc_sni",
        "id" => "unique-id",
        "frontend" => "fe_name",
        "backend" => "be_name",
        name => name.strip_prefix("req_").unwrap_or(name),
    }
}
