//! HAProxy from Debian's packages, unpacked beside the system: no root, nothing installed.
//!
//! Each package comes with the C library and the other libraries it was built for, and runs with those.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::command::run_with;
use crate::{Error, Haproxy, Version};

/// Enough for some 40 MB of indexes and packages over a slow line.
const APT_DEADLINE: Duration = Duration::from_secs(600);
/// For everything that works on local files.
const UNPACK_DEADLINE: Duration = Duration::from_secs(120);
/// Another process may be in the middle of it.
const LOCK_DEADLINE: Duration = Duration::from_secs(900);

/// The archive's keys: the package of that name has renamed its file once.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// A Debian release and the HAProxy that it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    name: &'static str,
    /// Where the libraries come from: experimental is no complete release.
    base: &'static str,
    pub(crate) version: Version,
}

/// The supported versions, oldest first. When a release has moved on, `haproxies` says so; correct it here.
pub(crate) const SUITES: [Suite; 4] = [
    Suite { name: "bookworm", base: "bookworm", version: Version::new(2, 6) },
    Suite { name: "trixie", base: "trixie", version: Version::new(3, 0) },
    Suite { name: "forky", base: "forky", version: Version::new(3, 2) },
    Suite { name: "experimental", base: "sid", version: Version::new(3, 4) },
];

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAProxy {} from Debian {}", self.version, self.name)
    }
}

/// The suite's HAProxy from the cache folder; the first call brings it there.
pub(crate) fn provide(cache: &Path, suite: Suite) -> Result<Haproxy, Error> {
    let name = format!("debian-{}-{}", suite.name, std::env::consts::ARCH);
    let home = cache.join(&name);
    // The rename at the end is atomic, so what is there is whole, and this needs no lock.
    if let Ok(found) = Haproxy::at(home.join("haproxy")) {
        return Ok(found);
    }
    fs::create_dir_all(cache).map_err(Error::io(format!("create {}", cache.display())))?;
    let lock = lock(&cache.join(format!("{name}.lock")))?;
    if let Ok(found) = Haproxy::at(home.join("haproxy")) {
        return Ok(found);
    }
    // Under the lock, so what is there was left by a run that died.
    let partial = cache.join(format!("{name}.partial"));
    remove(&partial)?;
    remove(&home)?;
    fetch(&partial.join("apt"), suite, &lock)?;
    unpack(&partial, &lock)?;
    Haproxy::at(partial.join("haproxy"))?;
    fs::rename(&partial, &home).map_err(Error::io(format!("create {}", home.display())))?;
    Haproxy::at(home.join("haproxy"))
}

/// Takes the lock of one version. It is free again when the file is closed, even by a crash: by all who have it, so
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

/// Downloads the suite's haproxy with everything it needs into `apt`.
fn fetch(apt: &Path, suite: Suite, lock: &File) -> Result<(), Error> {
    let keyring = KEYRINGS.iter().find(|path| Path::new(path).is_file());
    let missing = || Error::NoHaproxy("no Debian archive keys: install debian-archive-keyring".to_owned());
    write_sources(apt, suite, keyring.ok_or_else(missing)?)
        .map_err(Error::io(format!("write below {}", apt.display())))?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("APT_CONFIG", apt.join("apt.conf")).env("LC_ALL", "C");
        run_holding(lock, &mut command, APT_DEADLINE)
    };
    apt_get(&["update"])?;
    apt_get(&["install", "--download-only", "--yes", "--target-release", suite.name, "haproxy"])
}

fn write_sources(apt: &Path, suite: Suite, keyring: &str) -> io::Result<()> {
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    let source = |name| format!("deb [signed-by={keyring}] http://deb.debian.org/debian {name} main\n");
    let mut sources = source(suite.base);
    if suite.name != suite.base {
        sources += &source(suite.name);
    }
    fs::write(apt.join("sources.list"), sources)?;
    // No package counts as installed, so the C library is fetched as well.
    fs::write(apt.join("status"), "")?;
    fs::write(apt.join("apt.conf"), apt_configuration(&apt.display().to_string()))
}

