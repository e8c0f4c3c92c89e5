//! The tables of the log: what a counter is called.

use super::{
    busiest_tables::{CLIENTS, DESTINATIONS, SENDERS},
    codes::REJECT_CODES,
    counters::{Dnsbl, Mail, Message, Postscreen, ServiceEvents, Smtpd, Totals, Transport},
    engine::SourceCounters,
    patterns::PATTERNS,
    reasons::BOUNCE_REASONS,
    sizes::SIZES,
    template::Template,
    tls::{CIPHERS_TABLE, POLICIES, TLS},
};
use crate::{
    collect::instance::Owner,
    mib::{
        AnyTable,
        Get::{Age, Counter32, Counter64, DateAndTime, Gauge32, Integer, Text, Unsigned32},
        Index, Table, column, scalars, text,
    },
    smi::{Octets, date_and_time},
};
use std::time::{Duration, Instant};

/// The tables this module owns.
pub static TABLES: &[&dyn AnyTable] = &[
    &LOG_FILES,
    &TOTAL_MAIL,
    &TEMPLATE,
    &INSTANCE_LOG,
    &MAIL,
    &TRANSPORTS,
    &DELAYS,
    &DSN,
    &DEFER_EVENTS,
    &SENDERS,
    &TLS,
    &POLICIES,
    &CIPHERS_TABLE,
    &BOUNCE_REASONS,
    &REJECT_CODES,
    &SIZES,
    &PATTERNS,
    &DESTINATIONS,
    &CLIENTS,
    &SMTPD,
    &POSTSCREEN,
    &REJECTS,
    &DNSBL,
    &MESSAGES,
    &SERVICE_EVENTS,
];

/// One row of postfixLogFileTable.
pub(super) struct LogFileRow {
    pub index: u32,
    pub name: Vec<u8>,
    pub status: i32,
    pub error: String,
    pub counters: SourceCounters,
    /// `None`: nobody can know.
    pub suppressed: Option<u64>,
    pub behind: u64,
    /// Seconds since 1970; 0: no line yet.
    pub last_line: i64,
}

pub(super) static LOG_FILES: Table<LogFileRow> = Table {
    name: "postfixLogFileTable",
    entry: &[1, 1, 4, 1],
    index: |f| Index::from_slice(&[f.index]),
    columns: &[
        column(2, "postfixLogFileName", Text(|f| Some(text(&f.name, 255)))),
        column(3, "postfixLogFileStatus", Integer(|f| Some(f.status))),
        column(4, "postfixLogFileError", Text(|f| Some(text(&f.error, 255)))),
        column(5, "postfixLogFileLinesRead", Counter32(|f| Some(f.counters.lines))),
        column(6, "postfixLogFileLinesUnrecognised", Counter32(|f| Some(f.counters.unrecognised))),
        column(7, "postfixLogFileLinesForeign", Counter32(|f| Some(f.counters.foreign))),
        column(8, "postfixLogFileLinesSuppressed", Counter32(|f| f.suppressed)),
        column(9, "postfixLogFileBehindKiB", Gauge32(|f| Some(f.behind.div_ceil(1_024)))),
        column(10, "postfixLogFileLastLineAge", Age(|f| instant(f.last_line))),
        column(11, "postfixLogFileRotations", Counter32(|f| Some(f.counters.rotations))),
        column(12, "postfixLogFileGaps", Counter32(|f| Some(f.counters.gaps))),
    ],
};

/// The monotonic instant of a wall time; `None` for never.
pub(super) fn instant(seconds: i64) -> Option<Instant> {
    let since = super::now().checked_sub(seconds).filter(|_| seconds > 0)?;
    let now = Instant::now();
    match u64::try_from(since) {
        Ok(since) => now.checked_sub(Duration::from_secs(since)),
        // From the future: 0 until then.
        Err(_) => now.checked_add(Duration::from_secs(since.unsigned_abs())),
    }
}

fn date(seconds: i64) -> Octets {
    Octets::from(&date_and_time(seconds)[..])
}

/// The scalars of 2.2.
pub(super) struct TotalRow {
    /// `None` while an instance that is to be included is unknown.
    pub totals: Option<Totals>,
    pub since: i64,
    pub sessions: Option<u64>,
}

