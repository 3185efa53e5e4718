//! A sorted table of rules, in which the most specific one that covers something is found.
//!
//! The rules of one table are nested or apart, never across each other: networks are, and so are prefixes of texts. In
//! the right order (what encloses comes before what it encloses) the last rule that does not come after the thing
//! looked for, or one of those that enclose that rule, is the most specific one that covers it. So a look-up is one
//! binary search and then a short walk outwards, and a row costs a key and twelve bytes.

/// A rule that covers some of what is looked up.
pub(crate) trait Key: Ord + Clone {
    /// What is looked up.
    type Query: ?Sized;

    /// True unless the rule comes after `query` in the order of the table.
    fn starts_by(&self, query: &Self::Query) -> bool;

    /// True if the rule holds for `query`.
    fn covers(&self, query: &Self::Query) -> bool;

    /// True if this rule holds for all that `other` holds for.
    fn encloses(&self, other: &Self) -> bool;
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// In seconds since 1970: from then on the rule no longer holds.
    pub(crate) until: u32,
    what: u32,
}

const ALLOW: u32 = 1 << 31;

impl Value {
    pub(crate) fn new(allow: bool, reason: u32, until: u32) -> Self {
        Self { until, what: reason | if allow { ALLOW } else { 0 } }
    }

    pub(crate) fn allow(self) -> bool {
        self.what & ALLOW != 0
    }

    /// The number of the reason.
    pub(crate) fn reason(self) -> u32 {
        self.what & !ALLOW
    }
}

#[derive(Clone, Debug)]
struct Row<K> {
    key: K,
    value: Value,
    /// The closest row that encloses this one.
    outer: u32,
}

const NONE: u32 = u32::MAX;

/// More rows than this cannot be numbered.
pub(crate) const MAX_ROWS: usize = (ALLOW - 1) as usize;

/// A search begins in the first keys of all blocks, which stay in the processor's cache, and ends in the rows of one.
const BLOCK: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Table<K> {
    rows: Vec<Row<K>>,
    heads: Vec<K>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { rows: Vec::new(), heads: Vec::new() }
    }
}

impl<K: Key> Table<K> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory, without what keys own.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row<K>>() + self.heads.capacity() * size_of::<K>()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.rows.iter().map(|row| &row.key)
    }

    /// The most specific rule that covers `query` and has not expired.
    pub(crate) fn find(&self, query: &K::Query, now: u32) -> Option<Value> {
        let block = self.heads.partition_point(|head| head.starts_by(query)).checked_sub(1)? * BLOCK;
        let rows = self.rows.get(block..self.rows.len().min(block + BLOCK))?;
        let mut at = block + rows.partition_point(|row| row.key.starts_by(query)).checked_sub(1)?;
        loop {
            let row = self.rows.get(at)?;
            if row.value.until > now && row.key.covers(query) {
                return Some(row.value);
            }
            at = row.outer as usize;
        }
    }

    /// This table with `changes`: a rule is added, replaced, or removed by `None`. Of several changes of a rule the last
    /// one counts. Rules that have expired are left out. Reasons of this table get the number that `reason` says.
    pub(crate) fn changed(
        &self,
        mut changes: Vec<(K, Option<Value>)>,
        now: u32,
        reason: impl FnMut(u32) -> u32,
    ) -> Self {
        // Stable: the last one of a rule stays the last one.
        changes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let rows = Vec::with_capacity(self.len() + changes.len());
        let mut rows = Rows { rows, open: Vec::new(), now, reason };
        let mut old = self.rows.iter().peekable();
        let mut changes = changes.into_iter().peekable();
        while let Some((key, value)) = changes.next() {
            if changes.peek().is_some_and(|(next, _)| *next == key) {
                continue;
            }
            while let Some(row) = old.next_if(|row| row.key < key) {
                rows.keep(row);
            }
            old.next_if(|row| row.key == key);
            if let Some(value) = value {
                rows.push(key, value);
            }
        }
        old.for_each(|row| rows.keep(row));
        let mut rows = rows.rows;
        rows.shrink_to_fit();
        let heads = rows.iter().step_by(BLOCK).map(|row| row.key.clone()).collect();
        Self { rows, heads }
    }
}

/// Rows that come in order, and those of them that may enclose the next one, the closest last.
struct Rows<K, R> {
    rows: Vec<Row<K>>,
    open: Vec<u32>,
    now: u32,
    reason: R,
}

impl<K: Key, R: FnMut(u32) -> u32> Rows<K, R> {
    fn keep(&mut self, row: &Row<K>) {
        if row.value.until > self.now {
            let reason = (self.reason)(row.value.reason());
            self.push(row.key.clone(), Value::new(row.value.allow(), reason, row.value.until));
        }
    }

    fn push(&mut self, key: K, value: Value) {
        if value.until <= self.now {
            return;
        }
        while self.open.pop_if(|outer| !self.rows[*outer as usize].key.encloses(&key)).is_some() {}
        let outer = self.open.last().copied().unwrap_or(NONE);
        // It fits: a draft takes no more than `MAX_ROWS`.
        self.open.push(self.rows.len() as u32);
        self.rows.push(Row { key, value, outer });
    }
}
