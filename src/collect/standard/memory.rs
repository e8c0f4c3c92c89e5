//! What a projection has to remember: moments that must not move, and when a state began.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// POSTFIX-MIB's ages are counted in seconds of the wall clock and read anew again and again: nearer than this, two moments
/// are the same one.
const SAME: Duration = Duration::from_secs(1);

/// Which moment of an instance.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Moment {
    /// Its master began.
    Start,
    /// Its SMTP server was used last.
    Inbound,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    moments: HashMap<(u32, Moment), Instant>,
    states: HashMap<u32, State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    up: bool,
    /// `None`: before it was looked at first.
    since: Option<Instant>,
}

impl Memory {
    /// `at`, or what was taken for it before.
    pub(super) fn steady(&mut self, instance: u32, moment: Moment, at: Option<Instant>) -> Option<Instant> {
        let at = at?;
        let known = self.moments.entry((instance, moment)).or_insert(at);
        let apart = known.saturating_duration_since(at).max(at.saturating_duration_since(*known));
        if apart >= SAME {
            *known = at;
        }
        Some(*known)
    }

    /// Since when the state is what it is: up since its `start`, down since it was first seen down after it had been up.
    /// What was down from the first look on has no such moment, and what is unknown has none now.
    pub(super) fn changed(
        &mut self,
        instance: u32,
        up: Option<bool>,
        start: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let up = up?;
        let before = self.states.get(&instance).copied();
        let since = match before {
            _ if up => start,
            Some(State { up: true, .. }) => Some(now),
            Some(State { up: false, since }) => since,
            None => None,
        };
        self.states.insert(instance, State { up, since });
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_stays_until_it_is_another_one() {
        let (mut memory, at) = (Memory::default(), Instant::now());
        let after = |ms| at + Duration::from_millis(ms);
        let mut steady = |instance, at| memory.steady(instance, Moment::Start, at);
        assert_eq!(steady(1, Some(after(1_000))), Some(after(1_000)));
        assert_eq!(steady(1, Some(after(1))), Some(after(1_000)), "earlier or later by the accuracy of its source");
        assert_eq!(steady(1, Some(after(1_999))), Some(after(1_000)));
        assert_eq!(steady(1, None), None, "unknown is unknown");
        assert_eq!(steady(2, Some(after(1_500))), Some(after(1_500)), "another instance");
        assert_eq!(steady(1, Some(after(2_000))), Some(after(2_000)));
    }

    #[test]
    fn down_is_since_it_was_seen_and_up_since_the_start() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(memory.changed(1, Some(false), None, at(1)), None, "down already at the first look");
        assert_eq!(memory.changed(1, Some(false), None, at(2)), None);
        assert_eq!(memory.changed(1, Some(true), Some(at(3)), at(5)), Some(at(3)));
        assert_eq!(memory.changed(1, None, None, at(6)), None);
        assert_eq!(memory.changed(1, Some(false), None, at(7)), Some(at(7)));
        assert_eq!(memory.changed(1, Some(false), None, at(8)), Some(at(7)));
    }
}
