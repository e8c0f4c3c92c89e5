//! The notifications of POSTFIX-MIB: which one a change of state is, what it carries, and how many may go out.
//!
//! Each kind has a burst and then one every few seconds. What is over the rate is not lost: it waits, and while something
//! waits one postfixAlarmsHeldBack a minute says how much.

use super::tables::{ENTRY, Row};
use crate::{
    agentx::{Notification, NotificationError},
    smi::{Octets, Oid, Value},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// postfixNotifications below the root: { postfixMIB 0 }.
const NOTIFICATIONS: u32 = 0;

/// postfixAgentVersion.0 below the root.
const VERSION: &[u32] = &[1, 1, 2, 1, 0];

/// Its number below postfixNotifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    AlarmRaised = 1,
    AlarmCleared = 2,
    InstanceDown = 3,
    InstanceUp = 4,
    DaemonDown = 5,
    DaemonUp = 6,
    SourceFailing = 7,
    SourceRecovered = 8,
    HeldBack = 9,
    Test = 10,
    ProbeDown = 11,
    ProbeUp = 12,
    CertificateExpiring = 13,
    Panic = 14,
    Heartbeat = 15,
}

impl Kind {
    /// What is sent when an alarm on this object is raised or cleared.
    pub(super) fn of(object: &str, raised: bool) -> Self {
        match (object, raised) {
            ("postfixInstanceState", true) => Self::InstanceDown,
            ("postfixInstanceState", false) => Self::InstanceUp,
            ("postfixDaemonState", true) => Self::DaemonDown,
            ("postfixDaemonState", false) => Self::DaemonUp,
            ("postfixSourceStatus", true) => Self::SourceFailing,
            ("postfixSourceStatus", false) => Self::SourceRecovered,
            ("postfixProbeStatus", true) => Self::ProbeDown,
            ("postfixProbeStatus", false) => Self::ProbeUp,
            ("postfixCertificateStatus" | "postfixCertificateDaysLeft", true) => Self::CertificateExpiring,
            ("postfixMessagePanics" | "postfixMessageFatals", true) => Self::Panic,
            (_, true) => Self::AlarmRaised,
            (_, false) => Self::AlarmCleared,
        }
    }
}

/// The notification of this kind about this row.
pub(super) fn notification(root: &Oid, kind: Kind, row: &Row) -> Result<Notification, NotificationError> {
    let object = |column, value| (root.child(ENTRY).child(&[column, row.index]), value);
    let text = |text: &Octets| Value::OctetString(text.clone());
    let gauge = |value: u64| Value::Gauge32(u32::try_from(value).unwrap_or(u32::MAX));
    let objects = [
        object(2, text(&row.name)),
        object(3, text(&row.condition)),
        object(4, gauge(row.value.unwrap_or(0))),
        object(5, gauge(row.raise)),
        object(7, Value::Integer(row.severity as i32)),
        object(8, Value::Integer(row.state as i32)),
        object(11, text(&row.text)),
    ];
    Notification::new(root.child(&[NOTIFICATIONS, kind as u32]), objects)
}

/// postfixTestNotification.
pub fn test_notification(root: &Oid) -> Result<Notification, NotificationError> {
    let version = Value::octets(env!("CARGO_PKG_VERSION"));
    // postfixAgentVersion.0
    Notification::new(root.child(&[NOTIFICATIONS, Kind::Test as u32]), [(root.child(VERSION), version)])
}

/// At once of each kind.
const BURST: u32 = 20;
/// From one to the next of a kind after that.
const INTERVAL: Duration = Duration::from_secs(2);
/// From one summary to the next.
const SUMMARY: Duration = Duration::from_secs(60);

/// How many notifications may go out.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The time up to which each kind has been handed out.
    spent: BTreeMap<Kind, Instant>,
    /// How many wait since the last look.
    waiting: u64,
    summary: Option<Instant>,
}

impl Desk {
    /// Whether one more of this kind may go out, which it then does.
    pub(super) fn may_send(&mut self, kind: Kind, now: Instant) -> bool {
        let spent = self.spent.entry(kind).or_insert(now);
        let next = (*spent).max(now) + INTERVAL;
        let allowed = next <= now + INTERVAL * BURST;
        if allowed {
            *spent = next;
        }
        allowed
    }

    /// One had to wait.
    pub(super) fn hold_back(&mut self) {
        self.waiting += 1;
    }

    /// What to say of those that wait, once a minute.
    pub(super) fn summary(&mut self, root: &Oid, raised: u64, now: Instant) -> Option<Notification> {
        let waiting = std::mem::take(&mut self.waiting);
        let is_due = self.summary.is_none_or(|last| now.saturating_duration_since(last) >= SUMMARY);
        if waiting == 0 || !is_due {
            return None;
        }
        self.summary = Some(now);
        let gauge = |value: u64| Value::Gauge32(u32::try_from(value).unwrap_or(u32::MAX));
        tracing::warn!("{waiting} more changes of alarms wait to be told; postfixAlarmTable has them all");
        // postfixAlarmsRaised.0
        let objects = [(root.child(&[1, 1, 1, 5, 0]), gauge(raised))];
        Notification::new(root.child(&[NOTIFICATIONS, Kind::HeldBack as u32]), objects).ok()
    }
}
