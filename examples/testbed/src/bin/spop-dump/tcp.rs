//! Connections out of TCP segments, each direction in its order.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::frames::{Event, Frames};
use crate::packet::Segment;

/// Connections that are open at a time.
const MAX_CONNECTIONS: usize = 4096;
/// What may be kept of all connections: frames that are not complete, and segments that came too early.
const MAX_KEPT: usize = 64 << 20;
/// Segments of a direction that came too early: more is no reordering, but a gap.
const MAX_EARLY: usize = 256;

/// What there is to tell, of which connection.
pub(crate) type Told = Vec<(u32, Event)>;

#[derive(Default)]
pub(crate) struct Connections {
    open: HashMap<(SocketAddr, SocketAddr), Connection>,
    count: u32,
    kept: usize,
    /// Segments for which there was no room.
    pub(crate) ignored: u64,
}

#[derive(Default)]
struct Connection {
    number: u32,
    /// From the lower address, and from the higher.
    halves: [Half; 2],
}

#[derive(Default)]
struct Half {
    frames: Frames,
    /// The sequence number that is due.
    next: Option<u32>,
    early: Vec<(u32, Vec<u8>)>,
    fin: Option<u32>,
    ended: bool,
}

impl Connections {
    pub(crate) fn segment(&mut self, segment: &Segment<'_>, told: &mut Told) {
        let is_up = segment.from < segment.to;
        let key = if is_up { (segment.from, segment.to) } else { (segment.to, segment.from) };
        if segment.syn && !segment.ack && self.open.get(&key).is_some_and(|old| old.is_other(is_up, segment))
        {
            // The same ports again.
            self.close(key, told);
        }
        if !self.open.contains_key(&key) {
            if !segment.syn && segment.payload.is_empty() {
                return;
            }
            if self.open.len() >= MAX_CONNECTIONS {
                self.ignored += 1;
                return;
            }
            self.count += 1;
            told.push((self.count, Event::Note(format!("{} to {}", segment.from, segment.to))));
            self.open.insert(key, Connection { number: self.count, ..Connection::default() });
        }
        let Some(connection) = self.open.get_mut(&key) else { return };
        let before = connection.kept();
        let number = connection.number;
        let half = &mut connection.halves[usize::from(!is_up)];
        half.segment(segment, &mut |event| told.push((number, event)));
        self.kept = self.kept.saturating_sub(before) + connection.kept();
        if self.kept > MAX_KEPT {
            let half = &mut connection.halves[usize::from(!is_up)];
            self.kept -= half.kept();
            half.early.clear();
            told.push((number, half.frames.lose("too many incomplete frames at a time")));
        }
        if segment.reset || connection.halves.iter().all(|half| half.ended) {
            self.close(key, told);
        }
    }

    fn close(&mut self, key: (SocketAddr, SocketAddr), told: &mut Told) {
        let Some(mut connection) = self.open.remove(&key) else { return };
        self.kept = self.kept.saturating_sub(connection.kept());
        for half in &mut connection.halves {
            if !half.early.is_empty() && !half.frames.is_lost() {
                told.push((connection.number, half.frames.lose("bytes are missing in the capture")));
            }
            told.extend(half.frames.finish().map(|event| (connection.number, event)));
        }
        told.push((connection.number, Event::End));
    }

    /// Ends all that are still open, in their order.
    pub(crate) fn finish(&mut self, told: &mut Told) {
        let mut keys: Vec<_> = self.open.iter().map(|(&key, connection)| (connection.number, key)).collect();
        keys.sort_unstable();
        keys.into_iter().for_each(|(_, key)| self.close(key, told));
    }
}

impl Connection {
    /// True if a SYN is not that of this connection.
    fn is_other(&self, is_up: bool, syn: &Segment<'_>) -> bool {
        let next = self.halves[usize::from(!is_up)].next;
        next.is_some_and(|next| next != syn.sequence.wrapping_add(1))
    }

