//! What is measured: the same work, done by each contestant.

mod codec;
mod connection;
mod server;

use std::fmt;

pub use codec::{STRINGS, ack, decode, strings};
pub use connection::{BURSTS, bursts, connection};
pub use server::server;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The hand-written limit: see [`limit`](crate::limit).
    Limit,
    /// The limit, checking all of a frame before it looks at the values, as the library does.
    LimitTwice,
    /// This workspace.
    Ours,
    /// This workspace, the ACK written in place.
    OursInPlace,
    /// The published `spop` 0.13.1; on a socket with `feed` and one flush per burst.
    Peer,
    /// The same, with one `send` per ACK as in its README.
    PeerReadme,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Limit => "limit",
            Self::LimitTwice => "limit-2-pass",
            Self::Ours => "ours",
            Self::OursInPlace => "ours-in-place",
            Self::Peer => "peer",
            Self::PeerReadme => "peer-readme",
        })
    }
}

/// Does the work as often as told.
pub type Work = Box<dyn FnMut(u64)>;

/// One piece of work and those who do it.
pub struct Case {
    /// The part of the library it is about.
    pub group: &'static str,
    /// The profile, and the burst where there is one.
    pub name: String,
    /// How many frames one repetition handles.
    pub frames: u64,
    /// Who does it, and how.
    pub contestants: Vec<(Who, Work)>,
}

impl Case {
    fn new(group: &'static str, name: impl fmt::Display, frames: u64) -> Self {
        Self { group, name: name.to_string(), frames, contestants: Vec::new() }
    }

    /// Adds a contestant that does the work once per call.
    fn add(mut self, who: Who, mut once: impl FnMut() + 'static) -> Self {
        self.contestants.push((
            who,
            Box::new(move |times| {
                for _ in 0..times {
                    once();
                }
            }),
        ));
        self
    }

    /// The contestant `who`, if it takes part.
    pub fn contestant(&mut self, who: Who) -> Option<&mut Work> {
        self.contestants.iter_mut().find(|(found, _)| *found == who).map(|(_, work)| work)
    }
}

/// All cases of pure computation, but for those that only differ in size.
pub fn computed() -> Vec<Case> {
    [decode(), ack(), connection()].into_iter().flatten().collect()
}