/// Everything that apt reads or writes below `apt`, and of the system's settings the network ones only: its hooks
/// must not run, its pins must not matter, but without its proxy there may be no way out.
fn apt_configuration(apt: &str) -> String {
    let settings = Command::new("apt-config").args(["dump", "Acquire"]).output();
    let settings =
        settings.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let network = settings.lines().filter(|line| !line.starts_with("Acquire::IndexTargets"));
    let mut text: String = network.map(|line| format!("{line}\n")).collect();
    text += &format!(
        r#"
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "{apt}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{apt}/state";
Dir::State::Status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Log "{apt}";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "3";
"#
    );
    text
}

/// Unpacks the packages that were downloaded to `home/apt`, removes that, and writes `home/haproxy`, which runs it.
fn unpack(home: &Path, lock: &File) -> Result<(), Error> {
    let (apt, root) = (home.join("apt"), home.join("root"));
    let packages = files_below(&apt.join("cache/archives"))?;
    for package in packages.iter().filter(|path| path.extension().is_some_and(|e| e == "deb")) {
        run_holding(lock, Command::new("dpkg").arg("-x").arg(package).arg(&root), UNPACK_DEADLINE)?;
    }
    for unused in [apt, root.join("usr/share"), root.join("etc"), root.join("var")] {
        remove(&unused)?;
    }
    let wrapper = wrapper(&root)?;
    // By a child process: a file that this one had open for writing could not be executed for as long as another of
    // its threads is between fork and exec ("Text file busy").
    let write = r#"printf %s "$1" >"$2" && chmod 755 "$2""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", write, "sh", &wrapper]).arg(home.join("haproxy"));
    run_holding(lock, &mut shell, UNPACK_DEADLINE)
}

/// A script that runs the HAProxy below `root`, next to the script, with the loader and libraries found there.
///
/// `--argv0` names the script as the program: on reload HAProxy executes its own name again, and without the loader it
/// would meet the system's libraries.
fn wrapper(root: &Path) -> Result<String, Error> {
    let mut loader = None;
    let mut folders = Vec::new();
    for path in files_below(root)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Ok(inside) = path.strip_prefix(root) else { continue };
        if name.starts_with("ld-linux") && !path.is_symlink() {
            loader = Some(inside.to_owned());
        }
        let folder = inside.parent().unwrap_or(inside).display().to_string();
        if name.starts_with("lib") && name.contains(".so") && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let missing = || Error::Malformed("the packages have no ld-linux".to_owned());
    let loader = loader.ok_or_else(missing)?;
    folders.sort_by_key(String::len);
    let libraries: Vec<_> = folders.iter().map(|folder| format!("$root/{folder}")).collect();
    Ok(format!(
        r#"#!/bin/sh
root="${{0%/*}}/root"
exec "$root/{}" --argv0 "$0" --library-path "{}" "$root/usr/sbin/haproxy" "$@"
"#,
        loader.display(),
        libraries.join(":"),
    ))
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
    fn the_wrapper_covers_every_folder_with_libraries() {
        let root = tempfile::tempdir().unwrap();
        let files =
            ["lib/x/ld-linux-x.so.2", "lib/x/libc.so.6", "usr/lib/x/liblua5.3.so.0", "usr/sbin/haproxy"];
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        // Debian's own is absolute, so it points to the system's loader.
        fs::create_dir_all(root.path().join("lib64")).unwrap();
        std::os::unix::fs::symlink("/lib/x/ld-linux-x.so.2", root.path().join("lib64/ld-linux-x.so.2"))
            .unwrap();
        let script = wrapper(root.path()).unwrap();
        assert!(script.contains(r#"exec "$root/lib/x/ld-linux-x.so.2" "#), "{script}");
        assert!(script.contains(r#"--library-path "$root/lib/x:$root/usr/lib/x" "#), "{script}");
    }

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
