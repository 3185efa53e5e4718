//! An agent on spop-tokio, to be measured.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use benches::agents::{Work, server};
use benches::cli::{self, Error};
use lexopt::{Arg, Parser};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const HELP: &str = "\
Answers every NOTIFY with one variable, on spop-tokio.

usage: our-agent [OPTIONS]

  --address HOST:PORT       where to listen; default 127.0.0.1:0, any free port
  --runtime RUNTIME         current-thread (default): one thread
                            multi-thread: one runtime whose threads share the connections
                            per-core: a current-thread runtime in each thread, each with a listener of its own
                            (SO_REUSEPORT)
  --threads N               how many threads, for the last two; default: as many as there are cores
  --handler-delay-ms MS     how long the handler waits; default 0
  --handler-busy-us US      how long the handler computes; default 0, so that it is ready at once
";

struct Args {
    address: String,
    kind: Kind,
    threads: usize,
    work: Work,
}

enum Kind {
    CurrentThread,
    MultiThread,
    PerCore,
}

fn main() -> ExitCode {
    cli::exit("our-agent", parse().and_then(|args| run(&args)))
}

fn parse() -> Result<Args, Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (address, kind) = ("127.0.0.1:0".into(), Kind::CurrentThread);
    let mut args = Args { address, kind, threads, work: Work::default() };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("address") => args.address = cli::text(&mut parser)?,
            Arg::Long("runtime") => {
                args.kind = match cli::text(&mut parser)?.as_str() {
                    "current-thread" => Kind::CurrentThread,
                    "multi-thread" => Kind::MultiThread,
                    "per-core" => Kind::PerCore,
                    other => {
                        let want = "current-thread, multi-thread or per-core";
                        return Err(format!("--runtime {other}: want {want}").into());
                    }
                }
            }
            Arg::Long("threads") => args.threads = cli::value::<usize>(&mut parser, "threads")?.max(1),
            Arg::Long("handler-delay-ms") => args.work.delay = cli::delay(&mut parser)?,
            Arg::Long("handler-busy-us") => {
                args.work.busy = Duration::from_micros(cli::value(&mut parser, "handler-busy-us")?);
            }
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
    let (listener, work) = (cli::bind(&args.address)?, args.work);
    let single = move |listener| serve(&Builder::new_current_thread().enable_all().build()?, listener, work);
    match args.kind {
        Kind::CurrentThread => {
            cli::announce(&listener)?;
            single(listener)
        }
        Kind::MultiThread => {
            let runtime = Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
            cli::announce(&listener)?;
            serve(&runtime, listener, work)
        }
        Kind::PerCore => {
            // All listen before anybody is told where.
            let address = listener.local_addr()?.to_string();
            let others: Vec<_> = (1..args.threads).map(|_| cli::bind(&address)).collect::<Result<_, _>>()?;
            cli::announce(&listener)?;
            let threads: Vec<_> =
                others.into_iter().map(|listener| thread::spawn(move || single(listener))).collect();
            single(listener)?;
            threads.into_iter().try_for_each(|thread| thread.join().expect("a thread that does not panic"))
        }
    }
}

fn serve(runtime: &Runtime, listener: std::net::TcpListener, work: Work) -> Result<(), Error> {
    runtime.block_on(async {
        server(work).serve(TcpListener::from_std(listener)?).await?;
        Ok(())
    })
}
