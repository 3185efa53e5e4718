//! The loop: sends, reads, checks and counts.

use std::time::{Duration, Instant};

use benches::cli::Error;
use benches::process::Process;
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::args::{Args, Length};
use crate::link::{Expected, Link, ROOM};
use crate::progress::Progress;
use crate::report::{Report, Target};
use crate::schedule::Schedule;

/// Latencies are kept to three digits, up to a minute.
const MAX_NANOS: u64 = 60_000_000_000;

/// Connects, warms up, measures, and waits for the last answers.
pub(crate) fn run(args: &Args) -> Result<Report, Error> {
    let mut run = Run::connect(args)?;
    run.drive(&Until::Time(Instant::now() + args.warmup))?;
    run.latencies.reset();
    run.answered = 0;
    let before = Usage::now(args)?;
    let until = match args.length {
        Length::Time(time) => Until::Time(before.at + time),
        Length::Requests(requests) => Until::Answers(requests),
    };
    run.drive(&until)?;
    let (answered, after) = (run.answered, Usage::now(args)?);
    let unsent = run.drain(after.at)?;
    let target = match (args.pid, after.target, before.target) {
        (Some(pid), Some(after), Some(before)) => {
            Some(Target { pid, cpu: after - before, memory: Process(pid).memory()? })
        }
        _ => None,
    };
    Ok(Report {
        time: after.at - before.at,
        answered,
        unsent,
        own_cpu: after.own - before.own,
        latencies: run.latencies,
        target,
    })
}

/// CPU time up to now.
struct Usage {
    at: Instant,
    own: Duration,
    target: Option<Duration>,
}

impl Usage {
    fn now(args: &Args) -> Result<Self, Error> {
        Ok(Self {
            at: Instant::now(),
            own: Process(std::process::id()).cpu()?,
            target: args.pid.map(|pid| Process(pid).cpu()).transpose()?,
        })
    }
}

enum Until {
    Time(Instant),
    Answers(u64),
}

struct Run<'a> {
    args: &'a Args,
    expected: Expected<'a>,
    links: Vec<Link>,
    poll: Poll,
    room: Box<[u8]>,
    /// Open loop: when the next request is due.
    schedule: Option<Schedule>,
    /// Which connection is next in open loop.
    turn: usize,
    latencies: Histogram<u64>,
    answered: u64,
    last_answer: Instant,
    progress: Progress,
}

impl<'a> Run<'a> {
    fn connect(args: &'a Args) -> Result<Self, Error> {
        let poll = Poll::new()?;
        let mut links = Vec::with_capacity(args.connections);
        for index in 0..args.connections {
            let mut link = Link::connect(args, Token(index))?;
            link.register(poll.registry())?;
            links.push(link);
        }
        let now = Instant::now();
        let mut run = Self {
            args,
            expected: Expected { action: args.expect_action.as_deref() },
            links,
            poll,
            room: vec![0; ROOM].into(),
            schedule: args.rate.map(|rate| Schedule::new(now, rate)),
            turn: 0,
            latencies: Histogram::new_with_bounds(1, MAX_NANOS, 3)?,
            answered: 0,
            last_answer: now,
            progress: Progress::new(args, now),
        };
        if run.schedule.is_none() {
            for link in &mut run.links {
                fill(link, args.profile.payload(), now)?;
                link.flush()?;
            }
        }
        Ok(run)
    }

    /// Sends and reads until the end.
    fn drive(&mut self, until: &Until) -> Result<(), Error> {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            match until {
                Until::Time(end) if now >= *end => return Ok(()),
                Until::Answers(answers) if self.answered >= *answers => return Ok(()),
                _ => {}
            }
            let sent_all = self.send_due(now)?;
            self.turn_once(&mut events, self.wait(now, sent_all), true)?;
            self.progress.show(now, self.answered, &self.latencies);
        }
    }

    /// Sends what was due before `end`, and waits for all answers; returns how many requests could not be sent at all.
    fn drain(&mut self, end: Instant) -> Result<u64, Error> {
        let mut events = Events::with_capacity(1024);
        let give_up = end + self.args.timeout;
        loop {
            self.send_due(end)?;
            let unsent = self.schedule.as_ref().map_or(0, |schedule| schedule.due_before(end));
            let waiting = self.links.iter().any(|link| link.in_flight() > 0);
            let late = Instant::now() > give_up;
            if !waiting || (late && unsent > 0) {
                self.progress.end();
                return Ok(unsent);
            }
            self.turn_once(&mut events, Duration::from_millis(10), false)?;
        }
    }

    /// Waits for events and handles them.
    fn turn_once(&mut self, events: &mut Events, wait: Duration, refill: bool) -> Result<(), Error> {
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in events.iter() {
            self.handle(event.token(), refill)?;
        }
        if events.is_empty() { self.check_silence() } else { Ok(()) }
    }

    #[inline]
    fn handle(&mut self, Token(index): Token, refill: bool) -> Result<(), Error> {
        let Self { links, latencies, answered, .. } = self;
        let link = &mut links[index];
        let before = *answered;
        loop {
            // All answers of a burst arrived together: one look at the clock.
            let mut now = None;
            let more = link.read(&mut self.room, &self.expected, |due| {
                let now = *now.get_or_insert_with(Instant::now);
                latencies.saturating_record(now.saturating_duration_since(due).as_nanos() as u64);
                *answered += 1;
            })?;
            if let Some(now) = now {
                self.last_answer = now;
            }
            if !more {
                break;
            }
        }
        if refill && self.schedule.is_none() && *answered > before {
            fill(link, self.args.profile.payload(), self.last_answer)?;
        }
        link.flush()
    }

    /// Open loop: writes all requests due by `now`; `false` if all connections have as many as they may.
    fn send_due(&mut self, now: Instant) -> Result<bool, Error> {
        let Some(schedule) = &mut self.schedule else { return Ok(true) };
        let mut dirty = false;
        let sent_all = loop {
            let due = schedule.next();
            if due > now {
                break true;
            }
            let mut tries = self.links.len();
            let sent = loop {
                let link = &mut self.links[self.turn];
                self.turn = (self.turn + 1) % self.args.connections;
                tries -= 1;
                if link.notify(self.args.profile.payload(), due)? {
                    link.dirty = true;
                    break true;
                }
                if tries == 0 {
                    break false;
                }
            };
            if !sent {
                break false;
            }
            schedule.advance();
            dirty = true;
        };
        if dirty {
            for link in self.links.iter_mut().filter(|link| link.dirty) {
                link.dirty = false;
                link.flush()?;
            }
        }
        Ok(sent_all)
    }

    /// How long to wait for events. The system counts milliseconds: for less than one, not at all.
    fn wait(&self, now: Instant, sent_all: bool) -> Duration {
        const LONG: Duration = Duration::from_millis(50);
        match &self.schedule {
            Some(schedule) if sent_all => {
                let left = schedule.next().saturating_duration_since(now).as_millis() as u64;
                Duration::from_millis(left.saturating_sub(1)).min(LONG)
            }
            _ => LONG,
        }
    }

    fn check_silence(&self) -> Result<(), Error> {
        let waiting: usize = self.links.iter().map(Link::in_flight).sum();
        if waiting == 0 || self.last_answer.elapsed() < self.args.timeout {
            return Ok(());
        }
        Err(format!("no answer for {:?} with {waiting} unanswered", self.args.timeout).into())
    }
}

/// Closed loop: sends as many as may wait.
fn fill(link: &mut Link, payload: &[u8], now: Instant) -> Result<(), Error> {
    while link.notify(payload, now)? {}
    Ok(())
}