impl TotalRow {
    fn get(&self, field: fn(&Totals) -> u64) -> Option<u64> {
        self.totals.as_ref().map(field)
    }
}

pub(super) static TOTAL_MAIL: Table<TotalRow> = scalars(
    "postfixTotalMailObjects",
    &[1, 2, 2],
    &[
        column(1, "postfixTotalReceived", Counter32(|t| t.get(|t| t.received))),
        column(2, "postfixTotalDelivered", Counter32(|t| t.get(|t| t.delivered))),
        column(3, "postfixTotalForwarded", Counter32(|t| t.get(|t| t.forwarded))),
        column(4, "postfixTotalRejected", Counter32(|t| t.get(|t| t.rejects_temporary + t.rejects_permanent))),
        column(5, "postfixTotalRejectsTemporary", Counter32(|t| t.get(|t| t.rejects_temporary))),
        column(6, "postfixTotalRejectsPermanent", Counter32(|t| t.get(|t| t.rejects_permanent))),
        column(7, "postfixTotalDiscarded", Counter32(|t| t.get(|t| t.discarded))),
        column(8, "postfixTotalDeferrals", Counter32(|t| t.get(|t| t.deferrals))),
        column(9, "postfixTotalDeferredMessages", Counter32(|t| t.get(|t| t.deferred_messages))),
        column(10, "postfixTotalBounced", Counter32(|t| t.get(|t| t.bounced))),
        column(11, "postfixTotalHeld", Counter32(|t| t.get(|t| t.held))),
        column(12, "postfixTotalExpired", Counter32(|t| t.get(|t| t.expired))),
        column(13, "postfixTotalCountersSince", DateAndTime(|t| t.totals.map(|_| date(t.since)))),
        column(14, "postfixTotalCountersAge", Age(|t| t.totals.and_then(|_| instant(t.since)))),
        column(15, "postfixTotalDiscontinuities", Counter32(|t| t.get(|t| t.discontinuities))),
        column(16, "postfixTotalSessions", Gauge32(|t| t.sessions)),
    ],
);

pub(super) static TEMPLATE: Table<Template> = scalars(
    "postfixTemplateObjects",
    &[1, 2, 5],
    &[
        column(1, "postfixTemplateDelivered", Counter32(|t| Some(t.delivered))),
        column(2, "postfixTemplateForwarded", Counter32(|t| Some(t.forwarded))),
        column(3, "postfixTemplateRejected", Counter32(|t| Some(t.rejected))),
        column(4, "postfixTemplateReceived", Counter32(|t| Some(t.received))),
        column(5, "postfixTemplateDiscarded", Counter32(|t| Some(t.discarded))),
        column(6, "postfixTemplateDeferred", Counter32(|t| Some(t.deferred))),
        column(7, "postfixTemplateBounced", Counter32(|t| Some(t.bounced))),
        column(8, "postfixTemplateHeld", Counter32(|t| Some(t.held))),
        column(9, "postfixTemplateFatal", Counter32(|t| Some(t.fatal))),
        column(10, "postfixTemplateWarning", Counter32(|t| Some(t.warning))),
        column(11, "postfixTemplatePanic", Counter32(|t| Some(t.panic))),
        column(12, "postfixTemplateError", Counter32(|t| Some(t.error))),
    ],
);

/// A row of one instance.
pub(super) struct Of<T> {
    pub owner: Owner,
    pub value: T,
}

/// What the log says of an instance itself.
pub(super) struct InstanceLog {
    pub starts: u64,
    pub reloads: u64,
    pub since: i64,
    pub discontinuities: u64,
    pub ids_evicted: u64,
}

pub(super) static INSTANCE_LOG: Table<Of<InstanceLog>> = Table {
    name: "postfixInstanceLogTable",
    entry: &[1, 3, 2, 1],
    index: |r| Index::from_slice(&[r.owner.index]),
    columns: &[
        column(1, "postfixInstanceLogStarts", Counter32(|r| Some(r.value.starts))),
        column(2, "postfixInstanceLogReloads", Counter32(|r| Some(r.value.reloads))),
        column(3, "postfixInstanceLogCountersSince", DateAndTime(|r| Some(date(r.value.since)))),
        column(4, "postfixInstanceLogCountersAge", Age(|r| instant(r.value.since))),
        column(5, "postfixInstanceLogDiscontinuities", Counter32(|r| Some(r.value.discontinuities))),
        column(6, "postfixInstanceLogIdsEvicted", Counter32(|r| Some(r.value.ids_evicted))),
        column(7, "postfixInstanceLogName", Text(|r| Some(r.owner.only_row()))),
    ],
};

