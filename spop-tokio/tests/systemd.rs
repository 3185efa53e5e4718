//! Sockets that the service manager passes on. That they are served, and what systemd is told, is in the testbed's
//! fault scenarios.

use std::io::ErrorKind;

use spop_tokio::SocketListener;

#[tokio::test]
async fn a_socket_that_was_not_passed_on_is_an_error() {
    for address in ["fd:3", "fd@3", "fd:0", "fd:18446744073709551615"] {
        let error = SocketListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot listen at {address}: ")), "{text}");
        assert!(text.contains("LISTEN_FDS"), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_number_is_said() {
    for address in ["fd:", "fd:agent", "fd:-1"] {
        let error = SocketListener::bind(address).await.unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen at {address}: want a number"));
    }
}
