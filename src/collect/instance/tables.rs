//! The tables of instances.

use super::read::Instance;
use crate::{
    mib::{AnyTable, Get, Index, Table, column, scalars, text},
    postfix::master::Master,
};
use std::{
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// The tables this module owns.
pub static TABLES: &[&dyn AnyTable] = &[&INSTANCES, &TOTALS];

pub(super) static INSTANCES: Table<Row> = Table {
    name: "postfixInstanceTable",
    entry: &[1, 3, 1, 1],
    index: |r| Index::from_slice(&[r.instance.index]),
    columns: &[
        column(2, "postfixInstanceName", Get::Text(|r| Some(text(&r.instance.name, 64)))),
        column(3, "postfixInstanceConfigDirectory", Get::Text(|r| Some(path(&r.instance.config_directory)))),
        column(4, "postfixInstanceQueueDirectory", Get::Text(|r| Some(path(&r.instance.queue_directory)))),
        column(5, "postfixInstanceVersion", Get::Text(|r| Some(text(&r.instance.version, 64)))),
        column(6, "postfixInstanceHostname", Get::Text(|r| Some(text(&r.instance.hostname, 255)))),
        column(7, "postfixInstanceState", Get::Integer(|r| Some(r.state() as i32))),
        column(8, "postfixInstanceMasterPid", Get::Gauge32(|r| r.pid().map(u64::from))),
        column(9, "postfixInstanceUptime", Get::Age(|r| r.uptime())),
    ],
};

pub(super) static TOTALS: Table<Totals> = scalars(
    "postfixTotalInstanceObjects",
    &[1, 2, 3],
    &[
        column(1, "postfixTotalInstances", Get::Gauge32(|t| Some(t.instances))),
        column(2, "postfixTotalInstancesRunning", Get::Gauge32(|t| t.running)),
    ],
);

fn path(path: &Path) -> crate::smi::Octets {
    text(path.as_os_str().as_bytes(), 255)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running = 1,
    Stopped = 2,
    Unknown = 3,
}

pub(super) struct Row {
    pub(super) instance: Arc<Instance>,
    pub(super) master: Master,
    /// When the master began, where /proc tells.
    pub(super) started: Option<Instant>,
}

pub(super) struct Totals {
    pub(super) instances: u64,
    pub(super) running: Option<u64>,
}

impl Row {
    pub(super) fn state(&self) -> State {
        match self.master {
            Master::Running(_) => State::Running,
            Master::Stopped => State::Stopped,
            Master::Unknown(_) => State::Unknown,
        }
    }

    /// 0 while stopped, absent while unknown.
    fn pid(&self) -> Option<u32> {
        match self.master {
            Master::Running(pid) => Some(pid),
            Master::Stopped => Some(0),
            Master::Unknown(_) => None,
        }
    }

    fn uptime(&self) -> Option<Instant> {
        match self.master {
            // An age counted from the future is 0.
            Master::Stopped => Instant::now().checked_add(Duration::from_secs(365 * 86_400)),
            _ => self.started,
        }
    }
}
