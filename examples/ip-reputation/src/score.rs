//! The reputation of an address: chance, or a number's will.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// 0 to 100: by the address and the seed, or without a seed by chance.
pub(crate) fn score(ip: IpAddr, seed: Option<u64>) -> u32 {
    let hash = match seed {
        Some(seed) => fnv(&[&seed.to_be_bytes()[..], ip.to_string().as_bytes()].concat()),
        None => RandomState::new().hash_one(ip),
    };
    (hash % 101) as u32
}

/// The standard library's hashes may change with its version; the scores of a seed must not.
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    hash ^ (hash >> 32)
}
