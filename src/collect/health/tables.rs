//! postfixHealth, postfixAgent and postfixSourceTable as tables.

use super::{condition::Summary, source::SourceRow};
use crate::advice;
use crate::mib::{AnyTable, Get, Index, Table, column, scalars, text};
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

/// The tables the health owns.
pub static TABLES: &[&dyn AnyTable] = &[&HEALTH, &AGENT, &SOURCES];

pub(super) static HEALTH: Table<Summary> = scalars(
    "postfixHealthObjects",
    &[1, 1, 1],
    &[
        column(1, "postfixHealth", Get::Integer(|h| Some(h.level as i32))),
        column(2, "postfixHealthText", Get::Text(|h| Some(text(advice::short(&h.text, 255), 255)))),
        column(3, "postfixSourcesFailing", Get::Gauge32(|h| Some(h.sources_failing))),
        column(4, "postfixInstancesDown", Get::Gauge32(|h| Some(h.instances_down))),
        column(5, "postfixAlarmsRaised", Get::Gauge32(|h| Some(h.alarms_raised))),
    ],
);

pub(super) static AGENT: Table<AgentCounters> = scalars(
    "postfixAgentObjects",
    &[1, 1, 2],
    &[
        column(1, "postfixAgentVersion", Get::Text(|_| Some(text(env!("CARGO_PKG_VERSION"), 64)))),
        column(2, "postfixAgentUptime", Get::AgeTicks(|a| Some(a.started))),
        column(3, "postfixAgentMasterConnects", Get::LiveCounter32(|a| Some(a.master_connects.clone()))),
        column(4, "postfixAgentReloads", Get::LiveCounter32(|a| Some(a.reloads.clone()))),
        column(5, "postfixAgentNotifications", Get::LiveCounter32(|a| Some(a.notifications.clone()))),
        column(6, "postfixAgentNotificationsDropped", Get::LiveCounter32(|a| Some(a.notifications_dropped.clone()))),
    ],
);

/// Only sources of which an instance, or the host (instance 0), has one of that kind: those with a number have a table of
/// their own that names them and shows their status.
pub(super) static SOURCES: Table<SourceRow> = Table {
    name: "postfixSourceTable",
    entry: &[1, 1, 3, 1],
    index: |s| Index::from_slice(&[s.key.instance.unwrap_or_default(), s.key.kind as u32]),
    columns: &[
        column(2, "postfixSourceName", Get::Text(|s| Some(text(&s.name, 64)))),
        column(3, "postfixSourceMethod", Get::Text(|s| Some(text(s.method, 32)))),
        column(4, "postfixSourceStatus", Get::Integer(|s| Some(s.status(Instant::now()) as i32))),
        column(5, "postfixSourceAge", Get::Age(|s| Some(s.last_success.unwrap_or(s.created)))),
        column(6, "postfixSourceDuration", Get::Gauge32(|s| u64::try_from(s.took.as_millis()).ok())),
        column(7, "postfixSourceSuccesses", Get::Counter32(|s| Some(s.successes))),
        column(8, "postfixSourceFailures", Get::Counter32(|s| Some(s.failures))),
        column(
            9,
            "postfixSourceError",
            Get::Text(|s| Some(text(advice::short(&String::from_utf8_lossy(&s.error), 255), 255))),
        ),
    ],
};

/// Live numbers of the agent's own session with snmpd.
#[derive(Clone, Debug)]
pub struct AgentCounters {
    /// When the agent began to count.
    pub started: Instant,
    /// AgentX sessions opened.
    pub master_connects: Arc<AtomicU64>,
    /// Configurations taken over without a restart.
    pub reloads: Arc<AtomicU64>,
    /// Notifications snmpd took.
    pub notifications: Arc<AtomicU64>,
    /// Notifications given up.
    pub notifications_dropped: Arc<AtomicU64>,
}

impl Default for AgentCounters {
    fn default() -> Self {
        let zero = Arc::<AtomicU64>::default;
        Self {
            started: Instant::now(),
            master_connects: zero(),
            reloads: zero(),
            notifications: zero(),
            notifications_dropped: zero(),
        }
    }
}
