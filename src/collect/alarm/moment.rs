//! A moment by both clocks.

use std::time::{Instant, SystemTime};

/// Time that only passes, and what the clock on the wall says, which may step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    /// Milliseconds since 1970.
    pub(super) clock: u64,
}

impl Moment {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), clock: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}
