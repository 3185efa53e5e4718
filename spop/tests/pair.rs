//! Both connections against each other: bytes cut anywhere, ACKs in any order, time that passes, the end at any moment.
//!
//! **Every NOTIFY gets exactly one ACK, with the actions meant for it, or its connection ends.** One that HAProxy gave
//! up gets none once the agent can know.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use spop::agent::{self, Ticket, Timeout};
use spop::haproxy::{self, Engine};
use spop::{
    Ack, Action, Actions, Capabilities, DecodeErrorKind, EncodeError, FromTypedData, Instant, Negotiated,
    NotifyId, OwnedTypedData, Scope, State, Status, TypedData,
};

/// Messages and their arguments.
type Question = Vec<(String, Vec<(String, OwnedTypedData)>)>;

/// What stands for the content of a message: an agent that saw another one returns another answer.
fn digest<'a>(name: &[u8], args: impl Iterator<Item = (&'a [u8], TypedData<'a>)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    for (name, value) in args {
        (name, format!("{value:?}")).hash(&mut hasher);
    }
    hasher.finish()
}

#[derive(Clone, Debug)]
struct Setup {
    engine: Engine,
    max_frame_size: [u32; 2],
    pipelining: [bool; 2],
    max_waiting_frames: usize,
    max_in_flight: usize,
    /// Bytes and frames.
    fragments: (usize, u32),
    /// Whether the HELLOs are exchanged before the first step.
    connected: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Question),
    /// So many bytes arrive.
    ToAgent(usize),
    ToHaproxy(usize),
    /// The agent answers one of the NOTIFYs it holds.
    Answer(Index),
    /// HAProxy's `timeout processing` for one of those that wait.
    Abandon(Index),
    /// So many milliseconds pass. All steps together take less than a second, which is how long the agent waits for
    /// HAProxy to read the end.
    Wait(u64),
    End(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The agent wants to stop.
    Drain,
    /// HAProxy ends the connection.
    Disconnect,
}

/// What HAProxy knows of a NOTIFY it sent.
#[derive(Debug, Default)]
struct Sent {
    digests: Vec<u64>,
    abandoned: bool,
    acks: usize,
}

struct Pair {
    setup: Setup,
    haproxy: haproxy::Connection,
    agent: agent::Connection,
    now: Instant,
    /// Written, and not received yet.
    to_agent: BytesMut,
    agent_input: BytesMut,
    haproxy_input: BytesMut,
    sent: HashMap<NotifyId, Sent>,
    /// What the agent works on, with its answer.
    held: Vec<(Ticket, Vec<u64>)>,
    /// What it worked on until it was told that HAProxy gave it up.
    given_up: Vec<Ticket>,
    answered: HashSet<NotifyId>,
    /// In more fragments than the agent takes.
    too_big: HashSet<NotifyId>,
    disconnects: usize,
}

