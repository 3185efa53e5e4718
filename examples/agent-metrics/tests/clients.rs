//! What clients can do to each other.

use std::io;
use std::time::{Duration, Instant};

use testbed::{ReservedPort, http};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn clients_that_say_nothing_delay_no_other_until_all_places_are_taken_and_then_for_seconds()
-> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let port = ReservedPort::new()?;
    let address = port.addr();
    agent_metrics::serve(address).await?;
    let connect = async |count| -> io::Result<Vec<TcpStream>> {
        let mut silent = Vec::new();
        for _ in 0..count {
            silent.push(TcpStream::connect(address).await?);
        }
        Ok(silent)
    };
    let mut silent = connect(15).await?;
    let start = Instant::now();
    assert_eq!(http::get(address, "/metrics", &[]).await?.status, 200);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    silent.extend(connect(5).await?);
    assert_eq!(http::get(address, "/metrics", &[]).await?.status, 200);
    // The first of them was closed.
    assert_eq!(silent[0].read(&mut [0]).await?, 0);
    assert_eq!(http::get(address, "/", &[]).await?.status, 404);
    Ok(())
}