    fn kept(&self) -> usize {
        self.halves.iter().map(Half::kept).sum()
    }
}

impl Half {
    fn kept(&self) -> usize {
        self.frames.len() + self.early.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    fn segment(&mut self, segment: &Segment<'_>, tell: &mut impl FnMut(Event)) {
        let start = segment.sequence.wrapping_add(u32::from(segment.syn));
        // A capture may start in the middle of a connection.
        let next = *self.next.get_or_insert(start);
        if segment.fin {
            self.fin = Some(end(start, segment.payload.len() + segment.missing));
        }
        if distance(next, start) <= 0 {
            self.take(start, segment.payload, tell);
            if segment.missing > 0 && !self.frames.is_lost() {
                tell(self.frames.lose("packets are cut: capture with a larger snapshot length"));
            }
            while let Some(index) = self.early.iter().position(|&(at, _)| self.is_due(at)) {
                let (at, bytes) = self.early.swap_remove(index);
                self.take(at, &bytes, tell);
            }
        } else if !segment.payload.is_empty() && !self.frames.is_lost() {
            self.early.push((start, segment.payload.to_vec()));
            if self.early.len() > MAX_EARLY {
                self.early.clear();
                tell(self.frames.lose("bytes are missing in the capture"));
            }
        }
        self.ended |= self.fin.is_some() && (self.fin == self.next || self.frames.is_lost());
    }

    fn is_due(&self, at: u32) -> bool {
        self.next.is_some_and(|next| distance(next, at) <= 0)
    }

    /// Takes what is new in `bytes`, which start at or before what is due.
    fn take(&mut self, start: u32, bytes: &[u8], tell: &mut impl FnMut(Event)) {
        let next = self.next.unwrap_or(start);
        let known = next.wrapping_sub(start) as usize;
        let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) else { return };
        self.next = Some(end(next, new.len()));
        self.frames.feed(new);
        while let Some(event) = self.frames.next() {
            tell(event);
        }
    }
}

/// How far `to` is behind `from`, in a space of numbers that has no end.
fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

fn end(start: u32, len: usize) -> u32 {
    // A segment is shorter than 2^32, and the sum wraps.
    start.wrapping_add(u32::try_from(len).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::frames::MAX_FRAME;

    #[test]
    fn what_is_kept_of_all_connections_is_bounded() {
        let (mut connections, mut told) = (Connections::default(), Told::new());
        // An incomplete frame, the longest there is.
        let mut payload = vec![0; MAX_FRAME as usize];
        payload[..4].copy_from_slice(&MAX_FRAME.to_be_bytes());
        for port in 1..=300 {
            let from = (Ipv4Addr::LOCALHOST, port).into();
            connections.segment(&segment(from, &payload), &mut told);
            assert!(connections.kept <= MAX_KEPT);
        }
        let notes =
            told.iter().filter(|(_, event)| matches!(event, Event::Note(text) if text.contains("too many")));
        assert_eq!(notes.count(), 300 - MAX_KEPT / payload.len());
        connections.finish(&mut told);
        assert_eq!(
            (connections.kept, told.iter().filter(|(_, event)| *event == Event::End).count()),
            (0, 300)
        );
    }

    #[test]
    fn connections_above_the_limit_are_counted() {
        let (mut connections, mut told) = (Connections::default(), Told::new());
        for port in (1..).take(MAX_CONNECTIONS + 3) {
            connections.segment(&segment((Ipv4Addr::LOCALHOST, port).into(), b"\0"), &mut told);
        }
        assert_eq!((connections.open.len(), connections.ignored), (MAX_CONNECTIONS, 3));
    }

    fn segment(from: SocketAddr, payload: &[u8]) -> Segment<'_> {
        let to = (Ipv4Addr::LOCALHOST, 60_000).into();
        Segment {
            from,
            to,
            sequence: 1,
            syn: false,
            ack: true,
            fin: false,
            reset: false,
            payload,
            missing: 0,
        }
    }
}
