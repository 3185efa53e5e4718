//! Entries in Redis, which any number of agents on any number of machines share.
//!
//! The sorted set `KEY` has an entry a member, written as in a file, with the time of its expiry as its score. Whoever
//! changes it adds the change to the stream `KEY:changes` in the same transaction. An agent notes the end of the stream,
//! loads the set page by page, and then reads the stream from there on: a change that falls between the two is seen
//! twice, which does no harm, and none is missed. After a lost connection, or when the stream was cut shorter than what the
//! agent had read, it loads the set anew.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Value, cmd};
use spop_tokio::BoxError;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::info;

use crate::list::List;
use crate::rule::NEVER;
use crate::source::{Intake, Source, loaded};

/// Members of one page, and changes of one read, at most.
const PAGE: usize = 1000;
const CHANGES: usize = 10_000;

/// How long Redis waits for a change before it says that there is none.
const WAIT: Duration = Duration::from_secs(1);

/// Changes that come within this time make one new list: to make one of a million entries takes a tenth of it.
const PAUSE: Duration = Duration::from_millis(200);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// The set is loaded anew this often, for writers that forget the stream.
const RELOAD: Duration = Duration::from_secs(300);

/// A sorted set and a stream in Redis.
#[derive(Debug)]
pub struct RedisSource {
    client: Client,
    key: String,
    changes: String,
    max_entries: usize,
    /// `None` before the first load, and after whatever makes another one needed.
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    connection: MultiplexedConnection,
    /// The last change that is in the list.
    last: StreamId,
    loaded: Instant,
    /// More changes may be on their way, to be taken together.
    busy: bool,
}

impl RedisSource {
    /// The sorted set `key` at `url`, of which at most `max_entries` are taken.
    ///
    /// # Errors
    /// If `url` makes no sense. Whether there is a Redis, time will tell.
    pub fn new(url: &str, key: &str, max_entries: usize) -> Result<Self, BoxError> {
        // The URL may have a password: it is not shown.
        let client = Client::open(url).map_err(|error| format!("--redis: {error}"))?;
        Ok(Self { client, key: key.into(), changes: format!("{key}:changes"), max_entries, link: None })
    }

    async fn load(&self) -> Result<(Link, List), BoxError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let newest = cmd("XREVRANGE").arg(&self.changes).arg("+").arg("-").arg("COUNT").arg(1).to_owned();
        let last = first_id(&ask(&mut connection, &newest).await?)?.unwrap_or_default();
        let mut intake = Intake::new(&List::default(), self.max_entries);
        let mut cursor = b"0".to_vec();
        loop {
            let page = cmd("ZSCAN").arg(&self.key).arg(&cursor).arg("COUNT").arg(PAGE).to_owned();
            let page = ask(&mut connection, &page).await?;
            let [next, members] = array(&page)? else { return Err(nonsense(&page)) };
            for pair in array(members)?.chunks_exact(2) {
                let [member, score] = pair else { continue };
                let (member, score) = (bytes(member)?, bytes(score)?);
                intake.set(Place(&self.key, member), member, expiry(score));
            }
            cursor = bytes(next)?.to_vec();
            if cursor == b"0" {
                break;
            }
        }
        let list = spawn_blocking(move || intake.apply_to(&List::default())).await?;
        Ok((Link { connection, last, loaded: Instant::now(), busy: false }, list))
    }

    /// Waits for changes; `None` if some may have been missed.
    async fn follow(&self, mut link: Link) -> Result<Option<(Link, Vec<Value>)>, BoxError> {
        if link.busy {
            sleep(PAUSE).await;
        }
        let read = cmd("XREAD")
            .arg("COUNT")
            .arg(CHANGES)
            .arg("BLOCK")
            .arg(WAIT.as_millis() as u64)
            .arg("STREAMS")
            .arg(&self.changes)
            .arg(link.last.to_string())
            .to_owned();
        let changes = changes_of(ask(&mut link.connection, &read).await?)?;
        link.busy = !changes.is_empty();
        let Some(last) = changes.last().map(id).transpose()? else { return Ok(Some((link, changes))) };
        // Asked later than the changes: as long as the oldest one that is kept is not newer than what was read before,
        // nothing in between is gone.
        let oldest = cmd("XRANGE").arg(&self.changes).arg("-").arg("+").arg("COUNT").arg(1).to_owned();
        let oldest = first_id(&ask(&mut link.connection, &oldest).await?)?;
        if oldest.is_none_or(|oldest| oldest > link.last) {
            info!(source = %self, "changes may have been missed: loading the set anew");
            return Ok(None);
        }
        link.last = last;
        Ok(Some((link, changes)))
    }

    fn take_in(&self, changes: &[Value], list: &List) -> Result<Intake, BoxError> {
        let mut intake = Intake::new(list, self.max_entries);
        for change in changes {
            let [id, fields] = array(change)? else { return Err(nonsense(change)) };
            let place = format_args!("{} {}", self.changes, bytes(id)?.escape_ascii());
            // An entry that was deleted from the stream has none.
            let fields: Vec<_> =
                array(fields).unwrap_or_default().iter().map(bytes).collect::<Result<_, _>>()?;
            let field = |name: &str| {
                fields.chunks_exact(2).find(|pair| pair[0] == name.as_bytes()).map(|pair| pair[1])
            };
            match (field("add"), field("del")) {
                (Some(entry), None) => intake.set(place, entry, field("until").map_or(NEVER, expiry)),
                (None, Some(entry)) => intake.remove(place, entry),
                _ => intake.ignore(place, "a change has a field `add` or `del`"),
            }
        }
        Ok(intake)
    }
}

