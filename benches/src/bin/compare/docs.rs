//! Writes the results into the documentation.

use std::fs;
use std::path::{Path, PathBuf};

use benches::cli::Error;

use crate::figures::Figures;
use crate::goals;
use crate::parts::{PARTS, Report};

/// Where the page, its plots and its results are.
struct Docs {
    page: PathBuf,
    folder: PathBuf,
}

/// Rewrites the marked sections of `docs/performance.md` whose parts were measured, their plots, and the file of
/// results.
pub(crate) fn rewrite(newer: Figures) -> Result<(), Error> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    Docs { page: docs.join("performance.md"), folder: docs.join("performance") }.rewrite(newer)
}

impl Docs {
    fn rewrite(&self, newer: Figures) -> Result<(), Error> {
        for part in PARTS.iter().filter(|part| !newer.part(part.name).is_empty()) {
            let (rounds, least) = (newer.part(part.name).least_rounds(), part.least_rounds);
            if rounds < least {
                return Err(format!("{}: {rounds} rounds, the page wants {least}", part.name).into());
            }
        }
        let mut text = read(&self.page)?;
        fs::create_dir_all(&self.folder)?;
        let file = self.folder.join("results.json");
        let mut figures = if file.exists() { Figures::load(&file)? } else { Figures::new() };
        figures.update(newer)?;
        for part in &PARTS {
            if figures.part(part.name).is_empty() {
                continue;
            }
            let Report { mut markdown, plots } = (part.report)(&figures);
            for plot in plots {
                fs::write(self.folder.join(format!("{}.svg", plot.name)), plot.svg)?;
                markdown += &format!("\n![{}](performance/{}.svg)\n", plot.title, plot.name);
            }
            text = replace(&text, part.name, &markdown)?;
        }
        let machine = format!("Measured on {}, loopback.\n", figures.machine());
        text = replace(&text, "machine", &machine)?;
        text = replace(&text, "goals", &goals::table(&figures))?;
        figures.save(&file)?;
        Ok(fs::write(&self.page, text)?)
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Replaces what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
fn replace(text: &str, name: &str, content: &str) -> Result<String, Error> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let found = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = found.ok_or_else(|| format!("the page has no section {begin}...{end}"))?;
    Ok(format!("{before}{begin}\n{content}\n{end}{after}"))
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

    fn with_rounds(rounds: usize) -> Figures {
        let mut figures = Figures::new();
        for _ in 0..rounds {
            figures.add("agents", "log-request 64x1", "ours", "acks_per_cpu_second", 123_456.0);
        }
        figures
    }

    #[test]
    fn a_quick_look_is_not_for_the_page() {
        let (page, folder) = Default::default();
        let error = Docs { page, folder }.rewrite(with_rounds(1)).unwrap_err().to_string();
        assert_eq!(error, "agents: 1 rounds, the page wants 5");
    }

    #[test]
    fn the_page_has_a_section_for_every_part_and_shows_what_was_measured() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("performance.md");
        fs::copy(docs, &page).unwrap();
        let text = read(&page).unwrap();
        for name in PARTS.iter().map(|part| part.name).chain(["machine", "goals"]) {
            replace(&text, name, "").unwrap();
        }
        let docs = Docs { page, folder: folder.path().join("performance") };
        docs.rewrite(with_rounds(5)).unwrap();
        assert!(read(&docs.page).unwrap().contains("| spop-tokio | 123 k |"));
        assert!(docs.folder.join("log-request-64x1.svg").exists());
        assert!(Figures::load(&docs.folder.join("results.json")).is_ok());
    }
}
