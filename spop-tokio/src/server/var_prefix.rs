use std::fmt;

use spop::VarError;

use super::Server;
use crate::Service;

impl<S: Service> Server<S> {
    /// Sets what HAProxy puts before the names of the agent's variables: the `option var-prefix` of the `spoe-agent`
    /// section, by default the agent's name. Default: not known.
    ///
    /// HAProxy drops a variable whose whole name, `scope.prefix.name`, has more than 63 bytes, without a word. With
    /// this the variables that the service says it sets ([`Route::sets`](crate::Route::sets)) are checked now, and all
    /// others when they are: a request with one that is too long fails.
    ///
    /// ```
    /// use spop_tokio::{Route, Router, Server, Var};
    ///
    /// const SCORE: Var = Var::session("ip_score");
    ///
    /// let router = || Router::new().message("check-client-ip", Route::new(|| (SCORE, 50)).sets([SCORE]));
    /// let server = Server::new(router()).var_prefix("iprep")?;
    ///
    /// let server = Server::new(router());
    /// let error = server.var_prefix("the_reputation_of_the_addresses_of_clients_at_the_edge").unwrap_err();
    /// assert!(error.to_string().starts_with("message check-client-ip: variable sess.ip_score: "), "{error}");
    /// # Ok::<(), spop_tokio::VarPrefixError>(())
    /// ```
    ///
    /// # Errors
    /// Names the first message and variable that are too long for this prefix.
    pub fn var_prefix(mut self, prefix: &str) -> Result<Self, VarPrefixError> {
        for message in self.service.messages() {
            for var in &message.vars {
                let of_message = |error| VarPrefixError { message: message.name.clone(), error };
                var.check_prefix(prefix).map_err(of_message)?;
            }
        }
        self.config.agent = self.config.agent.var_prefix(prefix);
        self.config.var_prefix = Some(prefix.into());
        Ok(self)
    }
}

/// A variable that is too long for the prefix it gets: see [`Server::var_prefix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarPrefixError {
    message: String,
    error: VarError,
}

impl VarPrefixError {
    /// Returns the name of the message whose handler sets the variable.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the name of the variable, without scope and prefix.
    pub fn variable(&self) -> &str {
        self.error.name()
    }
}

impl fmt::Display for VarPrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}: {}", self.message, self.error)
    }
}

impl std::error::Error for VarPrefixError {}