pub(super) static MAIL: Table<Of<Mail>> = Table {
    name: "postfixMailTable",
    entry: &[1, 5, 1, 1],
    index: |r| Index::from_slice(&[r.owner.index]),
    columns: &[
        column(1, "postfixMailReceivedMessages", Counter32(|r| Some(r.value.received_messages))),
        column(2, "postfixMailReceivedSmtp", Counter32(|r| Some(r.value.received_smtp))),
        column(3, "postfixMailReceivedLocal", Counter32(|r| Some(r.value.received_local))),
        column(4, "postfixMailReceivedReinjected", Counter32(|r| Some(r.value.received_reinjected))),
        column(5, "postfixMailReceivedOctets", Counter64(|r| Some(r.value.received_octets))),
        column(6, "postfixMailReceivedKiB", Counter32(|r| Some(r.value.received_octets / 1_024))),
        column(7, "postfixMailReceivedRecipients", Counter32(|r| Some(r.value.received_recipients))),
        column(8, "postfixMailInternalMessages", Counter32(|r| Some(r.value.internal_messages))),
        column(9, "postfixMailSent", Counter32(|r| Some(r.value.sent))),
        column(10, "postfixMailSentOctets", Counter64(|r| Some(r.value.sent_octets))),
        column(11, "postfixMailSentKiB", Counter32(|r| Some(r.value.sent_octets / 1_024))),
        column(12, "postfixMailSentToFilter", Counter32(|r| Some(r.value.sent_to_filter))),
        column(13, "postfixMailForwarded", Counter32(|r| Some(r.value.forwarded))),
        column(14, "postfixMailDeferrals", Counter32(|r| Some(r.value.deferrals))),
        column(15, "postfixMailSuspended", Counter32(|r| Some(r.value.suspended))),
        column(16, "postfixMailSoftBounced", Counter32(|r| Some(r.value.soft_bounced))),
        column(17, "postfixMailDeferredMessages", Counter32(|r| Some(r.value.deferred_messages))),
        column(18, "postfixMailBounced", Counter32(|r| Some(r.value.bounced))),
        column(19, "postfixMailExpired", Counter32(|r| Some(r.value.expired))),
        column(20, "postfixMailForceExpired", Counter32(|r| Some(r.value.force_expired))),
        column(21, "postfixMailOtherStatus", Counter32(|r| Some(r.value.other_status))),
        column(22, "postfixMailRemoved", Counter32(|r| Some(r.value.removed))),
        column(23, "postfixMailHeld", Counter32(|r| Some(r.value.held))),
        column(24, "postfixMailDiscarded", Counter32(|r| Some(r.value.discarded))),
        column(25, "postfixMailRedirected", Counter32(|r| Some(r.value.redirected))),
        column(26, "postfixMailFiltered", Counter32(|r| Some(r.value.filtered))),
        column(27, "postfixMailRequeued", Counter32(|r| Some(r.value.requeued))),
        column(28, "postfixMailRejected", Counter32(|r| Some(r.value.rejects_temporary + r.value.rejects_permanent))),
        column(29, "postfixMailRejectsTemporary", Counter32(|r| Some(r.value.rejects_temporary))),
        column(30, "postfixMailRejectsPermanent", Counter32(|r| Some(r.value.rejects_permanent))),
        column(31, "postfixMailRejectWarnings", Counter32(|r| Some(r.value.reject_warnings))),
        column(32, "postfixMailMilterRejects", Counter32(|r| Some(r.value.milter_rejects))),
        column(33, "postfixMailProxyRejects", Counter32(|r| Some(r.value.proxy_rejects))),
        column(34, "postfixMailCleanupRejects", Counter32(|r| Some(r.value.cleanup_rejects))),
        column(35, "postfixMailDeliverable", Counter32(|r| Some(r.value.deliverable))),
        column(36, "postfixMailUndeliverable", Counter32(|r| Some(r.value.undeliverable))),
        column(37, "postfixMailNonDeliveryNotices", Counter32(|r| Some(r.value.non_delivery_notices))),
        column(38, "postfixMailDelayNotices", Counter32(|r| Some(r.value.delay_notices))),
        column(39, "postfixMailLoopsDetected", Counter32(|r| Some(r.value.loops_detected))),
        column(40, "postfixMailDestinationsSaturated", Counter32(|r| Some(r.value.destinations_saturated))),
        column(41, "postfixMailName", Text(|r| Some(r.owner.only_row()))),
    ],
};

