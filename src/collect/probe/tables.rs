//! The tables of probes and certificates.

use super::{
    certificate::{Certificate, Status as CertificateStatus},
    stage::Stage,
};
use crate::{
    mib::{AnyTable, Get, Index, Table, column, scalars, text},
    smi::{Octets, date_and_time},
};
use std::{sync::Arc, time::Instant};

/// The tables this collector owns.
pub static TABLES: &[&dyn AnyTable] = &[&TOTALS, &PROBES, &STAGES, &CERTIFICATES];

pub(super) static TOTALS: Table<Totals> = scalars(
    "postfixTotalCertificateObjects",
    &[1, 2, 6],
    &[column(1, "postfixTotalCertificateDaysLeft", Get::Integer(|t| t.days_left))],
);

pub(super) static PROBES: Table<ProbeRow> = Table {
    name: "postfixProbeTable",
    entry: &[1, 9, 1, 1],
    index: |r| Index::from_slice(&[r.index]),
    columns: &[
        column(2, "postfixProbeName", Get::Text(|r| Some(text(r.name.as_bytes(), 192)))),
        column(3, "postfixProbeKind", Get::Integer(|r| Some(r.kind as i32))),
        column(4, "postfixProbeTarget", Get::Text(|r| Some(text(&r.target, 255)))),
        column(5, "postfixProbeStatus", Get::Integer(|r| Some(r.status as i32))),
        column(6, "postfixProbeLatency", Get::Gauge32(|r| r.latency)),
        column(7, "postfixProbeReplyCode", Get::Gauge32(|r| r.reply_code)),
        column(8, "postfixProbeAge", Get::Age(|r| r.ran)),
        column(9, "postfixProbeSuccessAge", Get::Age(|r| r.succeeded)),
        column(10, "postfixProbeSuccesses", Get::Counter32(|r| Some(r.successes))),
        column(11, "postfixProbeFailures", Get::Counter32(|r| Some(r.failures))),
        column(12, "postfixProbeLastError", Get::Text(|r| Some(text(&r.error, 255)))),
        column(13, "postfixProbeLatencySum", Get::Counter64(|r| Some(r.latency_sum))),
        column(14, "postfixProbeLatencyCount", Get::Counter32(|r| Some(r.successes))),
        column(15, "postfixProbePending", Get::Gauge32(|r| Some(r.mail?.pending))),
        column(16, "postfixProbeLate", Get::Counter32(|r| Some(r.mail?.late))),
        column(17, "postfixProbeLost", Get::Counter32(|r| Some(r.mail?.lost))),
        column(18, "postfixProbeTls", Get::Integer(|r| r.tls.map(|tls| tls as i32))),
    ],
};

pub(super) static STAGES: Table<StageRow> = Table {
    name: "postfixProbeStageTable",
    entry: &[1, 9, 2, 1],
    index: |r| Index::from_slice(&[r.probe, r.stage as u32]),
    columns: &[
        column(2, "postfixProbeStageName", Get::Text(|r| Some(text(format!("{} {}", r.name, r.stage.label()), 255)))),
        column(3, "postfixProbeStageLatency", Get::Gauge32(|r| r.latency)),
        column(4, "postfixProbeStageStatus", Get::Integer(|r| Some(r.status as i32))),
        column(5, "postfixProbeStageFailures", Get::Counter32(|r| Some(r.failures))),
    ],
};

pub(super) static CERTIFICATES: Table<CertificateRow> = Table {
    name: "postfixCertificateTable",
    entry: &[1, 9, 3, 1],
    index: |r| Index::from_slice(&[r.index]),
    columns: &[
        column(2, "postfixCertificateName", Get::Text(|r| Some(text(&r.name, 255)))),
        column(3, "postfixCertificateSource", Get::Text(|r| Some(text(&r.source, 255)))),
        column(4, "postfixCertificateSubject", Get::Text(|r| Some(text(&r.certificate.as_ref()?.subject, 255)))),
        column(5, "postfixCertificateIssuer", Get::Text(|r| Some(text(&r.certificate.as_ref()?.issuer, 255)))),
        column(6, "postfixCertificateNotAfter", Get::DateAndTime(|r| date(r.certificate.as_ref()?.not_after))),
        column(7, "postfixCertificateDaysLeft", Get::Integer(|r| r.days_left)),
        column(8, "postfixCertificateNotBefore", Get::DateAndTime(|r| date(r.certificate.as_ref()?.not_before))),
        column(9, "postfixCertificateNames", Get::Text(|r| Some(text(&r.certificate.as_ref()?.names, 255)))),
        column(10, "postfixCertificateStatus", Get::Integer(|r| Some(r.status as i32))),
        column(11, "postfixCertificateError", Get::Text(|r| Some(text(&r.error, 255)))),
        column(12, "postfixCertificateKey", Get::Text(|r| Some(text(&r.certificate.as_ref()?.key, 64)))),
    ],
};

/// DateAndTime of seconds since 1970.
fn date(seconds: i64) -> Option<Octets> {
    Some(Octets::from(date_and_time(seconds)))
}

/// The one number of all certificates.
pub(super) struct Totals {
    pub(super) days_left: Option<i32>,
}

/// postfixProbeKind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindNumber {
    Smtp = 1,
    ImapRoundTrip = 2,
    Pop3RoundTrip = 3,
    Certificate = 4,
    MaildirRoundTrip = 5,
}

/// postfixProbeStatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Up = 1,
    Down = 2,
    Unknown = 3,
    Disabled = 4,
}

/// postfixProbeTls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tls {
    None = 1,
    Unverified = 2,
    Verified = 3,
}

/// postfixProbeStageStatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StageStatus {
    Passed = 1,
    Failed = 2,
    NotReached = 3,
}

/// Of a round trip's messages.
#[derive(Clone, Copy)]
pub(super) struct MailCounts {
    pub(super) pending: u64,
    pub(super) late: u64,
    pub(super) lost: u64,
}

pub(super) struct ProbeRow {
    pub(super) index: u32,
    pub(super) name: Arc<str>,
    pub(super) kind: KindNumber,
    pub(super) target: String,
    pub(super) status: Status,
    /// Milliseconds.
    pub(super) latency: Option<u64>,
    pub(super) reply_code: Option<u64>,
    pub(super) ran: Option<Instant>,
    pub(super) succeeded: Option<Instant>,
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) error: String,
    /// Milliseconds.
    pub(super) latency_sum: u64,
    pub(super) mail: Option<MailCounts>,
    pub(super) tls: Option<Tls>,
}

pub(super) struct StageRow {
    pub(super) probe: u32,
    pub(super) name: Arc<str>,
    pub(super) stage: Stage,
    /// Milliseconds.
    pub(super) latency: Option<u64>,
    pub(super) status: StageStatus,
    pub(super) failures: u64,
}

pub(super) struct CertificateRow {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) source: String,
    pub(super) certificate: Option<Certificate>,
    pub(super) days_left: Option<i32>,
    pub(super) status: CertificateStatus,
    pub(super) error: String,
}
