//! What the programs of this package have in common.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Any error, to be shown.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The exit code of program `name`; prints its error.
pub fn exit(name: &str, result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The address of a program that takes nothing but `--address`.
///
/// # Errors
/// If it was given anything else.
pub fn address_only(name: &str) -> Result<String, Error> {
    let mut address = "127.0.0.1:0".to_owned();
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("address") => address = text(&mut parser)?,
            Arg::Long("help") | Arg::Short('h') => {
                println!("usage: {name} [--address HOST:PORT]   (default 127.0.0.1:0, any free port)");
                std::process::exit(0);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(address)
}

/// The value of an option, as text.
///
/// # Errors
/// If there is none, or it is not UTF-8.
pub fn text(parser: &mut Parser) -> Result<String, Error> {
    Ok(parser.value()?.into_string().map_err(|value| format!("{}: not UTF-8", value.display()))?)
}

/// The value of an option, parsed.
///
/// # Errors
/// If there is none, or it cannot be parsed.
pub fn value<T>(parser: &mut Parser, option: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: Display>,
{
    let text = text(parser)?;
    text.parse().map_err(|error| format!("--{option} {text}: {error}").into())
}

/// The value of `--handler-delay-ms`.
///
/// # Errors
/// If it is no whole number.
pub fn delay(parser: &mut Parser) -> Result<Duration, Error> {
    Ok(Duration::from_millis(value(parser, "handler-delay-ms")?))
}

/// Lets this process have as many connections as it may give itself.
///
/// # Errors
/// If the system says no.
pub fn raise_file_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Listens, says where on stdout, and returns the socket, which does not block.
///
/// # Errors
/// If the address cannot be listened at.
pub fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = bind(address)?;
    announce(&listener)?;
    Ok(listener)
}

/// Tells on stdout, in a line of its own, where `listener` listens.
///
/// # Errors
/// If stdout is closed.
pub fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()
}

/// Listens at an address that others may share (`SO_REUSEPORT`); the socket does not block.
///
/// # Errors
/// If the address cannot be listened at.
pub fn bind(address: &str) -> io::Result<TcpListener> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"));
    let resolved = address.to_socket_addrs().map_err(explain)?.next();
    let resolved = resolved.ok_or_else(|| explain(io::ErrorKind::NotFound.into()))?;
    bind_to(resolved).map_err(explain)
}

fn bind_to(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