/// A row of a name met at run time.
pub(super) struct NamedRow<T> {
    pub owner: Owner,
    pub index: u32,
    /// As it is shown.
    pub name: String,
    pub value: T,
}

impl<T> NamedRow<T> {
    pub(super) fn index(&self) -> Index {
        Index::from_slice(&[self.owner.index, self.index])
    }

    fn name(&self) -> Octets {
        self.owner.row(&self.name)
    }

    /// What is known as `label/program`, by its label alone where that is the program.
    fn name_by_label(&self) -> Octets {
        let label = label(&self.name);
        self.owner.row(if label == program(&self.name) { label } else { &self.name })
    }
}

/// Transports and smtpd services are told apart by `label/program` and shown by label: what stands before the last `/`.
fn label(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(label, _)| label)
}

fn program(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, program)| program)
}

pub(super) static TRANSPORTS: Table<NamedRow<Transport>> = Table {
    name: "postfixTransportTable",
    entry: &[1, 5, 2, 1],
    index: NamedRow::index,
    columns: &[
        column(2, "postfixTransportName", Text(|r| Some(r.name_by_label()))),
        column(3, "postfixTransportProgram", Text(|r| Some(text(program(&r.name), 64)))),
        column(4, "postfixTransportSent", Counter32(|r| Some(r.value.sent))),
        column(5, "postfixTransportDeferrals", Counter32(|r| Some(r.value.deferrals))),
        column(6, "postfixTransportBounced", Counter32(|r| Some(r.value.bounced))),
        column(7, "postfixTransportConnectFailures", Counter32(|r| Some(r.value.connect_failures))),
        column(8, "postfixTransportConnectionsReused", Counter32(|r| Some(r.value.connections_reused))),
        column(9, "postfixTransportTlsConnections", Counter32(|r| Some(r.value.tls_connections))),
        column(10, "postfixTransportBeforeQueue", Counter64(|r| Some(r.value.stages[0].sum))),
        column(11, "postfixTransportBeforeQueueCount", Counter32(|r| Some(r.value.stages[0].count))),
        column(12, "postfixTransportInQueue", Counter64(|r| Some(r.value.stages[1].sum))),
        column(13, "postfixTransportInQueueCount", Counter32(|r| Some(r.value.stages[1].count))),
        column(14, "postfixTransportConnect", Counter64(|r| Some(r.value.stages[2].sum))),
        column(15, "postfixTransportConnectCount", Counter32(|r| Some(r.value.stages[2].count))),
        column(16, "postfixTransportTransmit", Counter64(|r| Some(r.value.stages[3].sum))),
        column(17, "postfixTransportTransmitCount", Counter32(|r| Some(r.value.stages[3].count))),
        column(18, "postfixTransportDelay", Counter64(|r| Some(r.value.stages[4].sum))),
        column(19, "postfixTransportDelayCount", Counter32(|r| Some(r.value.stages[4].count))),
        column(20, "postfixTransportRetried", Counter32(|r| Some(r.value.retried))),
    ],
};

/// One bucket of one stage.
pub(super) struct DelayRow {
    pub owner: Owner,
    pub stage: u32,
    pub bucket: u32,
    pub limit: Option<u64>,
    pub deliveries: u64,
}

const STAGES: [&str; 5] = ["beforeQueue", "inQueue", "connect", "transmit", "total"];

pub(super) static DELAYS: Table<DelayRow> = Table {
    name: "postfixDelayTable",
    entry: &[1, 5, 3, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.stage, r.bucket]),
    columns: &[
        column(3, "postfixDelayName", Text(|r| Some(r.owner.row(delay_name(r))))),
        column(4, "postfixDelayLimit", Unsigned32(|r| Some(r.limit.unwrap_or(u64::from(u32::MAX))))),
        column(5, "postfixDelayDeliveries", Counter32(|r| Some(r.deliveries))),
    ],
};

