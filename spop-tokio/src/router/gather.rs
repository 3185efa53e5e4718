//! The answers to the messages of one request, in their order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Context;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use spop::{Actions, Message, MessagePosition};
use tokio::time::timeout;

use super::route::{Fault, Outcome, Route, Started};
use crate::extract::MessageRef;
use crate::handler::Answer;
use crate::{FailureKind, MessageFailure, Request, Unanswered};

/// What the messages of one request have come to.
pub(super) struct Gather<'r> {
    request: &'r Request,
    failures: Vec<MessageFailure>,
    /// From the first message that waits on.
    behind: Vec<(Slot<'r>, Behind)>,
}

/// A message and who answers it.
struct Slot<'r> {
    route: &'r Route,
    position: MessagePosition,
}

/// What a message has come to that is behind one that waits, or waits itself.
enum Behind {
    Done(Outcome),
    Waits(Answer),
}

impl<'r> Gather<'r> {
    pub(super) fn new(request: &'r Request) -> Self {
        Self { request, failures: Vec::new(), behind: Vec::new() }
    }

    /// Calls the handler of the next message. Its actions go to `done` while no message before it waits.
    pub(super) fn start(
        &mut self,
        route: &'r Route,
        message: Message<'r>,
        done: &mut Actions,
        task: &mut Context<'_>,
    ) {
        let slot = Slot { route, position: self.request.position(&message) };
        let message = MessageRef::new(self.request, message);
        if self.behind.is_empty() {
            match route.start(&message, done, task) {
                Started::Done => {}
                Started::Failed(fault) => self.failures.push(route.fail(fault, &message, done)),
                Started::Waits(answer) => self.behind.push((slot, Behind::Waits(answer))),
            }
        } else {
            let mut own = Actions::new();
            let behind = match route.start(&message, &mut own, task) {
                Started::Done => Behind::Done(Ok(own)),
                Started::Failed(fault) => Behind::Done(Err(fault)),
                Started::Waits(answer) => Behind::Waits(answer),
            };
            self.behind.push((slot, behind));
        }
    }

    /// Waits for those that do, and says what all have come to.
    pub(super) async fn finish(mut self, mut done: Actions) -> Result<Actions, Unanswered> {
        let behind = std::mem::take(&mut self.behind);
        if !behind.is_empty() {
            for (Slot { route, position }, outcome) in outcomes(behind, self.request.time_limit()).await {
                match outcome {
                    Ok(actions) => {
                        done.append(&actions);
                    }
                    Err(fault) => {
                        // It is there: the position was taken from this request.
                        let message = self.request.message_at(position).unwrap_or_default();
                        let message = MessageRef::new(self.request, message);
                        self.failures.push(route.fail(fault, &message, &mut done));
                    }
                }
            }
        }
        if self.failures.is_empty() { Ok(done) } else { Err(Unanswered::new(done, self.failures)) }
    }
}

/// Waits for all that wait; what is not there when the time is over has failed.
async fn outcomes(behind: Vec<(Slot<'_>, Behind)>, limit: Option<Duration>) -> Vec<(Slot<'_>, Outcome)> {
    let mut waiting = FuturesUnordered::new();
    let mut outcomes = Vec::with_capacity(behind.len());
    for (slot, behind) in behind {
        let outcome = match behind {
            Behind::Done(outcome) => outcome,
            Behind::Waits(answer) => {
                let (route, index) = (slot.route, outcomes.len());
                waiting.push(async move { (index, route.outcome(answer, None).await) });
                Err(Fault::of(FailureKind::Timeout))
            }
        };
        outcomes.push((slot, outcome));
    }
    let all = async {
        while let Some((index, outcome)) = waiting.next().await {
            outcomes[index].1 = outcome;
        }
    };
    match limit.map(a_little_less) {
        None => all.await,
        // The server would drop what is there, too.
        Some(limit) => drop(timeout(limit, all).await),
    }
    drop_quietly(waiting);
    outcomes
}

/// Before the server looks at the time.
pub(super) fn a_little_less(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_millis(1))
}

/// A future that panics when it is dropped costs the other messages nothing.
fn drop_quietly<F>(futures: F) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(futures)));
}
