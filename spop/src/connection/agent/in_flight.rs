use alloc::vec::Vec;

use super::Ticket;
use crate::wire::NotifyId;

/// The NOTIFYs that wait for their ACK.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// A few dozen at most, most often one: a search beats a hash.
    entries: Vec<Entry>,
    next_serial: u32,
}

/// Ids alone do not do: HAProxy up to 3.0 uses those of a NOTIFY again that it gave up (wire pitfall P8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: NotifyId,
    serial: u32,
}

impl InFlight {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), next_serial: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a NOTIFY, and returns the right to answer it.
    #[inline]
    pub(super) fn add(&mut self, id: NotifyId) -> Ticket {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        self.entries.push(Entry { id, serial });
        Ticket { id, serial }
    }

    /// Returns where the NOTIFY of `ticket` is, unless HAProxy gave it up.
    #[inline]
    pub(super) fn position(&self, ticket: &Ticket) -> Option<usize> {
        let &Ticket { id, serial } = ticket;
        self.entries.iter().position(|&entry| entry == Entry { id, serial })
    }

    #[inline]
    pub(super) fn remove(&mut self, position: usize) {
        self.entries.swap_remove(position);
    }

    /// Removes the NOTIFY `id`; returns whether there was one.
    #[inline]
    pub(super) fn give_up(&mut self, id: NotifyId) -> bool {
        let at = self.entries.iter().position(|entry| entry.id == id);
        at.map(|at| self.entries.swap_remove(at)).is_some()
    }

    /// Removes any NOTIFY, if there is one.
    pub(super) fn give_up_any(&mut self) -> Option<NotifyId> {
        self.entries.pop().map(|entry| entry.id)
    }
}
