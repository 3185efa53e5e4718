//! A Unix socket in the file system.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// A listener that removes its file when it is dropped.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: the file is removed only while it is still this one.
    file: (u64, u64),
}

impl UnixSocket {
    /// Binds out of sight, in a directory nobody else can enter, and moves the socket to `path` once its mode is set: at no
    /// moment can somebody connect who must not, and at no moment is there no socket where one was.
    pub(super) fn bind(path: &Path, mode: Option<u32>) -> Result<Self> {
        let explain = |error: Error| {
            Error::new(error.kind(), format!("cannot listen at the Unix socket {}: {error}", path.display()))
        };
        Self::try_bind(path, mode).map_err(explain)
    }

    fn try_bind(path: &Path, mode: Option<u32>) -> Result<Self> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // The socket is bound elsewhere, where it may fit; but at a path too long for an address nobody can connect to it.
        SocketAddr::from_pathname(path)?;
        // Agents that start at the same moment take turns, so that none takes the other's socket for a dead one.
        let turn = File::open(directory).map_err(|error| {
            Error::new(error.kind(), format!("cannot open the directory {}: {error}", directory.display()))
        })?;
        turn.lock()?;
        expect_unused(path)?;
        let hidden = Hidden::create(directory)?;
        let bound = hidden.0.join("s");
        let listener = UnixListener::bind(&bound)?;
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
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // If it cannot be removed, the next start finds it dead and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Checks that nothing is at `path`, or a socket that nobody listens at any more.
fn expect_unused(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(Error::new(
                ErrorKind::AddrInUse,
                "the file is there and is no socket: remove it, or choose another path",
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(_) => Err(Error::new(
            ErrorKind::AddrInUse,
            "another process listens at it: stop that one, or choose another path",
        )),
        Err(error) => Err(error),
    }
}

/// A directory for the owner only, removed when it is dropped.
struct Hidden(PathBuf);

impl Hidden {
    fn create(directory: &Path) -> Result<Self> {
        // Short, as the path of a socket is at most 107 bytes. Only left behind by a crash, so the name is free or ours.
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
