//! An agent on spop-tokio, to be measured.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use benches::agents::server;
use benches::cli::{self, Error};
use lexopt::{Arg, Parser};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const HELP: &str = "\
Answers every NOTIFY with one variable, on spop-tokio.

usage: our-agent [OPTIONS]

  --address HOST:PORT       where to listen; default 127.0.0.1:0, any free port
  --flavor FLAVOR           current_thread (default): a runtime per thread, each with a listener of its own (SO_REUSEPORT)
                            multi_thread: one runtime whose workers share the connections
  --threads N               how many threads; default 1
  --handler-delay-ms MS     how long the handler takes; default 0, ready at once
";

struct Args {
    address: String,
    multi_thread: bool,
    threads: usize,
    delay: Duration,
}

fn main() -> ExitCode {
    cli::exit("our-agent", parse().and_then(|args| run(&args)))
}

fn parse() -> Result<Args, Error> {
    let mut args =
        Args { address: "127.0.0.1:0".into(), multi_thread: false, threads: 1, delay: Duration::ZERO };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("address") => args.address = cli::text(&mut parser)?,
            Arg::Long("flavor") => {
                args.multi_thread = match cli::text(&mut parser)?.as_str() {
                    "current_thread" => false,
                    "multi_thread" => true,
                    other => {
                        return Err(format!("--flavor {other}: want current_thread or multi_thread").into());
                    }
                }
            }
            Arg::Long("threads") => args.threads = cli::value::<usize>(&mut parser, "threads")?.max(1),
            Arg::Long("handler-delay-ms") => {
                args.delay = Duration::from_millis(cli::value(&mut parser, "handler-delay-ms")?);
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
    let listener = cli::bind(&args.address)?;
    if args.multi_thread {
        let runtime = Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
        cli::announce(&listener)?;
        return serve(&runtime, listener, args.delay);
    }
    // All listen before anybody is told where.
    let address = listener.local_addr()?.to_string();
    let others: Vec<_> = (1..args.threads).map(|_| cli::bind(&address)).collect::<Result<_, _>>()?;
    cli::announce(&listener)?;
    let delay = args.delay;
    let single = move |listener| serve(&Builder::new_current_thread().enable_all().build()?, listener, delay);
    let threads: Vec<_> =
        others.into_iter().map(|listener| thread::spawn(move || single(listener))).collect();
    single(listener)?;
    threads.into_iter().try_for_each(|thread| thread.join().expect("a thread that does not panic"))
}

fn serve(runtime: &Runtime, listener: std::net::TcpListener, delay: Duration) -> Result<(), Error> {
    runtime.block_on(async {
        server(delay).serve(TcpListener::from_std(listener)?).await?;
        Ok(())
    })
}
