//! The tables of both modules, columns verbatim from RFC 2788 and RFC 2789. Columns without a source are not listed.

use super::librenms;
use crate::{
    mib::{AnyTable, Get, Index, Module, Table, TableOf, column},
    smi::{Octets, Oid, Stamp},
};
use std::{sync::Arc, time::Instant};

/// RFC 2788.
pub static NETWORK_SERVICES_MIB: Module = Module {
    name: "NETWORK-SERVICES-MIB",
    root: Some(&[1, 3, 6, 1, 2, 1, 27]),
    priority: Some(PRIORITY),
    whole: true,
    nodes: &[],
};

/// RFC 2789. Debian's snmpd has a module for sendmail that answers in fifteen columns with values for a sendmail that is
/// not there. Each of them is registered as a region of its own (net-snmp/agent/mibgroup/mibII/mta_sendmail.c): the longer
/// name wins, and among equal names the smaller priority (RFC 2741 §7.1.5), so that none of its rows is seen.
pub static MTA_MIB: Module = Module {
    name: "MTA-MIB",
    root: Some(&[1, 3, 6, 1, 2, 1, 28]),
    priority: Some(PRIORITY),
    whole: true,
    nodes: &[
        &[1, 1, 1],
        &[1, 1, 2],
        &[1, 1, 3],
        &[1, 1, 4],
        &[1, 1, 5],
        &[1, 1, 6],
        &[2, 1, 2],
        &[2, 1, 3],
        &[2, 1, 4],
        &[2, 1, 5],
        &[2, 1, 6],
        &[2, 1, 7],
        &[2, 1, 8],
        &[2, 1, 25],
        &[2, 1, 31],
    ],
};

/// Before net-snmp's own 127.
const PRIORITY: u8 = 100;

/// The tables of the projection.
pub static TABLES: &[&dyn AnyTable] = &[
    &APPLICATIONS,
    &MTAS,
    &GROUPS,
    &ERRORS,
    &librenms::MAILQ_STATUS,
    &librenms::DETAILED_STATUS,
    &librenms::MAILQ,
    &librenms::DETAILED,
];

/// mtaGroupHierarchy of the queues: a collection, of which no mail is in two.
pub(super) const QUEUES: i32 = -1;
/// mtaGroupHierarchy of reception and delivery.
pub(super) const DIRECTIONS: i32 = -2;
/// mtaGroupHierarchy of the services that deliver.
pub(super) const TRANSPORTS: i32 = -3;

/// A row of applTable.
pub(super) struct Application {
    pub(super) instance: u32,
    pub(super) name: Option<Octets>,
    pub(super) version: Option<Octets>,
    pub(super) started: Option<Stamp>,
    pub(super) status: Option<i32>,
    pub(super) changed: Option<Stamp>,
    pub(super) inbound: Option<u64>,
    pub(super) accumulated_inbound: Option<u64>,
    pub(super) last_inbound: Option<Stamp>,
    pub(super) failed_outbound: Option<u64>,
    pub(super) description: Option<Octets>,
}

pub(super) static APPLICATIONS: TableOf<Application> = TableOf {
    module: &NETWORK_SERVICES_MIB,
    table: Table {
        name: "applTable",
        entry: &[1, 1],
        index: |a| Index::from_slice(&[a.instance]),
        columns: &[
            column(2, "applName", Get::Text(|a| a.name.clone())),
            // No directory knows it, which the RFC writes as the empty name.
            column(3, "applDirectoryName", Get::Text(|_| Some(Octets::from(&[][..])))),
            column(4, "applVersion", Get::Text(|a| a.version.clone())),
            column(5, "applUptime", Get::TimeStamp(|a| a.started.clone())),
            column(6, "applOperStatus", Get::Integer(|a| a.status)),
            column(7, "applLastChange", Get::TimeStamp(|a| a.changed.clone())),
            column(8, "applInboundAssociations", Get::Gauge32(|a| a.inbound)),
            column(10, "applAccumulatedInboundAssociations", Get::Counter32(|a| a.accumulated_inbound)),
            column(12, "applLastInboundActivity", Get::TimeStamp(|a| a.last_inbound.clone())),
            column(15, "applFailedOutboundAssociations", Get::Counter32(|a| a.failed_outbound)),
            column(16, "applDescription", Get::Text(|a| a.description.clone())),
        ],
    },
};

/// A row of mtaTable. Volumes in K-octets of 1,024.
pub(super) struct Mta {
    pub(super) instance: u32,
    pub(super) received_messages: Option<u64>,
    pub(super) stored_messages: Option<u64>,
    pub(super) received_volume: Option<u64>,
    pub(super) stored_volume: Option<u64>,
    pub(super) transmitted_volume: Option<u64>,
    pub(super) received_recipients: Option<u64>,
    pub(super) stored_recipients: Option<u64>,
    pub(super) transmitted_recipients: Option<u64>,
    pub(super) loops: Option<u64>,
}

