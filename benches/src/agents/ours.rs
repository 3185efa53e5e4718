//! An agent on spop-tokio.

use std::time::Duration;

use spop_tokio::{Actions, EncodeError, Request, Server};

use crate::profile::{VALUE, VARIABLE};

/// Sets the variable, after a while if told so.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    delay: Option<Duration>,
}

/// A service that answers at once, or after `delay`.
pub fn service(delay: Duration) -> Service {
    Service { delay: (!delay.is_zero()).then_some(delay) }
}

impl spop_tokio::Service for Service {
    type Error = EncodeError;

    async fn call(&self, _: Request) -> Result<Actions, EncodeError> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        let mut actions = Actions::new();
        actions.set_var(VARIABLE.0, VARIABLE.1, VALUE)?;
        Ok(actions)
    }
}

/// A server with the defaults, but for the number of connections.
pub fn server(delay: Duration) -> Server<Service> {
    Server::new(service(delay)).max_connections(100_000)
}
