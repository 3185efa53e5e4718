//! The browser for tests, and where it comes from.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::debian::{self, Package};
use crate::{Error, command, provision};

/// How long `--version` may take on a busy machine.
const VERSION_DEADLINE: Duration = Duration::from_secs(30);

/// Chromium without a window, and so without most of what a desktop has.
const PACKAGE: Package = Package {
    name: "chromium-headless-shell",
    program: "usr/lib/chromium/chromium-headless-shell",
    suite: "trixie",
    base: "trixie",
};

/// What Chromium is called in `PATH`.
const NAMES: [&str; 4] = ["chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"];

const HINT: &str = "Install Chromium (Debian: `apt-get install chromium`), or set CHROMIUM_BIN to one. To have it \
     fetched from Debian's packages, no root needed, install `apt`, `dpkg` and `debian-archive-keyring`.";

/// The program of a Chromium, for tests that drive a browser. The first of these that applies:
///
/// 1. the environment variable `CHROMIUM_BIN`: that program and no other;
/// 2. `chromium`, `chromium-headless-shell`, `chromium-browser` or `google-chrome` in `PATH`;
/// 3. `chromium-headless-shell`, unpacked from Debian's packages into the cache folder, as [`haproxies`](crate::haproxies)
///    does it. The first call downloads some 170 MB;
/// 4. an error that says what to install.
pub fn chromium() -> Result<PathBuf, Error> {
    let program = env::var_os("CHROMIUM_BIN").filter(|program| !program.is_empty());
    choose(program.as_deref(), &env::var_os("PATH").unwrap_or_default(), provision::cache_folder().as_deref())
}

fn choose(program: Option<&OsStr>, path: &OsStr, cache: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(program) = program {
        return check(Path::new(program));
    }
    // One that does not run may be a stand-in that says how to install it.
    if let Some(program) =
        NAMES.iter().flat_map(|name| provision::in_path(path, name)).find_map(|program| check(&program).ok())
    {
        return Ok(program);
    }
    let found = match cache {
        Some(cache) => debian::provide(cache, PACKAGE, check),
        None => Err(provision::no_cache()),
    };
    found.map_err(|error| {
        Error::Missing(format!("no Chromium to test with, none in PATH. {HINT}\n{PACKAGE}: {error}"))
    })
}

fn check(program: &Path) -> Result<PathBuf, Error> {
    let output = command::run(Command::new(program).arg("--version"), VERSION_DEADLINE)?;
    if output.contains("Chrom") {
        return Ok(program.to_owned());
    }
    Err(Error::Malformed(format!("{} --version printed {output:?}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chromium_bin_is_the_only_one_and_must_work() {
        for (program, seen) in
            [("/nonexistent/chromium", "/nonexistent/chromium"), ("/bin/echo", "--version")]
        {
            let error = choose(Some(OsStr::new(program)), OsStr::new(""), None).unwrap_err();
            assert!(error.to_string().contains(seen), "{error}");
        }
    }

    #[test]
    fn one_in_path_is_used_if_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = env::join_paths([folder.path(), Path::new("/bin")]).unwrap();
        let program = folder.path().join("google-chrome");
        for (name, text) in [("chromium", "install me"), ("google-chrome", "Google Chrome 150")] {
            let script = format!("#!/bin/sh\necho {text}\n");
            let write = r#"printf %s "$1" >"$2" && chmod 755 "$2""#;
            let mut shell = Command::new("sh");
            shell.args(["-c", write, "sh", &script]).arg(folder.path().join(name));
            command::run(&mut shell, VERSION_DEADLINE).unwrap();
        }
        assert_eq!(choose(None, &path, None).unwrap(), program);
    }

    #[test]
    fn without_any_the_error_says_what_to_install() {
        let text = choose(None, OsStr::new(""), None).unwrap_err().to_string();
        assert!(text.contains("apt-get install chromium") && text.contains("CHROMIUM_BIN"), "{text}");
    }
}