impl Pair {
    fn new(setup: Setup) -> Self {
        let haproxy = haproxy::Config::new(setup.engine)
            .max_frame_size(setup.max_frame_size[0])
            .pipelining(setup.pipelining[0])
            .max_waiting_frames(setup.max_waiting_frames);
        let agent = agent::Config::new()
            .max_frame_size(setup.max_frame_size[1])
            .pipelining(setup.pipelining[1])
            .max_in_flight(setup.max_in_flight)
            .fragments(setup.fragments.0, setup.fragments.1);
        let now = Instant::default();
        let mut pair = Self {
            setup,
            haproxy: haproxy::Connection::new(haproxy),
            agent: agent::Connection::new(agent, now),
            now,
            to_agent: BytesMut::new(),
            agent_input: BytesMut::new(),
            haproxy_input: BytesMut::new(),
            sent: HashMap::new(),
            held: Vec::new(),
            given_up: Vec::new(),
            answered: HashSet::new(),
            too_big: HashSet::new(),
            disconnects: 0,
        };
        pair.haproxy.hello(&mut pair.to_agent).unwrap();
        if pair.setup.connected {
            pair.agent_receives(usize::MAX);
            pair.haproxy_receives(usize::MAX);
        }
        pair
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(question) => self.ask(&question),
            Step::ToAgent(len) => self.agent_receives(len),
            Step::ToHaproxy(len) => self.haproxy_receives(len),
            Step::Answer(index) if !self.held.is_empty() => self.answer(index.index(self.held.len())),
            Step::Answer(_) => {}
            Step::Abandon(index) => self.abandon(index),
            Step::Wait(milliseconds) => self.wait_until(self.now + Duration::from_millis(milliseconds)),
            Step::End(End::Drain) => self.agent.start_drain(self.now, self.now + Duration::from_secs(1000)),
            Step::End(End::Disconnect) => self.haproxy.disconnect(Status::NORMAL, &mut self.to_agent),
        }
        assert!(self.agent.in_flight() <= self.setup.max_in_flight);
        assert!(self.has_ended() || self.agent.in_flight() == self.held.len());
    }

    /// Whether the agent answers nothing any more.
    fn has_ended(&self) -> bool {
        matches!(self.agent.state(), State::Closing | State::Lingering | State::Closed)
    }

    fn wait_until(&mut self, time: Instant) {
        self.now = time;
        while let Some(timeout) = self.agent.handle_timeout(time) {
            assert_eq!(timeout, Timeout::Quiet);
        }
    }

    fn ask(&mut self, question: &Question) {
        let (before, may) = (self.to_agent.len(), self.haproxy.state() == State::Running);
        let window = self.haproxy.window();
        let mut notify = match self.haproxy.notify(&mut self.to_agent) {
            Ok(notify) => notify,
            Err(_) => return assert!(!may || window == 0),
        };
        let mut write = || {
            for (name, args) in question {
                notify.message(name)?;
                for (name, value) in args {
                    notify.arg(name, value)?;
                }
            }
            Ok(())
        };
        match write() {
            Ok(()) => {
                let digests = question.iter().map(|(name, args)| {
                    let args = args.iter().map(|(name, value)| (name.as_bytes(), value.into()));
                    digest(name.as_bytes(), args)
                });
                let sent = Sent { digests: digests.collect(), ..Sent::default() };
                let id = notify.finish();
                assert!(self.sent.insert(id, sent).is_none(), "{id} comes twice");
            }
            Err(error) => {
                assert!(matches!(error, EncodeError::FrameTooBig { .. }), "{error}");
                drop(notify);
                assert_eq!(self.to_agent.len(), before);
            }
        }
    }

    fn agent_receives(&mut self, len: usize) {
        let len = len.min(self.to_agent.len());
        self.agent_input.unsplit(self.to_agent.split_to(len));
        self.agent_reads();
        if self.to_agent.is_empty() {
            self.agent.input_drained();
        }
    }

    fn agent_reads(&mut self) {
        while let Some(event) = self.agent.handle_input(&mut self.agent_input, self.now) {
            match event {
                agent::Event::Connected(_) => assert!(self.sent.is_empty()),
                agent::Event::Notify(notify, ticket) => {
                    assert_eq!(notify.id(), ticket.id());
                    let digests = notify.messages().map(|message| {
                        let args = message.args().map(|arg| (arg.name.as_bytes(), arg.value));
                        digest(message.name().as_bytes(), args)
                    });
                    self.held.push((ticket, digests.collect()));
                }
                agent::Event::Malformed(error, ticket) => {
                    assert_eq!(error.kind(), DecodeErrorKind::FragmentsTooBig);
                    assert!(self.too_big.insert(ticket.id()));
                    self.held.push((ticket, Vec::new()));
                }
                agent::Event::GivenUp(id) => {
                    assert!(self.sent[&id].abandoned, "{id} is not given up");
                    let at =
                        self.held.iter().position(|(ticket, _)| ticket.id() == id).expect("one in flight");
                    self.given_up.push(self.held.swap_remove(at).0);
                }
                agent::Event::Disconnected(disconnect) => assert_eq!(disconnect.status, Status::NORMAL),
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self, index: usize) {
        let (ticket, digests) = self.held.swap_remove(index);
        let (id, ended) = (ticket.id(), self.has_ended());
        let mut actions = Actions::new();
        for digest in digests {
            actions.set_var(Scope::Transaction, "d", digest).unwrap();
        }
        self.agent.ack(ticket, &actions).unwrap();
        if !ended {
            assert!(self.answered.insert(id), "{id} answered twice");
        }
        // An answer that would be noticed.
        for ticket in self.given_up.drain(..) {
            self.agent.ack_with(ticket, |ack| ack.set_var(Scope::Process, "wrong", 1).map(drop)).unwrap();
        }
        // There may be capacity again.
        self.agent_reads();
    }

    fn haproxy_receives(&mut self, len: usize) {
        let mut left = len;
        loop {
            let part = self.agent.poll_transmit(self.now);
            let taken = part.len().min(left);
            if taken == 0 {
                break;
            }
            self.haproxy_input.extend_from_slice(&part[..taken]);
            self.agent.transmitted(taken);
            left -= taken;
        }
        while let Some(event) =
            self.haproxy.handle_input(&mut self.haproxy_input, &mut self.to_agent).unwrap()
        {
            match event {
                haproxy::Event::Connected(negotiated) => {
                    let smaller = self.setup.max_frame_size.into_iter().min();
                    assert_eq!(Some(negotiated.max_frame_size), smaller);
                    assert_eq!(Some(&negotiated), self.haproxy.negotiated());
                }
                haproxy::Event::Ack(ack) => self.acked(&ack, false),
                haproxy::Event::LateAck(ack) => self.acked(&ack, true),
                haproxy::Event::Disconnected(disconnect) => {
                    assert_eq!(disconnect.status, Status::NORMAL);
                    self.disconnects += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn acked<B: AsRef<[u8]>>(&mut self, ack: &Ack<B>, late: bool) {
        let id = ack.id();
        let sent = self.sent.get_mut(&id).expect("an ACK to a NOTIFY that was sent");
        sent.acks += 1;
        assert_eq!((sent.acks, late), (1, sent.abandoned), "{id}");
        let digests: Vec<_> = ack
            .actions()
            .map(|action| match action {
                Action::SetVar { scope: Scope::Transaction, value, .. } => {
                    u64::from_typed_data(value).unwrap()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(!ack.flags().is_abort());
        if self.too_big.contains(&id) {
            assert_eq!(digests, [0; 0]);
        } else {
            assert_eq!(digests, sent.digests, "{id} has the answer to another question");
        }
    }

    fn abandon(&mut self, index: Index) {
        let mut waiting: Vec<_> =
            self.sent.iter().filter(|(_, sent)| sent.acks == 0 && !sent.abandoned).collect();
        if waiting.is_empty() || self.haproxy.state() != State::Running {
            return;
        }
        waiting.sort_by_key(|(id, _)| **id);
        let id = *waiting[index.index(waiting.len())].0;
        assert!(self.haproxy.abandon(id));
        self.sent.get_mut(&id).unwrap().abandoned = true;
    }

    /// All bytes arrive, all work gets done, and all times that something waits for pass.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.agent_receives(usize::MAX);
            self.haproxy_receives(usize::MAX);
            if self.haproxy.state() == State::Closed {
                self.agent.handle_eof(&self.agent_input).unwrap();
            }
            if !self.held.is_empty() {
                self.answer(0);
            } else if self.to_agent.is_empty() {
                let Some(time) = self.agent.poll_timeout() else { return };
                assert!(time > self.now, "nothing comes of {time:?}");
                self.wait_until(time);
            }
        }
        panic!("the pair does not come to rest");
    }

    /// Whether a NOTIFY proves to the agent that HAProxy gave up the one before. It asks for that itself, in a drain
    /// and before answers of which HAProxy could not hold 20.
    fn one_at_a_time(&self) -> bool {
        let pipelining = |negotiated: &Negotiated| negotiated.capabilities.contains(Capabilities::PIPELINING);
        self.setup.engine == Engine::Mux && !self.agent.negotiated().is_some_and(pipelining)
    }

    /// What must hold once the pair is at rest.
    fn check(&self, end: Option<End>) {
        for (id, sent) in &self.sent {
            let answered = self.answered.contains(id);
            match end {
                // It may be too late for the ACK, or just not be.
                _ if sent.abandoned && self.one_at_a_time() => assert!(sent.acks <= answered.into()),
                None => assert_eq!(sent.acks, 1, "{id}: no answer, and no end"),
                Some(End::Drain) => {
                    assert_eq!(sent.acks, answered.into(), "{id}: an ACK is in front of the DISCONNECT");
                }
                Some(End::Disconnect) => assert!(sent.acks <= 1),
            }
        }
        let states = (self.agent.state(), self.haproxy.state());
        if end.is_some() {
            assert_eq!(states, (State::Closed, State::Closed));
            assert_eq!(self.disconnects, 1);
        } else {
            assert_eq!(states, (State::Running, State::Running));
            assert_eq!((self.agent.in_flight(), self.haproxy.in_flight()), (0, 0));
            assert!(self.agent_input.is_empty() && self.haproxy_input.is_empty());
        }
    }
}

fn run(setup: Setup, mut steps: Vec<Step>, end: Option<(End, Index)>) {
    if let Some((end, at)) = end {
        steps.insert(at.index(steps.len() + 1), Step::End(end));
    }
    let mut pair = Pair::new(setup);
    for step in steps {
        pair.step(step);
    }
    pair.settle();
    pair.check(end.map(|(end, _)| end));
}

fn value() -> impl Strategy<Value = OwnedTypedData> {
    prop_oneof![
        1 => Just(OwnedTypedData::Null),
        1 => any::<bool>().prop_map(OwnedTypedData::Bool),
        1 => any::<i64>().prop_map(OwnedTypedData::Int64),
        1 => any::<[u8; 4]>().prop_map(|octets| OwnedTypedData::Ipv4(octets.into())),
        1 => vec(any::<u8>(), 0..20).prop_map(OwnedTypedData::String),
        3 => (any::<u8>(), 100..600usize).prop_map(|(first, len)| {
            OwnedTypedData::Binary((0..len).map(|index| first.wrapping_add(index as u8)).collect())
        }),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    vec(("[a-z-]{1,12}", vec(("[a-z]{0,4}", value()), 0..4)), 0..3)
}

prop_compose! {
    fn setup()(
        engine in prop_oneof![Just(Engine::Applet), Just(Engine::Mux)],
        max_frame_size in [256..2000u32, 256..2000u32],
        // Most often on, as by default.
        pipelining in [prop::bool::weighted(0.8), prop::bool::weighted(0.8)],
        max_waiting_frames in 1..=20usize,
        max_in_flight in prop_oneof![1..4usize, 20..64usize],
        fragments in prop_oneof![Just((0, 0)), Just((700, 3)), Just((256 * 1024, 4096))],
        connected in prop::bool::weighted(0.8),
    ) -> Setup {
        Setup { engine, max_frame_size, pipelining, max_waiting_frames, max_in_flight, fragments, connected }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let piece = || prop_oneof![1..20usize, 20..400usize, Just(usize::MAX)];
    let step = prop_oneof![
        8 => question().prop_map(Step::Ask),
        8 => piece().prop_map(Step::ToAgent),
        8 => piece().prop_map(Step::ToHaproxy),
        6 => any::<Index>().prop_map(Step::Answer),
        2 => any::<Index>().prop_map(Step::Abandon),
        2 => (0..8u64).prop_map(Step::Wait),
    ];
    vec(step, 0..120)
}

proptest! {
    #[test]
    fn every_notify_gets_its_own_ack(setup in setup(), steps in steps()) {
        run(setup, steps, None);
    }

    #[test]
    fn a_drain_at_any_moment_loses_no_answer(setup in setup(), steps in steps(), at in any::<Index>()) {
        run(setup, steps, Some((End::Drain, at)));
    }

    #[test]
    fn a_disconnect_of_haproxy_at_any_moment_ends_both_sides(setup in setup(), steps in steps(), at in any::<Index>()) {
        run(setup, steps, Some((End::Disconnect, at)));
    }
}
