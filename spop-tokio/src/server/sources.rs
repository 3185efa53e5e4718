//! Listeners made of others, and of an accept loop of the user's own.

use std::future::{Ready, pending, ready};
use std::io;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select_all};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::either::Either;

use super::Listener;
use crate::Peer;

/// Several listeners of a kind, in turns.
impl<L: Listener> Listener for Vec<L> {
    type Io = L::Io;
    type Setup = L::Setup;

    async fn accept(&mut self) -> L::Setup {
        if self.is_empty() {
            return pending().await;
        }
        let (setup, index, _) = select_all(self.iter_mut().map(|listener| listener.accept().boxed())).await;
        // The next one is asked first the next time.
        self.rotate_left(index + 1);
        setup
    }

    fn accept_waiting(&mut self) -> Option<L::Setup> {
        self.iter_mut().find_map(Listener::accept_waiting)
    }

    fn is_taken_over(&self) -> bool {
        !self.is_empty() && self.iter().all(Listener::is_taken_over)
    }
}

/// Two listeners that need not be of a kind.
impl<A: Listener, B: Listener> Listener for (A, B) {
    type Io = Either<A::Io, B::Io>;
    type Setup = BoxFuture<'static, io::Result<(Self::Io, Peer)>>;

    async fn accept(&mut self) -> Self::Setup {
        tokio::select! {
            setup = self.0.accept() => left::<A, B>(setup),
            setup = self.1.accept() => right::<A, B>(setup),
        }
    }

    fn accept_waiting(&mut self) -> Option<Self::Setup> {
        let first = self.0.accept_waiting().map(left::<A, B>);
        first.or_else(|| self.1.accept_waiting().map(right::<A, B>))
    }

    fn is_taken_over(&self) -> bool {
        self.0.is_taken_over() && self.1.is_taken_over()
    }
}

fn left<A: Listener, B: Listener>(setup: A::Setup) -> <(A, B) as Listener>::Setup {
    setup.map(|accepted| accepted.map(|(io, peer)| (Either::Left(io), peer))).boxed()
}

fn right<A: Listener, B: Listener>(setup: B::Setup) -> <(A, B) as Listener>::Setup {
    setup.map(|accepted| accepted.map(|(io, peer)| (Either::Right(io), peer))).boxed()
}

/// The connections of an accept loop of your own. The channel closes when no more are accepted.
///
/// ```
/// # use spop_tokio::{Drained, Error, Peer, Server, Service};
/// # use tokio::net::TcpListener;
/// # async fn example(service: impl Service, listener: TcpListener) -> Result<Drained, Error> {
/// let (connections, accepted) = tokio::sync::mpsc::channel(16);
/// tokio::spawn(async move {
///     while let Ok((stream, address)) = listener.accept().await {
///         if connections.send((stream, Peer::Tcp(address))).await.is_err() {
///             return;
///         }
///     }
/// });
/// Server::new(service).serve(accepted).await
/// # }
/// ```
impl<Io> Listener for mpsc::Receiver<(Io, Peer)>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = Io;
    type Setup = Ready<io::Result<(Io, Peer)>>;

    async fn accept(&mut self) -> Self::Setup {
        match self.recv().await {
            Some(accepted) => ready(Ok(accepted)),
            // Those that are open go on.
            None => pending().await,
        }
    }

    fn accept_waiting(&mut self) -> Option<Self::Setup> {
        self.try_recv().ok().map(|accepted| ready(Ok(accepted)))
    }
}
