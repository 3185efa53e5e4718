//! The list: all entries, in the order to find them by.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::rule::{Argument, Entry, Network, Rule, TextRule, folded};
use crate::table::{MAX_ROWS, Table, Value};

/// The time in seconds since 1970, as entries have it.
pub fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// A request, as far as rules look at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The client's address.
    pub src: Option<IpAddr>,
    /// A text for each of [`Argument::ALL`].
    pub texts: [Option<&'a [u8]>; Argument::ALL.len()],
}

/// The entries in use. It does not change: a [`Draft`] makes the next one.
///
/// A network of IPv4 takes 20.2 bytes, one of IPv6 32.3, whatever its reason: a reason is kept once for all that have it.
#[derive(Clone, Debug, Default)]
pub struct List {
    v4: Table<Network<4>>,
    v6: Table<Network<16>>,
    texts: [Table<TextRule>; Argument::ALL.len()],
    reasons: Vec<Arc<str>>,
}

impl List {
    /// What the list says of a request, if anything.
    ///
    /// Of all rules for one argument the most specific one that has not expired counts: the longest network or prefix, and
    /// an exact text before prefixes. If those of several arguments hold, one that allows counts before those that
    /// block.
    pub fn check(&self, request: &Request<'_>, now: u32) -> Option<Entry<'_>> {
        let by_address = request.src.and_then(|src| match folded(src) {
            Ok(address) => self.v4.find(&address.octets(), now),
            Err(address) => self.v6.find(&address.octets(), now),
        });
        let texts = self.texts.iter().zip(request.texts);
        let by_text = texts.filter_map(|(table, text)| table.find(text?, now));
        let mut found: Option<Value> = None;
        for value in by_address.into_iter().chain(by_text) {
            if value.allow() {
                found = Some(value);
                break;
            }
            found = found.or(Some(value));
        }
        let value = found?;
        let reason = self.reasons.get(value.reason() as usize).map_or("", |reason| reason);
        Some(Entry { allow: value.allow(), until: value.until, reason })
    }

    /// How many entries there are, expired ones among them.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.texts.iter().map(Table::len).sum::<usize>()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        let tables = self.v4.bytes() + self.v6.bytes() + self.texts.iter().map(Table::bytes).sum::<usize>();
        let texts = self.texts.iter().flat_map(Table::keys).map(TextRule::bytes).sum::<usize>();
        let reasons = self.reasons.iter().map(|reason| size_of::<Arc<str>>() + reason.len()).sum::<usize>();
        tables + texts + reasons
    }
}

/// Changes of a list.
#[derive(Debug)]
pub struct Draft {
    v4: Vec<(Network<4>, Option<Value>)>,
    v6: Vec<(Network<16>, Option<Value>)>,
    texts: [Vec<(TextRule, Option<Value>)>; Argument::ALL.len()],
    reasons: Reasons,
    /// How many more entries are taken.
    capacity: usize,
    refused: usize,
}

impl Draft {
    /// Changes of `list`, which shall have at most `max_entries` then.
    pub fn new(list: &List, max_entries: usize) -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            texts: Default::default(),
            reasons: Reasons::default(),
            capacity: max_entries.min(MAX_ROWS).saturating_sub(list.len()),
            refused: 0,
        }
    }

    /// Adds an entry, or replaces the one of the same rule. When the list is full it is refused, and counted.
    pub fn set(&mut self, rule: Rule, entry: Entry<'_>) {
        let Some(capacity) = self.capacity.checked_sub(1) else {
            self.refused += 1;
            return;
        };
        self.capacity = capacity;
        let value = Value::new(entry.allow, self.reasons.number(entry.reason), entry.until);
        self.push(rule, Some(value));
    }

    /// Removes the entry of a rule, if there is one.
    pub fn remove(&mut self, rule: Rule) {
        self.push(rule, None);
    }

    /// How many entries were refused.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// `list` with the changes, and without what has expired: a walk over all of it, some 20 ms for a million entries.
    pub fn apply_to(self, list: &List, now: u32) -> List {
        let Self { v4, v6, texts, mut reasons, .. } = self;
        let mut numbers = vec![None; list.reasons.len()];
        // Only those that are still in use come along.
        let mut renumber = |old: u32| {
            let Some(number) = numbers.get_mut(old as usize) else { return reasons.number("") };
            *number.get_or_insert_with(|| reasons.number(&list.reasons[old as usize]))
        };
        let v4 = list.v4.changed(v4, now, &mut renumber);
        let v6 = list.v6.changed(v6, now, &mut renumber);
        let mut texts = texts.into_iter();
        let texts = list
            .texts
            .each_ref()
            .map(|table| table.changed(texts.next().unwrap_or_default(), now, &mut renumber));
        List { v4, v6, texts, reasons: reasons.texts }
    }

    fn push(&mut self, rule: Rule, value: Option<Value>) {
        match rule {
            Rule::V4(network) => self.v4.push((network, value)),
            Rule::V6(network) => self.v6.push((network, value)),
            Rule::Text(argument, rule) => self.texts[argument as usize].push((rule, value)),
        }
    }
}

/// Reasons, each of them once.
#[derive(Debug, Default)]
struct Reasons {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Reasons {
    fn number(&mut self, reason: &str) -> u32 {
        if let Some(&number) = self.numbers.get(reason) {
            return number;
        }
        let (text, number) = (Arc::<str>::from(reason), self.texts.len() as u32);
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }
}

#[cfg(test)]
mod tests;
