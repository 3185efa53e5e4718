//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::*;
use spop_tokio::spop::conf::HaproxyVersion;

/// What `--help` prints.
pub const USAGE: &str = "\
Answers the SPOE message check-request with txn.<var-prefix>.blocked, .reason and .until, by a list that changes while the
agent runs.

Usage: blocklist [OPTIONS]

      --listen ADDR        listen at HOST:PORT or unix:PATH (default 127.0.0.1:12345)
      --file FILE          the list, read again when it changes (default blocklist.txt)
      --redis URL          take the list from Redis instead, such as redis://127.0.0.1:6379 or, in a build with the feature
                           tls, rediss://USER:PASSWORD@HOST:6379/0
      --key NAME           the sorted set in Redis (default blocklist); its changes are in the stream NAME:changes
      --when-unknown WORD  allow or block, as long as there is no list (default allow)
      --max-entries N      ignore entries past so many (default 2000000)
      --metrics ADDR       serve metrics for Prometheus at http://ADDR/metrics, such as 127.0.0.1:9090
  -d                       log every request
      --print-config VERSION   print spoe.conf for this HAProxy, such as 3.2
      --check-config FILE      say what in a spoe.conf does not fit this agent
  -h, --help               print this text";

/// What to do instead of serving.
#[derive(Debug)]
pub enum Config {
    /// Print spoe.conf.
    Print(HaproxyVersion),
    /// Check it.
    Check(PathBuf),
    /// Print [`USAGE`].
    Help,
}

/// The options.
#[derive(Debug)]
pub struct Options {
    /// Where HAProxy connects to.
    pub listen: String,
    /// The list.
    pub file: PathBuf,
    /// Where the list is instead.
    pub redis: Option<String>,
    /// The sorted set in Redis.
    pub key: String,
    /// The answer without a list.
    pub block_unknown: bool,
    /// How many entries are kept.
    pub max_entries: usize,
    /// Where Prometheus connects to.
    pub metrics: Option<SocketAddr>,
    /// Every request is logged.
    pub debug: bool,
    /// What to do instead of serving.
    pub config: Option<Config>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Self {
            listen: "127.0.0.1:12345".into(),
            file: "blocklist.txt".into(),
            redis: None,
            key: "blocklist".into(),
            block_unknown: false,
            max_entries: 2_000_000,
            metrics: None,
            debug: false,
            config: None,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            match option {
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("file") => options.file = parser.value()?.into(),
                Long("redis") => options.redis = Some(parser.value()?.string()?),
                Long("key") => options.key = parser.value()?.string()?,
                Long("when-unknown") => options.block_unknown = parser.value()?.parse_with(is_block)?,
                Long("max-entries") => options.max_entries = parser.value()?.parse()?,
                Long("metrics") => options.metrics = Some(parser.value()?.parse()?),
                Short('d') => options.debug = true,
                Long("print-config") => options.config = Some(Config::Print(parser.value()?.parse()?)),
                Long("check-config") => options.config = Some(Config::Check(parser.value()?.into())),
                Short('h') | Long("help") => options.config = Some(Config::Help),
                _ => return Err(option.unexpected()),
            }
        }
        Ok(options)
    }
}

fn is_block(word: &str) -> Result<bool, &'static str> {
    match word {
        "allow" => Ok(false),
        "block" => Ok(true),
        _ => Err("allow or block"),
    }
}
