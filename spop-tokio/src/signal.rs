use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::ForceShutdown;

/// Returns a future that is ready at SIGTERM or SIGINT: what a supervisor or a person at a terminal asks a process to
/// stop with. For [`Serve::with_graceful_shutdown`](crate::Serve::with_graceful_shutdown), which a second signal ends
/// at once.
///
/// From the call on, neither ends the process by itself.
///
/// # Errors
/// If the system refuses to have the signals handled.
///
/// # Panics
/// Outside of a tokio runtime, or in one without its IO driver (`enable_all`).
pub fn shutdown_signal() -> io::Result<impl Future<Output = ForceShutdown> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        ForceShutdown::when(async move { either(&mut terminate, &mut interrupt).await })
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
