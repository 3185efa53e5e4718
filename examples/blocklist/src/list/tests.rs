use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::rule::{self, NEVER};

const NOW: u32 = 1000;

fn list(lines: &[&str]) -> List {
    let mut draft = Draft::new(&List::default(), usize::MAX);
    lines.iter().for_each(|line| add(&mut draft, line));
    draft.apply_to(&List::default(), 0)
}

fn add(draft: &mut Draft, line: &str) {
    let (rule, entry) = rule::parse(line).unwrap().unwrap();
    draft.set(rule, entry);
}

fn src(address: &str) -> Request<'static> {
    Request { src: Some(address.parse().unwrap()), ..Request::default() }
}

fn with(argument: Argument, text: &str) -> Request<'_> {
    let mut request = Request::default();
    request.texts[argument as usize] = Some(text.as_bytes());
    request
}

/// The reason; `-` in front of it if it allows.
fn reason(list: &List, request: Request<'_>) -> Option<String> {
    let entry = list.check(&request, NOW)?;
    Some(format!("{}{}", if entry.allow { "-" } else { "" }, entry.reason))
}

#[test]
fn the_longest_network_counts() {
    let list = list(&[
        "10.0.0.0/8 # eight",
        "10.1.0.0/16 # sixteen",
        "allow 10.1.2.0/24 # office",
        "10.1.2.3 # one",
        "2001:db8::/32 # thirty-two",
        "2001:db8::1 # one of six",
    ]);
    for (address, want) in [
        ("10.9.9.9", Some("eight")),
        ("10.255.255.255", Some("eight")),
        ("10.1.3.0", Some("sixteen")),
        ("10.1.2.4", Some("-office")),
        ("10.1.2.3", Some("one")),
        ("11.0.0.0", None),
        ("9.255.255.255", None),
        ("::ffff:10.1.2.3", Some("one")),
        ("2001:db8::1", Some("one of six")),
        ("2001:db8:ffff::", Some("thirty-two")),
        ("2001:db9::", None),
        ("::", None),
    ] {
        assert_eq!(reason(&list, src(address)).as_deref(), want, "{address}");
    }
}

#[test]
fn an_exact_text_counts_before_prefixes_and_the_longest_of_those() {
    let list = list(&["path^=/a # a", "path^=/a/b # b", "path=/a/b # exact", "host=x.example # host"]);
    for (path, want) in [
        ("/a", Some("a")),
        ("/a/b", Some("exact")),
        ("/a/bc", Some("b")),
        ("/a/c", Some("a")),
        ("/A", None),
        ("/", None),
        ("", None),
    ] {
        assert_eq!(reason(&list, with(Argument::Path, path)).as_deref(), want, "{path}");
    }
    assert_eq!(reason(&list, with(Argument::Method, "/a")), None, "a rule is for one argument");
    assert_eq!(reason(&list, with(Argument::Host, "x.example")).as_deref(), Some("host"));
}

#[test]
fn an_expired_entry_uncovers_the_one_around_it() {
    let list = list(&[
        "10.0.0.0/8 # always",
        "10.0.0.1 until=1000 # over",
        "10.0.0.2 until=1001 # not yet",
        "path=/x until=999",
    ]);
    assert_eq!(reason(&list, src("10.0.0.1")).as_deref(), Some("always"));
    assert_eq!(reason(&list, src("10.0.0.2")).as_deref(), Some("not yet"));
    assert_eq!(reason(&list, with(Argument::Path, "/x")), None);
    assert_eq!(list.len(), 4);
    assert_eq!(Draft::new(&list, 9).apply_to(&list, NOW).len(), 2, "the next list is without them");
}

#[test]
fn an_entry_of_another_argument_that_allows_counts_before_one_that_blocks() {
    let list = list(&["10.0.0.0/8 # ten", "allow path=/robots.txt # all may", "method=TRACE # trace"]);
    let mut request = src("10.0.0.1");
    assert_eq!(reason(&list, request).as_deref(), Some("ten"));
    request.texts[Argument::Method as usize] = Some(b"TRACE");
    assert_eq!(reason(&list, request).as_deref(), Some("ten"), "the first one that blocks");
    request.texts[Argument::Path as usize] = Some(b"/robots.txt");
    assert_eq!(reason(&list, request).as_deref(), Some("-all may"));
}

