//! Entries in a file, one a line.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use spop_tokio::BoxError;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::list::List;
use crate::rule::NEVER;
use crate::source::{Intake, Source, loaded};

/// How often the file is looked at. It is read once it has stayed the same from one look to the next, so that a file that is
/// being written is not taken for a short one.
const INTERVAL: Duration = Duration::from_secs(1);

/// A longer line is bad, and is not read into memory whole. A rule, its reason and the rest fit.
const MAX_LINE: u64 = 2048;

/// A file that grows past this while it is read is not read on: 20 million lines.
const MAX_BYTES: u64 = 1 << 30;

/// A file that is read again when it changes.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    max_entries: usize,
    used: Option<Stamp>,
    seen: Option<Stamp>,
}

/// What tells one version of a file from another.
type Stamp = (SystemTime, u64, u64);

impl FileSource {
    /// The file at `path`, of which at most `max_entries` are taken.
    ///
    /// # Errors
    /// If there is no such regular file now. Later it may come and go.
    pub fn new(path: impl Into<PathBuf>, max_entries: usize) -> Result<Self, BoxError> {
        let path = path.into();
        regular(&path, std::fs::metadata(&path))?;
        Ok(Self { path, max_entries, used: None, seen: None })
    }
}

impl Source for FileSource {
    async fn next(&mut self, _: &Arc<List>) -> Result<Option<List>, BoxError> {
        let at_start = self.used.is_none();
        if !at_start {
            sleep(INTERVAL).await;
        }
        let stamp = regular(&self.path, tokio::fs::metadata(&self.path).await)?;
        let settled = self.seen.replace(stamp) == Some(stamp);
        if self.used == Some(stamp) || !(settled || at_start) {
            return Ok(None);
        }
        let (path, max_entries) = (self.path.clone(), self.max_entries);
        let list = spawn_blocking(move || read(&path, max_entries)).await??;
        self.used = Some(stamp);
        loaded(self, &list);
        Ok(Some(list))
    }
}

impl fmt::Display for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// What is not a regular file may have no end, or never a beginning.
fn regular(path: &Path, metadata: io::Result<Metadata>) -> Result<Stamp, BoxError> {
    let metadata = metadata.map_err(|error| format!("{}: {error}", path.display()))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(format!("{} is no regular file of at most {MAX_BYTES} bytes", path.display()).into());
    }
    Ok((metadata.modified()?, metadata.len(), metadata.ino()))
}

fn read(path: &Path, max_entries: usize) -> Result<List, BoxError> {
    let explain = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(explain)?;
    let mut lines = BufReader::with_capacity(1 << 16, file.take(MAX_BYTES));
    let mut intake = Intake::new(&List::default(), max_entries);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(explain)?;
        if read == 0 {
            break;
        }
        let place = format_args!("{}:{number}", path.display());
        if read as u64 == MAX_LINE && line.last() != Some(&b'\n') {
            intake.ignore(place, format_args!("a line has less than {MAX_LINE} bytes"));
            lines.skip_until(b'\n').map_err(explain)?;
        } else {
            intake.set(place, &line, NEVER);
        }
    }
    Ok(intake.apply_to(&List::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Request, now};

    fn blocks(list: &List, address: &str) -> bool {
        let request = Request { src: Some(address.parse().unwrap()), ..Request::default() };
        list.check(&request, now()).is_some_and(|entry| !entry.allow)
    }

    fn file(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn bad_lines_cost_themselves_only() {
        let long = "x".repeat(10_000);
        let text = [b"10.0.0.1\nnonsense\n\xff\xfe\n", long.as_bytes(), b"\r\n10.0.0.2 # last, no line end"];
        let list = read(file(text.concat()).path(), 100).unwrap();
        assert_eq!(list.len(), 2);
        assert!(blocks(&list, "10.0.0.1") && blocks(&list, "10.0.0.2"));
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        for path in ["/dev/zero", "/", "/nonexistent"] {
            let error = FileSource::new(path, 1).unwrap_err().to_string();
            assert!(error.starts_with(path), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_once_it_has_changed_and_settled() {
        let file = file("10.0.0.1\n");
        let mut source = FileSource::new(file.path(), 10).unwrap();
        let list = Arc::new(source.next(&Arc::default()).await.unwrap().unwrap());
        assert!(blocks(&list, "10.0.0.1"));
        assert!(source.next(&list).await.unwrap().is_none());
        std::fs::write(file.path(), "10.0.0.2\n10.0.0.3\n").unwrap();
        assert!(source.next(&list).await.unwrap().is_none(), "it may not be whole yet");
        let list = source.next(&list).await.unwrap().unwrap();
        assert!(!blocks(&list, "10.0.0.1") && blocks(&list, "10.0.0.3"));
        std::fs::remove_file(file.path()).unwrap();
        assert!(source.next(&Arc::default()).await.is_err());
    }
}
