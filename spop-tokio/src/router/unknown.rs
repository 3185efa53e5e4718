//! Messages that nobody handles.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use spop::Text;

use crate::log::{Name, debug, warning};

/// The names that were warned about.
#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<HashSet<Box<[u8]>>>);

/// So many names are enough: a peer out to do harm has no end of them.
const MAX_NAMES: usize = 16;
/// And so much of each.
const MAX_LEN: usize = 64;

impl Unknown {
    /// Warns about the first message of this name.
    #[cold]
    pub(super) fn warn<'a>(&self, name: Text<'_>, known: impl Iterator<Item = &'a str>) {
        let name = name.as_bytes();
        let (known_by, shown) = (&name[..name.len().min(MAX_LEN)], Name(name));
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = names.len() < MAX_NAMES && !names.contains(known_by) && names.insert(known_by.into());
        drop(names);
        // Another peer than HAProxy may send anything, which has no place in a log.
        let is_haproxys = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte));
        if is_new && is_haproxys {
            let known = known.collect::<Vec<_>>().join(", ");
            warning!(name = %shown, handlers = %known, "message without a handler is ignored");
        } else {
            debug!(name = %shown, "message without a handler");
        }
    }
}
