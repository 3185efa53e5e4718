//! From functions to routes: parameters extracted, results made actions of, types erased.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use spop::Actions;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::extract::{FromMessage, MessageRef};
use crate::{BoxError, IntoActions, Route};

/// What a call has come to at once.
pub(crate) enum Called {
    /// The actions have been added.
    Done,
    /// It has failed, and added none.
    Failed(BoxError),
    /// It waits, for what wakes the task.
    Waits(Answer),
}

impl Called {
    #[inline]
    fn answered(answer: impl IntoActions, done: &mut Actions) -> Self {
        match answer.append_to(done) {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(error),
        }
    }
}

/// Who is called, and where the actions of one that answers at once go.
pub(crate) struct Calling<'c, 'w> {
    pub(crate) place: Option<Place>,
    pub(crate) done: &'c mut Actions,
    /// The task that waits for those that do not answer at once.
    pub(crate) task: &'c mut Context<'w>,
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Actions, BoxError>> + Send>>;
/// A place under a limit; who works drops it when the work is done.
pub(crate) type Place = OwnedSemaphorePermit;

/// A handler whose type is erased.
pub(crate) trait Call<S>: Send + Sync {
    fn call(&self, message: &MessageRef<'_>, state: &S, calling: Calling<'_, '_>) -> Called;

    /// Returns whether it answers without waiting: a plain function on the thread that asks.
    fn is_at_once(&self) -> bool {
        false
    }
}

/// A handler and its state.
pub(crate) struct WithState<S> {
    pub(crate) handler: Box<dyn Call<S>>,
    pub(crate) state: S,
}

impl<S: Send + Sync> Call<()> for WithState<S> {
    fn call(&self, message: &MessageRef<'_>, _: &(), calling: Calling<'_, '_>) -> Called {
        self.handler.call(message, &self.state, calling)
    }

    fn is_at_once(&self) -> bool {
        self.handler.is_at_once()
    }
}

/// A handler, and the names of the arguments that its parameters take.
pub struct Erased<S> {
    pub(crate) call: Box<dyn Call<S>>,
    pub(crate) arg_names: Option<&'static [&'static str]>,
}

/// A function that can be the handler of a message: plain or async, with up to 8 parameters that are each
/// [`FromMessage<S>`](FromMessage), and a result that is [`IntoActions`].
///
/// `M` tells the kinds of functions apart; it is inferred. A closure has to name the types of its parameters.
///
/// A plain function answers at once, on the thread that reads the connection, so it must not block or compute long: see
/// [`Route::blocking`](crate::Route::blocking) for one that does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler",
    note = "want a function, plain or async, whose parameters are `FromMessage` and whose result is `IntoActions`",
    note = "a closure has to name the types of its parameters, and an async one may not borrow from what it captures"
)]
pub trait Handler<M, S>: Sized {
    #[doc(hidden)]
    fn erase(self) -> Erased<S>;

    #[doc(hidden)]
    fn into_route(self) -> Route<S>
    where
        S: 'static,
    {
        Route::erased(self.erase())
    }
}

/// A plain function that can be the handler of a message on a thread of its own: see
/// [`Route::blocking`](crate::Route::blocking).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a blocking handler",
    note = "want a function that is not async, whose parameters are `FromMessage` and whose result is `IntoActions`",
    note = "a closure has to name the types of its parameters"
)]
pub trait BlockingHandler<M, S>: Sized {
    #[doc(hidden)]
    fn erase_blocking(self) -> Erased<S>;
}

/// Marks async functions.
#[derive(Debug)]
pub struct Waits;
/// Marks plain functions.
#[derive(Debug)]
pub struct AtOnce;

struct Async<F, P>(F, PhantomData<fn() -> P>);
struct Plain<F, P>(F, PhantomData<fn() -> P>);
struct Blocking<F, P>(Arc<F>, PhantomData<fn() -> P>);

/// What is known of the arguments, of all parameters that say something.
fn known(names: &[Option<&'static [&'static str]>]) -> Option<&'static [&'static str]> {
    names.iter().copied().flatten().next()
}

