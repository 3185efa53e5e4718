//! Writes the figures into the documentation.

use std::fs;
use std::path::{Path, PathBuf};

use benches::cli::Error;

use crate::agent::AGENTS;
use crate::plot::{Bar, chart};
use crate::results::{Results, SCENARIOS};

/// Rewrites the marked sections of `docs/performance.md`, and the plots.
pub(crate) fn rewrite(results: &Results) -> Result<(), Error> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = docs.join("performance.md");
    let mut text = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    let mut images = String::new();
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        let bars = AGENTS.map(|agent| Bar {
            title: agent.title,
            value: results.acks(index, agent.key),
            ours: agent.key == "ours",
        });
        let (connections, depth) = (scenario.connections, scenario.depth);
        let name = format!("{}-{connections}x{depth}.svg", scenario.profile);
        let title = format!("{}, {connections} connections x {depth}: ACKs per CPU second", scenario.profile);
        fs::write(plots.join(&name), chart(&title, &bars))?;
        images += &format!("\n![{title}](performance/{name})\n");
    }
    text = replace(&text, "agents", &format!("{}\n{}{images}", machine(), results.agents_table()))?;
    let codec = results.codec_table();
    if !codec.is_empty() {
        text = replace(&text, "codec", &codec)?;
    }
    Ok(fs::write(PathBuf::from(&page), text)?)
}

/// Replaces what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
fn replace(text: &str, name: &str, content: &str) -> Result<String, Error> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let found = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = found.ok_or_else(|| format!("the page has no section {begin}...{end}"))?;
    Ok(format!("{before}{begin}\n{content}\n{end}{after}"))
}

/// What it was measured on.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split(['-', '\n']).next().unwrap_or_default();
    format!("Measured on {cores} cores of {model}, Linux {kernel}, loopback.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_section_changes() {
        let text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let new = replace(text, "x", "new").unwrap();
        assert_eq!(new, "a\n<!-- x: begin -->\n\nnew\n<!-- x: end -->\nb\n");
        assert_eq!(replace(&new, "x", "new").unwrap(), new);
        assert!(replace(text, "y", "new").is_err());
    }
}
