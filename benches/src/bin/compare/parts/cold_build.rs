//! How long an agent takes to build for the first time, and how much that builds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use benches::cli::Error;
use serde_json::Value;

use super::{Options, Part, Report};
use crate::figures::Figures;
use crate::table::{Table, cell, three_digits};

pub(crate) const PART: Part = Part {
    name: "cold-build",
    about: "an agent built with an empty target folder: crates and seconds (minutes; only when asked for)",
    by_default: false,
    least_rounds: ROUNDS,
    measure,
    report,
};

const CASE: &str = "debug build";

/// It takes minutes, and there is nobody to take turns with.
const ROUNDS: usize = 3;

/// A project with an agent of this package.
struct Project {
    key: &'static str,
    title: &'static str,
    manifest: &'static str,
    main: &'static str,
    /// What the agent needs of `crate::profile`.
    profile: &'static str,
    agent: &'static str,
}

const PROJECTS: [Project; 2] = [
    Project {
        key: "ours",
        title: "spop-tokio, default features",
        manifest: include_str!("cold_build/ours.toml"),
        main: include_str!("cold_build/ours.rs"),
        profile: "pub const VARIABLE: (spop_tokio::Scope, &str) = (spop_tokio::Scope::Session, \"ip_score\");\n\
                  pub const VALUE: u32 = 42;\n",
        agent: include_str!("../../../agents/ours.rs"),
    },
    Project {
        key: "peer",
        title: "spop 0.13.1, tokio, tokio-util, futures-util",
        manifest: include_str!("cold_build/peer.toml"),
        main: include_str!("cold_build/peer.rs"),
        profile: "pub const VARIABLE: ((), &str) = ((), \"ip_score\");\n\
                  pub const VALUE: u32 = 42;\npub const MAX_FRAME_SIZE: u32 = 16_380;\n",
        agent: include_str!("../../../agents/peer.rs"),
    },
];

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    let rounds = options.rounds.min(ROUNDS);
    for round in 1..=rounds {
        for project in &PROJECTS {
            eprintln!("{}: {}, round {round} of {rounds}", PART.name, project.title);
            let folder = tempfile::tempdir()?;
            project.write(folder.path())?;
            let start = Instant::now();
            let crates = build(folder.path())?;
            figures.add(PART.name, CASE, project.key, "seconds", start.elapsed().as_secs_f64());
            figures.add(PART.name, CASE, project.key, "crates", crates as f64);
        }
    }
    Ok(())
}

impl Project {
    /// With this workspace's lock file, so that both take the versions that are here already.
    fn write(&self, folder: &Path) -> Result<(), Error> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let manifest = self.manifest.replace("{workspace}", &workspace.display().to_string());
        fs::create_dir(folder.join("src"))?;
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        fs::write(folder.join("src/main.rs"), self.main)?;
        fs::write(folder.join("src/profile.rs"), self.profile)?;
        Ok(fs::write(folder.join("src/agent.rs"), self.agent)?)
    }
}

/// Builds the project; gives how many crates of others that took.
fn build(folder: &Path) -> Result<usize, Error> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--message-format=json", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo build failed in {}", folder.display()).into());
    }
    let mut crates = BTreeSet::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line)?;
        if message["reason"] == "compiler-artifact" {
            crates.insert(message["package_id"].to_string());
        }
    }
    // The project itself is none of others.
    Ok(crates.len().saturating_sub(1))
}

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let mut table = Table::new(["debug build, nothing cached", "crates", "seconds"]);
    for project in &PROJECTS {
        let median = |quantity| figures.median(CASE, project.key, quantity);
        let crates = cell(median("crates"), |crates| format!("{crates:.0}"));
        table.row([project.title.to_owned(), crates, cell(median("seconds"), three_digits)]);
    }
    Report { markdown: table.into_text(), plots: Vec::new() }
}
