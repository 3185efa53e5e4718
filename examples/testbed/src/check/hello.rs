//! HAPROXY-HELLO frames, as HAProxy sends them, and otherwise.

use spop::FrameType;

use super::wire::{FIN, frame, items, value};

/// HAProxy's default: `tune.bufsize` - 4.
const MAX_FRAME_SIZE: u32 = 16_380;

/// A HAPROXY-HELLO, to be changed item by item.
#[derive(Clone, Debug)]
pub struct Hello {
    items: Vec<(&'static str, Vec<u8>)>,
    /// What it offers as max-frame-size, for judging the answer.
    pub(super) offered: u32,
}

impl Hello {
    /// As HAProxy up to 3.0 sends it.
    pub fn up_to_3_0() -> Self {
        Self::from_3_1().with("capabilities", value::string("pipelining,async"))
    }

    /// As HAProxy from 3.1 on sends it.
    pub fn from_3_1() -> Self {
        let items = vec![
            ("supported-versions", value::string("2.0")),
            ("max-frame-size", value::uint32(MAX_FRAME_SIZE)),
            ("capabilities", value::string("pipelining")),
            ("engine-id", value::string("7b9c1d52-3f0e-4a66-9c2b-0d6f4c1e8a35")),
        ];
        Self { items, offered: MAX_FRAME_SIZE }
    }

    /// As HAProxy sends it for `option spop-check`, byte for byte.
    pub fn health_check() -> Self {
        Self::from_3_1()
            .with("capabilities", value::string(""))
            .without("engine-id")
            .with("healthcheck", value::boolean(true))
    }

    /// Sets an item, or adds it at the end.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        match self.items.iter_mut().find(|item| item.0 == name) {
            Some(item) => item.1 = value,
            None => self.items.push((name, value)),
        }
        self
    }

    /// Adds an item at the end, whether it is there already or not.
    #[must_use]
    pub fn and(mut self, name: &'static str, value: Vec<u8>) -> Self {
        self.items.push((name, value));
        self
    }

    /// Leaves an item out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.items.retain(|item| item.0 != name);
        self
    }

    /// Turns the order of the items around.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.items.reverse();
        self
    }

    /// Offers this `max-frame-size`.
    #[must_use]
    pub fn offering(self, max_frame_size: u32) -> Self {
        Self { offered: max_frame_size, ..self.with("max-frame-size", value::uint32(max_frame_size)) }
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        frame(FrameType::HAPROXY_HELLO, FIN, (0, 0), &self.payload())
    }

    /// What follows the frame's header.
    pub fn payload(&self) -> Vec<u8> {
        items(&self.items)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use spop::haproxy::{Config, Connection, Engine};

    use super::*;

    #[test]
    fn hellos_are_byte_for_byte_those_of_haproxy() {
        let id = b"7b9c1d52-3f0e-4a66-9c2b-0d6f4c1e8a35";
        for (hello, config) in [
            (Hello::up_to_3_0(), Config::new(Engine::Applet).engine_id(id)),
            (Hello::from_3_1(), Config::new(Engine::Mux).engine_id(id)),
            (Hello::health_check(), Config::new(Engine::Mux).healthcheck(true)),
        ] {
            let mut out = BytesMut::new();
            Connection::new(config).hello(&mut out).unwrap();
            assert_eq!(hello.frame(), out);
        }
    }
}
