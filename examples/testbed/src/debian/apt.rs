//! Packages by apt, from the archive that the machine itself uses.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Package, remove, run_holding};
use crate::{Error, command};

/// Enough for some 200 MB of indexes and packages over a slow line.
const APT_DEADLINE: Duration = Duration::from_secs(600);
/// For what apt knows without the network.
const QUERY_DEADLINE: Duration = Duration::from_secs(30);

/// Names an archive where the machine's own apt does not.
const ARCHIVE: &str = "SPOP_TESTBED_ARCHIVE";

/// The archive's keys: the package of that name has renamed its file once.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Downloads the package with everything it needs into `apt`.
pub(super) fn fetch(apt: &Path, package: Package, lock: &File) -> Result<(), Error> {
    let keyring = KEYRINGS.iter().find(|path| Path::new(path).is_file());
    let keyring = keyring.ok_or_else(|| missing("no Debian archive keys: install debian-archive-keyring"))?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("APT_CONFIG", apt.join("apt.conf")).env("LC_ALL", "C");
        run_holding(lock, &mut command, APT_DEADLINE)
    };
    let mut refused = Vec::new();
    for archive in archives()? {
        // Nothing of an archive that failed may be taken for the next one's.
        remove(apt)?;
        write_sources(apt, package, keyring, &archive)
            .map_err(Error::io(format!("write below {}", apt.display())))?;
        match apt_get(&["update"]) {
            Ok(()) => {
                let target = ["--target-release", package.suite, package.name];
                return apt_get(&[&["install", "--download-only", "--yes"], &target[..]].concat());
            }
            Err(error) => refused.push(format!("{archive}: {error}")),
        }
    }
    let tried = if refused.is_empty() { "apt has none".to_owned() } else { refused.join("\n  ") };
    Err(missing(&format!(
        "no archive with Debian's {}: {tried}\n  (set {ARCHIVE} to the URL of one)",
        package.suite
    )))
}

fn missing(text: &str) -> Error {
    Error::Missing(text.to_owned())
}

/// The URLs that may be Debian's archive, out of the machine's own settings: the keys decide which one is.
fn archives() -> Result<Vec<String>, Error> {
    if let Some(url) = std::env::var(ARCHIVE).ok().filter(|url| !url.is_empty()) {
        return Ok(vec![url]);
    }
    // Those without an index yet, too: a fresh machine has none.
    let mut query = Command::new("apt-get");
    query.args(["indextargets", "--no-release-info", "--format", "$(COMPONENT) $(RELEASE) $(REPO_URI)"]);
    Ok(archives_among(&command::run(query.env("LC_ALL", "C"), QUERY_DEADLINE)?))
}

fn archives_among(targets: &str) -> Vec<String> {
    let mut urls = Vec::new();
    for target in targets.lines() {
        let mut words = target.splitn(3, ' ');
        // A release with a hyphen is a part of one, such as bookworm-security.
        if let (Some("main"), Some(release), Some(url)) = (words.next(), words.next(), words.next())
            && !release.contains(['-', '/'])
            && !urls.iter().any(|known| known == url)
        {
            urls.push(url.to_owned());
        }
    }
    urls
}

fn write_sources(apt: &Path, package: Package, keyring: &str, archive: &str) -> io::Result<()> {
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    let source = |suite| format!("deb [signed-by={keyring}] {archive} {suite} main\n");
    let mut sources = source(package.base);
    if package.suite != package.base {
        sources += &source(package.suite);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_one_that_has_a_whole_release() {
        let targets = "\
main bookworm http://mirror.test/debian/
main bookworm http://mirror.test/debian/
main bookworm-security http://mirror.test/debian-security/
stable bookworm https://other.test/linux/
main sid mirror+file:/etc/apt/mirrors.list
main

";
        assert_eq!(
            archives_among(targets),
            ["http://mirror.test/debian/", "mirror+file:/etc/apt/mirrors.list"]
        );
    }
}
