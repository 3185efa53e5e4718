//! Words of a User-Agent header.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use serde::Deserialize;

/// A name of an agent, as the rules file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Token(String);

impl TryFrom<String> for Token {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // One letter or an empty name would be in every header.
        match text.len() {
            0 | 1 => Err("a name of an agent has two characters at least"),
            _ => Ok(Self(text)),
        }
    }
}

/// What a User-Agent header's words say about its sender; several may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Collects text for language models.
    pub const AI_CRAWLER: Self = Self(1);
    /// To be let in.
    pub const TRUSTED: Self = Self(1 << 1);
    /// Not welcome.
    pub const UNWANTED: Self = Self(1 << 2);
    /// A browser that sends Sec-Fetch-Mode.
    pub const BROWSER: Self = Self(1 << 3);
    /// A crawler with a browser inside.
    pub const BROWSER_LIKE: Self = Self(1 << 4);

    /// True if it has all that `other` has.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What either has.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Finds the words of all lists in one go.
#[derive(Debug)]
pub struct Words {
    automaton: AhoCorasick,
    /// By the number of the word in the automaton.
    kinds: Vec<Kinds>,
}

impl Words {
    /// Of lists, each with what its words mean.
    ///
    /// # Errors
    /// If the lists are too long for the automaton: gigabytes.
    pub fn new(lists: &[(Kinds, &[Token])]) -> Result<Self, BuildError> {
        let words = || lists.iter().flat_map(|&(kinds, list)| list.iter().map(move |word| (kinds, &word.0)));
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(words().map(|(_, word)| word))?;
        Ok(Self { automaton, kinds: words().map(|(kinds, _)| kinds).collect() })
    }

    /// What the words in `text` say. A word ends where a character other than a letter or digit is.
    pub fn kinds(&self, text: &[u8]) -> Kinds {
        let is_word = |start: usize, end: usize| !joined(text, start) && !joined(text, end);
        let found = self.automaton.find_overlapping_iter(text);
        let words = found.filter(|found| is_word(found.start(), found.end()));
        words.fold(Kinds::default(), |kinds, word| kinds.or(self.kinds[word.pattern().as_usize()]))
    }
}

/// True if the characters before and at `index` belong to one word.
fn joined(text: &[u8], index: usize) -> bool {
    let is_inner = |index: usize| text.get(index).is_some_and(u8::is_ascii_alphanumeric);
    index > 0 && is_inner(index - 1) && is_inner(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Words {
        let list: Vec<_> = list.iter().map(|word| Token((*word).into())).collect();
        Words::new(&[(Kinds::AI_CRAWLER, &list)]).unwrap()
    }

    #[test]
    fn a_word_is_found_in_any_case_and_next_to_anything_but_letters_and_digits() {
        let words = words(&["YaK", "GPTBot"]);
        for text in ["YaK", "yak/1.0", "(YAK)", "x-yak", "y;GPTBot/1.2;", "\u{e9}yak\u{e9}", "KAYAK YaK"] {
            assert!(words.kinds(text.as_bytes()).has(Kinds::AI_CRAWLER), "{text}");
        }
        for text in ["", "KAYAK", "yak2", "yakshi", "GPTBo", "MyGPTBots"] {
            assert!(!words.kinds(text.as_bytes()).has(Kinds::AI_CRAWLER), "{text}");
        }
    }

    #[test]
    fn a_word_inside_of_another_is_found_too() {
        let (long, short) = ([Token("Applebot-Extended".into())], [Token("Applebot".into())]);
        let words = Words::new(&[(Kinds::AI_CRAWLER, &long), (Kinds::BROWSER_LIKE, &short)]).unwrap();
        let kinds = words.kinds(b"Applebot-Extended/1.0");
        assert!(kinds.has(Kinds::AI_CRAWLER) && kinds.has(Kinds::BROWSER_LIKE));
    }

    #[test]
    fn a_word_with_a_slash_at_its_end_needs_no_boundary_after_it() {
        assert!(words(&["Chrome/"]).kinds(b"Chrome/149").has(Kinds::AI_CRAWLER));
    }

    #[test]
    fn a_name_that_would_be_everywhere_is_refused() {
        assert!(Token::try_from(String::new()).is_err() && Token::try_from("a".to_owned()).is_err());
    }
}
