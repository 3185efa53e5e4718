use core::fmt;

/// Why a connection ends: the `status-code` of a DISCONNECT frame (SPOE.txt 3.3).
///
/// HAProxy logs it, and stores it in the `set-on-error` variable, as 256 plus this code. An open newtype: a code this
/// crate does not know is read as it is, and leaves as [`sendable`](Self::sendable).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(
    /// The code as it stands on the wire.
    pub u32,
);

impl Status {
    /// Normal end.
    pub const NORMAL: Self = Self(0);
    /// An I/O error occurred.
    pub const IO: Self = Self(1);
    /// A timeout occurred.
    pub const TIMEOUT: Self = Self(2);
    /// A frame is longer than allowed.
    pub const TOO_BIG: Self = Self(3);
    /// A frame is not valid.
    pub const INVALID: Self = Self(4);
    /// The HELLO has no version.
    pub const NO_VERSION: Self = Self(5);
    /// The HELLO has no `max-frame-size`.
    pub const NO_FRAME_SIZE: Self = Self(6);
    /// The HELLO has no `capabilities`.
    pub const NO_CAPABILITIES: Self = Self(7);
    /// The peers have no version in common.
    pub const BAD_VERSION: Self = Self(8);
    /// The `max-frame-size` is too big or too small.
    pub const BAD_FRAME_SIZE: Self = Self(9);
    /// A frame is fragmented and the receiver does not support that.
    pub const FRAGMENTATION_NOT_SUPPORTED: Self = Self(10);
    /// Fragments of two NOTIFYs are mixed.
    pub const INTERLACED_FRAMES: Self = Self(11);
    /// An ACK carries ids that match no NOTIFY.
    pub const FRAME_ID_NOT_FOUND: Self = Self(12);
    /// A resource could not be allocated.
    pub const RESOURCE: Self = Self(13);
    /// Any other error.
    pub const UNKNOWN: Self = Self(99);

    /// Returns the text HAProxy uses for this code; for a code without one, that of [`Status::UNKNOWN`].
    pub const fn reason(self) -> &'static str {
        match self.0 {
            0 => "normal",
            1 => "I/O error",
            2 => "a timeout occurred",
            3 => "frame is too big",
            4 => "invalid frame received",
            5 => "version value not found",
            6 => "max-frame-size value not found",
            7 => "capabilities value not found",
            8 => "unsupported version",
            9 => "max-frame-size too big or too small",
            10 => "fragmentation not supported",
            11 => "invalid interlaced frames",
            12 => "frame-id not found",
            13 => "resource allocation error",
            _ => "an unknown error occurred",
        }
    }

    /// Returns the code that may be sent: itself if SPOE.txt defines it, else [`Status::UNKNOWN`].
    ///
    /// HAProxy up to 3.0 looks up the text of a code from 14 to 98 in a health check, finds none, and crashes.
    pub const fn sendable(self) -> Self {
        match self.0 {
            0..=13 | 99 => self,
            _ => Self::UNKNOWN,
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({}: {})", self.0, self.reason())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_crash_old_haproxys_are_never_sendable() {
        for code in (14..=98).chain(100..=600) {
            assert_eq!(Status(code).sendable(), Status::UNKNOWN, "{code}");
        }
    }

    #[test]
    fn codes_of_the_spec_are_sendable_as_they_are() {
        for code in (0..=13).chain([99]) {
            assert_eq!(Status(code).sendable(), Status(code));
        }
    }
}
