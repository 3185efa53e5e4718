//! A Unix socket in the file system.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::UnixListener;

use super::listener::{BACKLOG, Live};

/// The file that agents take turns with, in the directory of the socket.
const LOCK: &str = ".spop.lock";

/// A listener that removes its file when it is dropped.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: the file is removed only while it is still this one.
    file: (u64, u64),
}

impl UnixSocket {
    /// Binds out of sight, in a directory nobody else can enter, and moves the socket to `path` once its mode is set:
    /// at no moment can somebody connect who must not, and at no moment is there no socket where one was.
    pub(super) fn bind(path: &Path, mode: Option<u32>, live: Live) -> Result<Self> {
        let explain = |error: Error| {
            Error::new(error.kind(), format!("cannot listen at the Unix socket {}: {error}", path.display()))
        };
        Self::try_bind(path, mode, live).map_err(explain)
    }

    fn try_bind(path: &Path, mode: Option<u32>, live: Live) -> Result<Self> {
        // The socket is bound elsewhere, where it may fit; but at a path too long for an address nobody can connect to
        // it.
        SocketAddr::from_pathname(path)?;
        let directory = directory_of(path);
        let _turn = Turn::wait(directory)?;
        expect_no_other_file(path)?;
        if live == Live::Refuse {
            expect_nobody_listens(path)?;
        }
        let hidden = Hidden::create(directory)?;
        let bound = hidden.0.join("s");
        let socket = tokio::net::UnixSocket::new_stream()?;
        socket.bind(&bound)?;
        let listener = socket.listen(BACKLOG)?;
        if let Some(mode) = mode {
            fs::set_permissions(&bound, Permissions::from_mode(mode))?;
        }
        fs::rename(&bound, path)?;
        let file = identity(path)?;
        Ok(Self { listener, path: path.to_owned(), file })
    }

    pub(super) fn listener(&mut self) -> &mut UnixListener {
        &mut self.listener
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at the path is still the one of this socket.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|file| file == self.file)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Without a turn another agent could take the path over between the two. This may be a runtime's thread, so
        // there is no waiting for one: a socket that stays is dead, and replaced by the next start.
        if let Some(_turn) = Turn::take(directory_of(&self.path))
            && self.is_in_place()
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Agents that start or stop at the same moment take turns, so that none takes the other's socket for a dead one or for
/// its own. A turn is a lock on a file that nobody else may open; it is over, and the file gone, when it is dropped.
struct Turn {
    path: PathBuf,
    _locked: File,
}

impl Turn {
    /// Waits for the turn, as one takes a millisecond.
    fn wait(directory: &Path) -> Result<Self> {
        const ATTEMPTS: u32 = 100;
        let path = directory.join(LOCK);
        let explain = |kind, why: &str| Error::new(kind, format!("cannot lock {}: {why}", path.display()));
        for _ in 0..ATTEMPTS {
            match Self::attempt(&path) {
                Ok(Some(turn)) => return Ok(turn),
                Ok(None) => sleep(Duration::from_millis(10)),
                Err(error) => return Err(explain(error.kind(), &error.to_string())),
            }
        }
        Err(explain(ErrorKind::TimedOut, "another process has had it locked for a second"))
    }

    /// Takes the turn if nobody else has it.
    fn take(directory: &Path) -> Option<Self> {
        Self::attempt(&directory.join(LOCK)).ok().flatten()
    }

    fn attempt(path: &Path) -> Result<Option<Self>> {
        let file = match File::options().write(true).create(true).truncate(false).mode(0o600).open(path) {
            // An agent of another user's has the turn, or crashed in it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && path.exists() => return Ok(None),
            file => file?,
        };
        match file.try_lock() {
            Ok(()) => {
                // Whoever had the turn before may have removed this file: a lock counts on the one that is there.
                let locked = file.metadata()?;
                let is_there = identity(path).is_ok_and(|there| there == (locked.dev(), locked.ino()));
                Ok(is_there.then(|| Self { path: path.to_owned(), _locked: file }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // If it stays, the next one takes it over.
        let _ = fs::remove_file(&self.path);
    }
}

/// Checks that nothing is at `path`, or a socket.
fn expect_no_other_file(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(Error::new(
            ErrorKind::AddrInUse,
            "the file is there and is no socket: remove it, or choose another path",
        )),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Checks that no process is behind a socket at `path`.
fn expect_nobody_listens(path: &Path) -> Result<()> {
    // It must not wait for somebody whose backlog is full.
    match tokio::net::UnixSocket::new_stream()?.connect(path).now_or_never() {
        Some(Err(error)) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
            Ok(())
        }
        Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Err(Error::new(
            ErrorKind::AddrInUse,
            "another process listens at it: stop that one, or choose another path",
        )),
    }
}

/// A directory for the owner only, removed when it is dropped.
struct Hidden(PathBuf);

impl Hidden {
    fn create(directory: &Path) -> Result<Self> {
        // Short, as the path of a socket is at most 107 bytes. Only left behind by a crash, so the name is free or
        // ours.
        let path = directory.join(format!(".spop{}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_dir_all(&path)?;
                DirBuilder::new().mode(0o700).create(&path)?;
            }
            result => result?,
        }
        Ok(Self(path))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_open_the_lock_of_a_turn() {
        let directory = tempfile::tempdir().unwrap();
        let turn = Turn::wait(directory.path()).unwrap();
        assert_eq!(fs::metadata(&turn.path).unwrap().mode() & 0o077, 0);
        assert!(Turn::take(directory.path()).is_none());
    }

    #[test]
    fn the_lock_of_a_turn_is_gone_after_it() {
        let directory = tempfile::tempdir().unwrap();
        drop(Turn::wait(directory.path()).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
