//! Random numbers that a test can have again.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence that depends on nothing but its seed (SplitMix64); threads can share it.
#[derive(Debug, Default)]
pub struct Random(AtomicU64);

impl Random {
    /// Starts the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns the next number below `bound`; 0 if that is 0.
    pub fn below(&self, bound: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The bounds of tests are so small that the remainder favours nothing that shows.
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_sequence_and_all_of_it_is_below_the_bound() {
        let take = |seed| {
            let random = Random::new(seed);
            Vec::from_iter((0..100).map(|_| random.below(10)))
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        assert!((0..10).all(|number| take(1).contains(&number)), "{:?}", take(1));
        assert_eq!(Random::new(1).below(0), 0);
    }
}