fn delay_name(row: &DelayRow) -> String {
    let stage = STAGES.get(row.stage as usize - 1).unwrap_or(&"");
    match row.limit {
        Some(ms) if ms % 1_000 == 0 => format!("{stage} up to {} s", ms / 1_000),
        Some(ms) => format!("{stage} up to {ms} ms"),
        None => format!("{stage} longer"),
    }
}

pub(super) static DSN: Table<Of<(u32, u64)>> = Table {
    name: "postfixDsnTable",
    entry: &[1, 5, 4, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.value.0]),
    columns: &[
        column(2, "postfixDsnName", Text(|r| Some(r.owner.row(dsn_name(r.value.0))))),
        column(3, "postfixDsnDeliveries", Counter32(|r| Some(r.value.1))),
    ],
};

fn dsn_name(code: u32) -> String {
    match (code / 1_000_000, code / 1_000 % 1_000, code % 1_000) {
        (class, 999, 999) => format!("{class} (other)"),
        (class, subject, detail) => format!("{class}.{subject}.{detail}"),
    }
}

/// One class of an enumeration.
pub(super) struct ReasonRow {
    pub owner: Owner,
    pub reason: u32,
    pub name: &'static str,
    pub counts: [u64; 2],
}

impl ReasonRow {
    pub(super) fn index(&self) -> Index {
        Index::from_slice(&[self.owner.index, self.reason])
    }
}

pub(super) static DEFER_EVENTS: Table<ReasonRow> = Table {
    name: "postfixDeferEventTable",
    entry: &[1, 5, 5, 1],
    index: ReasonRow::index,
    columns: &[
        column(1, "postfixDeferEventName", Text(|r| Some(r.owner.row(r.name)))),
        column(2, "postfixDeferEventDeferrals", Counter32(|r| Some(r.counts[0]))),
    ],
};

/// One smtpd service and how many sessions it has now.
pub(super) type SmtpdRow = NamedRow<(Smtpd, Option<u64>)>;

pub(super) static SMTPD: Table<SmtpdRow> = Table {
    name: "postfixSmtpdTable",
    entry: &[1, 6, 1, 1],
    index: NamedRow::index,
    columns: &[
        column(2, "postfixSmtpdName", Text(|r| Some(r.name_by_label()))),
        column(3, "postfixSmtpdConnects", Counter32(|r| Some(r.value.0.connects))),
        column(4, "postfixSmtpdDisconnects", Counter32(|r| Some(r.value.0.disconnects))),
        column(5, "postfixSmtpdSessions", Gauge32(|r| r.value.1)),
        column(6, "postfixSmtpdLostConnections", Counter32(|r| Some(r.value.0.lost_connections))),
        column(7, "postfixSmtpdTimeouts", Counter32(|r| Some(r.value.0.timeouts))),
        column(8, "postfixSmtpdTooManyErrors", Counter32(|r| Some(r.value.0.too_many_errors))),
        column(9, "postfixSmtpdTlsSessions", Counter32(|r| Some(r.value.0.tls_sessions))),
        column(10, "postfixSmtpdTlsErrors", Counter32(|r| Some(r.value.0.tls_errors))),
        column(11, "postfixSmtpdAuthOk", Counter32(|r| Some(r.value.0.auth_ok))),
        column(12, "postfixSmtpdAuthFailed", Counter32(|r| Some(r.value.0.auth_failed))),
        column(13, "postfixSmtpdLimitsExceeded", Counter32(|r| Some(r.value.0.limits_exceeded))),
        column(14, "postfixSmtpdProtocolErrors", Counter32(|r| Some(r.value.0.protocol_errors))),
        column(15, "postfixSmtpdUnknownClients", Counter32(|r| Some(r.value.0.unknown_clients))),
        column(16, "postfixSmtpdAccepted", Counter32(|r| Some(r.value.0.accepted))),
        column(17, "postfixSmtpdRejectsTemporary", Counter32(|r| Some(r.value.0.rejects_temporary))),
        column(18, "postfixSmtpdRejectsPermanent", Counter32(|r| Some(r.value.0.rejects_permanent))),
    ],
};

