//! Builds an example of this workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::{Error, command};

/// A release build of everything on a slow machine.
const BUILD_DEADLINE: Duration = Duration::from_secs(900);

/// Builds the package `name` of this workspace, in the profile that the caller was built in, and returns the path of
/// its program: of the binary with the package's name, or else of the only one.
///
/// For the programs that do not have Cargo do it, as it does with `CARGO_BIN_EXE_NAME` for a package's own tests.
pub fn build_example(name: &str) -> Result<PathBuf, Error> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--bins", "--package", name, "--message-format", "json-render-diagnostics"]);
    build.arg("--manifest-path").arg(workspace);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let messages = command::run(&mut build, BUILD_DEADLINE)?;
    let none =
        || Error::Malformed(format!("package {name} has not exactly one program of that name:\n{messages}"));
    find_program(&messages, name).ok_or_else(none)
}

/// Looks through Cargo's messages: a line of JSON each, among other output.
fn find_program(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<_> = messages
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let program = message["executable"].as_str()?.into();
            Some((message["target"]["name"].as_str()?.to_owned(), program))
        })
        .collect();
    let namesake = programs.iter().find(|(target, _)| target == name);
    let only = if let [only] = programs.as_slice() { Some(only) } else { None };
    namesake.or(only).map(|(_, program)| PathBuf::clone(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(target: &str, program: &str) -> String {
        format!(r#"{{"reason":"compiler-artifact","target":{{"name":"{target}"}},"executable":{program}}}"#)
    }

    #[test]
    fn the_program_is_found_among_other_messages() {
        let library = artifact("spop", "null");
        let one = [&library, "   Compiling x", &artifact("x", r#""/t/x""#)].join("\n");
        assert_eq!(find_program(&one, "x").unwrap(), Path::new("/t/x"));
        assert_eq!(find_program(&one, "package-x").unwrap(), Path::new("/t/x"));
        let two = [one.as_str(), &artifact("y", r#""/t/y""#)].join("\n");
        assert_eq!(find_program(&two, "y").unwrap(), Path::new("/t/y"));
        assert_eq!(find_program(&two, "z"), None);
        assert_eq!(find_program(&library, "spop"), None);
    }
}
