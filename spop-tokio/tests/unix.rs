//! Unix sockets in the file system: who may connect, what is replaced, what is left alone.

mod support;

use std::fs;
use std::future::IntoFuture;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spop_tokio::{Listener, Peer, Server, SocketListener};
use support::{Haproxy, echo, name_of, soon};
use tempfile::TempDir;
use tokio::net::UnixStream;

/// A directory of the test's own, and the path of a socket in it.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    (directory, path)
}

/// Asks whoever listens at `path`, and is answered.
async fn ask(path: &Path) {
    let mut haproxy = Haproxy::connect(soon(UnixStream::connect(path)).await.unwrap()).await;
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
}

fn serve(
    listener: SocketListener,
) -> tokio::task::JoinHandle<Result<spop_tokio::Drained, spop_tokio::Error>> {
    tokio::spawn(Server::new(echo()).serve(listener).into_future())
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The error's text, which must name the path and hold `advice`.
#[track_caller]
fn explained(error: &Error, kind: ErrorKind, path: &Path, advice: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen at the Unix socket {}: ", path.display())), "{text}");
    assert!(text.contains(advice), "{text}");
}

#[tokio::test]
async fn an_address_with_unix_in_front_is_a_path() {
    for prefix in ["unix:", "unix@"] {
        let (_directory, path) = place();
        let listener = SocketListener::bind(&format!("{prefix}{}", path.display())).await.unwrap();
        assert_eq!(listener.to_string(), format!("unix:{}", path.display()));
        assert_eq!(listener.tcp_addr(), None);
        serve(listener);
        ask(&path).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_address_is_what_haproxy_calls_so() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};

    let name = format!("spop-test-{}", std::process::id());
    let mut filled = name.clone().into_bytes();
    filled.resize(107, 0);
    for (address, shown, connect_to) in [
        (format!("abns@{name}"), format!("abns@{name}"), filled),
        (format!("abnsz@{name}"), format!("abnsz@{name}"), name.clone().into_bytes()),
        (format!("unix:@{name}"), format!("abnsz@{name}"), name.clone().into_bytes()),
    ] {
        let mut listener = SocketListener::bind(&address).await.unwrap();
        assert_eq!(listener.to_string(), shown);
        let error = SocketListener::bind(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
        assert!(error.to_string().contains(&address), "{error}");
        let _peer = UnixStream::connect_addr(&SocketAddr::from_abstract_name(connect_to).unwrap()).unwrap();
        assert_eq!(soon(listener.accept()).await.await.unwrap().1, Peer::Unix);
    }
}

#[tokio::test]
async fn the_peer_is_a_unix_one() {
    let (_directory, path) = place();
    let mut listener = SocketListener::bind_unix(&path, None).unwrap();
    let (_peer, setup) = tokio::join!(soon(UnixStream::connect(&path)), soon(listener.accept()));
    assert_eq!(setup.await.unwrap().1, Peer::Unix);
}

#[tokio::test]
async fn the_mode_is_set() {
    for mode in [0o600, 0o660, 0o666] {
        let (_directory, path) = place();
        let _listener = SocketListener::bind_unix(&path, Some(mode)).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
    }
}

#[tokio::test]
async fn nothing_but_the_socket_is_left_in_the_directory() {
    let (directory, path) = place();
    let listener = SocketListener::bind_unix(&path, Some(0o660)).unwrap();
    assert_eq!(names_in(directory.path()), ["agent.sock"]);
    drop(listener);
    assert!(names_in(directory.path()).is_empty());
}

#[tokio::test]
async fn what_a_crash_left_of_a_bind_is_cleared_away() {
    let (directory, path) = place();
    let hidden = directory.path().join(format!(".spop{}", std::process::id()));
    fs::create_dir(&hidden).unwrap();
    drop(UnixListener::bind(hidden.join("s")).unwrap());
    let _listener = SocketListener::bind_unix(&path, None).unwrap();
    assert_eq!(names_in(directory.path()), ["agent.sock"]);
}

#[tokio::test]
async fn a_socket_nobody_listens_at_is_replaced() {
    let (_directory, path) = place();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    serve(SocketListener::bind_unix(&path, None).unwrap());
    ask(&path).await;
}

#[tokio::test]
async fn a_socket_somebody_listens_at_is_refused_and_goes_on_working() {
    let (_directory, path) = place();
    serve(SocketListener::bind_unix(&path, None).unwrap());
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::AddrInUse, &path, "another process listens at it: stop that one");
    ask(&path).await;
}

#[tokio::test]
async fn a_socket_that_is_taken_over_is_never_without_a_listener_and_stays_with_the_new_one() {
    let (directory, path) = place();
    let old = serve(SocketListener::bind_unix(&path, None).unwrap());
    let mut haproxy = Haproxy::connect(soon(UnixStream::connect(&path)).await.unwrap()).await;
    let new = SocketListener::take_over_unix(&path, Some(0o660)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // Not accepted yet, but not refused.
    let waiting = soon(UnixStream::connect(&path)).await.unwrap();
    haproxy.ask("old").await;
    assert_eq!(name_of(&haproxy.ack().await), "old");
    old.abort();
    assert!(soon(old).await.unwrap_err().is_cancelled());
    assert_eq!(names_in(directory.path()), ["agent.sock"]);
    let new = serve(new);
    let mut haproxy = Haproxy::connect(waiting).await;
    haproxy.ask("new").await;
    assert_eq!(name_of(&haproxy.ack().await), "new");
    new.abort();
    assert!(soon(new).await.unwrap_err().is_cancelled());
    assert!(names_in(directory.path()).is_empty());
}

#[tokio::test]
async fn a_listener_knows_when_another_one_has_taken_its_place() {
    let (_directory, path) = place();
    let old = SocketListener::bind_unix(&path, None).unwrap();
    assert!(!old.is_taken_over());
    let new = SocketListener::take_over_unix(&path, None).unwrap();
    assert!(old.is_taken_over() && !new.is_taken_over());
}

#[tokio::test]
async fn nothing_or_a_dead_socket_is_taken_over_too() {
    let (_directory, path) = place();
    drop(SocketListener::take_over_unix(&path, None).unwrap());
    drop(UnixListener::bind(&path).unwrap());
    serve(SocketListener::take_over_unix(&path, None).unwrap());
    ask(&path).await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_taken_over() {
    let (_directory, path) = place();
    fs::write(&path, "precious").unwrap();
    let error = SocketListener::take_over_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::AddrInUse, &path, "no socket: remove it");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn of_agents_that_start_together_one_gets_the_socket() {
    for _ in 0..20 {
        let (_directory, path) = place();
        drop(UnixListener::bind(&path).unwrap());
        let start = || {
            let path = path.clone();
            tokio::task::spawn_blocking(move || SocketListener::bind_unix(&path, None))
        };
        let starts = [start(), start(), start(), start()];
        let mut got = Vec::new();
        for start in starts {
            match soon(start).await.unwrap() {
                Ok(listener) => got.push(listener),
                Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
            }
        }
        assert_eq!(got.len(), 1);
        let serving = serve(got.pop().unwrap());
        ask(&path).await;
        serving.abort();
    }
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_refused_and_kept() {
    let (_directory, path) = place();
    fs::write(&path, "precious").unwrap();
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::AddrInUse, &path, "no socket: remove it");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_link_to_a_socket_is_refused_and_kept() {
    let (directory, path) = place();
    let other = directory.path().join("other.sock");
    drop(UnixListener::bind(&other).unwrap());
    std::os::unix::fs::symlink(&other, &path).unwrap();
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::AddrInUse, &path, "no socket: remove it");
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink() && other.exists());
}

#[tokio::test]
async fn the_file_is_removed_with_the_listener() {
    let (_directory, path) = place();
    let serving = serve(SocketListener::bind_unix(&path, None).unwrap());
    ask(&path).await;
    serving.abort();
    assert!(soon(serving).await.unwrap_err().is_cancelled());
    assert!(!path.exists());
}

#[tokio::test]
async fn somebody_elses_file_is_not_removed_with_the_listener() {
    let (_directory, path) = place();
    let listener = SocketListener::bind_unix(&path, None).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let (directory, _) = place();
    let path = directory.path().join("missing").join("agent.sock");
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    let missing = format!("cannot lock {}: ", path.with_file_name(".spop.lock").display());
    explained(&error, ErrorKind::NotFound, &path, &missing);
    assert!(!path.parent().unwrap().exists());
}

#[tokio::test]
async fn a_file_where_the_directory_must_be_is_an_error() {
    let (directory, _) = place();
    fs::write(directory.path().join("file"), "").unwrap();
    let path = directory.path().join("file").join("agent.sock");
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::NotADirectory, &path, "");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_an_error() {
    let (directory, _) = place();
    let path = directory.path().join("x".repeat(200));
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::InvalidInput, &path, "");
    assert!(names_in(directory.path()).is_empty());
}

#[tokio::test]
async fn a_path_may_be_relative() {
    let (directory, path) = place();
    // All other paths of these tests are absolute.
    std::env::set_current_dir(directory.path()).unwrap();
    let listener = SocketListener::bind("unix:agent.sock").await.unwrap();
    assert_eq!(listener.to_string(), "unix:agent.sock");
    let serving = serve(listener);
    ask(&path).await;
    serving.abort();
    assert!(soon(serving).await.unwrap_err().is_cancelled());
    assert!(!path.exists());
}

#[tokio::test]
async fn whoever_can_read_the_directory_keeps_no_agent_from_starting() {
    let (directory, path) = place();
    let locked = fs::File::open(directory.path()).unwrap();
    locked.lock().unwrap();
    serve(SocketListener::bind_unix(&path, None).unwrap());
    ask(&path).await;
}

/// The lock that agents at sockets of this directory take turns with.
fn lock(directory: &Path) -> fs::File {
    let lock = fs::File::create(directory.join(".spop.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[tokio::test]
async fn an_agent_that_never_ends_its_turn_is_named() {
    let (directory, path) = place();
    let _lock = lock(directory.path());
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(
        &error,
        ErrorKind::TimedOut,
        &path,
        ".spop.lock: another process has had it locked for a second",
    );
}

#[tokio::test]
async fn a_turn_that_a_crash_ended_is_taken_and_cleared_away() {
    let (directory, path) = place();
    fs::write(directory.path().join(".spop.lock"), "").unwrap();
    let _listener = SocketListener::bind_unix(&path, None).unwrap();
    assert_eq!(names_in(directory.path()), ["agent.sock"]);
}

#[tokio::test]
async fn a_listener_that_is_dropped_in_anothers_turn_waits_for_nothing() {
    let (directory, path) = place();
    let listener = SocketListener::bind_unix(&path, None).unwrap();
    let lock = lock(directory.path());
    let start = Instant::now();
    drop(listener);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    drop(lock);
    // What stays is dead.
    serve(SocketListener::bind_unix(&path, None).unwrap());
    ask(&path).await;
}

#[tokio::test]
async fn a_socket_whose_listener_accepts_nothing_is_refused_at_once() {
    let (_directory, path) = place();
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let _listener = socket.listen(0).unwrap();
    // The backlog is full now.
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let error = SocketListener::bind_unix(&path, None).unwrap_err();
    explained(&error, ErrorKind::AddrInUse, &path, "another process listens at it");
}