pub(super) static MTAS: TableOf<Mta> = TableOf {
    module: &MTA_MIB,
    table: Table {
        name: "mtaTable",
        entry: &[1, 1],
        index: |m| Index::from_slice(&[m.instance]),
        columns: &[
            column(1, "mtaReceivedMessages", Get::Counter32(|m| m.received_messages)),
            column(2, "mtaStoredMessages", Get::Gauge32(|m| m.stored_messages)),
            column(4, "mtaReceivedVolume", Get::Counter32(|m| m.received_volume)),
            column(5, "mtaStoredVolume", Get::Gauge32(|m| m.stored_volume)),
            column(6, "mtaTransmittedVolume", Get::Counter32(|m| m.transmitted_volume)),
            column(7, "mtaReceivedRecipients", Get::Counter32(|m| m.received_recipients)),
            column(8, "mtaStoredRecipients", Get::Gauge32(|m| m.stored_recipients)),
            column(9, "mtaTransmittedRecipients", Get::Counter32(|m| m.transmitted_recipients)),
            column(12, "mtaLoopsDetected", Get::Counter32(|m| m.loops)),
        ],
    },
};

/// A row of mtaGroupTable.
#[derive(Default)]
pub(super) struct Group {
    pub(super) instance: u32,
    pub(super) number: u32,
    pub(super) name: Option<Octets>,
    pub(super) hierarchy: i32,
    pub(super) received_messages: Option<u64>,
    pub(super) stored_messages: Option<u64>,
    pub(super) received_volume: Option<u64>,
    pub(super) stored_volume: Option<u64>,
    pub(super) transmitted_volume: Option<u64>,
    pub(super) received_recipients: Option<u64>,
    pub(super) stored_recipients: Option<u64>,
    pub(super) transmitted_recipients: Option<u64>,
    pub(super) oldest: Option<Instant>,
    pub(super) inbound: Option<u64>,
    pub(super) accumulated_inbound: Option<u64>,
    pub(super) last_inbound: Option<Instant>,
    pub(super) last_attempt: Option<Instant>,
    pub(super) failed_outbound: Option<u64>,
    pub(super) protocol: Option<Arc<Oid>>,
    pub(super) loops: Option<u64>,
}

impl Group {
    pub(super) fn new(instance: u32, number: u32, name: Octets, hierarchy: i32) -> Self {
        Self { instance, number, name: Some(name), hierarchy, ..Self::default() }
    }
}

pub(super) static GROUPS: TableOf<Group> = TableOf {
    module: &MTA_MIB,
    table: Table {
        name: "mtaGroupTable",
        entry: &[2, 1],
        index: |g| Index::from_slice(&[g.instance, g.number]),
        columns: &[
            column(2, "mtaGroupReceivedMessages", Get::Counter32(|g| g.received_messages)),
            column(4, "mtaGroupStoredMessages", Get::Gauge32(|g| g.stored_messages)),
            column(6, "mtaGroupReceivedVolume", Get::Counter32(|g| g.received_volume)),
            column(7, "mtaGroupStoredVolume", Get::Gauge32(|g| g.stored_volume)),
            column(8, "mtaGroupTransmittedVolume", Get::Counter32(|g| g.transmitted_volume)),
            column(9, "mtaGroupReceivedRecipients", Get::Counter32(|g| g.received_recipients)),
            column(10, "mtaGroupStoredRecipients", Get::Gauge32(|g| g.stored_recipients)),
            column(11, "mtaGroupTransmittedRecipients", Get::Counter32(|g| g.transmitted_recipients)),
            column(12, "mtaGroupOldestMessageStored", Get::AgeInterval(|g| g.oldest)),
            column(13, "mtaGroupInboundAssociations", Get::Gauge32(|g| g.inbound)),
            column(15, "mtaGroupAccumulatedInboundAssociations", Get::Counter32(|g| g.accumulated_inbound)),
            column(17, "mtaGroupLastInboundActivity", Get::AgeInterval(|g| g.last_inbound)),
            column(20, "mtaGroupFailedOutboundAssociations", Get::Counter32(|g| g.failed_outbound)),
            column(24, "mtaGroupMailProtocol", Get::ObjectId(|g| g.protocol.clone())),
            column(25, "mtaGroupName", Get::Text(|g| g.name.clone())),
            column(31, "mtaGroupHierarchy", Get::Integer(|g| Some(g.hierarchy))),
            column(33, "mtaGroupLoopsDetected", Get::Counter32(|g| g.loops)),
            column(34, "mtaGroupLastOutboundAssociationAttempt", Get::AgeInterval(|g| g.last_attempt)),
        ],
    },
};

/// A row of mtaGroupErrorTable.
pub(super) struct Failures {
    pub(super) instance: u32,
    pub(super) group: u32,
    pub(super) code: u32,
    pub(super) inbound: Option<u64>,
    pub(super) outbound: Option<u64>,
}

pub(super) static ERRORS: TableOf<Failures> = TableOf {
    module: &MTA_MIB,
    table: Table {
        name: "mtaGroupErrorTable",
        entry: &[5, 1],
        index: |e| Index::from_slice(&[e.instance, e.group, e.code]),
        columns: &[
            column(1, "mtaGroupInboundErrorCount", Get::Counter32(|e| e.inbound)),
            column(3, "mtaGroupOutboundErrorCount", Get::Counter32(|e| e.outbound)),
        ],
    },
};
