//! A challenge that a browser passes by itself, and the cookie that shows it has. Nothing is kept for it on the server.
//!
//! A *challenge* is `EXPIRY.MAC`: seconds since 1970, and a keyed hash over them, the difficulty and the client's
//! network. Its *solution* is a number: the SHA-256 of the cookie `EXPIRY.MAC.NUMBER` starts with as many zero bits as
//! the difficulty says.
//!
//! Until it expires, the cookie is good for the whole network: somebody who changes the last part of the address
//! (mobile networks, IPv6 privacy) keeps it, and it can be shared within the network. A higher difficulty or another
//! key end it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::request::Request;

/// The cookie's name.
pub const COOKIE: &str = "decision-pass";

/// Cookies of our name that are looked at: a browser sends one.
const MAX_COOKIES: usize = 4;
/// Hex digits of the keyed hash: 128 bits.
const MAC_DIGITS: usize = 32;

/// Hands out challenges, and knows which cookies are good.
#[derive(Clone)]
pub struct Challenges {
    key: Hmac<Sha256>,
    bits: u8,
    lifetime: Duration,
}

impl Challenges {
    /// `bits` zero bits take 2^`bits` hashes to find, on average; a cookie is good for `lifetime`.
    pub fn new(secret: &[u8], bits: u8, lifetime: Duration) -> Self {
        // Cannot fail: HMAC takes keys of any length.
        let key = Hmac::new_from_slice(secret).expect("any key");
        Self { key, bits, lifetime }
    }

    /// The difficulty, in bits.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// How long a cookie is good.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A challenge for whoever is in the same network as `client`.
    pub fn issue(&self, client: Option<IpAddr>, now: SystemTime) -> String {
        let expiry = seconds(now) + self.lifetime.as_secs();
        format!("{expiry}.{}", self.mac(expiry, client))
    }

    /// True if a cookie of the request shows that its client's network has passed.
    pub fn is_passed(&self, request: &Request<'_>, now: SystemTime) -> bool {
        let headers = request.headers.get_all("cookie");
        let pairs = headers.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let ours =
            pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="));
        ours.take(MAX_COOKIES).any(|cookie| self.is_good(cookie, request.src, seconds(now)))
    }

    fn is_good(&self, cookie: &[u8], client: Option<IpAddr>, now: u64) -> bool {
        let Ok(cookie) = str::from_utf8(cookie) else { return false };
        let mut parts = cookie.split('.');
        let (Some(expiry), Some(mac), Some(_number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let Ok(expiry) = expiry.parse::<u64>() else { return false };
        now < expiry && same(mac, &self.mac(expiry, client)) && zero_bits(cookie) >= self.bits.into()
    }

    fn mac(&self, expiry: u64, client: Option<IpAddr>) -> String {
        let mut mac = self.key.clone();
        mac.update(b"challenge");
        mac.update(&expiry.to_be_bytes());
        mac.update(&[self.bits]);
        match client {
            None => {}
            Some(IpAddr::V4(address)) => mac.update(&address.octets()[..3]),
            Some(IpAddr::V6(address)) => mac.update(&address.octets()[..8]),
        }
        let mut hex = hex(&mac.finalize().into_bytes());
        hex.truncate(MAC_DIGITS);
        hex
    }
}

/// An id that only those with the secret know.
pub fn derived_id(secret: &[u8], purpose: &str) -> String {
    let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(secret).finalize();
    hex(&digest[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares without telling by the time how much is right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

fn zero_bits(cookie: &str) -> u32 {
    let digest = Sha256::digest(cookie);
    let start = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    start.leading_zeros()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The smallest number that solves a challenge, as the page's script finds it.
pub fn solve(challenge: &str, bits: u8) -> u64 {
    (0..).find(|number| zero_bits(&format!("{challenge}.{number}")) >= bits.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use spop_tokio::spop::http::Headers;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const BITS: u8 = 8;

    fn challenges() -> Challenges {
        Challenges::new(b"secret", BITS, DAY)
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn cookie(challenges: &Challenges, client: &str) -> String {
        let challenge = challenges.issue(Some(client.parse().unwrap()), now());
        format!("{challenge}.{}", solve(&challenge, BITS))
    }

    fn passes(challenges: &Challenges, cookies: &str, client: &str, now: SystemTime) -> bool {
        let headers = format!("cookie: {cookies}\r\n");
        let (src, headers) = (Some(client.parse().unwrap()), Headers::text(headers.as_bytes()));
        challenges.is_passed(&Request { path: b"/", src, tls: true, headers }, now)
    }

    #[test]
    fn a_cookie_is_good_for_its_network_until_it_expires() {
        let challenges = challenges();
        for (client, neighbour, stranger) in [
            ("192.0.2.1", "192.0.2.200", "192.0.3.1"),
            ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ] {
            let cookie = format!("{COOKIE}={}", cookie(&challenges, client));
            for (who, when, good) in [
                (client, now(), true),
                (neighbour, now() + DAY - Duration::from_secs(1), true),
                (client, now() + DAY, false),
                (stranger, now(), false),
            ] {
                assert_eq!(passes(&challenges, &cookie, who, when), good, "{who}");
            }
        }
    }

    #[test]
    fn nothing_but_what_was_issued_is_good() {
        let challenges = challenges();
        let good = cookie(&challenges, "192.0.2.1");
        let (challenge, number) = good.rsplit_once('.').unwrap();
        let (expiry, mac) = challenge.split_once('.').unwrap();
        let later = format!("{}.{mac}", expiry.parse::<u64>().unwrap() + 1);
        let other_key = cookie(&Challenges::new(b"other", BITS, DAY), "192.0.2.1");
        let bad = [
            format!("{later}.{}", solve(&later, BITS)),
            format!("{challenge}.{}", (0..).find(|n| zero_bits(&format!("{challenge}.{n}")) < 8).unwrap()),
            other_key,
            challenge.into(),
            format!("{good}.{number}"),
            String::new(),
            "...".into(),
            format!("{expiry}..{number}"),
        ];
        for bad in bad {
            assert!(!passes(&challenges, &format!("{COOKIE}={bad}"), "192.0.2.1", now()), "{bad}");
        }
        let harder = Challenges::new(b"secret", BITS + 1, DAY);
        assert!(!passes(&harder, &format!("{COOKIE}={good}"), "192.0.2.1", now()));
    }

    #[test]
    fn it_is_found_among_other_cookies() {
        let challenges = challenges();
        let good = cookie(&challenges, "192.0.2.1");
        for cookies in [
            format!("a=1; {COOKIE}={good}; b=2"),
            format!("a=1;{COOKIE}={good}"),
            format!("{COOKIE}=old; {COOKIE}={good}"),
        ] {
            assert!(passes(&challenges, &cookies, "192.0.2.1", now()), "{cookies}");
        }
        assert!(!passes(&challenges, &format!("x{COOKIE}={good}"), "192.0.2.1", now()));
        let many = format!("{COOKIE}=x;").repeat(MAX_COOKIES);
        assert!(!passes(&challenges, &format!("{many}{COOKIE}={good}"), "192.0.2.1", now()), "bounded work");
    }

    #[test]
    fn a_cookie_fits_the_one_block_that_the_script_hashes() {
        let longest =
            format!("{}.{}", cookie(&challenges(), "192.0.2.1").rsplit_once('.').unwrap().0, 1u64 << 32);
        assert!(longest.len() <= 55, "{longest}");
    }
}
