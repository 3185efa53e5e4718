//! What a service says to systemd about itself: `sd_notify(3)`.

use std::env;
use std::ffi::OsStr;
use std::io::Result;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::log::warning;

/// The service accepts connections.
pub(super) fn ready() {
    notify("READY=1");
}

/// The service is about to end, in `at_most` that time.
pub(super) fn stopping(at_most: Duration) {
    notify(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", at_most.as_micros()));
}

/// Tells the service manager, if there is one.
fn notify(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        warning!(%error, "cannot notify systemd");
    }
}

fn send(socket: &OsStr, state: &str) -> Result<()> {
    let sender = UnixDatagram::unbound()?;
    // It must not wait for a manager that does not read.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address(socket)?)?;
    Ok(())
}

fn address(socket: &OsStr) -> Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;

        if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
            return SocketAddr::from_abstract_name(name);
        }
    }
    SocketAddr::from_pathname(socket)
}
