//! The result, for people and as JSON.

use std::time::Duration;

use benches::process::Memory;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::args::Args;

/// What was measured.
pub(crate) struct Report {
    pub(crate) time: Duration,
    /// Answers within `time`.
    pub(crate) answered: u64,
    /// Open loop: requests that were due and could not be sent, as the agent was too far behind.
    pub(crate) unsent: u64,
    /// CPU time of this program.
    pub(crate) own_cpu: Duration,
    /// In nanoseconds; in open loop those that came after `time` are in it, too.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) target: Option<Target>,
}

/// What the agent's process took.
pub(crate) struct Target {
    pub(crate) pid: u32,
    pub(crate) cpu: Duration,
    pub(crate) memory: Memory,
}

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

impl Report {
    fn per_second(&self) -> f64 {
        self.answered as f64 / self.time.as_secs_f64()
    }

    fn latency(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn json(&self, args: &Args) -> Value {
        let latencies: serde_json::Map<_, _> =
            QUANTILES.iter().map(|&(name, quantile)| (name.into(), json!(self.latency(quantile)))).collect();
        let target = self.target.as_ref().map(|target| {
            json!({
                "pid": target.pid,
                "cpu_seconds": target.cpu.as_secs_f64(),
                "acks_per_cpu_second": target.acks_per_cpu_second(self.answered),
                "rss_kib": target.memory.now,
                "peak_rss_kib": target.memory.peak,
            })
        });
        json!({
            "address": args.address,
            "profile": args.profile.name(),
            "connections": args.connections,
            "depth": args.depth,
            "rate": args.rate,
            "seconds": self.time.as_secs_f64(),
            "acks": self.answered,
            "acks_per_second": self.per_second(),
            "unsent": self.unsent,
            "latency_us": latencies,
            "own_cpu_seconds": self.own_cpu.as_secs_f64(),
            "target": target,
        })
    }

    pub(crate) fn print(&self, args: &Args) {
        let Args { profile, connections, depth, .. } = args;
        let mode = args.rate.map_or("closed loop".into(), |rate| format!("open loop, {rate} requests/s"));
        println!("{profile}, {connections} connections x {depth}, {mode}");
        println!(
            "{} ACKs in {:.2} s, all as expected: {:.0} per second",
            self.answered,
            self.time.as_secs_f64(),
            self.per_second()
        );
        let latencies = QUANTILES.map(|(name, quantile)| format!("{name} {:.0}", self.latency(quantile)));
        println!("latency in us: {}", latencies.join(", "));
        if self.unsent > 0 {
            println!("{} requests were due and not sent: the agent is too far behind", self.unsent);
        }
        if let Some(target) = &self.target {
            println!(
                "process {}: {:.2} CPU seconds, {:.0} ACKs per CPU second, {} KiB resident, {} KiB at most",
                target.pid,
                target.cpu.as_secs_f64(),
                target.acks_per_cpu_second(self.answered).unwrap_or_default(),
                target.memory.now,
                target.memory.peak
            );
        }
        println!("this program: {:.2} CPU seconds", self.own_cpu.as_secs_f64());
    }
}

impl Target {
    /// `None` if the process took too little to be seen.
    fn acks_per_cpu_second(&self, acks: u64) -> Option<f64> {
        (!self.cpu.is_zero()).then(|| acks as f64 / self.cpu.as_secs_f64())
    }
}