#[test]
fn changes_add_replace_and_remove_and_the_last_one_of_a_rule_counts() {
    let old = list(&["10.0.0.1 # old", "10.0.0.2 # stays", "10.0.0.3 # goes"]);
    let mut draft = Draft::new(&old, 10);
    add(&mut draft, "10.0.0.1 # newer");
    add(&mut draft, "10.0.0.1 # new");
    draft.remove("10.0.0.3".parse().unwrap());
    draft.remove("10.0.0.9".parse().unwrap());
    draft.remove("10.0.0.4".parse().unwrap());
    add(&mut draft, "10.0.0.4 # back");
    let new = draft.apply_to(&old, NOW);
    let said = ["1", "2", "3", "4"].map(|last| reason(&new, src(&format!("10.0.0.{last}"))));
    assert_eq!(said.each_ref().map(Option::as_deref), [Some("new"), Some("stays"), None, Some("back")]);
    let reasons = Draft::new(&new, 10).apply_to(&new, NOW).reasons;
    assert_eq!(reasons.len(), 3, "reasons that nobody has are forgotten: {reasons:?}");
}

#[test]
fn a_full_list_refuses_entries_and_counts_them() {
    let old = list(&["10.0.0.1"]);
    let mut draft = Draft::new(&old, 2);
    ["10.0.0.2", "10.0.0.3", "10.0.0.4"].iter().for_each(|line| add(&mut draft, line));
    assert_eq!(draft.refused(), 2);
    assert_eq!(draft.apply_to(&old, NOW).len(), 2);
}

#[test]
fn an_entry_costs_what_the_docs_say() {
    let lines: Vec<_> = (0..1000_u32).map(|n| format!("{} # spam", Ipv4Addr::from_bits(n))).collect();
    assert!(list(&lines.iter().map(String::as_str).collect::<Vec<_>>()).bytes() <= 20_200 + 100);
    let address = |n| Ipv6Addr::from_bits((n << 64) | (1_u128 << 127));
    let lines: Vec<_> = (0..1000_u128).map(|n| format!("{} # spam", address(n))).collect();
    assert!(list(&lines.iter().map(String::as_str).collect::<Vec<_>>()).bytes() <= 32_300 + 100);
}

/// Few different bits, so that networks nest.
fn network() -> impl Strategy<Value = ([u8; 4], u8, u32)> {
    (any::<u32>(), 0..=32_u8, prop_oneof![Just(NEVER), Just(NOW), Just(NOW + 1)]).prop_map(
        |(bits, len, until)| {
            let bits = bits & 0x8181_0101;
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            ((bits & mask).to_be_bytes(), len, until)
        },
    )
}

proptest! {
    #[test]
    fn the_table_says_what_a_linear_scan_says(
        first in proptest::collection::vec(network(), 0..60),
        then in proptest::collection::vec((network(), any::<bool>()), 0..30),
        query in any::<u32>(),
    ) {
        let query = (query & 0x8181_0101).to_be_bytes();
        let rule = |address, len| Rule::V4(Network::new(address, len).unwrap());
        let mut plain = std::collections::BTreeMap::new();
        let mut draft = Draft::new(&List::default(), usize::MAX);
        for &(address, len, until) in &first {
            draft.set(rule(address, len), Entry { allow: false, until, reason: &format!("{address:?}/{len}") });
            plain.insert((address, len), until);
        }
        let list = draft.apply_to(&List::default(), 0);
        let mut draft = Draft::new(&list, usize::MAX);
        for &((address, len, until), set) in &then {
            if set {
                draft.set(rule(address, len), Entry { allow: false, until, reason: &format!("{address:?}/{len}") });
                plain.insert((address, len), until);
            } else {
                draft.remove(rule(address, len));
                plain.remove(&(address, len));
            }
        }
        let list = draft.apply_to(&list, 0);
        let covers = |address: [u8; 4], len: u8| {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            u32::from_be_bytes(query) & mask == u32::from_be_bytes(address)
        };
        let want = plain.iter().filter(|&(&(address, len), &until)| until > NOW && covers(address, len));
        let want = want.max_by_key(|((_, len), _)| *len).map(|((address, len), _)| format!("{address:?}/{len}"));
        let request = Request { src: Some(IpAddr::from(query)), ..Request::default() };
        prop_assert_eq!(reason(&list, request), want);
    }
}
