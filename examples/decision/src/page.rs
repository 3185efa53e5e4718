//! Garbage: a page for every URL, the same at every visit, with links to more of them.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Our own text, which the chain is made of.
const PROSE: &str = include_str!("prose.txt");

/// The most characters that a link's words have.
const MAX_SLUG: usize = 60;

/// A Markov chain of order 2: which words follow two others. A state is a pair of words, by its number.
struct Chain {
    /// The second word of each pair.
    words: Vec<&'static str>,
    /// The pairs that can follow each pair; none is empty, as the text's end goes on at its beginning.
    nexts: Vec<Vec<u16>>,
    /// The pairs that a sentence starts with.
    starts: Vec<u16>,
}

impl Chain {
    fn new(text: &'static str) -> Self {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let mut chain = Self { words: Vec::new(), nexts: Vec::new(), starts: Vec::new() };
        let mut numbers = HashMap::new();
        let pair = |index: usize| (words[index % words.len()], words[(index + 1) % words.len()]);
        let pairs: Vec<u16> = (0..words.len())
            .map(|index| {
                *numbers.entry(pair(index)).or_insert_with(|| {
                    chain.words.push(pair(index).1);
                    chain.nexts.push(Vec::new());
                    // The text is far from this many words.
                    (chain.words.len() - 1).try_into().unwrap_or(u16::MAX)
                })
            })
            .collect();
        for (index, number) in pairs.iter().enumerate() {
            let next = pairs[(index + 1) % pairs.len()];
            chain.nexts[usize::from(*number)].push(next);
            if pair(index).0.ends_with('.') {
                chain.starts.push(*number);
            }
        }
        chain
    }
}

/// Generates pages.
pub struct Pages {
    chain: Chain,
    poison: String,
    max_depth: u32,
}

/// Where a page is: nothing else makes a difference to it.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// The header Host.
    pub host: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, empty if there is none.
    pub query: &'a str,
}

impl Pages {
    /// `poison` marks the links, and goes into the pages' choice of words; `max_depth` is how many links can be
    /// followed one after the other, until a page has none: 0 for no links at all.
    pub fn new(poison: String, max_depth: u32) -> Self {
        Self { chain: Chain::new(PROSE), poison, max_depth }
    }

    /// The page at `location`, as HTML of 1 to 4 KB.
    pub fn render(&self, location: Location<'_>) -> String {
        let mut dice = Dice::new(&[&self.poison, location.host, location.path, location.query]);
        let mut page = String::with_capacity(4096);
        page.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
        let title = self.sentence(&mut dice, 2, 8);
        let title = title.trim_end_matches('.');
        let _ = write!(page, "{title}</title></head><body><h1>{title}</h1>");
        for _ in 0..dice.between(1, 5) {
            page.push_str("<p>");
            for _ in 0..dice.between(1, 5) {
                page.push_str(&self.sentence(&mut dice, 5, 20));
                page.push(' ');
            }
            page.push_str("</p>");
        }
        let depth = self.depth(location.path);
        if depth < self.max_depth {
            page.push_str("<ul>");
            for _ in 0..dice.between(1, 8) {
                let text = self.sentence(&mut dice, 2, 5);
                let text = text.trim_end_matches('.');
                let _ = write!(
                    page,
                    "<li><a href=\"/{}/{}/{}/\">{text}</a></li>",
                    self.poison,
                    depth + 1,
                    slug(text)
                );
            }
            page.push_str("</ul>");
        }
        page.push_str("</body></html>\n");
        page
    }

    /// How many links lead to `path`: what stands behind the poison in ours, and 0 elsewhere.
    fn depth(&self, path: &str) -> u32 {
        let mut segments = path.split('/').skip_while(|segment| *segment != self.poison).skip(1);
        // A number that is too big, or none, is no link of ours: it leads nowhere.
        segments.next().map_or(0, |depth| depth.parse().unwrap_or(u32::MAX))
    }

