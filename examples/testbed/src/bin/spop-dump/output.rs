//! What is shown: one event at a time, whichever thread it comes from.

use std::io::{self, Write};
use std::time::Duration;

use crate::frames::Event;
use crate::source::Sink;
use crate::text::describe;

#[derive(Debug)]
pub(crate) struct Output {
    /// Values are shown whole.
    pub(crate) full: bool,
}

impl Output {
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        // One call, under the lock of stdout.
        let mut stdout = io::stdout().lock();
        stdout.write_all(format!("{text}\n").as_bytes())?;
        stdout.flush()
    }

    pub(crate) fn event(&self, at: Option<Duration>, connection: u32, event: &Event) -> io::Result<()> {
        let text = match event {
            Event::Frame(frame) => describe(frame, self.full),
            Event::Note(text) => format!("-- {text}"),
            Event::End => "-- end".to_owned(),
        };
        match at {
            Some(at) => self.line(&format!("#{connection} {:.6} {text}", at.as_secs_f64())),
            None => self.line(&format!("#{connection} {text}")),
        }
    }
}

impl Sink for &Output {
    fn take(&mut self, at: Option<Duration>, connection: u32, event: Event) -> io::Result<()> {
        self.event(at, connection, &event)
    }
}
