//! Which HAProxys to test with, and where they come from.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;
use std::{env, thread};

use crate::debian::{self, Package};
use crate::{Error, command};

/// How long `haproxy -v` may take: milliseconds, unless the machine is busy with a build.
const VERSION_DEADLINE: Duration = Duration::from_secs(30);

const HINT: &str = "Install HAProxy (Debian, Ubuntu: `apt-get install haproxy`), or set HAPROXY_BIN to one. \
     To have all supported versions fetched from Debian's packages, no root needed, install \
     `apt`, `dpkg` and `debian-archive-keyring`.";

/// A version that is supported, and the Debian release that has it.
#[derive(Clone, Copy, Debug)]
struct Supported {
    version: Version,
    package: Package,
}

const fn supported(version: Version, suite: &'static str, base: &'static str) -> Supported {
    Supported { version, package: Package { name: "haproxy", program: "usr/sbin/haproxy", suite, base } }
}

/// The supported versions, oldest first. When a release has moved on, `haproxies` says so; correct it here.
const SUPPORTED: [Supported; 4] = [
    supported(Version::new(2, 6), "bookworm", "bookworm"),
    supported(Version::new(3, 0), "trixie", "trixie"),
    supported(Version::new(3, 2), "forky", "forky"),
    supported(Version::new(3, 4), "experimental", "sid"),
];

impl fmt::Display for Supported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAProxy {} ({})", self.version, self.package)
    }
}

/// A release branch of HAProxy: the first two numbers of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The 3 of 3.2.
    pub major: u32,
    /// The 2 of 3.2.
    pub minor: u32,
}

impl Version {
    /// A version, for comparing: `haproxy.version >= Version::new(3, 1)`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// True from 3.1 on, where `mode spop` exists; before, `mode tcp` is the only one for agents.
    ///
    /// That is also the line between HAProxy's two SPOE engines: no fragments, no `async` from 3.1 on.
    pub fn speaks_mode_spop(self) -> bool {
        self >= Self::new(3, 1)
    }

    /// From the first line of `haproxy -v`, such as `HAProxy version 3.2.26-1 2026/10/14 - https://haproxy.org/`.
    fn from_banner(text: &str) -> Option<Self> {
        // Before 2.4 it was `HA-Proxy version`.
        let (_, rest) = text.lines().next()?.split_once("roxy version ")?;
        rest.parse().ok()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Takes `3.2` as well as `3.2.26-1` or `3.5-dev5`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut numbers = text.trim().split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => Err(Error::Malformed(format!("{text:?} is no HAProxy version such as 3.2"))),
        }
    }
}

/// A HAProxy that can be run.
#[derive(Clone, Debug)]
pub struct Haproxy {
    /// What `-v` says.
    pub version: Version,
    /// The program.
    pub path: PathBuf,
}

impl Haproxy {
    /// The HAProxy at `path`, asked for its version.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let output = command::run(Command::new(&path).arg("-v"), VERSION_DEADLINE)?;
        let unknown = || Error::Malformed(format!("{} -v printed {output:?}", path.display()));
        let version = Version::from_banner(&output).ok_or_else(unknown)?;
        Ok(Self { version, path })
    }
}

impl fmt::Display for Haproxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAProxy {} ({})", self.version, self.path.display())
    }
}

/// The HAProxys to test with, oldest first. The first of these that applies:
///
/// 1. the environment variable `HAPROXY_BIN`: that program and no other;
/// 2. all supported versions, unpacked from Debian's packages into a cache folder (`SPOP_TESTBED_CACHE`, else
///    `XDG_CACHE_HOME/spop-testbed`, else `~/.cache/spop-testbed`), without root and without touching the system;
///    `HAPROXY_VERSIONS=3.2,3.4` picks some of them. The first call downloads, from the archive that apt is set up for or
///    that `SPOP_TESTBED_ARCHIVE` names: up to some minutes;
/// 3. `haproxy` in `PATH`, with a warning on stderr;
/// 4. an error that says what to install.
///
/// If some, but not all, of the wanted versions can be had, that is an error too: a test run should never cover less
/// than it seems to.
pub fn haproxies() -> Result<Vec<Haproxy>, Error> {
    Choice::from_env()?.resolve()
}

/// What the environment asks for; a struct of its own because tests cannot set variables safely.
#[derive(Debug, Default)]
struct Choice {
    bin: Option<PathBuf>,
    versions: Option<Vec<Version>>,
    cache: Option<PathBuf>,
    path: OsString,
}

impl Choice {
    fn from_env() -> Result<Self, Error> {
        let versions = env::var("HAPROXY_VERSIONS").ok().filter(|list| !list.trim().is_empty());
        let versions = versions.map(|list| list.split(',').map(str::parse).collect()).transpose()?;
        Ok(Self {
            bin: folder("HAPROXY_BIN"),
            versions,
            cache: cache_folder(),
            path: env::var_os("PATH").unwrap_or_default(),
        })
    }

    fn resolve(&self) -> Result<Vec<Haproxy>, Error> {
        if let Some(bin) = &self.bin {
            return Ok(vec![Haproxy::at(bin)?]);
        }
        let (found, failed) = self.try_debian()?;
        if failed.is_empty() {
            return Ok(found);
        }
        let reasons = failed.join("\n  ");
        if found.is_empty() {
            return self.try_path(&reasons);
        }
        let found: Vec<_> = found.iter().map(|haproxy| haproxy.version.to_string()).collect();
        let found = found.join(",");
        Err(Error::Missing(format!(
            "only {found} of the HAProxy versions wanted is there (HAPROXY_VERSIONS={found} would accept that):\n  {reasons}"
        )))
    }

