use std::time::Duration;

use benches::cli::{self, Error};
use benches::profile::Profile;
use lexopt::{Arg, Parser};

pub(crate) const HELP: &str = "\
Puts an SPOP agent under load, in HAProxy's role, and checks every answer.

usage: spop-load --address ADDRESS [OPTIONS]

  --address ADDRESS       the agent: HOST:PORT or unix:PATH
  --connections N         how many connections; default 8
  --depth N               how many NOTIFYs may wait on each; default 16 (HAProxy: 20; 1 if the agent does not pipeline)
  --profile PROFILE       what to send: ip-reputation, log-request (default), check-request, or a file with one NOTIFY
                          frame that was captured, with or without its length prefix; its payload is sent with ids
                          of our own

  --seconds S             how long to measure; default 5
  --requests N            measure until N requests are answered, instead
  --warmup S              how long to run before that, unmeasured; default 1
  --rate R                open loop: R requests per second on a fixed schedule over all connections. A request that cannot
                          be sent yet, as the agent is behind, waits, and its latency counts from when it was due.
                          Without it: closed loop, the next request goes as an answer comes
  --timeout S             how long an agent may be silent while answers are due; default 5

  --expect-action NAME    every ACK must set this variable; flags and ids are always checked
  --pid PID               the agent's process: its CPU time and memory are reported
  --json                  the result as JSON on stdout
  --quiet                 no progress line on stderr
  --help

Exit code 1: an answer was wrong or missing, or the agent cannot be reached. Latencies include what this program takes to
read a burst: with one connection and depth 1 it is the agent's own, with more it is what a client in one thread sees.
In open loop the program spins while the next request is due within a millisecond: leave it a core.
";

/// What the user wants.
pub(crate) struct Args {
    pub(crate) address: String,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) profile: Profile,
    pub(crate) length: Length,
    pub(crate) warmup: Duration,
    pub(crate) rate: Option<f64>,
    pub(crate) timeout: Duration,
    pub(crate) expect_action: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    Time(Duration),
    Requests(u64),
}

impl Args {
    /// From the command line; `None` if help was asked for.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, Error> {
        let mut address = None;
        let mut args = Self {
            address: String::new(),
            connections: 8,
            depth: 16,
            profile: Profile::log_request(),
            length: Length::Time(Duration::from_secs(5)),
            warmup: Duration::from_secs(1),
            rate: None,
            timeout: Duration::from_secs(5),
            expect_action: None,
            pid: None,
            json: false,
            quiet: false,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("address") => address = Some(cli::text(&mut parser)?),
                Arg::Long("connections") => args.connections = count(&mut parser, "connections")?,
                Arg::Long("depth") => args.depth = count(&mut parser, "depth")?,
                Arg::Long("profile") => args.profile = Profile::load(&cli::text(&mut parser)?)?,
                Arg::Long("seconds") => args.length = Length::Time(seconds(&mut parser, "seconds")?),
                Arg::Long("requests") => {
                    args.length = Length::Requests(count(&mut parser, "requests")? as u64);
                }
                Arg::Long("warmup") => args.warmup = seconds(&mut parser, "warmup")?,
                Arg::Long("rate") => args.rate = Some(rate(&mut parser)?),
                Arg::Long("timeout") => args.timeout = seconds(&mut parser, "timeout")?,
                Arg::Long("expect-action") => args.expect_action = Some(cli::text(&mut parser)?),
                Arg::Long("pid") => args.pid = Some(cli::value(&mut parser, "pid")?),
                Arg::Long("json") => args.json = true,
                Arg::Long("quiet") => args.quiet = true,
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        args.address = address.ok_or("no --address; see --help")?;
        Ok(Some(args))
    }
}

fn count(parser: &mut Parser, option: &str) -> Result<usize, Error> {
    match cli::value(parser, option)? {
        0 => Err(format!("--{option} 0: want 1 at least").into()),
        count => Ok(count),
    }
}

fn seconds(parser: &mut Parser, option: &str) -> Result<Duration, Error> {
    let seconds: f64 = cli::value(parser, option)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("--{option} {seconds}: {error}").into())
}

fn rate(parser: &mut Parser) -> Result<f64, Error> {
    let rate: f64 = cli::value(parser, "rate")?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err(format!("--rate {rate}: want more than 0").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Args>, Error> {
        Args::parse(Parser::from_args(args))
    }

    #[test]
    fn an_address_is_all_that_is_needed() {
        let args = parse(&["--address", "unix:/run/agent.sock"]).unwrap().unwrap();
        assert_eq!(args.address, "unix:/run/agent.sock");
        assert_eq!((args.connections, args.depth), (8, 16));
    }

    #[test]
    fn nonsense_is_refused_with_the_option_that_has_it() {
        for (args, want) in [
            (&["--depth", "0"][..], "--depth 0"),
            (&["--rate", "-1"], "--rate -1"),
            (&["--seconds", "x"], "--seconds x"),
            (&["--profile", "no-such-file"], "no-such-file"),
            (&[], "--address"),
        ] {
            let error = parse(args).err().unwrap().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
