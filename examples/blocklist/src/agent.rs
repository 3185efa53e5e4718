//! The SPOP side: answers the messages.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, counter};
use spop_tokio::{Actions, ArgError, MessageRequest, Route, Router, Server, State, Var, VarPrefixError};
use tracing::debug;

use crate::current::Current;
use crate::list::{List, Request, now};
use crate::rule::{Argument, NEVER};

/// Whether the request shall be refused.
pub const BLOCKED: Var = Var::transaction("blocked");
/// The reason of the entry that decided, be it one that blocks or one that allows.
pub const REASON: Var = Var::transaction("reason");
/// Until when that entry holds, in seconds since 1970; unset if it does not expire.
pub const UNTIL: Var = Var::transaction("until");
/// For the response: the reason of the entry for the client's address.
pub const NOTE: Var = Var::transaction("note");
/// The kind of failure, if the agent could not read the request.
pub const FAILURE: Var = Var::transaction("failure");

/// What HAProxy puts before the names of the variables.
pub const VAR_PREFIX: &str = "blocklist";

/// Below the `timeout processing` of spoe.conf: then HAProxy has an answer in any case.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(50);

/// What spoe.conf should have behind `args`.
const SAMPLES: [&str; 6] = [
    "src=src",
    "host=req.hdr(host),host_only",
    "path=path",
    "method=method",
    "header=req.fhdr(user-agent)",
    "cookie=req.cook(session)",
];

/// Looks requests up.
#[derive(Debug)]
pub struct Agent {
    current: Arc<Current>,
    block_unknown: bool,
    blocked: Counter,
    allowed: Counter,
    unknown: Counter,
}

impl Agent {
    /// Looks up in `current`; `block_unknown` is the answer as long as there is no list, and if a request makes no sense.
    pub fn new(current: Arc<Current>, block_unknown: bool) -> Self {
        let count = |result| counter!("blocklist_checks_total", "result" => result);
        let [blocked, allowed, unknown] = ["blocked", "allowed", "unknown"].map(count);
        Self { current, block_unknown, blocked, allowed, unknown }
    }

    /// The agent as a server.
    ///
    /// # Errors
    /// None that could come: the names of the variables are short.
    pub fn server(self) -> Result<Server<Router>, VarPrefixError> {
        let block_unknown = self.block_unknown;
        let request = Route::new(check_request).sets([BLOCKED, REASON, UNTIL, FAILURE]).samples(SAMPLES);
        let response = Route::new(check_response).sets([NOTE]).samples(["src=src"]).event("on-http-response");
        let router = Router::new().message("check-request", request).message("check-response", response);
        Server::new(router.with_state(Arc::new(self)))
            .request_timeout(REQUEST_TIMEOUT)
            .on_failure(move |failure| unknown(block_unknown).set(FAILURE, failure.kind().as_str()))
            .var_prefix(VAR_PREFIX)
    }

    fn look_up(&self, list: Option<&List>, request: &Request<'_>) -> Actions {
        let Some(list) = list else {
            self.unknown.increment(1);
            return unknown(self.block_unknown);
        };
        let entry = list.check(request, now());
        let blocked = entry.is_some_and(|entry| !entry.allow);
        if blocked { &self.blocked } else { &self.allowed }.increment(1);
        let actions = Actions::new().set(BLOCKED, blocked);
        let Some(entry) = entry else { return actions };
        let actions = actions.set(REASON, entry.reason);
        if entry.until == NEVER { actions } else { actions.set(UNTIL, u64::from(entry.until)) }
    }
}

fn unknown(blocked: bool) -> Actions {
    Actions::new().set(BLOCKED, blocked).set(REASON, "unknown")
}

fn check_request(State(agent): State<Arc<Agent>>, message: MessageRequest) -> Result<Actions, ArgError> {
    let mut request = Request { src: message.get("src")?, ..Request::default() };
    for (text, argument) in request.texts.iter_mut().zip(Argument::ALL) {
        *text = message.get(argument.name())?;
    }
    // `www.Example.org.` is the same host.
    let host = request.texts[Argument::Host as usize];
    let host = host.map(|host| host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase());
    request.texts[Argument::Host as usize] = host.as_deref();
    let actions = agent.current.with(|list| agent.look_up(list, &request));
    debug!(src = ?request.src, "{actions}");
    Ok(actions)
}

/// Says of a client that was let in which entry is for its address, if one is.
fn check_response(
    State(agent): State<Arc<Agent>>,
    message: MessageRequest,
) -> Result<Option<(Var, String)>, ArgError> {
    let src: Option<IpAddr> = message.get("src")?;
    let request = Request { src, ..Request::default() };
    let reason = |list: &List| list.check(&request, now()).map(|entry| entry.reason.to_owned());
    Ok(agent.current.with(|list| list.and_then(reason)).map(|reason| (NOTE, reason)))
}

#[cfg(test)]
mod tests;
