//! postfixAlarmTable.

use crate::{
    config::alarm::Severity,
    mib::{AnyTable, Get, Index, Table, column},
    smi::Octets,
};
use std::time::Instant;

/// The tables this module owns.
pub static TABLES: &[&dyn AnyTable] = &[&ALARMS];

/// Below the root, where the table's entry is.
pub(super) const ENTRY: &[u32] = &[1, 10, 1, 1];

pub(super) static ALARMS: Table<Row> = Table {
    name: "postfixAlarmTable",
    entry: ENTRY,
    index: |r| Index::from_slice(&[r.index]),
    columns: &[
        column(2, "postfixAlarmName", Get::Text(|r| Some(r.name.clone()))),
        column(3, "postfixAlarmObject", Get::Text(|r| Some(r.condition.clone()))),
        column(4, "postfixAlarmValue", Get::Gauge32(|r| r.value)),
        column(5, "postfixAlarmRaise", Get::Gauge32(|r| Some(r.raise))),
        column(6, "postfixAlarmClear", Get::Gauge32(|r| Some(r.clear))),
        column(7, "postfixAlarmSeverity", Get::Integer(|r| Some(r.severity as i32))),
        column(8, "postfixAlarmState", Get::Integer(|r| Some(r.state as i32))),
        column(9, "postfixAlarmSince", Get::Age(|r| Some(r.since))),
        column(10, "postfixAlarmRaises", Get::Counter32(|r| Some(r.raised))),
        column(11, "postfixAlarmText", Get::Text(|r| Some(r.text.clone()))),
    ],
};

/// postfixAlarmState.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Normal = 1,
    Raised = 2,
    Unknown = 3,
}

/// One threshold on one row.
pub(super) struct Row {
    pub(super) index: u32,
    pub(super) name: Octets,
    pub(super) condition: Octets,
    pub(super) value: Option<u64>,
    pub(super) raise: u64,
    pub(super) clear: u64,
    pub(super) severity: Severity,
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) raised: u64,
    pub(super) text: Octets,
}
