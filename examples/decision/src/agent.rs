//! The SPOP side: answers the message `check-request`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use spop_tokio::{Actions, ArgError, Failure, Message, MessageRequest, Route, Router, State, Var};
use tracing::debug;

use crate::challenge::Challenges;
use crate::metrics::{Decisions, count_error};
use crate::reload::Current;
use crate::request::Request;
use crate::rules::{Outcome, Rule};

/// The message.
pub const MESSAGE: &str = "check-request";

/// What HAProxy puts before the names of the variables.
pub const VAR_PREFIX: &str = "iocaine";

/// Below the `timeout processing` of spoe.conf: then HAProxy has an answer in any case.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(50);

/// What spoe.conf should have behind `args`.
const SAMPLES: [&str; 6] =
    ["req_method=method", "req_hdrs=req.hdrs", "req_path=path", "req_query=query", "src=src", "ssl=ssl_fc"];

/// Decides. It never looks at the header that carries a decision to the output server: here, a client could still write
/// it.
pub struct Agent {
    /// The rules, which may change.
    pub rules: Arc<Current>,
    /// What marks the links of garbage pages.
    pub poison: String,
    /// What to do about those whom a rule wants challenged.
    pub challenges: Challenges,
    /// What to answer if a request cannot be decided.
    pub on_error: Outcome,
    /// What is counted.
    pub metrics: Decisions,
}

const RESPONSE: Var = Var::transaction("response");
const CHALLENGE: Var = Var::transaction("challenge");

impl Agent {
    /// The agent as a service.
    pub fn router(self) -> Router {
        let check = Route::new(check_request).sets([RESPONSE, CHALLENGE]).samples(SAMPLES);
        Router::new().message(MESSAGE, check).with_state(Arc::new(self))
    }
}

fn check_request(State(agent): State<Arc<Agent>>, request: MessageRequest) -> Actions {
    match agent.decide(&request.message()) {
        Ok((outcome, None)) => Actions::new().set(RESPONSE, outcome.as_str()),
        Ok((outcome, Some(challenge))) => {
            Actions::new().set(RESPONSE, outcome.as_str()).set(CHALLENGE, challenge)
        }
        Err(error) => {
            debug!(%error, response = %agent.on_error, "cannot be decided");
            count_error("argument");
            Actions::new().set(RESPONSE, agent.on_error.as_str())
        }
    }
}

impl Agent {
    /// What is done with the request, and the challenge to give to its client.
    fn decide(&self, message: &Message<'_>) -> Result<(Outcome, Option<String>), ArgError> {
        let start = Instant::now();
        let request = Request::read(message)?;
        let (outcome, rule) = self.rules.get().decide(&request, &self.poison);
        let (outcome, challenge) = match outcome {
            Outcome::Challenge => self.challenge(&request),
            other => (other, None),
        };
        self.metrics.add(rule, outcome, start);
        debug!(rule = Rule::as_str(rule), %outcome, "decided");
        Ok((outcome, challenge))
    }

    fn challenge(&self, request: &Request<'_>) -> (Outcome, Option<String>) {
        let now = SystemTime::now();
        if self.challenges.is_passed(request, now) {
            return (Outcome::Default, None);
        }
        (Outcome::Challenge, Some(self.challenges.issue(request.src, now)))
    }
}

/// The answer to a request that the library gives up: a NOTIFY that cannot be read, a panic.
pub fn fallback(on_error: Outcome) -> impl Fn(&Failure) -> Actions + Send + Sync + 'static {
    move |failure| {
        count_error(failure.kind().as_str());
        Actions::new().set(RESPONSE, on_error.as_str())
    }
}
