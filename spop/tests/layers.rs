//! The layers of `spop/src`: each imports downwards only.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A layer, by the modules it is made of, and the modules that are above it.
struct Layer {
    modules: &'static [&'static str],
    above: &'static [&'static str],
}

/// From the bottom up.
const LAYERS: [Layer; 4] = [
    // The tables of the protocol stand for themselves.
    Layer {
        modules: &["status", "version", "capability"],
        above: &["status", "version", "capability", "wire", "frame", "connection", "http", "de"],
    },
    Layer { modules: &["wire"], above: &["frame", "connection", "http", "de"] },
    Layer { modules: &["frame"], above: &["connection", "http", "de"] },
    // What users of single frames may switch on.
    Layer { modules: &["http", "de"], above: &["connection"] },
];

/// A path from the root of the crate in a file.
#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    /// The first name in it.
    name: String,
}

/// An import of a layer above.
#[derive(Debug, PartialEq)]
struct Fault {
    file: PathBuf,
    import: Import,
    module: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, import: Import { line, name }, module } = self;
        write!(f, "{}:{line} imports {name}, which is of {module}, a layer above", file.display())
    }
}

/// Of Rust's source no more than paths are made of.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
}

/// The words and signs of `source` with their lines, without comments and texts.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let len = match first {
                '/' if rest.starts_with("//") => break,
                // A text ends in its line, or what follows is no path.
                '"' => text_len(rest),
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            match first {
                _ if is_word(first) => tokens.push((index + 1, Token::Word(rest[..len].to_owned()))),
                '"' | ' ' => {}
                sign => tokens.push((index + 1, Token::Sign(sign))),
            }
            rest = &rest[len..];
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How long the text is that `rest` starts with, both quotes included.
fn text_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

/// All paths from the root of the crate in a file of the module `depth` levels below it: `crate::name`, as many
/// `super::` as lead there, and each name of a group.
fn imports(source: &str, depth: usize) -> Vec<Import> {
    let tokens = tokens(source);
    let (mut imports, mut braces) = (Vec::new(), 0usize);
    // At how many braces each module in the file began.
    let mut inline: Vec<usize> = Vec::new();
    let word = |at: usize| match tokens.get(at) {
        Some((_, Token::Word(word))) => Some(word.as_str()),
        _ => None,
    };
    let sign = |at: usize, sign| matches!(tokens.get(at), Some((_, Token::Sign(found))) if *found == sign);
    let colons = |at| sign(at, ':') && sign(at + 1, ':');
    let mut at = 0;
    while at < tokens.len() {
        if word(at) == Some("mod") && sign(at + 2, '{') {
            inline.push(braces);
        } else if sign(at, '{') {
            braces += 1;
        } else if sign(at, '}') {
            braces = braces.saturating_sub(1);
            if inline.last() == Some(&braces) {
                inline.pop();
            }
        }
        let mut end = at;
        let mut left = depth + inline.len();
        if word(at) == Some("crate") && colons(at + 1) {
            (end, left) = (at + 3, 0);
        }
        while word(end) == Some("super") && colons(end + 1) && left > 0 {
            (end, left) = (end + 3, left - 1);
        }
        if end > at && left == 0 {
            names(&tokens, end, &mut imports);
        }
        at = end.max(at + 1);
    }
    imports
}

/// The first name of the path that goes on at `at`, or of each path of the group there.
fn names(tokens: &[(usize, Token)], mut at: usize, imports: &mut Vec<Import>) {
    let mut depth = 0usize;
    let mut first = true;
    while let Some((line, token)) = tokens.get(at) {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => depth = depth.saturating_sub(1),
            Token::Sign(',') if depth == 1 => first = true,
            Token::Word(name) if first => {
                imports.push(Import { line: *line, name: name.clone() });
                first = false;
            }
            Token::Sign('*') if first => imports.push(Import { line: *line, name: "*".to_owned() }),
            _ => {}
        }
        if depth == 0 {
            return;
        }
        at += 1;
    }
}

/// The names that the crate's root has from its modules, each with the module: `pub use module::{a, b}`.
fn root_names(root: &str) -> Vec<(String, String)> {
    let tokens = tokens(root);
    let mut found = Vec::new();
    for (at, window) in tokens.windows(5).enumerate() {
        let words: Vec<_> = window.iter().map(|(_, token)| token.clone()).collect();
        let [
            Token::Word(public),
            Token::Word(keyword),
            Token::Word(module),
            Token::Sign(':'),
            Token::Sign(':'),
        ] = &words[..]
        else {
            continue;
        };
        if (public.as_str(), keyword.as_str()) == ("pub", "use") {
            let mut imports = Vec::new();
            names(&tokens, at + 5, &mut imports);
            found.extend(imports.into_iter().map(|import| (import.name, module.clone())));
        }
    }
    found
}

