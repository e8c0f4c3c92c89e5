//! When the master began to count sysUpTime, and TimeStamps by it (RFC 2579).

use arc_swap::ArcSwapOption;
use std::{sync::Arc, time::Instant};

/// The moment at which sysUpTime of the master was 0, shared between the session that learns it and whoever serves
/// TimeStamps. It is learned anew with each session: a master that has restarted counts from 0 again.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<ArcSwapOption<Instant>>);

impl Epoch {
    /// The master's sysUpTime is so many hundredths of a second at `now`.
    pub fn learn(&self, sys_up_time: u32, now: Instant) {
        let since = std::time::Duration::from_millis(u64::from(sys_up_time) * 10);
        self.0.store(now.checked_sub(since).map(Arc::new));
    }

    /// `at` as a TimeStamp, once a master is known.
    pub fn stamp(&self, at: Instant) -> Option<Stamp> {
        self.0.load().is_some().then(|| Stamp { at, epoch: self.clone() })
    }
}

/// A moment that is shown as the value sysUpTime had then.
#[derive(Clone, Debug)]
pub struct Stamp {
    at: Instant,
    epoch: Epoch,
}

impl Stamp {
    /// By the epoch of the present session: 0 for what was before the master began. It wraps as sysUpTime does, after 497
    /// days, and what was stamped before stays as it is.
    pub fn ticks(&self) -> u32 {
        let since =
            self.epoch.0.load().as_ref().map_or(0, |began| self.at.saturating_duration_since(**began).as_millis());
        // Less than 2^32 after the remainder.
        u32::try_from((since / 10) % (1 << 32)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_stamp_follows_the_master_and_is_zero_for_what_was_before_it() {
        let (epoch, now) = (Epoch::default(), Instant::now());
        assert!(epoch.stamp(now).is_none(), "no master has told its time yet");
        epoch.learn(10_000, now);
        let stamp = epoch.stamp(now - Duration::from_secs(40)).unwrap();
        assert_eq!(stamp.ticks(), 6_000);
        // The master restarts, and later once more while the moment is behind it.
        epoch.learn(0, now - Duration::from_secs(50));
        assert_eq!(stamp.ticks(), 1_000);
        epoch.learn(5, now);
        assert_eq!(stamp.ticks(), 0);
        // sysUpTime wraps; so does what is stamped afterwards.
        epoch.learn(u32::MAX, now);
        assert_eq!(epoch.stamp(now + Duration::from_secs(1)).unwrap().ticks(), 99);
    }
}
