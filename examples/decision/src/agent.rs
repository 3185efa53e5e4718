//! The SPOP side: answers the message `check-request`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use spop_tokio::spop::ArgError;
use spop_tokio::{Actions, EncodeError, Failure, Message, MessageSpec, Scope, Service};
use tracing::debug;

use crate::challenge::Challenges;
use crate::metrics::{Decisions, count_error};
use crate::reload::Current;
use crate::request::Request;
use crate::rules::{Outcome, Rule};

/// The message.
pub const MESSAGE: &str = "check-request";

/// Decides. It never looks at the header that carries a decision to the output server: here, a client could still write it.
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

impl Service for Agent {
    type Error = EncodeError;

    async fn call(&self, request: spop_tokio::Request) -> Result<Actions, EncodeError> {
        let mut actions = Actions::new();
        for message in request.messages() {
            if message.name() == MESSAGE {
                self.answer(&message, &mut actions)?;
            } else {
                debug!(name = %message.name(), "message passed over");
            }
        }
        Ok(actions)
    }

    fn messages(&self) -> Vec<MessageSpec> {
        vec![MessageSpec::new(MESSAGE)]
    }
}

impl Agent {
    fn answer(&self, message: &Message<'_>, actions: &mut Actions) -> Result<(), EncodeError> {
        match self.decide(message) {
            Ok((outcome, challenge)) => {
                actions.set_var(Scope::Transaction, "response", outcome.as_str())?;
                if let Some(challenge) = challenge {
                    actions.set_var(Scope::Transaction, "challenge", &*challenge)?;
                }
            }
            Err(error) => {
                debug!(%error, response = %self.on_error, "cannot be decided");
                count_error("argument");
                actions.set_var(Scope::Transaction, "response", self.on_error.as_str())?;
            }
        }
        Ok(())
    }

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
        let mut actions = Actions::new();
        // Cannot fail: the name is short and plain.
        let _ = actions.set_var(Scope::Transaction, "response", on_error.as_str());
        actions
    }
}
