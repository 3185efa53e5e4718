//! Shows SPOP as text, out of a file or between HAProxy and an agent, and sends it again: see the README beside it.

mod capture;
mod frames;
mod output;
mod packet;
mod proxy;
mod replay;
mod socket;
mod source;
mod tcp;
mod text;

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;

use crate::output::Output;
use crate::replay::Replay;

const USAGE: &str = "\
Shows SPOP frames as text.

Usage: spop-dump [OPTIONS] FILE...             what a file has
       spop-dump [OPTIONS] --hex HEX...        what these bytes are
       spop-dump [OPTIONS] --proxy LISTEN TARGET
                                               what passes between HAProxy and an agent
       spop-dump [OPTIONS] --replay TARGET FILE...
                                               sends HAProxy's frames of a file to an agent, and compares the answers

  FILE is a capture (pcap, pcapng), a stream of frames, or hex; - is stdin.
  LISTEN and TARGET are HOST:PORT or unix:PATH. Port 0 is any free one.

      --port PORT      of a capture, only connections with this port
      --full           show long values whole
      --timeout SECS   how long to wait for each answer of the agent (default 5)
  -h, --help           print this text

Exit code: 0 if all is well; 1 if a file cannot be read, or the agent answered otherwise than in the file or
not at all; 2 if this command line is wrong.";

struct Options {
    mode: Mode,
    port: Option<u16>,
    full: bool,
    timeout: Duration,
    operands: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Files,
    Hex,
    Proxy,
    Replay,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        let timeout = Duration::from_secs(5);
        let mut options = Self { mode: Mode::Files, port: None, full: false, timeout, operands: Vec::new() };
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            let mode = match option {
                Long("hex") => Mode::Hex,
                Long("proxy") => Mode::Proxy,
                Long("replay") => Mode::Replay,
                Long("port") => {
                    options.port = Some(parser.value()?.parse()?);
                    continue;
                }
                Long("timeout") => {
                    options.timeout = parser.value()?.parse_with(seconds)?;
                    continue;
                }
                Long("full") => {
                    options.full = true;
                    continue;
                }
                Short('h') | Long("help") => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                Value(operand) => {
                    options.operands.push(operand.string()?);
                    continue;
                }
                _ => return Err(option.unexpected()),
            };
            if options.mode != Mode::Files {
                return Err("--hex, --proxy and --replay exclude each other".into());
            }
            options.mode = mode;
        }
        match (options.mode, options.operands.len()) {
            (Mode::Files | Mode::Hex, 0) => Err("nothing to show".into()),
            (Mode::Proxy, 2) | (Mode::Replay, 2..) | (Mode::Files | Mode::Hex, _) => Ok(options),
            (Mode::Proxy, _) => Err("--proxy needs LISTEN and TARGET".into()),
            (Mode::Replay, _) => Err("--replay needs TARGET and FILE".into()),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "want a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() && timeout <= Duration::from_secs(86_400) => Ok(timeout),
        _ => Err("want a number of seconds above 0, and of a day at most".into()),
    }
}

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("spop-dump: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `spop-dump ... | head`
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spop-dump: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; false if the agent did not answer as it should.
fn run(options: &Options) -> io::Result<bool> {
    let (output, operands) = (Output { full: options.full }, &options.operands);
    match (options.mode, operands.as_slice()) {
        (Mode::Proxy, [listen, target, ..]) => proxy::run(listen, target, output).map(|()| true),
        (Mode::Replay, [target, files @ ..]) => {
            let mut all_well = true;
            for file in files {
                let mut replay = Replay::new(target, options.timeout, &output);
                source::read(open(file)?, options.port, &mut replay).map_err(named(file))?;
                all_well &= replay.finish()?;
            }
            Ok(all_well)
        }
        (Mode::Hex, operands) => {
            let text = Cursor::new(operands.join(" "));
            source::read(text, None, &mut &output).map(|()| true)
        }
        (_, files) => {
            for file in files {
                source::read(open(file)?, options.port, &mut &output).map_err(named(file))?;
            }
            Ok(true)
        }
    }
}

fn open(file: &str) -> io::Result<Box<dyn Read>> {
    if file == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(file).map_err(named(file))?))
}

fn named(file: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{file}: {error}"))
}
