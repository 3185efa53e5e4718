//! Words of a line, as HAProxy splits them (section 2.2 of its configuration manual).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The words of a line, without its comment; an error if a quote is left open. Environment variables are left as they
/// stand.
pub(super) fn split(line: &str) -> Result<Vec<String>, ()> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '#' => break,
            char if char.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                until(&mut chars, '\'', false, word)?;
            }
            '"' => {
                let word = word.get_or_insert_default();
                until(&mut chars, '"', true, word)?;
            }
            '\\' => word.get_or_insert_default().extend(chars.next().map(escaped)),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    Ok(words)
}

fn until(chars: &mut core::str::Chars<'_>, end: char, escapes: bool, word: &mut String) -> Result<(), ()> {
    loop {
        match chars.next().ok_or(())? {
            char if char == end => return Ok(()),
            '\\' if escapes => word.push(escaped(chars.next().ok_or(())?)),
            char => word.push(char),
        }
    }
}

fn escaped(char: char) -> char {
    match char {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        char => char,
    }
}

/// The word, so that [`split`] reads it as one.
pub(super) fn quote(word: &str) -> Cow<'_, str> {
    let plain = |char: char| !char.is_ascii_whitespace() && !matches!(char, '#' | '\'' | '"' | '\\');
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    let mut quoted = String::from("\"");
    for char in word.chars() {
        match char {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '"' | '\\' => quoted.extend(['\\', char]),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted.into()
}