    /// Words with a capital at the start and a full stop at the end, at least `min` and about `max`.
    fn sentence(&self, dice: &mut Dice, min: usize, max: usize) -> String {
        let mut pair = *dice.one_of(&self.chain.starts);
        let mut text = String::with_capacity(128);
        for count in 1..=max {
            let word = self.chain.words[usize::from(pair)];
            text.push_str(word);
            if count == max || (count >= min && word.ends_with('.')) {
                break;
            }
            text.push(' ');
            pair = *dice.one_of(&self.chain.nexts[usize::from(pair)]);
        }
        text.truncate(text.trim_end_matches([' ', ',', '.', ':', ';']).len());
        text.push('.');
        // All words are ASCII, see the tests.
        text[..1].make_ascii_uppercase();
        text
    }
}

/// Words as a part of a path.
fn slug(text: &str) -> String {
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    slug.truncate(MAX_SLUG);
    slug
}

/// Numbers that look like chance, the same for the same texts in every version: SplitMix64, over a FNV-1a hash.
struct Dice(u64);

impl Dice {
    fn new(texts: &[&str]) -> Self {
        // The byte between them is in no text.
        let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xff]));
        Self(
            bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            }),
        )
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[(self.roll() % of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        Pages::new("a1b2c3d4".into(), 10)
    }

    fn page(host: &str, path: &str, query: &str) -> String {
        pages().render(Location { host, path, query })
    }

    #[test]
    fn a_url_has_the_same_page_always_and_another_url_another() {
        let one = page("example.org", "/a", "");
        assert_eq!(one, page("example.org", "/a", ""));
        for other in
            [page("example.com", "/a", ""), page("example.org", "/b", ""), page("example.org", "/a", "q")]
        {
            assert_ne!(one, other);
        }
        let elsewhere = Pages::new("other".into(), 10);
        assert_ne!(one, elsewhere.render(Location { host: "example.org", path: "/a", query: "" }));
    }

    #[test]
    fn links_lead_deeper_to_the_end_and_stay_short() {
        let (mut path, mut depth) = ("/start".to_owned(), 0);
        loop {
            let page = page("example.org", &path, "");
            let Some((_, link)) = page.split_once("<a href=\"") else { break };
            path = link.split_once('"').unwrap().0.to_owned();
            depth += 1;
            assert!(path.starts_with(&format!("/a1b2c3d4/{depth}/")) && path.len() < 100, "{path}");
        }
        assert_eq!(depth, 10);
    }

    #[test]
    fn a_depth_that_is_none_of_ours_ends_it() {
        for path in ["/a1b2c3d4/10/x/", "/a1b2c3d4/99999999999/x/", "/a1b2c3d4/-1/", "/a1b2c3d4/"] {
            assert!(!page("", path, "").contains("<a "), "{path}");
        }
        assert!(page("", "/elsewhere/10/x", "").contains("<a "));
    }

    #[test]
    fn nothing_of_the_request_is_in_the_page() {
        let page = page("<script>", "/<b>&\"'", "<i>");
        assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains("<i>"));
    }

    #[test]
    fn pages_are_of_a_natural_size() {
        let mut sizes: Vec<_> = (0..200).map(|n| page("h", &format!("/{n}"), "").len()).collect();
        sizes.sort_unstable();
        assert!(sizes[0] > 200 && sizes[100] > 900 && sizes[199] < 8000, "{sizes:?}");
    }

    #[test]
    fn the_text_needs_no_escaping_and_gives_the_chain_a_choice() {
        assert!(
            PROSE.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b' ' | b'\n' | b'.' | b','))
        );
        let chain = Chain::new(PROSE);
        let choices = chain.nexts.iter().filter(|nexts| nexts.len() > 1).count();
        assert!(chain.starts.len() > 50 && choices > 100, "{} {choices}", chain.starts.len());
    }
}
