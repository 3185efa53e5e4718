use core::ops::Add;
use core::time::Duration;

/// A moment: the time since an origin of the caller's choice, the same for all calls on a connection.
///
/// Additions saturate, 584 years after the origin, so that no configured time is too long.
///
/// ```
/// use std::time::Duration;
/// use spop::Instant;
///
/// let origin = std::time::Instant::now();
/// let now = Instant::from_origin(origin.elapsed());
/// assert!(now + Duration::MAX > now);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Later than any moment that comes.
    pub(crate) const FAR_FUTURE: Self = Self(u64::MAX);

    /// Converts the time that has passed since the origin.
    #[inline]
    pub const fn from_origin(elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(elapsed.subsec_nanos() as u64))
    }

    /// Returns the time between the origin and this moment.
    #[inline]
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Returns the time between `earlier` and this moment, zero if `earlier` is later.
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_origin(time).0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_saturates() {
        let moment = Instant::from_origin(Duration::from_secs(7));
        assert_eq!((moment + Duration::from_nanos(1)).since_origin(), Duration::new(7, 1));
        assert_eq!(moment + Duration::MAX, Instant(u64::MAX));
        assert_eq!(Instant::from_origin(Duration::MAX) + Duration::MAX, Instant(u64::MAX));
    }

    #[test]
    fn an_interval_is_never_negative() {
        let (early, late) = (Instant(5), Instant(7));
        assert_eq!(late.saturating_duration_since(early), Duration::from_nanos(2));
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
    }
}
