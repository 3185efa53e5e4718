//! An agent on the published `spop` 0.13.1, to be measured.

use std::process::ExitCode;
use std::time::Duration;

use benches::agents::{Mode, serve_peer};
use benches::cli::{self, Error};
use lexopt::{Arg, Parser};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

const HELP: &str = "\
Answers every NOTIFY with one variable, on the published crate `spop` 0.13.1.

usage: peer-agent [OPTIONS]

  --address HOST:PORT   where to listen; default 127.0.0.1:0, any free port
  --mode MODE           feed-flush (default): the ACKs of a burst leave together
                        readme: each ACK leaves with a write of its own, as in the crate's README
  --handler-delay-ms MS how long a request takes; default 0
";

fn main() -> ExitCode {
    cli::exit("peer-agent", parse().and_then(|args| run(&args)))
}

struct Args {
    address: String,
    mode: Mode,
    delay: Duration,
}

fn parse() -> Result<Args, Error> {
    let mut args = Args { address: "127.0.0.1:0".into(), mode: Mode::FeedFlush, delay: Duration::ZERO };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("address") => args.address = cli::text(&mut parser)?,
            Arg::Long("mode") => {
                args.mode = match cli::text(&mut parser)?.as_str() {
                    "feed-flush" => Mode::FeedFlush,
                    "readme" => Mode::Readme,
                    other => return Err(format!("--mode {other}: want feed-flush or readme").into()),
                }
            }
            Arg::Long("handler-delay-ms") => args.delay = cli::delay(&mut parser)?,
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(args)
}

fn run(args: &Args) -> Result<(), Error> {
    cli::raise_file_limit()?;
    let (mode, delay) = (args.mode, args.delay);
    let listener = cli::listen(&args.address)?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                if let Err(error) = serve_peer(stream, mode, delay).await
                    && error.kind() != std::io::ErrorKind::ConnectionReset
                {
                    eprintln!("peer-agent: {error}");
                }
            });
        }
    })
}
