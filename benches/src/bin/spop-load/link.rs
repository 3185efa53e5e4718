//! One connection to the agent.

use std::io::{self, ErrorKind};
use std::time::Instant;

use benches::cli::Error;
use bytes::{Buf, BytesMut};
use mio::{Interest, Registry, Token};
use spop::haproxy::{Config, Connection, Engine, Event};
use spop::{Ack, Action, Flags, NotifyId, UsageError};

use crate::args::Args;
use crate::stream::{Blocking, Stream};

/// Capacity for a burst of answers.
pub(crate) const ROOM: usize = 64 * 1024;

/// One connection to the agent: it never blocks once it is connected.
pub(crate) struct Link {
    stream: Stream,
    connection: Connection,
    input: BytesMut,
    out: BytesMut,
    due: Due,
    /// Where to look for answers, and on what to complain.
    pub(crate) token: Token,
    /// Whether it is on the list of those that have something to write.
    pub(crate) dirty: bool,
}

/// When each request that waits was due. Ids count up, so they lead to a place without a search.
struct Due {
    slots: Vec<(u64, Option<Instant>)>,
}

impl Due {
    /// Answers may come in any order: leave space for a straggler.
    fn new(depth: usize) -> Self {
        Self { slots: vec![(0, None); (depth * 8).next_power_of_two()] }
    }

    fn slot(&mut self, stream_id: u64) -> &mut (u64, Option<Instant>) {
        let mask = self.slots.len() - 1;
        &mut self.slots[(stream_id / 2) as usize & mask]
    }
}

/// What an ACK must be.
pub(crate) struct Expected<'a> {
    pub(crate) action: Option<&'a str>,
}

impl Expected<'_> {
    fn check<B: AsRef<[u8]>>(&self, ack: &Ack<B>) -> Result<(), String> {
        if ack.flags() != Flags::FIN {
            return Err(format!("wrong ACK to {}: flags {:#x}, want FIN alone", ack.id(), ack.flags().0));
        }
        let Some(want) = self.action else { return Ok(()) };
        let set = |action: Action<'_>| matches!(action, Action::SetVar { name, .. } if name == want);
        if ack.actions().any(set) {
            return Ok(());
        }
        let found: Vec<_> = ack.actions().map(|action| format!("{action:?}")).collect();
        Err(format!("wrong ACK to {}: it does not set {want} but has {found:?}", ack.id()))
    }
}

impl Link {
    /// Connects and exchanges the HELLOs.
    pub(crate) fn connect(args: &Args, token: Token) -> Result<Self, Error> {
        let config = Config::new(Engine::Mux).max_waiting_frames(args.depth);
        let mut connection = Connection::new(config);
        let (mut input, mut out) = (BytesMut::with_capacity(ROOM), BytesMut::with_capacity(ROOM));
        connection.hello(&mut out)?;
        let stream = Blocking::connect(&args.address, args.timeout);
        let mut stream = stream.map_err(|error| explain(args, "cannot connect", &error))?;
        stream.write_all(&out).map_err(|error| explain(args, "HELLO cannot be sent", &error))?;
        out.clear();
        let mut room = [0; 4096];
        loop {
            match connection.handle_input(&mut input, &mut out)? {
                Some(Event::Connected(_)) => break,
                Some(Event::Disconnected(disconnect)) => {
                    let (status, why) = (disconnect.status, disconnect.message().to_string());
                    return Err(format!("{} rejects the HELLO: status {status}: {why}", args.address).into());
                }
                Some(_) => {}
                None => match stream.read(&mut room) {
                    Ok(0) => {
                        return Err(format!("{} closes the connection at the HELLO", args.address).into());
                    }
                    Ok(read) => input.extend_from_slice(&room[..read]),
                    Err(error) => return Err(explain(args, "no answer to the HELLO", &error)),
                },
            }
        }
        let (due, stream) = (Due::new(args.depth), stream.into_nonblocking()?);
        Ok(Self { stream, connection, input, out, due, token, dirty: false })
    }

    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        let token = self.token;
        self.stream.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Writes a NOTIFY that was due at `due`; `false` if as many wait as may. [`flush`](Self::flush) sends it.
    #[inline]
    pub(crate) fn notify(&mut self, payload: &[u8], due: Instant) -> Result<bool, Error> {
        let mut notify = match self.connection.notify(&mut self.out) {
            Ok(notify) => notify,
            Err(UsageError::WindowFull) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let slot = self.due.slot(notify.id().stream_id);
        if slot.1.is_some() {
            // One that was sent long ago still waits: dropping the writer takes the frame back.
            return Ok(false);
        }
        *slot = (notify.id().stream_id, Some(due));
        notify.payload(payload)?;
        notify.finish();
        Ok(true)
    }

    /// Sends what there is, as far as the socket takes it.
    #[inline]
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.lost(&error.to_string())),
            }
        }
        // All of it is free now; without this the buffer would move on to new memory bit by bit.
        self.out.clear();
        Ok(())
    }

    /// Reads one burst into `room` and calls `each` with the time at which each answered request was due; returns
    /// whether there may be more to read.
    #[inline]
    pub(crate) fn read(
        &mut self,
        room: &mut [u8],
        expected: &Expected<'_>,
        mut each: impl FnMut(Instant),
    ) -> Result<bool, Error> {
        let read = match self.stream.read(room) {
            Ok(0) => {
                self.connection.handle_eof(&self.input)?;
                return Err(self.lost("closed by the agent"));
            }
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(self.lost(&error.to_string())),
        };
        self.input.extend_from_slice(&room[..read]);
        while let Some(event) = self.connection.handle_input(&mut self.input, &mut self.out)? {
            match event {
                Event::Ack(ack) => {
                    expected.check(&ack)?;
                    each(self.answered(ack.id())?);
                }
                Event::LateAck(ack) => return Err(format!("a second ACK to {}", ack.id()).into()),
                Event::Disconnected(disconnect) => {
                    let (status, why) = (disconnect.status, disconnect.message().to_string());
                    return Err(self.lost(&format!("AGENT-DISCONNECT, status {status}: {why}")));
                }
                _ => {}
            }
        }
        Ok(read == room.len())
    }

    #[inline]
    fn answered(&mut self, id: NotifyId) -> Result<Instant, Error> {
        let slot = self.due.slot(id.stream_id);
        let due = if slot.0 == id.stream_id { slot.1.take() } else { None };
        due.ok_or_else(|| format!("an ACK to {id}, which does not wait for one").into())
    }

    /// How many requests wait for an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.connection.in_flight()
    }

    fn lost(&self, why: &str) -> Error {
        let (number, waiting) = (self.token.0, self.in_flight());
        format!("connection {number} lost with {waiting} unanswered: {why}").into()
    }
}

fn explain(args: &Args, what: &str, error: &io::Error) -> Error {
    let why = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("silent for {:?}", args.timeout),
        _ => error.to_string(),
    };
    format!("{}: {what}: {why}", args.address).into()
}
