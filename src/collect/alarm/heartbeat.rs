//! `heartbeat:`: a notification that says nothing but that the way to the managers is open, so that silence can be noticed.

use super::notice::Kind;
use crate::{
    agentx::{Notification, Receipt},
    mib::View,
    smi::{Objects, Oid, Value},
};
use std::time::{Duration, Instant};

/// postfixHealth.0, postfixHealthText.0 and postfixAlarmsRaised.0 below the root.
const HEALTH: [&[u32]; 2] = [&[1, 1, 1, 1, 0], &[1, 1, 1, 2, 0]];
const RAISED: &[u32] = &[1, 1, 1, 5, 0];

/// When the next one goes.
pub(super) struct Heartbeat {
    every: Option<Duration>,
    last: Option<Instant>,
    sent: Option<Receipt>,
}

impl Heartbeat {
    /// `None`: never.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, last: None, sent: None }
    }

    /// The next one, if it is time: the first as soon as health is known. While the master is away none piles up: what
    /// it has not taken yet is the last one.
    pub(super) fn beat(&mut self, root: &Oid, view: &View, raised: u64, now: Instant) -> Option<Notification> {
        let every = self.every?;
        let is_early = self.last.is_some_and(|last| now.saturating_duration_since(last) < every);
        if is_early || self.sent.as_ref().is_some_and(|sent| sent.taken().is_none()) {
            return None;
        }
        let mut objects = Vec::new();
        for name in HEALTH {
            let name = root.child(name);
            let value = view.get(&name, now).ok()?;
            objects.push((name, value));
        }
        objects.push((root.child(RAISED), Value::Gauge32(u32::try_from(raised).unwrap_or(u32::MAX))));
        let beat = Notification::new(root.child(&[0, Kind::Heartbeat as u32]), objects).ok()?;
        let (beat, receipt) = beat.with_receipt();
        self.last = Some(now);
        self.sent = Some(receipt);
        Some(beat)
    }
}
