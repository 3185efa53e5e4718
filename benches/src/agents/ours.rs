//! An agent on spop-tokio.

use std::time::{Duration, Instant};

use spop_tokio::{Actions, EncodeError, Request, Server};

use crate::profile::{VALUE, VARIABLE};

/// What a handler does before it sets the variable; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// How long it waits, as for a database.
    pub delay: Duration,
    /// How long it computes.
    pub busy: Duration,
}

impl spop_tokio::Service for Work {
    type Error = EncodeError;

    async fn call(&self, _: Request) -> Result<Actions, EncodeError> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if !self.busy.is_zero() {
            let start = Instant::now();
            while start.elapsed() < self.busy {
                std::hint::spin_loop();
            }
        }
        let mut actions = Actions::new();
        actions.set_var(VARIABLE.0, VARIABLE.1, VALUE)?;
        Ok(actions)
    }
}

/// A server with the defaults, but for the number of connections.
pub fn server(work: Work) -> Server<Work> {
    Server::new(work).max_connections(100_000)
}
