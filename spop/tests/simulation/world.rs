//! HAProxy and the agent, and the time that passes for both.

use std::time::Duration;

use spop::agent::Config;
use spop::{Instant, State};

use super::agent::{Driver, End, instant};
use super::haproxy::HaProxy;
use super::pauses;
use super::properties::{self, Failure};
use super::rules::Rule;
use super::schedule::{MS, Rng, Schedule, Time};

pub(crate) struct World {
    schedule: Schedule,
    rng: Rng,
    rule: fn(&Schedule) -> Rule,
    haproxy: HaProxy,
    drivers: Vec<Driver>,
    /// The agent is stopped until then.
    agent_runs: Time,
    /// The longest ACK on any connection.
    longest_ack: usize,
    drain_started: bool,
    /// HAProxy was seen running on any connection.
    ran_after: Option<Instant>,
}

/// The longest run, unless something waits for ever.
const LIMIT: Time = 60_000 * MS;

/// What a run came to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) answered: usize,
    pub(crate) late: usize,
}

/// Runs the schedule of `seed`.
pub(crate) fn run(seed: u64, rule: fn(&Schedule) -> Rule) -> Result<Outcome, String> {
    let mut rng = Rng::new(seed);
    let schedule = Schedule::draw(&mut rng);
    let mut world = World::new(schedule, rng, rule);
    world.run().map_err(|(now, failure)| {
        format!(
            "seed {seed}, after {now} us: {failure}\n{:?}\nSIMULATION_SEED={seed} repeats it",
            world.schedule
        )
    })?;
    Ok(Outcome { answered: world.haproxy.answered, late: world.haproxy.late })
}

impl World {
    fn new(schedule: Schedule, mut rng: Rng, rule: fn(&Schedule) -> Rule) -> Self {
        let haproxy = HaProxy::new(&schedule, rule(&schedule).replaces_core(), &mut rng);
        Self {
            schedule,
            rng,
            rule,
            haproxy,
            drivers: Vec::new(),
            agent_runs: 0,
            longest_ack: 0,
            drain_started: false,
            ran_after: None,
        }
    }

    fn run(&mut self) -> Result<(), (Time, Failure)> {
        loop {
            let agent = self.drivers.iter().enumerate();
            let agent =
                agent.filter_map(|(index, driver)| Some((driver.wake?.max(self.agent_runs), index))).min();
            let now = agent.map_or(self.haproxy.at, |(at, _)| at.min(self.haproxy.at));
            if self.is_over() {
                return Ok(());
            }
            if now > LIMIT {
                return Err((now, Failure::new("it does not end".into())));
            }
            match agent {
                Some((at, index)) if at <= self.haproxy.at => self.turn(index, now),
                _ => self.step(),
            }
            .map_err(|failure| (now, failure))?;
        }
    }

    fn is_over(&self) -> bool {
        let closed = || self.drivers.iter().all(|driver| driver.connection.state() == State::Closed);
        self.haproxy.is_done() && (!self.drain_started || closed()) || (self.drain_started && closed())
    }

    fn step(&mut self) -> Result<(), Failure> {
        let now = self.haproxy.at;
        self.haproxy.step(&mut self.rng)?;
        if !self.drain_started && self.schedule.drain.is_some_and(|(at, _)| at <= now) {
            self.drain_started = true;
            self.haproxy.refused = true;
            for driver in self.drivers.iter_mut().filter(|driver| driver.wake.is_some()) {
                driver.wake = Some(now);
            }
        }
        for index in self.drivers.len()..self.haproxy.conns.len() {
            let rule = (self.rule)(&self.schedule);
            let mut config = Config::new().max_frame_size(65_532).longest_ack(self.longest_ack);
            if matches!(rule, Rule::NoGrace) {
                config = config.read_grace(Duration::ZERO);
            }
            self.drivers.push(Driver::new(index, config, rule, now));
        }
        for (conn, driver) in self.haproxy.conns.iter().zip(&mut self.drivers) {
            let readable = conn.to_agent.readable_at().filter(|_| driver.connection.state() != State::Closed);
            let readable = readable.filter(|_| !driver.connection.is_full());
            if let Some(at) = readable {
                driver.wake = Some(driver.wake.map_or(at, |wake| wake.min(at.max(now))));
            }
        }
        self.check_lost()
    }

    fn turn(&mut self, index: usize, now: Time) -> Result<(), Failure> {
        let driver = &mut self.drivers[index];
        driver.connection.expect_acks(self.longest_ack);
        if let Some((at, time)) = self.schedule.drain.filter(|&(at, _)| at <= now) {
            driver.connection.start_drain(instant(now), instant(at + time));
            if driver.connection.state() == State::Closing && driver.end == End::Answered {
                driver.end = End::Quiet;
            }
        }
        if let Some(moment) = self.ran_after {
            driver.connection.ran_after(moment, instant(now));
        }
        let stop = self.rng.chance(self.schedule.agent_stops).then(|| Schedule::stop(&mut self.rng));
        let within = stop.filter(|_| self.rng.chance(500));
        driver.turn(&mut self.haproxy, &self.schedule, within, now, &mut self.rng)?;
        self.ran_after = self.ran_after.max(driver.connection.seen_running_after());
        self.haproxy.wait();
        self.longest_ack = self.longest_ack.max(driver.connection.longest_ack());
        if let Some(stop) = stop {
            self.agent_runs = now + stop;
            self.haproxy.pauses.push((now, now + stop));
        }
        self.check_drained(now)
    }

    fn check_drained(&self, now: Time) -> Result<(), Failure> {
        let Some((at, time)) = self.schedule.drain.filter(|_| self.drain_started) else { return Ok(()) };
        let late = now > at + time + 2100 * MS + pauses(&self.haproxy.pauses, at, now);
        self.drivers
            .iter()
            .enumerate()
            .try_for_each(|(index, driver)| properties::drained(driver.connection.state(), late, index))
    }

    fn check_lost(&mut self) -> Result<(), Failure> {
        for (conn, at) in std::mem::take(&mut self.haproxy.lost) {
            let Driver { end, split, .. } = self.drivers[conn];
            let overtakes = self.haproxy.conns[conn].overtakes;
            let stopped = pauses(&self.haproxy.pauses, at.saturating_sub(300 * MS), at) > 0;
            let excused = end != End::Answered || split || overtakes || stopped || !self.schedule.narrows;
            properties::nothing_lost(excused, conn)?;
        }
        Ok(())
    }
}
