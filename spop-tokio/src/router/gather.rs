//! The answers to the messages of one request, in their order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use spop::{Actions, Message, MessagePosition};
use tokio::time::timeout;

use super::route::{Fault, Outcome, Route, Started, Waits};
use crate::extract::MessageRef;
use crate::{FailureKind, MessageFailure, Request, Unanswered};

/// What the messages of one request have come to.
pub(super) struct Gather<'r> {
    request: &'r Request,
    done: Actions,
    failures: Vec<MessageFailure>,
    /// The first message that waits.
    first: Option<(Slot<'r>, Waits)>,
    /// Those behind it, whether they wait or not.
    behind: Vec<(Slot<'r>, Started)>,
}

/// A message and who answers it.
struct Slot<'r> {
    route: &'r Route,
    position: MessagePosition,
}

impl<'r> Gather<'r> {
    pub(super) fn new(request: &'r Request) -> Self {
        Self { request, done: Actions::new(), failures: Vec::new(), first: None, behind: Vec::new() }
    }

    /// Calls the handler of the next message.
    pub(super) fn start(&mut self, route: &'r Route, message: Message<'r>) {
        let slot = Slot { route, position: self.request.position(&message) };
        let message = MessageRef::new(self.request, message);
        match route.start(&message) {
            Started::Done(outcome) if self.first.is_none() => self.add(route.finish(outcome, &message)),
            Started::Waits(waits) if self.first.is_none() => self.first = Some((slot, waits)),
            started => self.behind.push((slot, started)),
        }
    }

    /// Waits for those that do, and says what all have come to.
    pub(super) async fn finish(mut self) -> Result<Actions, Unanswered> {
        if let Some((slot, waits)) = self.first.take() {
            if self.behind.is_empty() && !slot.route.has_on_failure() {
                // The server looks after the time, and nothing would be lost.
                let outcome = waits.outcome().await;
                self.add_to(slot, outcome);
            } else {
                self.finish_all(slot, waits).await;
            }
        }
        match self.failures.is_empty() {
            true => Ok(self.done),
            false => Err(Unanswered::new(self.done, self.failures)),
        }
    }

    async fn finish_all(&mut self, slot: Slot<'r>, waits: Waits) {
        let mut waiting = FuturesUnordered::new();
        let mut outcomes = Vec::with_capacity(1 + self.behind.len());
        let behind = std::mem::take(&mut self.behind);
        for (slot, started) in std::iter::once((slot, Started::Waits(waits))).chain(behind) {
            let index = outcomes.len();
            match started {
                Started::Done(outcome) => outcomes.push((slot, Some(outcome))),
                Started::Waits(waits) => {
                    waiting.push(async move { (index, waits.outcome().await) });
                    outcomes.push((slot, None));
                }
            }
        }
        let all = async {
            while let Some((index, outcome)) = waiting.next().await {
                outcomes[index].1 = Some(outcome);
            }
        };
        match self.request.time_limit().map(a_little_less) {
            None => all.await,
            // What is not there by then has failed; the server would drop all of it.
            Some(limit) => drop(timeout(limit, all).await),
        }
        drop_quietly(waiting);
        for (slot, outcome) in outcomes {
            self.add_to(slot, outcome.unwrap_or_else(|| Err(Fault::of(FailureKind::Timeout))));
        }
    }

    fn add_to(&mut self, slot: Slot<'r>, outcome: Outcome) {
        // It is there: the position was taken from this request.
        let message = self.request.message_at(slot.position).unwrap_or_default();
        self.add(slot.route.finish(outcome, &MessageRef::new(self.request, message)));
    }

    #[inline]
    fn add(&mut self, (actions, failure): (Actions, Option<MessageFailure>)) {
        if self.done.is_empty() {
            self.done = actions;
        } else {
            self.done.append(&actions);
        }
        self.failures.extend(failure);
    }
}

/// Before the server looks at the time.
fn a_little_less(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_millis(1))
}

/// A future that panics when it is dropped costs the other messages nothing.
fn drop_quietly<F>(futures: F) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(futures)));
}
