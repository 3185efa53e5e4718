//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hyper::header::HeaderName;
use lexopt::prelude::*;
use lexopt::{Error, Parser};
use spop_tokio::spop::conf::HaproxyVersion;

use crate::rules::Outcome;

/// The help text.
pub const USAGE: &str = "\
Tells HAProxy, for every HTTP request, to serve the real thing, garbage or a challenge, and serves the latter two.

Usage: decision [OPTIONS]

  --listen ADDR            the agent's address: HOST:PORT, unix:PATH or abns@NAME (default 127.0.0.1:42068; port 0: any)
  --socket-access WHO      who may connect to a unix:PATH: owner, group or everybody (default: as the umask says)
  --http ADDR              the output server's address, on loopback (default 127.0.0.1:42069)
  --metrics ADDR           where to serve /metrics (default 127.0.0.1:42042)
  --rules FILE             rules to use instead of those built in; read again when it changes, and on SIGHUP
  --print-rules            print the rules that are built in
  --decision-header NAME   the header with HAProxy's decision, on requests to the output server
                           (default Iocaine-Decision)
  --on-error WORD          the answer where no decision can be made: default (fail open; the default) or garbage
  --poison-id ID           what marks the links of garbage pages: letters, digits and -, 8 at least
                           (default: of the secret)
  --link-depth N           how many links of garbage can be followed one after the other (default 10; 0: no links)
  --secret-file FILE       32 bytes at least: what signs cookies (default: chance, so that a restart ends all cookies)
  --challenge-bits N       how hard the challenge is: 2^N hashes on average, 1 to 24 (default 16, well below a second)
  --challenge-hours N      how long a cookie is good, 1 to 8760 (default 24)
  --print-config VERSION   print spoe.conf for this HAProxy, such as 3.2
  --check-config FILE      say what in a spoe.conf does not fit the agent
  -d                       log every decision
  -h, --help               print this text";

/// What the user wants.
#[derive(Debug)]
pub enum Command {
    /// Run.
    Serve(Box<Options>),
    /// Print the rules that are built in.
    PrintRules,
    /// Print spoe.conf for this HAProxy.
    PrintConfig(HaproxyVersion),
    /// Say what in this spoe.conf does not fit.
    CheckConfig(PathBuf),
    /// Print [`USAGE`].
    Help,
}

/// The options, with their defaults.
#[derive(Debug)]
#[allow(missing_docs, reason = "see USAGE")]
pub struct Options {
    pub listen: String,
    pub socket_mode: Option<u32>,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
    pub rules: Option<PathBuf>,
    pub decision_header: HeaderName,
    pub on_error: Outcome,
    pub poison_id: Option<String>,
    pub link_depth: u32,
    pub secret_file: Option<PathBuf>,
    pub challenge_bits: u8,
    pub challenge_lifetime: Duration,
    pub debug: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:42068".into(),
            socket_mode: None,
            http: SocketAddr::from(([127, 0, 0, 1], 42069)),
            metrics: SocketAddr::from(([127, 0, 0, 1], 42042)),
            rules: None,
            decision_header: HeaderName::from_static("iocaine-decision"),
            on_error: Outcome::Default,
            poison_id: None,
            link_depth: 10,
            secret_file: None,
            challenge_bits: 16,
            challenge_lifetime: Duration::from_secs(24 * 3600),
            debug: false,
        }
    }
}

impl Command {
    /// From the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Error> {
        let mut parser = Parser::from_args(args);
        let mut options = Options::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(Self::Help),
                Long("print-rules") => return Ok(Self::PrintRules),
                Long("print-config") => return Ok(Self::PrintConfig(parser.value()?.parse()?)),
                Long("check-config") => return Ok(Self::CheckConfig(parser.value()?.into())),
                Short('d') => options.debug = true,
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("socket-access") => options.socket_mode = Some(parser.value()?.parse_with(socket_mode)?),
                Long("http") => options.http = parser.value()?.parse_with(loopback)?,
                Long("metrics") => options.metrics = parser.value()?.parse()?,
                Long("rules") => options.rules = Some(parser.value()?.into()),
                Long("decision-header") => options.decision_header = parser.value()?.parse()?,
                Long("on-error") => options.on_error = parser.value()?.parse_with(on_error)?,
                Long("poison-id") => options.poison_id = Some(parser.value()?.parse_with(poison_id)?),
                Long("link-depth") => options.link_depth = parser.value()?.parse()?,
                Long("secret-file") => options.secret_file = Some(parser.value()?.into()),
                Long("challenge-bits") => options.challenge_bits = number(&mut parser, 1..=24)? as u8,
                Long("challenge-hours") => {
                    options.challenge_lifetime = Duration::from_secs(3600 * number(&mut parser, 1..=8760)?);
                }
                _ => return Err(arg.unexpected()),
            }
        }
        if options.socket_mode.is_some() && !options.listen.starts_with("unix") {
            return Err("--socket-access needs --listen unix:PATH: only a file has owners".into());
        }
        Ok(Self::Serve(Box::new(options)))
    }
}

fn socket_mode(text: &str) -> Result<u32, &'static str> {
    match text {
        "owner" => Ok(0o600),
        "group" => Ok(0o660),
        "everybody" => Ok(0o666),
        _ => Err("want owner, group or everybody"),
    }
}

/// Its clients are trusted to say what has been decided.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err("want an address of this machine only, such as 127.0.0.1:42069".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// No challenge, which nobody could pass while the error lasts.
fn on_error(text: &str) -> Result<Outcome, &'static str> {
    match text {
        "default" => Ok(Outcome::Default),
        "garbage" => Ok(Outcome::Garbage),
        _ => Err("want default or garbage"),
    }
}

/// It must be nothing that is in other paths, and is compared in lower case.
fn poison_id(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain && text.len() >= 8 {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("want 8 letters, digits and - at least")
    }
}

fn number(parser: &mut Parser, range: RangeInclusive<u64>) -> Result<u64, Error> {
    let in_range = |text: &str| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("want {} to {}", range.start(), range.end())),
    };
    parser.value()?.parse_with(in_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Command, Error> {
        Command::parse(args.split_whitespace())
    }

    #[test]
    fn options_arrive() {
        let args =
            "--listen unix:/run/d.sock --socket-access everybody --on-error garbage --poison-id ABCD-1234";
        let Ok(Command::Serve(options)) = parse(args) else { panic!("refused") };
        assert_eq!((options.socket_mode, options.on_error), (Some(0o666), Outcome::Garbage));
        assert_eq!(options.poison_id.as_deref(), Some("abcd-1234"));
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wanted() {
        for (args, want) in [
            ("--socket-access everbody --listen unix:/x", "want owner, group or everybody"),
            ("--socket-access owner --listen 127.0.0.1:1", "--listen unix:PATH"),
            ("--http 0.0.0.0:42069", "of this machine only"),
            ("--on-error challenge", "want default or garbage"),
            ("--poison-id short", "8 letters"),
            ("--poison-id a/b/c/d/e", "8 letters"),
            ("--challenge-bits 32", "want 1 to 24"),
            ("--decision-header a:b", "invalid HTTP header name"),
            ("--what", "--what"),
        ] {
            let error = parse(args).err().unwrap().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
