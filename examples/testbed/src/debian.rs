//! Programs from Debian's packages, unpacked beside the system: no root, nothing installed.
//!
//! Each comes with the C library and the other libraries it was built for, and runs with those.

mod apt;
mod unpack;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::command::run_with;

/// Another process may be in the middle of it.
const LOCK_DEADLINE: Duration = Duration::from_secs(900);

/// A package of a Debian release, and the program that is wanted from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// The program's path in the package.
    pub(crate) program: &'static str,
    pub(crate) suite: &'static str,
    /// Where the libraries come from: experimental is no complete release.
    pub(crate) base: &'static str,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from Debian {}", self.name, self.suite)
    }
}

/// The package's program from the cache folder, as `check` finds it; the first call brings it there.
pub(crate) fn provide<T>(
    cache: &Path,
    package: Package,
    check: impl Fn(&Path) -> Result<T, Error>,
) -> Result<T, Error> {
    // The programs name their loader by its whole path.
    let cache = &path::absolute(cache).map_err(Error::io(format!("find {}", cache.display())))?;
    let name = format!("{}-{}-{}", package.name, package.suite, std::env::consts::ARCH);
    let home = cache.join(&name);
    let ready = home.join("ready");
    // Written last, so what is there is whole, and this needs no lock.
    let find = || if ready.exists() { check(&home.join(package.name)).ok() } else { None };
    if let Some(found) = find() {
        return Ok(found);
    }
    fs::create_dir_all(cache).map_err(Error::io(format!("create {}", cache.display())))?;
    let lock = lock(&cache.join(format!("{name}.lock")))?;
    if let Some(found) = find() {
        return Ok(found);
    }
    // Under the lock, so what is there was left by a run that died, or does not work any more.
    remove(&home)?;
    apt::fetch(&home.join("apt"), package, &lock)?;
    unpack::unpack(&home, package, &lock)?;
    let found = check(&home.join(package.name))?;
    fs::write(&ready, "").map_err(Error::io(format!("create {}", ready.display())))?;
    Ok(found)
}

/// Takes the lock of one package. It is free again when the file is closed, even by a crash: by all who have it, so
/// what this process runs meanwhile gets it, too, and a half-finished folder is left alone until its writer has ended.
fn lock(path: &Path) -> Result<File, Error> {
    let doing = || Error::io(format!("lock {}", path.display()));
    let file = File::options().create(true).append(true).open(path).map_err(doing())?;
    // The system's lock has no deadline, but a channel has.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(file.lock().map(|()| file)));
    let holder = || format!("another process that holds {}", path.display());
    let locked =
        receiver.recv_timeout(LOCK_DEADLINE).map_err(|_| Error::deadline(holder(), LOCK_DEADLINE))?;
    locked.map_err(doing())
}

/// Runs a command that has the lock as its input, which none of them reads.
fn run_holding(lock: &File, command: &mut Command, deadline: Duration) -> Result<(), Error> {
    let lock = lock.try_clone().map_err(Error::io("share the lock"))?;
    run_with(lock, command, deadline).map(drop)
}

/// All files below a folder, links included but not followed.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.map_err(Error::io(format!("read {}", folder.display())))? {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    Ok(files)
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", folder.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        let second = File::open(&path).unwrap();
        let is_held = || matches!(second.try_lock(), Err(fs::TryLockError::WouldBlock));
        assert!(is_held());
        let mut child = Command::new("sleep").arg("600").stdin(held.try_clone().unwrap()).spawn().unwrap();
        drop(held);
        assert!(is_held(), "by the child");
        child.kill().unwrap();
        child.wait().unwrap();
        second.try_lock().unwrap();
    }
}
