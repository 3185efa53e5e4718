//! What a look-up costs, and what a reload does to it: `cargo bench -p blocklist --bench lookup`.

use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use blocklist::current::{Current, follow};
use blocklist::file::FileSource;
use blocklist::list::{Draft, List, Request, now};
use blocklist::rule::{Entry, NEVER, Network, Rule};
use spop_tokio::BoxError;
use testbed::Random;

const ENTRIES: usize = 1_000_000;
const LOOK_UPS: usize = 2_000_000;
const RELOADS: usize = 5;

fn main() -> Result<(), BoxError> {
    let mut random = Random::new(1);
    let networks = networks(&mut random);
    let v4 = list("IPv4", &networks, v4_rule);
    let v6 = list("IPv6", &networks, v6_rule);
    look_up("IPv4", &v4, || IpAddr::V4(Ipv4Addr::from_bits(bits(&mut random))));
    look_up("IPv6", &v6, || IpAddr::V6(in_v6(bits(&mut random))));
    linear(&networks, &mut random);

    let mut draft = Draft::new(&v4, usize::MAX);
    networks.iter().take(2000).for_each(|&network| draft.remove(v4_rule(network)));
    let start = cpu_time();
    black_box(draft.apply_to(&v4, 0));
    println!("IPv4: the next list after 2000 changes in {:.1?} of CPU", cpu_time() - start);
    reload(&networks, &mut random)
}

/// Half of them addresses, the others networks of /16 to /31.
fn networks(random: &mut Random) -> Vec<(u32, u8)> {
    let one = |_| {
        let len = if random.below(2) == 0 { 32 } else { 16 + random.below(16) as u8 };
        (bits(random) & mask(len), len)
    };
    (0..ENTRIES).map(one).collect()
}

fn bits(random: &mut Random) -> u32 {
    random.below(1 << 32) as u32
}

fn mask(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn v4_rule((bits, len): (u32, u8)) -> Rule {
    Rule::V4(Network::new(bits.to_be_bytes(), len).expect("a network"))
}

/// At the same place in 2001:db8::/32.
fn v6_rule((bits, len): (u32, u8)) -> Rule {
    Rule::V6(Network::new(in_v6(bits).octets(), 32 + len).expect("a network"))
}

fn in_v6(bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db8 << 96) | (u128::from(bits) << 64))
}

fn list(name: &str, networks: &[(u32, u8)], rule: fn((u32, u8)) -> Rule) -> List {
    let start = Instant::now();
    let mut draft = Draft::new(&List::default(), usize::MAX);
    let entry = Entry { allow: false, until: NEVER, reason: "spam" };
    networks.iter().for_each(|&network| draft.set(rule(network), entry));
    let list = draft.apply_to(&List::default(), 0);
    let each = list.bytes() as f64 / list.len() as f64;
    println!("{name}: {} networks in {:.0?}, {each:.1} bytes each", list.len(), start.elapsed());
    list
}

fn look_up(name: &str, list: &List, mut source: impl FnMut() -> IpAddr) {
    let sources: Vec<_> = (0..LOOK_UPS).map(|_| source()).collect();
    let (now, start) = (now(), cpu_time());
    let found = sources.iter().filter(|&&src| is_blocked(list, src, now)).count();
    let each = (cpu_time() - start).as_nanos() / LOOK_UPS as u128;
    println!("{name}: a look-up of a random address in {each} ns of CPU, {} % found", found * 100 / LOOK_UPS);
}

/// Of this thread: on a busy machine the clock shows how busy it is.
fn cpu_time() -> Duration {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn is_blocked(list: &List, src: IpAddr, now: u32) -> bool {
    list.check(&Request { src: Some(src), ..Request::default() }, now).is_some()
}

/// What it would cost to compare with one network after the other.
fn linear(networks: &[(u32, u8)], random: &mut Random) {
    const TIMES: u32 = 100;
    let start = cpu_time();
    for _ in 0..TIMES {
        let query = bits(random);
        let found = networks.iter().filter(|&&(bits, len)| query & mask(len) == bits);
        black_box(found.max_by_key(|(_, len)| *len));
    }
    println!("IPv4: the same, network after network, in {:.1?} of CPU", (cpu_time() - start) / TIMES);
}

/// Look-ups while nothing happens, and while a file with a million lines is loaded again and again.
fn reload(networks: &[(u32, u8)], random: &mut Random) -> Result<(), BoxError> {
    let file = tempfile::NamedTempFile::new()?;
    let write = |last: usize| -> Result<(), BoxError> {
        let mut out = BufWriter::new(std::fs::File::create(file.path())?);
        for (bits, len) in &networks[..last] {
            writeln!(out, "{}/{len} # spam", Ipv4Addr::from_bits(*bits))?;
        }
        Ok(out.flush()?)
    };
    write(ENTRIES)?;
    let current = Arc::new(Current::unknown());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let start = Instant::now();
    runtime.spawn(follow(FileSource::new(file.path(), usize::MAX)?, current.clone()));
    runtime.block_on(current.tried());
    println!("a file of {ENTRIES} lines read in {:.0?}", start.elapsed());
    let sources: Vec<_> = (0..65_536).map(|_| IpAddr::V4(Ipv4Addr::from_bits(bits(random)))).collect();
    watch("nothing happens", &current, &sources, || false);
    // Each file is another one, a second after the other list was seen to be there.
    let mut reloads = 0;
    let mut length = current.with(|list| list.map(List::len));
    write(ENTRIES - 1)?;
    watch("the file is loaded", &current, &sources, || {
        let now = current.with(|list| list.map(List::len));
        if now != length {
            (length, reloads) = (now, reloads + 1);
            write(ENTRIES - 1 - 1000 * reloads).expect("a file");
        }
        reloads < RELOADS
    });
    Ok(())
}

/// Times look-ups, for five seconds and as long as `more` says.
fn watch(what: &str, current: &Current, sources: &[IpAddr], mut more: impl FnMut() -> bool) {
    let mut times: Vec<Duration> = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) || more() {
        for &src in sources {
            let start = Instant::now();
            black_box(current.with(|list| list.is_some_and(|list| is_blocked(list, src, now()))));
            times.push(start.elapsed());
        }
        more();
    }
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let [half, p99, p9999, worst] = [0.5, 0.99, 0.9999, 1.0].map(at);
    println!(
        "look-ups while {what}: p50 {half:?}, p99 {p99:?}, p99.99 {p9999:?}, worst {worst:?} of {}",
        times.len()
    );
}
