//! Where mail waits to go, and where it came from: the domains with the largest backlog, as tables.

use super::{
    domains::{self, NEVER, Waiting},
    reasons::Reasons,
    snapshot::Snapshot,
    tables::oldest,
};
use crate::{
    collect::{instance::Owner, registry},
    mib::{Get, Index, Table, column, text},
    postfix::reason_text,
};
use std::{collections::BTreeMap, time::Instant};

pub(super) static DOMAINS: Table<DomainRow> = Table {
    name: "postfixDomainTable",
    entry: &[1, 4, 3, 1],
    index: |d| Index::from_slice(&[d.row.owner.index, d.row.index]),
    columns: &[
        column(2, "postfixDomainName", Get::Personal(|d| Some(d.row.owner.row(&d.row.name)))),
        column(3, "postfixDomainMessages", Get::Gauge32(|d| Some(d.row.waiting.messages.into()))),
        column(4, "postfixDomainRecipients", Get::Gauge32(|d| Some(d.row.waiting.recipients.into()))),
        column(5, "postfixDomainOldestAge", Get::Age(|d| Some(d.row.oldest))),
        column(6, "postfixDomainReason", Get::Integer(|d| Some(d.why.as_ref()?.first()?.0 as i32))),
        column(7, "postfixDomainReasonText", Get::Personal(|d| d.text())),
        column(8, "postfixDomainNextRetry", Get::Until(|d| d.next)),
    ],
};

pub(super) static SENDERS: Table<Row> = Table {
    name: "postfixQueueSenderTable",
    entry: &[1, 4, 5, 1],
    index: |s| Index::from_slice(&[s.owner.index, s.index]),
    columns: &[
        column(2, "postfixQueueSenderName", Get::Personal(|s| Some(s.owner.row(&s.name)))),
        column(3, "postfixQueueSenderMessages", Get::Gauge32(|s| Some(s.waiting.messages.into()))),
        column(4, "postfixQueueSenderRecipients", Get::Gauge32(|s| Some(s.waiting.recipients.into()))),
        column(5, "postfixQueueSenderOldestAge", Get::Age(|s| Some(s.oldest))),
    ],
};

/// A domain, or all others.
pub(super) struct Row {
    owner: Owner,
    index: u32,
    name: String,
    waiting: Waiting,
    oldest: Instant,
}

/// One that mail goes to.
pub(super) struct DomainRow {
    row: Row,
    /// `None` until all defer logs have been read.
    why: Option<Reasons>,
    /// When the next attempt is; `None` where nothing is deferred, or the source does not tell.
    next: Option<Instant>,
}

impl DomainRow {
    fn text(&self) -> Option<crate::smi::Octets> {
        let (_, words) = self.why.as_ref()?.first()?;
        Some(text(&**words?, reason_text::LONGEST))
    }
}

/// The rows of postfixDomainTable of one instance: every name that gets an index, and all others together.
pub(super) fn domain_rows(
    owner: &Owner,
    snapshot: &Snapshot,
    index: impl FnMut(&str) -> Option<u32>,
    rows: &mut Vec<DomainRow>,
) {
    let top = &snapshot.backlog.top;
    let why = |place: usize| snapshot.why.as_ref().and_then(|why| why.get(place)).cloned();
    let domains = top.iter().enumerate().map(|(place, (name, waiting))| (&**name, (*waiting, why(place))));
    let merge = |to: &mut (Waiting, Option<Reasons>), from: &(Waiting, Option<Reasons>)| {
        to.0.merge(&from.0);
        if let (Some(to), Some(from)) = (&mut to.1, &from.1) {
            to.merge(from);
        }
    };
    let other = (snapshot.backlog.other, why(top.len()));
    for (index, (name, (waiting, why))) in named(domains, other, index, merge) {
        let next = (waiting.next != NEVER).then(|| snapshot.clock.until(waiting.next.into()));
        rows.push(DomainRow { row: row(owner, snapshot, index, name, waiting), why, next });
    }
}

/// The rows of postfixQueueSenderTable, likewise.
pub(super) fn sender_rows(
    owner: &Owner,
    snapshot: &Snapshot,
    index: impl FnMut(&str) -> Option<u32>,
    rows: &mut Vec<Row>,
) {
    let senders = snapshot.senders.top.iter().map(|(name, waiting)| (&**name, *waiting));
    for (index, (name, waiting)) in named(senders, snapshot.senders.other, index, Waiting::merge) {
        rows.push(row(owner, snapshot, index, name, waiting));
    }
}

fn row(owner: &Owner, snapshot: &Snapshot, index: u32, name: String, waiting: Waiting) -> Row {
    let since = (waiting.oldest != NEVER).then(|| waiting.oldest.into());
    Row { owner: owner.clone(), index, name, waiting, oldest: oldest(snapshot, since) }
}

/// What belongs to each index. Names that are the same once they are shown add up.
fn named<'a, T>(
    all: impl Iterator<Item = (&'a [u8], T)>,
    mut other: T,
    mut index: impl FnMut(&str) -> Option<u32>,
    merge: impl Fn(&mut T, &T),
) -> BTreeMap<u32, (String, T)> {
    let mut named: BTreeMap<u32, (String, T)> = BTreeMap::new();
    for (domain, value) in all {
        let name = domains::shown(domain);
        // Mail to such an address can be sent; its row must not look like ours.
        match (*name != *registry::OTHER_NAME).then(|| index(&name)).flatten() {
            None => merge(&mut other, &value),
            Some(index) => match named.get_mut(&index) {
                Some((_, same)) => merge(same, &value),
                None => {
                    named.insert(index, (name.into_owned(), value));
                }
            },
        }
    }
    named.insert(registry::OTHER, (registry::OTHER_NAME.to_owned(), other));
    named
}