/// What `source`, the file at `path` below `src`, imports from above, if `root` is the crate's `lib.rs`.
fn faults(path: &Path, source: &str, root: &str) -> Vec<Fault> {
    let mut modules: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let file = modules.pop().and_then(|name| name.strip_suffix(".rs")).expect("a Rust file");
    if file != "mod" {
        modules.push(file);
    }
    let Some(layer) =
        modules.first().and_then(|module| LAYERS.iter().find(|layer| layer.modules.contains(module)))
    else {
        return Vec::new();
    };
    let root_names = root_names(root);
    let module_of = |name: &str| match root_names.iter().find(|(found, _)| found == name) {
        Some((_, module)) => module.clone(),
        // The whole root has everything.
        None if name == "*" => layer.above[0].to_owned(),
        None => name.to_owned(),
    };
    imports(source, modules.len())
        .into_iter()
        .map(|import| (module_of(&import.name), import))
        .filter(|(module, _)| layer.above.contains(&module.as_str()) && modules[0] != module)
        .map(|(module, import)| Fault { file: Path::new("spop/src").join(path), import, module })
        .collect()
}

/// All Rust files below `folder`, which is below `src`.
fn files(src: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(src.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files(src, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_layer_imports_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = fs::read_to_string(src.join("lib.rs")).unwrap();
    let mut paths = Vec::new();
    files(&src, Path::new(""), &mut paths);
    for module in LAYERS.iter().flat_map(|layer| layer.modules) {
        assert!(
            paths
                .iter()
                .any(|path| path.starts_with(module) || *path == Path::new(module).with_extension("rs"))
        );
    }
    let faults = paths.iter().flat_map(|path| {
        let source = fs::read_to_string(src.join(path)).unwrap();
        faults(path, &source, &root)
    });
    let faults: Vec<_> = faults.map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

const ROOT: &str = "
pub use connection::{
    Instant, agent,
};
pub use frame::{Ack, Notify};
pub use status::Status;
";

#[track_caller]
fn assert_faults(path: &str, source: &str, expected: &[&str]) {
    let found: Vec<_> = faults(Path::new(path), source, ROOT).iter().map(Fault::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_import_from_above_is_named_with_its_file_and_line() {
    let frame = "imports frame, which is of frame, a layer above";
    for source in [
        "\nuse crate::frame::Ack;",
        "\nuse crate::{Status, frame::Ack};",
        "\nfn f(_: crate::frame::Ack) {}",
        "\nuse super::super::frame;",
        "mod tests {\n    use super::super::super::frame; }",
        "// use crate::http::Headers;\nconst C: &str = \"use crate::http\"; use crate::frame::*;",
    ] {
        assert_faults("wire/parse.rs", source, &[&format!("spop/src/wire/parse.rs:2 {frame}")]);
    }
    let through_the_root = "spop/src/frame/mod.rs:4 imports Instant, which is of connection, a layer above";
    assert_faults(
        "frame/mod.rs",
        "use crate::{\n    Status,\n    Ack,\n    Instant,\n};",
        &[through_the_root],
    );
    let all = "spop/src/frame/ack.rs:1 imports *, which is of connection, a layer above";
    assert_faults("frame/ack.rs", "use crate::*;", &[all]);
    let table = "spop/src/version.rs:1 imports Status, which is of status, a layer above";
    assert_faults("version.rs", "use crate::Status;", &[table]);
}

#[test]
fn an_import_from_below_or_beside_is_none() {
    for (path, source) in [
        ("connection/agent/mod.rs", "use crate::{frame::Ack, wire, Status}; use super::State;"),
        ("frame/ack/tests.rs", "use super::super::tests; use super::*; use crate::Notify;"),
        ("frame/ack.rs", "/// [`Connection`](crate::connection::agent::Connection)\nuse crate::wire::parse;"),
        ("wire/varint.rs", "mod tests { use super::*; mod frame {} } use crate::Status;"),
        ("status.rs", "use core::fmt; mod tests { use super::*; }"),
    ] {
        assert_faults(path, source, &[]);
    }
}
