//! An agent that turns away whom the site is not for: see the library's page and the README.

use std::process::ExitCode;
use std::sync::Arc;

use decision::agent::{self, Agent, REQUEST_TIMEOUT};
use decision::challenge::{Challenges, derived_id};
use decision::config;
use decision::metrics::{self, Decisions};
use decision::options::{Command, Options, USAGE};
use decision::output::Output;
use decision::page::Pages;
use decision::reload::{self, Current};
use decision::rules::{self, Rules};
use decision::web;
use spop_tokio::{BoxError, Server, SocketListener, shutdown_signal};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, info};

const MIN_SECRET: usize = 32;

fn main() -> ExitCode {
    let options = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(options)) => options,
        Ok(Command::PrintRules) => {
            print!("{}", rules::DEFAULT);
            return ExitCode::SUCCESS;
        }
        Ok(Command::PrintConfig(version)) => {
            return done(config::print(version).map(|text| print!("{text}")));
        }
        Ok(Command::CheckConfig(path)) => return done(config::check(&path).and_then(all_fits)),
        Ok(Command::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("decision: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let level = if options.debug { Level::DEBUG } else { Level::INFO };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    done(runtime.map_err(BoxError::from).and_then(|runtime| runtime.block_on(serve(*options))))
}

fn done(result: Result<(), BoxError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decision: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all_fits(findings: Vec<String>) -> Result<(), BoxError> {
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() { Ok(()) } else { Err("the file does not fit".into()) }
}

async fn serve(options: Options) -> Result<(), BoxError> {
    let secret = secret(&options)?;
    let poison = options.poison_id.clone().unwrap_or_else(|| derived_id(&secret, "poison"));
    let challenges = Challenges::new(&secret, options.challenge_bits, options.challenge_lifetime);
    let rules = Arc::new(Current::new(Rules::load(options.rules.as_deref())?));
    let (shutdown, hangup) = (shutdown_signal()?, signal(SignalKind::hangup())?);

    let report = metrics::install()?;
    let listener = web::bind("--metrics", options.metrics).await?;
    info!("metrics at http://{}/metrics", listener.local_addr()?);
    tokio::spawn(web::serve(listener, move |request| metrics::answer(request, &report)));

    let listener = web::bind("--http", options.http).await?;
    info!("output server at http://{}", listener.local_addr()?);
    let pages = Pages::new(poison.clone(), options.link_depth);
    let output = Output { decision_header: options.decision_header, pages, challenges: challenges.clone() };
    tokio::spawn(web::serve(listener, move |request| output.answer(request)));

    tokio::spawn(reload::watch(options.rules, rules.clone(), hangup));

    let agent =
        Agent { rules, poison, challenges, on_error: options.on_error, metrics: Decisions::default() };
    let listener = match (options.listen.split_once([':', '@']), options.socket_mode) {
        (Some(("unix", path)), Some(mode)) => SocketListener::bind_unix(path, Some(mode))?,
        _ => SocketListener::bind(&options.listen).await?,
    };
    let address = listener.to_string();
    let server = Server::new(agent.router()).request_timeout(REQUEST_TIMEOUT);
    let serve = server.on_failure(agent::fallback(options.on_error)).serve(listener);
    // Its metrics are there, too.
    info!("listening on {address}");
    let drained = serve.with_graceful_shutdown(shutdown).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}

/// What signs cookies.
fn secret(options: &Options) -> Result<Vec<u8>, BoxError> {
    let Some(file) = &options.secret_file else {
        let mut secret = vec![0; MIN_SECRET];
        getrandom::fill(&mut secret)?;
        return Ok(secret);
    };
    let secret = std::fs::read(file).map_err(|error| format!("--secret-file {}: {error}", file.display()))?;
    if secret.len() < MIN_SECRET {
        let hint = "make it with: head -c 32 /dev/urandom > FILE";
        return Err(
            format!("--secret-file {}: has less than {MIN_SECRET} bytes ({hint})", file.display()).into()
        );
    }
    Ok(secret)
}
