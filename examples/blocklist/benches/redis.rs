//! How long a million entries take to come from Redis, and a change of them: `cargo bench -p blocklist --bench redis`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use blocklist::current::{Current, follow};
use blocklist::list::{List, Request, now};
use blocklist::redis::RedisSource;
use redis::{Client, pipe};
use spop_tokio::BoxError;
use testbed::RedisProcess;
use tokio::time::sleep;

const ENTRIES: u32 = 1_000_000;
const BATCH: u32 = 10_000;
const CHANGES: u32 = 10;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let redis = RedisProcess::start().await?;
    let mut writer = Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    for batch in 0..ENTRIES / BATCH {
        let mut add = pipe();
        for n in 0..BATCH {
            let entry = format!("{} # spam", Ipv4Addr::from_bits((10 << 24) + batch * BATCH + n));
            add.cmd("ZADD").arg("blocklist").arg("inf").arg(entry).ignore();
        }
        let () = add.query_async(&mut writer).await?;
    }
    let current = Arc::new(Current::unknown());
    let start = Instant::now();
    tokio::spawn(follow(RedisSource::new(&redis.url(), "blocklist", usize::MAX)?, current.clone()));
    current.tried().await;
    let length = current.with(|list| list.map_or(0, List::len));
    println!("{length} entries loaded in {:.1?}", start.elapsed());
    for change in 0..CHANGES {
        let address = Ipv4Addr::new(192, 0, 2, change as u8);
        let mut add = pipe();
        add.atomic().cmd("ZADD").arg("blocklist").arg("inf").arg(address.to_string()).ignore();
        add.cmd("XADD").arg("blocklist:changes").arg("*").arg("add").arg(address.to_string()).ignore();
        let start = Instant::now();
        let () = add.query_async(&mut writer).await?;
        let request = Request { src: Some(IpAddr::V4(address)), ..Request::default() };
        while current.with(|list| list.is_none_or(|list| list.check(&request, now()).is_none())) {
            sleep(Duration::from_millis(1)).await;
        }
        println!("a change of them is there after {:.1?}", start.elapsed());
    }
    Ok(())
}
