//! Bursts on connections to the agent that are new: nothing has told it yet how HAProxy treats them.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::judge::Measurements;
use super::length;
use super::run::{Setting, TURN, record};
use super::stalls::Watchdog;
use crate::bed::{Bed, Outcome, SOON};
use crate::traffic::Client;

/// As many as HAProxy has waiting on one connection at most.
const CLIENTS: usize = 20;
/// What HAProxy needs to put a connection back to the idle ones.
const PAUSE: Duration = Duration::from_millis(20);

/// Two bursts after each reload of HAProxy, whose new worker has no connection to the agent. If `on_one`, it has one
/// that was used once, and HAProxy from 3.1 lets all of the first burst wait on that.
pub(super) async fn run(bed: &Bed, setting: &Setting, size: usize, on_one: bool) -> Outcome<Measurements> {
    let mut pair = setting.start(bed, size).await?;
    let _turn = TURN.lock().await;
    let (mut records, mut stalls, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    let end = Instant::now() + length();
    while Instant::now() < end {
        let watchdog = Watchdog::start(&pair);
        let mut clients = Vec::from_iter((0..CLIENTS).map(|number| Client::new(number, pair.haproxy.http())));
        if on_one {
            records.push(record(&mut clients[0], 0).await);
        }
        for _ in 0..2 {
            sleep(PAUSE).await;
            let start = Instant::now();
            let mut burst = JoinSet::new();
            for mut client in clients.drain(..) {
                burst.spawn(async move { (record(&mut client, 1).await, client) });
            }
            while let Some(ended) = timeout(SOON, burst.join_next()).await? {
                let (record, client) = ended?;
                records.push(record);
                clients.push(client);
            }
            took += start.elapsed();
        }
        drop(clients);
        stalls.extend(watchdog.stop().await?);
        pair.haproxy.reload().await?;
    }
    Ok(Measurements::new(&records, stalls, setting.processing, took))
}
