//! The tables of processes and services.

use super::daemon::{Kind, State};
use crate::{
    collect::instance::{Owner, Service},
    mib::{AnyTable, Get, Index, Table, column, scalars, text},
    postfix::master_cf::Entry,
};
use std::{sync::Arc, time::Instant};

/// The tables this collector owns.
pub static TABLES: &[&dyn AnyTable] = &[&TOTALS, &INSTANCES, &DAEMONS, &FILES, &SERVICES];

pub(super) static TOTALS: Table<Totals> = scalars(
    "postfixTotalProcessObjects",
    &[1, 2, 4],
    &[column(1, "postfixTotalProcesses", Get::Gauge32(|t| t.processes))],
);

pub(super) static INSTANCES: Table<InstanceRow> = Table {
    name: "postfixInstanceProcessTable",
    entry: &[1, 3, 3, 1],
    index: |r| Index::from_slice(&[r.owner.index]),
    columns: &[
        column(1, "postfixInstanceProcessProcesses", Get::Gauge32(|r| Some(r.processes))),
        column(2, "postfixInstanceProcessCpuTime", Get::Counter32(|r| Some(r.cpu))),
        column(3, "postfixInstanceProcessCpuPercent", Get::Gauge32(|r| r.cpu_percent)),
        column(4, "postfixInstanceProcessMemoryKiB", Get::Gauge32(|r| Some(r.memory))),
        column(5, "postfixInstanceProcessName", Get::Text(|r| Some(r.owner.only_row()))),
    ],
};

pub(super) static DAEMONS: Table<DaemonRow> = Table {
    name: "postfixDaemonTable",
    entry: &[1, 8, 1, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.kind as u32]),
    columns: &[
        column(2, "postfixDaemonName", Get::Text(|r| Some(r.owner.row(r.name.as_bytes())))),
        column(3, "postfixDaemonState", Get::Integer(|r| Some(r.state as i32))),
        column(4, "postfixDaemonPid", Get::Gauge32(|r| Some(r.seen.as_ref()?.pid))),
        column(5, "postfixDaemonCpuTime", Get::Counter32(|r| Some(r.seen.as_ref()?.cpu))),
        column(6, "postfixDaemonCpuPercent", Get::Gauge32(|r| r.seen.as_ref()?.cpu_percent)),
        column(7, "postfixDaemonMemoryKiB", Get::Gauge32(|r| Some(r.seen.as_ref()?.memory))),
        column(8, "postfixDaemonMemoryPercent", Get::Gauge32(|r| r.seen.as_ref()?.memory_percent)),
        column(9, "postfixDaemonUptime", Get::Age(|r| Some(r.seen.as_ref()?.started))),
        column(10, "postfixDaemonRestarts", Get::Counter32(|r| Some(r.seen.as_ref()?.restarts))),
        column(11, "postfixDaemonThreads", Get::Gauge32(|r| Some(r.seen.as_ref()?.threads))),
    ],
};

pub(super) static FILES: Table<FilesRow> = Table {
    name: "postfixDaemonFilesTable",
    entry: &[1, 8, 2, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.kind as u32]),
    columns: &[
        column(1, "postfixDaemonFilesOpenFiles", Get::Gauge32(|r| r.open)),
        column(2, "postfixDaemonFilesOpenFilesLimit", Get::Gauge32(|r| r.limit)),
        column(3, "postfixDaemonFilesName", Get::Text(|r| Some(r.owner.row(r.name.as_bytes())))),
    ],
};

pub(super) static SERVICES: Table<ServiceRow> = Table {
    name: "postfixServiceTable",
    entry: &[1, 8, 3, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.index]),
    columns: &[
        column(2, "postfixServiceName", Get::Text(|r| Some(r.owner.row(r.service().key())))),
        column(3, "postfixServiceType", Get::Text(|r| Some(text(&r.entry().kind, 32)))),
        column(4, "postfixServiceProgram", Get::Text(|r| Some(text(&r.entry().command, 255)))),
        column(5, "postfixServiceProcesses", Get::Gauge32(|r| Some(r.seen.as_ref()?.processes))),
        column(6, "postfixServiceProcessLimit", Get::Gauge32(|r| Some(r.limit))),
        column(7, "postfixServiceProcessPercent", Get::Gauge32(ServiceRow::percent)),
        column(8, "postfixServiceCpuTime", Get::Counter32(|r| Some(r.seen.as_ref()?.cpu))),
        column(9, "postfixServiceMemoryKiB", Get::Gauge32(|r| Some(r.seen.as_ref()?.memory))),
    ],
};

pub(super) struct Totals {
    pub(super) processes: Option<u64>,
}

/// CPU times are centiseconds, percentages hundredths of a percent, memory is KiB.
#[derive(Clone)]
pub(super) struct InstanceRow {
    pub(super) owner: Owner,
    pub(super) processes: u64,
    pub(super) cpu: u64,
    pub(super) cpu_percent: Option<u64>,
    pub(super) memory: u64,
}

#[derive(Clone)]
pub(super) struct DaemonRow {
    pub(super) owner: Owner,
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) state: State,
    /// `None` while the state is unknown.
    pub(super) seen: Option<DaemonSeen>,
}

#[derive(Clone)]
pub(super) struct DaemonSeen {
    pub(super) pid: u64,
    pub(super) cpu: u64,
    pub(super) cpu_percent: Option<u64>,
    pub(super) memory: u64,
    pub(super) memory_percent: Option<u64>,
    pub(super) started: Instant,
    pub(super) restarts: u64,
    pub(super) threads: u64,
}

#[derive(Clone)]
pub(super) struct FilesRow {
    pub(super) owner: Owner,
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) open: Option<u64>,
    pub(super) limit: Option<u64>,
}

#[derive(Clone)]
pub(super) struct ServiceRow {
    pub(super) owner: Owner,
    pub(super) index: u32,
    /// All services of the instance, and which of them this is.
    pub(super) services: Arc<[Service]>,
    pub(super) position: usize,
    /// 0: none.
    pub(super) limit: u64,
    /// `None` while the processes cannot be looked at.
    pub(super) seen: Option<ServiceSeen>,
}

#[derive(Clone, Default)]
pub(super) struct ServiceSeen {
    pub(super) processes: u64,
    pub(super) cpu: u64,
    pub(super) memory: u64,
}

impl ServiceRow {
    pub(super) fn service(&self) -> &Service {
        &self.services[self.position]
    }

    fn entry(&self) -> &Entry {
        &self.service().entry
    }

    /// Of the limit; 0 where there is none.
    fn percent(&self) -> Option<u64> {
        let seen = self.seen.as_ref()?;
        Some((seen.processes * 100).checked_div(self.limit).unwrap_or(0))
    }
}