    /// The wanted versions that could be had, and why the others could not.
    fn try_debian(&self) -> Result<(Vec<Haproxy>, Vec<String>), Error> {
        let wanted = self.wanted()?;
        let Some(cache) = &self.cache else {
            return Ok((Vec::new(), vec![no_cache().to_string()]));
        };
        // At once: it is mostly waiting for the network.
        let results: Vec<_> = thread::scope(|scope| {
            let provide = |one: &Supported| {
                let package = one.package;
                scope.spawn(move || debian::provide(cache, package, |program| Haproxy::at(program)))
            };
            let threads: Vec<_> = wanted.iter().map(provide).collect();
            threads.into_iter().map(|thread| thread.join().expect("provisioning does not panic")).collect()
        });
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for (one, result) in wanted.iter().zip(results) {
            match result {
                Ok(haproxy) if haproxy.version == one.version => found.push(haproxy),
                Ok(haproxy) if self.versions.is_none() => {
                    eprintln!("testbed: warning: {one} is {} by now", haproxy.version);
                    found.push(haproxy);
                }
                Ok(haproxy) => failed.push(format!("{one} is {} by now", haproxy.version)),
                Err(error) => failed.push(format!("{one}: {error}")),
            }
        }
        Ok((found, failed))
    }

    fn wanted(&self) -> Result<Vec<Supported>, Error> {
        let Some(versions) = &self.versions else { return Ok(SUPPORTED.to_vec()) };
        if let Some(unknown) = versions.iter().find(|&&v| SUPPORTED.iter().all(|one| one.version != v)) {
            let known: Vec<_> = SUPPORTED.iter().map(|one| one.version.to_string()).collect();
            let known = known.join(",");
            return Err(Error::Usage(format!("HAPROXY_VERSIONS has {unknown}; there are {known}")));
        }
        Ok(SUPPORTED.into_iter().filter(|one| versions.contains(&one.version)).collect())
    }

    /// The last resort: what is installed, provided that it is all that was asked for.
    fn try_path(&self, reasons: &str) -> Result<Vec<Haproxy>, Error> {
        let none = |why: &str| {
            Error::Missing(format!("no HAProxy to test with, {why}. {HINT}\nDebian's packages:\n  {reasons}"))
        };
        let program = in_path(&self.path, "haproxy").next().ok_or_else(|| none("none in PATH"))?;
        let haproxy = Haproxy::at(program)?;
        if self.versions.iter().flatten().any(|&wanted| wanted != haproxy.version) {
            return Err(none(&format!("{haproxy} in PATH is not what HAPROXY_VERSIONS asks for")));
        }
        eprintln!("testbed: warning: testing with {haproxy} only; Debian's packages:\n  {reasons}");
        Ok(vec![haproxy])
    }
}

/// The environment variable as a path, unless it is empty.
fn folder(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where what is fetched is kept: `None` if the environment names no place for it.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    folder("SPOP_TESTBED_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("spop-testbed")))
        .or_else(|| Some(folder("HOME")?.join(".cache/spop-testbed")))
}

pub(crate) fn no_cache() -> Error {
    Error::Missing("no cache folder: set SPOP_TESTBED_CACHE or HOME".to_owned())
}

/// The files called `name` in the folders of a `PATH`, in its order.
pub(crate) fn in_path(path: &OsStr, name: &str) -> impl Iterator<Item = PathBuf> {
    env::split_paths(path).map(move |folder| folder.join(name)).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_banners_and_lists() {
        let banner = |text| Version::from_banner(text).map(|version| version.to_string());
        assert_eq!(banner("HAProxy version 2.6.12-1+deb12u3 2025/10/03 - h").as_deref(), Some("2.6"));
        assert_eq!(banner("HAProxy version 3.5-dev5-50872d 2026/08/21").as_deref(), Some("3.5"));
        assert_eq!(banner("HA-Proxy version 2.2.9").as_deref(), Some("2.2"));
        assert_eq!(banner("nginx version 3.1"), None);
        assert!("3".parse::<Version>().is_err() && "x.y".parse::<Version>().is_err());
        assert!(!Version::new(3, 0).speaks_mode_spop() && Version::new(3, 1).speaks_mode_spop());
        assert!(Version::new(2, 10) > Version::new(2, 9));
    }

    #[test]
    fn an_unknown_version_is_named() {
        let choice = Choice { versions: Some(vec![Version::new(1, 8)]), ..Choice::default() };
        let text = choice.resolve().unwrap_err().to_string();
        assert!(text.contains("1.8") && text.contains("2.6,3.0"), "{text}");
    }

    #[test]
    fn haproxy_bin_is_the_only_one_and_must_work() {
        let missing = Choice { bin: Some("/nonexistent/haproxy".into()), ..Choice::default() };
        assert!(missing.resolve().unwrap_err().to_string().contains("/nonexistent/haproxy"));
        let other = Choice { bin: Some("/bin/echo".into()), ..Choice::default() };
        assert!(matches!(other.resolve(), Err(Error::Malformed(_))));
    }

    #[test]
    fn without_any_haproxy_the_error_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file where the cache folder should be");
        std::fs::write(&file, "").unwrap();
        let text = Choice { cache: Some(file), ..Choice::default() }.resolve().unwrap_err().to_string();
        assert!(text.contains("apt-get install haproxy") && text.contains("bookworm"), "{text}");
    }
}