pub(super) static POSTSCREEN: Table<Of<Postscreen>> = Table {
    name: "postfixPostscreenTable",
    entry: &[1, 6, 2, 1],
    index: |r| Index::from_slice(&[r.owner.index]),
    columns: &[
        column(1, "postfixPostscreenConnects", Counter32(|r| Some(r.value.connects))),
        column(2, "postfixPostscreenPassNew", Counter32(|r| Some(r.value.pass_new))),
        column(3, "postfixPostscreenPassOld", Counter32(|r| Some(r.value.pass_old))),
        column(4, "postfixPostscreenAllowlisted", Counter32(|r| Some(r.value.allowlisted))),
        column(5, "postfixPostscreenDenylisted", Counter32(|r| Some(r.value.denylisted))),
        column(6, "postfixPostscreenPregreet", Counter32(|r| Some(r.value.pregreet))),
        column(7, "postfixPostscreenDnsblHits", Counter32(|r| Some(r.value.dnsbl_hits))),
        column(8, "postfixPostscreenHangups", Counter32(|r| Some(r.value.hangups))),
        column(9, "postfixPostscreenProtocolErrors", Counter32(|r| Some(r.value.protocol_errors))),
        column(10, "postfixPostscreenRejects", Counter32(|r| Some(r.value.rejects))),
        column(11, "postfixPostscreenPortsBusy", Counter32(|r| Some(r.value.ports_busy))),
        column(12, "postfixPostscreenStressMode", Counter32(|r| Some(r.value.stress_mode))),
        column(13, "postfixPostscreenName", Text(|r| Some(r.owner.only_row()))),
    ],
};

pub(super) static REJECTS: Table<ReasonRow> = Table {
    name: "postfixRejectTable",
    entry: &[1, 6, 3, 1],
    index: ReasonRow::index,
    columns: &[
        column(2, "postfixRejectName", Text(|r| Some(r.owner.row(r.name)))),
        column(3, "postfixRejectTemporary", Counter32(|r| Some(r.counts[0]))),
        column(4, "postfixRejectPermanent", Counter32(|r| Some(r.counts[1]))),
    ],
};

pub(super) static DNSBL: Table<NamedRow<Dnsbl>> = Table {
    name: "postfixDnsblTable",
    entry: &[1, 6, 4, 1],
    index: NamedRow::index,
    columns: &[
        column(2, "postfixDnsblName", Text(|r| Some(r.name()))),
        column(3, "postfixDnsblBlocked", Counter32(|r| Some(r.value.blocked))),
        column(4, "postfixDnsblListed", Counter32(|r| Some(r.value.listed))),
    ],
};

pub(super) static MESSAGES: Table<NamedRow<Message>> = Table {
    name: "postfixMessageTable",
    entry: &[1, 7, 1, 1],
    index: NamedRow::index,
    columns: &[
        column(2, "postfixMessageName", Text(|r| Some(r.name()))),
        column(3, "postfixMessageLines", Counter32(|r| Some(r.value.lines))),
        column(4, "postfixMessageLastLineAge", Age(|r| instant(r.value.last))),
        column(5, "postfixMessageWarnings", Counter32(|r| Some(r.value.warnings))),
        column(6, "postfixMessageErrors", Counter32(|r| Some(r.value.errors))),
        column(7, "postfixMessageFatals", Counter32(|r| Some(r.value.fatals))),
        column(8, "postfixMessagePanics", Counter32(|r| Some(r.value.panics))),
        column(9, "postfixMessageUnrecognised", Counter32(|r| Some(r.value.unrecognised))),
    ],
};

/// One entry of master.cf.
pub(super) struct ServiceRow {
    pub owner: Owner,
    /// `name/type`.
    pub name: String,
    pub index: u32,
    pub events: ServiceEvents,
}

pub(super) static SERVICE_EVENTS: Table<ServiceRow> = Table {
    name: "postfixServiceEventTable",
    entry: &[1, 8, 4, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.index]),
    columns: &[
        column(1, "postfixServiceEventStarts", Counter32(|r| Some(r.events.starts))),
        column(2, "postfixServiceEventAbnormalExits", Counter32(|r| Some(r.events.abnormal_exits))),
        column(3, "postfixServiceEventLimitReached", Counter32(|r| Some(r.events.limit_reached))),
        column(4, "postfixServiceEventThrottles", Counter32(|r| Some(r.events.throttles))),
        column(5, "postfixServiceEventName", Text(|r| Some(r.owner.row(&r.name)))),
    ],
};
