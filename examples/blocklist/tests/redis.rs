//! The list in a real Redis.

mod bed;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bed::{BoxResult, SOON, agent, haproxy, until};
use blocklist::current::{Current, follow};
use blocklist::list::{Request, now};
use blocklist::redis::RedisSource;
use redis::aio::MultiplexedConnection;
use redis::{Client, cmd, pipe};
use testbed::{AgentProcess, Backend, RedisProcess, haproxies, http};

const KEY: &str = "blocklist";
const CHANGES: &str = "blocklist:changes";

/// The example's list, followed from within the test.
struct Follower {
    current: Arc<Current>,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    async fn start(redis: &RedisProcess) -> BoxResult<Self> {
        let current = Arc::new(Current::unknown());
        let source = RedisSource::new(&redis.url(), KEY, 2_000_000)?;
        let task = tokio::spawn(follow(source, current.clone()));
        current.tried().await;
        Ok(Self { current, task })
    }

    /// `None` if there is no list.
    fn blocks(&self, address: &str) -> Option<bool> {
        let request = Request { src: Some(address.parse().unwrap()), ..Request::default() };
        self.current.with(|list| Some(list?.check(&request, now()).is_some_and(|entry| !entry.allow)))
    }

    fn len(&self) -> Option<usize> {
        self.current.with(|list| list.map(blocklist::list::List::len))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(redis: &RedisProcess) -> BoxResult<MultiplexedConnection> {
    Ok(Client::open(redis.url())?.get_multiplexed_async_connection().await?)
}

/// Adds an entry as the README says.
async fn add(redis: &mut MultiplexedConnection, entry: &str, until: f64) -> BoxResult {
    let mut both = pipe();
    both.atomic().cmd("ZADD").arg(KEY).arg(until).arg(entry).ignore();
    both.cmd("XADD").arg(CHANGES).arg("MAXLEN").arg("~").arg(100_000).arg("*");
    both.arg("add").arg(entry).arg("until").arg(until).ignore();
    Ok(both.query_async(redis).await?)
}

async fn remove(redis: &mut MultiplexedConnection, entry: &str) -> BoxResult {
    let mut both = pipe();
    both.atomic().cmd("ZREM").arg(KEY).arg(entry).ignore();
    both.cmd("XADD").arg(CHANGES).arg("*").arg("del").arg(entry).ignore();
    Ok(both.query_async(redis).await?)
}

#[tokio::test]
async fn three_agents_agree_within_a_second() -> BoxResult {
    let redis = RedisProcess::start().await?;
    let mut writer = connect(&redis).await?;
    add(&mut writer, "10.0.0.0/8 # before", f64::INFINITY).await?;
    add(&mut writer, "10.0.0.1", f64::from(now() - 1)).await?;
    let agents =
        [Follower::start(&redis).await?, Follower::start(&redis).await?, Follower::start(&redis).await?];
    let all = |address: &str, want| agents.iter().all(|agent| agent.blocks(address) == Some(want));
    assert!(all("10.9.9.9", true) && all("192.0.2.1", false));
    add(&mut writer, "192.0.2.0/24 # now", f64::INFINITY).await?;
    let added = until("the new entry", async || Ok(all("192.0.2.1", true))).await?;
    add(&mut writer, "allow 192.0.2.7", f64::from(now() + 1000)).await?;
    until("the exception", async || Ok(all("192.0.2.7", false))).await?;
    remove(&mut writer, "192.0.2.0/24 # now").await?;
    let removed = until("the end of the entry", async || Ok(all("192.0.2.1", false))).await?;
    println!("three agents agree {added:?} after an entry came, {removed:?} after it went");
    assert!(added.max(removed) < Duration::from_secs(1), "{added:?}, {removed:?}");
    Ok(())
}

#[tokio::test]
async fn an_entry_expires_by_itself() -> BoxResult {
    let redis = RedisProcess::start().await?;
    add(&mut connect(&redis).await?, "10.0.0.1", f64::from(now() + 2)).await?;
    let agent = Follower::start(&redis).await?;
    assert_eq!(agent.blocks("10.0.0.1"), Some(true));
    until("its end", async || Ok(agent.blocks("10.0.0.1") == Some(false))).await?;
    Ok(())
}

#[tokio::test]
async fn the_last_list_stays_while_redis_is_down_and_what_it_has_then_counts() -> BoxResult {
    let mut redis = RedisProcess::start().await?;
    add(&mut connect(&redis).await?, "10.0.0.1", f64::INFINITY).await?;
    let agent = Follower::start(&redis).await?;
    redis.kill();
    let before = agent.current.age();
    until("a greater age", async || Ok(agent.current.age() > before + Duration::from_secs(2))).await?;
    assert_eq!(agent.blocks("10.0.0.1"), Some(true));
    redis.restart().await?;
    add(&mut connect(&redis).await?, "10.0.0.2", f64::INFINITY).await?;
    until("the new list", async || Ok(agent.blocks("10.0.0.2") == Some(true))).await?;
    assert_eq!(agent.blocks("10.0.0.1"), Some(false));
    until("a small age", async || Ok(agent.current.age() < Duration::from_secs(2))).await?;
    Ok(())
}

#[tokio::test]
async fn a_redis_that_hangs_is_found_and_no_change_is_missed() -> BoxResult {
    let redis = RedisProcess::start().await?;
    let mut writer = connect(&redis).await?;
    let agent = Follower::start(&redis).await?;
    redis.freeze()?;
    until("a greater age", async || Ok(agent.current.age() > Duration::from_secs(7))).await?;
    redis.thaw()?;
    add(&mut writer, "10.0.0.1", f64::INFINITY).await?;
    until("the change", async || Ok(agent.blocks("10.0.0.1") == Some(true))).await?;
    Ok(())
}

#[tokio::test]
async fn changes_that_the_stream_no_longer_has_are_not_missed() -> BoxResult {
    let redis = RedisProcess::start().await?;
    let mut writer = connect(&redis).await?;
    add(&mut writer, "10.0.0.1", f64::INFINITY).await?;
    let agent = Follower::start(&redis).await?;
    let mut all = pipe();
    // Three changes at once, of which the stream keeps the last one.
    for entry in ["10.0.0.2", "10.0.0.3", "10.0.0.4"] {
        all.atomic().cmd("ZADD").arg(KEY).arg("inf").arg(entry).ignore();
        all.cmd("XADD").arg(CHANGES).arg("MAXLEN").arg(1).arg("*").arg("add").arg(entry).ignore();
    }
    let () = all.query_async(&mut writer).await?;
    until("all of them", async || Ok(agent.len() == Some(4))).await?;
    assert_eq!(agent.blocks("10.0.0.2"), Some(true));
    Ok(())
}

#[tokio::test]
async fn poison_costs_itself_only() -> BoxResult {
    let redis = RedisProcess::start().await?;
    let mut writer = connect(&redis).await?;
    let huge = vec![b'x'; 10_000_000];
    for member in [&b"\xff\xfe"[..], b"", b"nonsense", b"path=", b"\0\r\n", &huge] {
        let () = cmd("ZADD").arg(KEY).arg(1e300).arg(member).query_async(&mut writer).await?;
    }
    add(&mut writer, "10.0.0.1", f64::INFINITY).await?;
    let agent = Follower::start(&redis).await?;
    assert_eq!((agent.len(), agent.blocks("10.0.0.1")), (Some(1), Some(true)));
    // And in the stream.
    for fields in [["add", "nonsense"], ["del", "nonsense"], ["bad", "10.0.0.9"], ["add", "\u{1}"]] {
        let () = cmd("XADD").arg(CHANGES).arg("*").arg(&fields).query_async(&mut writer).await?;
    }
    let () = cmd("XADD").arg(CHANGES).arg("*").arg(b"\xff").arg(&huge).query_async(&mut writer).await?;
    let odd = ["add", "10.0.0.3", "until", "soon"];
    let () = cmd("XADD").arg(CHANGES).arg("*").arg(&odd).query_async(&mut writer).await?;
    add(&mut writer, "10.0.0.2", f64::INFINITY).await?;
    until("the good one", async || Ok(agent.blocks("10.0.0.2") == Some(true))).await?;
    assert_eq!(agent.len(), Some(2));
    Ok(())
}

#[tokio::test]
async fn keys_of_another_type_leave_the_last_list_in_use() -> BoxResult {
    let redis = RedisProcess::start().await?;
    let mut writer = connect(&redis).await?;
    add(&mut writer, "10.0.0.1", f64::INFINITY).await?;
    let agent = Follower::start(&redis).await?;
    for key in [KEY, CHANGES] {
        let mut change = pipe();
        change.atomic().cmd("DEL").arg(KEY).arg(CHANGES).ignore();
        let () = change.cmd("SET").arg(key).arg("oops").ignore().query_async(&mut writer).await?;
        // The set alone is not looked at again before something is amiss.
        let () = cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query_async(&mut writer).await?;
        let before = agent.current.age();
        until("a greater age", async || Ok(agent.current.age() > before + Duration::from_secs(2))).await?;
        assert_eq!(agent.blocks("10.0.0.1"), Some(true), "{key}");
    }
    let () = cmd("DEL").arg(CHANGES).query_async(&mut writer).await?;
    add(&mut writer, "10.0.0.2", f64::INFINITY).await?;
    until("the good one", async || Ok(agent.blocks("10.0.0.2") == Some(true))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_updates_a_second_are_followed() -> BoxResult {
    const SECONDS: u32 = 3;
    let redis = RedisProcess::start().await?;
    let mut writer = connect(&redis).await?;
    let agent = Follower::start(&redis).await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let start = Instant::now();
    for tenth in 0..SECONDS * 10 {
        ticks.tick().await;
        let mut batch = pipe();
        batch.atomic();
        for n in 0..1000 {
            let entry = IpAddr::from((0x0a00_0000 + tenth * 1000 + n).to_be_bytes()).to_string();
            batch.cmd("ZADD").arg(KEY).arg("inf").arg(&entry).ignore();
            batch.cmd("XADD").arg(CHANGES).arg("MAXLEN").arg("~").arg(100_000).arg("*");
            batch.arg("add").arg(&entry).ignore();
        }
        let () = batch.query_async(&mut writer).await?;
    }
    let wrote = start.elapsed();
    let late = until("all of them", async || Ok(agent.len() == Some(SECONDS as usize * 10_000))).await?;
    println!("{} updates in {wrote:?}, all there {late:?} after the last", SECONDS * 10_000);
    assert!(late < Duration::from_secs(2), "{late:?}");
    Ok(())
}

#[tokio::test]
async fn without_redis_at_the_start_the_option_decides_and_redis_may_come() -> BoxResult {
    let site = Backend::start().await?;
    let program = haproxies()?.pop().ok_or("no HAProxy")?;
    for (word, status) in [("allow", 200), ("block", 403)] {
        let mut redis = RedisProcess::start().await?;
        redis.kill();
        let agent = agent(&["--redis", &redis.url(), "--when-unknown", word]).await?;
        let haproxy = haproxy(&program, &agent, [&site, &site]).await?;
        let response = http::get(haproxy.http(), "/", &[]).await?;
        assert_eq!(response.status, status, "{word}");
        redis.restart().await?;
        loaded(&agent).await?;
        until("a 200", async || Ok(http::get(haproxy.http(), "/", &[]).await?.status == 200)).await?;
        let complaints = |line: &&String| line.contains("the list stays as it is");
        assert_eq!(agent.logs().all().iter().filter(complaints).count(), 1, "once a minute");
    }
    Ok(())
}

#[tokio::test]
async fn the_age_of_the_list_is_a_metric_and_a_password_is_not_shown() -> BoxResult {
    let mut redis = RedisProcess::start_with(&["--requirepass", "secret"]).await?;
    let url = redis.url().replace("redis://", "redis://:secret@");
    let agent = agent(&["--redis", &url, "--metrics", "127.0.0.1:0"]).await?;
    loaded(&agent).await?;
    let at = |line: &str| line.contains("metrics at http://");
    let line = agent.wait_for_log("the address", SOON, at).await?;
    let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/metrics"));
    let address: std::net::SocketAddr = address.ok_or("no address")?.parse()?;
    let age = async || -> BoxResult<f64> {
        let page = http::get(address, "/metrics", &[]).await?.text();
        let line = page.lines().find_map(|line| line.strip_prefix("blocklist_age_seconds "));
        Ok(line.ok_or(page.clone())?.parse()?)
    };
    redis.kill();
    until("an old list", async || Ok(age().await? >= 3.0)).await?;
    let failed = |line: &str| line.contains("the list stays as it is");
    agent.wait_for_log("the complaint", SOON, failed).await?;
    assert!(agent.logs().all().iter().all(|line| !line.contains("secret")));
    redis.restart().await?;
    until("a new list", async || Ok(age().await? <= 2.0)).await?;
    Ok(())
}

async fn loaded(agent: &AgentProcess) -> BoxResult {
    agent.wait_for_log("the list", SOON, |line| line.contains("list loaded")).await?;
    Ok(())
}

#[test]
fn a_url_that_makes_no_sense_is_refused_without_being_shown() {
    let error = RedisSource::new("redis//:secret@x", KEY, 1).unwrap_err().to_string();
    assert!(error.starts_with("--redis: ") && !error.contains("secret"), "{error}");
}
