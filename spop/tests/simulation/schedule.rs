//! What one run is made of, all of it drawn from its seed.

/// Time in microseconds since the start of the run.
pub(crate) type Time = u64;

pub(crate) const MS: Time = 1000;

/// Random numbers that a seed repeats: splitmix64.
#[derive(Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// As [`range`](Self::range), with all orders of magnitude as likely.
    pub(crate) fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let (from, to) = (u64::from(low.max(1).ilog2()), u64::from(high.max(1).ilog2()));
        let bits = self.range(from, to);
        self.range(1 << bits, (2 << bits) - 1).clamp(low, high)
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.range(0, at as u64) as usize);
        }
    }
}

/// How long the answers are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    Fixed(usize),
    Mixed,
}

/// Sizes of ACKs in bytes; the last is more than any buffer takes, and stands for the longest that is allowed.
const SIZES: [usize; 7] = [100, 300, 700, 2_000, 10_000, 15_500, usize::MAX];

const LARGE_SOCKET: usize = 200_000;

#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// `tune.bufsize`.
    pub(crate) bufsize: usize,
    /// `option pipelining`.
    pub(crate) pipelining: bool,
    /// `timeout processing`.
    pub(crate) timeout: Time,
    /// How many clients ask one request after the other, and how many requests there are in all.
    pub(crate) clients: usize,
    pub(crate) requests: usize,
    /// How long a client waits between two requests at most; all start at once with 0.
    pub(crate) think: Time,
    /// How many of a thousand clients leave early, and after how long at most.
    pub(crate) leave: u64,
    pub(crate) leave_within: Time,
    pub(crate) latency: Time,
    /// The longest round of HAProxy.
    pub(crate) round: Time,
    /// How often in a thousand rounds, or polls, each side is stopped.
    pub(crate) haproxy_stops: u64,
    pub(crate) agent_stops: u64,
    pub(crate) answers: Answers,
    /// The longest time of a handler, and how many of a thousand take 400 ms.
    pub(crate) handler: Time,
    pub(crate) slow: u64,
    /// Whether HAProxy honours a second AGENT-HELLO. One that does not is never stopped.
    pub(crate) narrows: bool,
    /// How many of a thousand reads are cut, and writes arrive in pieces.
    pub(crate) cuts: u64,
    /// How many bytes a socket takes. Writes are cut only if it is small, as no real one is.
    pub(crate) socket: usize,
    /// When the agent is drained, and how long that may take.
    pub(crate) drain: Option<(Time, Time)>,
}

impl Schedule {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let bufsize = rng.pick(&[4096, 16_384, 16_384, 65_536]);
        let narrows = rng.chance(800);
        Self {
            bufsize,
            pipelining: rng.chance(750),
            timeout: rng.pick(&[30, 100, 100, 1000]) * MS,
            clients: rng.magnitude(1, 63) as usize,
            requests: rng.range(60, 300) as usize,
            think: rng.pick(&[0, 1, 10, 30]) * MS,
            leave: rng.pick(&[0, 50, 300, 900]),
            leave_within: rng.pick(&[2, 10, 60]) * MS,
            latency: rng.pick(&[1, 20, 100, 1000]),
            round: rng.pick(&[20, 200, 2000]),
            haproxy_stops: if narrows { rng.pick(&[0, 0, 5, 20]) } else { 0 },
            agent_stops: rng.pick(&[0, 0, 5, 20]),
            answers: match rng.pick(&SIZES) {
                size if rng.chance(700) => Answers::Fixed(size),
                _ => Answers::Mixed,
            },
            handler: rng.pick(&[0, 1, 5, 20]) * MS,
            slow: rng.pick(&[0, 0, 30, 150]),
            narrows,
            cuts: rng.pick(&[0, 100, 500]),
            socket: rng.pick(&[bufsize / 2, 2 * bufsize, LARGE_SOCKET, LARGE_SOCKET]),
            drain: rng.chance(250).then(|| (rng.magnitude(1, 400) * MS, rng.pick(&[300, 1000, 3000]) * MS)),
        }
    }

    /// The size of the next answer, in bytes on the wire.
    pub(crate) fn answer(&self, rng: &mut Rng) -> usize {
        let size = match self.answers {
            Answers::Fixed(size) => size,
            Answers::Mixed => rng.pick(&SIZES),
        };
        size.min(self.bufsize - 1)
    }

    pub(crate) fn handler(&self, rng: &mut Rng) -> Time {
        if rng.chance(self.slow) { 400 * MS } else { rng.range(0, self.handler) }
    }

    /// Whether no answer waits for evidence for long on a connection that lets one request wait, or several if
    /// `wide`: then HAProxy's buffer must hold six windows of them. One that does not honour a second AGENT-HELLO
    /// loses live requests once it was sent one.
    pub(crate) fn is_prompt(&self, wide: bool) -> bool {
        let short = matches!(self.answers, Answers::Fixed(size) if size < self.bufsize / 120);
        !self.has_small_sockets() && (!wide || short && self.narrows)
    }

    pub(crate) fn has_small_sockets(&self) -> bool {
        self.socket < LARGE_SOCKET
    }

    /// How long a stop lasts.
    pub(crate) fn stop(rng: &mut Rng) -> Time {
        rng.range(60, 300) * MS
    }
}