macro_rules! handlers {
    ($($($param:ident)*;)*) => {$(handlers!(@one $($param)*);)*};
    (@one $($param:ident)*) => {
        impl<S, F, Fut, $($param,)*> Handler<(Waits, $($param,)*), S> for F
        where
            S: 'static,
            F: Fn($($param),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoActions> + Send + 'static,
            $($param: FromMessage<S> + 'static,)*
        {
            fn erase(self) -> Erased<S> {
                let call = Box::new(Async::<F, ($($param,)*)>(self, PhantomData));
                Erased { call, arg_names: known(&[$($param::arg_names()),*]) }
            }
        }

        impl<S, F, Fut, $($param,)*> Call<S> for Async<F, ($($param,)*)>
        where
            F: Fn($($param),*) -> Fut + Send + Sync,
            Fut: Future<Output: IntoActions> + Send + 'static,
            $($param: FromMessage<S>,)*
        {
            #[allow(unused_variables, non_snake_case, reason = "a parameter is named like its type; there may be none")]
            fn call(&self, message: &MessageRef<'_>, state: &S, calling: Calling<'_, '_>) -> Called {
                $(let $param = match $param::from_message(message, state) {
                    Ok(param) => param,
                    Err(rejection) => return Called::Failed(rejection.into()),
                };)*
                let mut answer = Box::pin((self.0)($($param),*));
                // Most answer at once: then the actions need not be moved through a future whose type is not known.
                match answer.as_mut().poll(calling.task) {
                    Poll::Ready(answer) => Called::answered(answer, calling.done),
                    Poll::Pending => {
                        let place = calling.place;
                        Called::Waits(Box::pin(async move {
                            let _place = place;
                            answer.await.into_actions()
                        }))
                    }
                }
            }
        }

        impl<S, F, R, $($param,)*> Handler<(AtOnce, $($param,)*), S> for F
        where
            S: 'static,
            F: Fn($($param),*) -> R + Send + Sync + 'static,
            R: IntoActions + 'static,
            $($param: FromMessage<S> + 'static,)*
        {
            fn erase(self) -> Erased<S> {
                let call = Box::new(Plain::<F, ($($param,)*)>(self, PhantomData));
                Erased { call, arg_names: known(&[$($param::arg_names()),*]) }
            }
        }

        impl<S, F, R, $($param,)*> Call<S> for Plain<F, ($($param,)*)>
        where
            F: Fn($($param),*) -> R + Send + Sync,
            R: IntoActions,
            $($param: FromMessage<S>,)*
        {
            #[allow(unused_variables, non_snake_case, reason = "a parameter is named like its type; there may be none")]
            fn call(&self, message: &MessageRef<'_>, state: &S, calling: Calling<'_, '_>) -> Called {
                $(let $param = match $param::from_message(message, state) {
                    Ok(param) => param,
                    Err(rejection) => return Called::Failed(rejection.into()),
                };)*
                Called::answered((self.0)($($param),*), calling.done)
            }

            fn is_at_once(&self) -> bool {
                true
            }
        }

        impl<S, F, R, $($param,)*> BlockingHandler<(AtOnce, $($param,)*), S> for F
        where
            S: 'static,
            F: Fn($($param),*) -> R + Send + Sync + 'static,
            R: IntoActions + 'static,
            $($param: FromMessage<S> + Send + 'static,)*
        {
            fn erase_blocking(self) -> Erased<S> {
                let call = Box::new(Blocking::<F, ($($param,)*)>(Arc::new(self), PhantomData));
                Erased { call, arg_names: known(&[$($param::arg_names()),*]) }
            }
        }

        impl<S, F, R, $($param,)*> Call<S> for Blocking<F, ($($param,)*)>
        where
            F: Fn($($param),*) -> R + Send + Sync + 'static,
            R: IntoActions,
            $($param: FromMessage<S> + Send + 'static,)*
        {
            #[allow(unused_variables, non_snake_case, reason = "a parameter is named like its type; there may be none")]
            fn call(&self, message: &MessageRef<'_>, state: &S, calling: Calling<'_, '_>) -> Called {
                $(let $param = match $param::from_message(message, state) {
                    Ok(param) => param,
                    Err(rejection) => return Called::Failed(rejection.into()),
                };)*
                let (handler, place) = (Arc::clone(&self.0), calling.place);
                let work = move || {
                    // Whether somebody still waits or not: its place is free once the thread is.
                    let _place = place;
                    handler($($param),*).into_actions()
                };
                let mut answer = Box::pin(on_a_thread(work));
                match answer.as_mut().poll(calling.task) {
                    Poll::Ready(answer) => Called::answered(answer, calling.done),
                    Poll::Pending => Called::Waits(answer),
                }
            }
        }
    };
}

async fn on_a_thread<F>(work: F) -> Result<Actions, BoxError>
where
    F: FnOnce() -> Result<Actions, BoxError> + Send + 'static,
{
    match spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}

handlers! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E G;
    A B C D E G H;
    A B C D E G H I;
}