impl Source for RedisSource {
    async fn next(&mut self, list: &Arc<List>) -> Result<Option<List>, BoxError> {
        // If any of this fails there is no link any more, and the next call loads everything.
        let followed = match self.link.take().filter(|link| link.loaded.elapsed() < RELOAD) {
            Some(link) => self.follow(link).await?,
            None => None,
        };
        let Some((link, changes)) = followed else {
            let load = timeout(LOAD_TIMEOUT, self.load()).await;
            let (link, list) = load.map_err(|_| "it took too long to load the set")??;
            self.link = Some(link);
            loaded(self, &list);
            return Ok(Some(list));
        };
        if changes.is_empty() {
            self.link = Some(link);
            return Ok(None);
        }
        let (intake, list) = (self.take_in(&changes, list)?, list.clone());
        let list = spawn_blocking(move || intake.apply_to(&list)).await?;
        self.link = Some(link);
        Ok(Some(list))
    }
}

impl fmt::Display for RedisSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.key, self.client.get_connection_info().addr())
    }
}

async fn ask(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<Value, BoxError> {
    Ok(command.query_async(connection).await?)
}

fn array(value: &Value) -> Result<&[Value], BoxError> {
    if let Value::Array(values) = value { Ok(values) } else { Err(nonsense(value)) }
}

fn bytes(value: &Value) -> Result<&[u8], BoxError> {
    if let Value::BulkString(bytes) = value { Ok(bytes) } else { Err(nonsense(value)) }
}

/// The entries of the one stream that was read: none, if Redis waited in vain.
fn changes_of(answer: Value) -> Result<Vec<Value>, BoxError> {
    if answer == Value::Nil {
        return Ok(Vec::new());
    }
    let [stream] = array(&answer)? else { return Err(nonsense(&answer)) };
    let [_, changes] = array(stream)? else { return Err(nonsense(&answer)) };
    Ok(array(changes)?.to_vec())
}

fn nonsense(value: &Value) -> BoxError {
    let shown: String = format!("{value:?}").chars().take(100).collect();
    format!("Redis answered with something else than it should: {shown}").into()
}

/// The id of the first of some entries of a stream.
fn first_id(entries: &Value) -> Result<Option<StreamId>, BoxError> {
    array(entries)?.first().map(id).transpose()
}

fn id(entry: &Value) -> Result<StreamId, BoxError> {
    let id = array(entry)?.first().map(bytes).transpose()?.and_then(StreamId::parse);
    id.ok_or_else(|| nonsense(entry))
}

/// A score, or what is in a field `until`: what is no number has expired, and what is infinite never does.
fn expiry(seconds: &[u8]) -> u32 {
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse::<f64>().ok());
    // It saturates.
    seconds.unwrap_or(0.0) as u32
}

/// The place of an entry in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct StreamId(u64, u64);

impl StreamId {
    fn parse(text: &[u8]) -> Option<Self> {
        let (time, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self(time.parse().ok()?, number.parse().ok()?))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// A member of a set, for the log: its beginning.
struct Place<'a>(&'a str, &'a [u8]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 60;
        let Self(key, member) = self;
        let short = &member[..member.len().min(SHOWN)];
        let dots = if short.len() < member.len() { "..." } else { "" };
        write!(f, "{key} {:?}{dots}", String::from_utf8_lossy(short))
    }
}
