//! The command line: that of HAProxy's contrib agent, and a little more.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::*;
use spop_tokio::spop::conf::HaproxyVersion;

pub(crate) const USAGE: &str = "\
Answers the SPOE message check-client-ip with a random reputation of the address: sess.<var-prefix>.ip_score, 0 to 100.

Usage: ip-reputation [OPTIONS]

  -d                  log what is going on, request by request
  -p PORT             listen on this TCP port of all addresses; 0: any free one (default 12345)
  -n NUM-WORKERS      number of worker threads (default 5)
  -h, --help          print this text
      --listen ADDR   listen at HOST:PORT or unix:PATH instead
      --metrics ADDR  serve metrics for Prometheus at http://ADDR/metrics, such as 127.0.0.1:9090
      --seed N        give each address the same score always, as N has it
      --print-config VERSION   print spoe.conf for this HAProxy, such as 3.2
      --check-config FILE      say what in a spoe.conf does not fit this agent";

/// What to do instead of serving.
pub(crate) enum Config {
    Print(HaproxyVersion),
    Check(PathBuf),
}

pub(crate) struct Options {
    pub(crate) listen: String,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) workers: usize,
    pub(crate) debug: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) config: Option<Config>,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let listen = "0.0.0.0:12345".into();
        let mut options = Self { listen, metrics: None, workers: 5, debug: false, seed: None, config: None };
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            match option {
                Short('d') => options.debug = true,
                Short('p') => options.listen = format!("0.0.0.0:{}", parser.value()?.parse::<u16>()?),
                Short('n') => options.workers = parser.value()?.parse::<std::num::NonZeroUsize>()?.get(),
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("metrics") => options.metrics = Some(parser.value()?.parse()?),
                Long("seed") => options.seed = Some(parser.value()?.parse()?),
                Long("print-config") => options.config = Some(Config::Print(parser.value()?.parse()?)),
                Long("check-config") => options.config = Some(Config::Check(parser.value()?.into())),
                Short('h') | Long("help") => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                _ => return Err(option.unexpected()),
            }
        }
        Ok(options)
    }
}
