//! Paths of requests, and lists of them.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use serde::Deserialize;

/// The path of a request, percent-decoded once.
#[derive(Debug)]
pub struct Path<'a>(Cow<'a, [u8]>);

impl<'a> Path<'a> {
    /// Of the path as the client has sent it.
    pub fn new(raw: &'a [u8]) -> Self {
        Self(percent_decode(raw).into())
    }

    /// True if it has `text`, which is not empty, in it, in any case.
    pub fn contains(&self, text: &[u8]) -> bool {
        !text.is_empty() && self.0.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
    }

    /// True if no server can take it for another path: nothing to resolve, nothing to decode a second time.
    fn is_plain(&self) -> bool {
        let odd = |segment: &[u8]| matches!(undecorated(segment), b"." | b"..") || segment.is_empty();
        // The part before the first slash is empty; an empty one at the end is a folder.
        let inner = self.0.strip_prefix(b"/").unwrap_or(&self.0);
        let inner = inner.strip_suffix(b"/").unwrap_or(inner);
        let has_odd = !inner.is_empty() && inner.split(|byte| *byte == b'/').any(odd);
        !has_odd && !self.0.iter().any(|byte| matches!(byte, b'%' | b'\\' | 0))
    }

    /// As most servers resolve it: without empty segments, "." and "..".
    fn resolved(&self) -> Vec<u8> {
        let mut segments = Vec::new();
        for segment in self.0.split(|byte| matches!(byte, b'/' | b'\\')) {
            match undecorated(segment) {
                b"" | b"." => {}
                b".." => drop(segments.pop()),
                _ => segments.push(segment),
            }
        }
        let mut resolved = vec![b'/'];
        resolved.extend(segments.join(&b'/'));
        if self.0.ends_with(b"/") && resolved.len() > 1 {
            resolved.push(b'/');
        }
        resolved
    }
}

/// A segment without parameters: some servers take "..;x" for "..".
fn undecorated(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}

/// A list of paths.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    exact: Vec<Pattern>,
    prefix: Vec<Pattern>,
}

/// A path, or its beginning, as the rules file has it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Vec<u8>);

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with('/') { Ok(Self(text.into())) } else { Err("a path starts with /") }
    }
}

impl Paths {
    /// For lists that let somebody in: true only if every server would take the path for one of these.
    pub fn trust(&self, path: &Path<'_>) -> bool {
        self.matches(&path.0) && path.is_plain()
    }

    /// For lists that keep somebody out: true if some server may take the path for one of these.
    pub fn cover(&self, path: &Path<'_>) -> bool {
        !self.is_empty() && (self.matches(&path.0) || (!path.is_plain() && self.matches(&path.resolved())))
    }

    fn matches(&self, path: &[u8]) -> bool {
        self.exact.iter().any(|exact| path == exact.0)
            || self.prefix.iter().any(|prefix| path.starts_with(&prefix.0))
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefix.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        let patterns = |list: &[&str]| list.iter().map(|p| Pattern(p.as_bytes().into())).collect();
        Paths { exact: patterns(&["/robots.txt"]), prefix: patterns(&["/public/"]) }
    }

    #[test]
    fn trust_needs_the_whole_path_or_its_beginning() {
        for path in ["/robots.txt", "/robots%2etxt", "/public/", "/public/a", "/public/a/"] {
            assert!(paths().trust(&Path::new(path.as_bytes())), "{path}");
        }
        for path in ["/secret/robots.txt", "/robots.txt/x", "/robots.txt%00.php", "/public", "/", "*", ""] {
            assert!(!paths().trust(&Path::new(path.as_bytes())), "{path}");
        }
    }

    #[test]
    fn a_path_that_a_server_may_resolve_to_another_is_not_trusted() {
        for path in [
            "/public/../secret",
            "/public/%2e%2e/secret",
            "/public%2f..%2fsecret",
            "/public/%252e%252e/secret",
            "/public/..%5csecret",
            "/public/..;x/secret",
            "/public//secret",
        ] {
            assert!(!paths().trust(&Path::new(path.as_bytes())), "{path}");
        }
    }

    #[test]
    fn a_path_in_disguise_is_covered() {
        for path in
            ["/public/a", "/x/../public/a", "//public/a", "/%70ublic/a", "/./public/", "/x/..;/public/"]
        {
            assert!(paths().cover(&Path::new(path.as_bytes())), "{path}");
        }
        for path in ["/", "/x/public/", "/publi/../x", "*"] {
            assert!(!paths().cover(&Path::new(path.as_bytes())), "{path}");
        }
        assert!(!Paths::default().cover(&Path::new(b"/")));
    }

    #[test]
    fn a_text_is_found_decoded_and_in_any_case() {
        for path in ["/a1b2c3", "/x/A1B2C3/y", "/%61%31b2%633"] {
            assert!(Path::new(path.as_bytes()).contains(b"a1b2c3"), "{path}");
        }
        assert!(!Path::new(b"/a1b2c").contains(b"a1b2c3"));
    }
}
