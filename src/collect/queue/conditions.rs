//! What the queues contribute to postfixHealth.

use super::{
    snapshot::Snapshot,
    tables::{Space, SpoolRow},
};
use crate::{
    collect::{
        health::{Condition, Severity, Subject},
        instance::Instance,
        registry::{NAMES, Registry},
    },
    postfix::queue::QueueKind,
};

/// Mail does not stay in maildrop and incoming; after so many seconds something is wrong.
const STUCK: i64 = 600;
/// postfixSpoolActivePercent above this is worth a look.
const CROWDED: u64 = 90;

impl SpoolRow {
    /// The row of an instance.
    pub(super) fn new(instance: &Instance, space: Option<Space>, snapshot: Option<&Snapshot>) -> Self {
        Self {
            owner: instance.owner(),
            space,
            minimum: instance.number("queue_minfree"),
            active_limit: instance.number("qmgr_message_active_limit"),
            active: snapshot.and_then(|s| s.queue(QueueKind::Active)).map(|q| q.messages),
            group_bits: snapshot.and_then(|s| s.group_bits),
            swept: snapshot.and_then(|s| s.swept),
        }
    }
}

/// Where even the largest domains of all instances together are more than can have a row.
pub(super) fn names_refused(domains: &Registry, senders: &Registry) -> Vec<Condition> {
    let tables = [(domains, "postfixDomainTable", "domains"), (senders, "postfixQueueSenderTable", "senders")];
    let refused = tables.into_iter().filter(|(names, ..)| names.is_refusing());
    refused
        .map(|(_, table, key)| Condition {
            severity: Severity::Warning,
            subject: Subject::Queue,
            text: format!(
                "{table}: more than {NAMES} domains are among the largest of all instances, the rest is in (other); lower queue.{key} in the configuration"
            ),
        })
        .collect()
}

/// Adds what is wrong with one instance's queue.
pub(super) fn of(instance: &Instance, spool: &SpoolRow, snapshot: Option<&Snapshot>, conditions: &mut Vec<Condition>) {
    let name = &instance.name;
    let mut add = |severity, text| conditions.push(Condition { severity, subject: Subject::Queue, text });
    // smtpd(8) refuses mail below queue_minfree and below 1.5 × message_size_limit.
    let for_one = instance.number("message_size_limit").map_or(0, |limit| limit.saturating_add(limit / 2));
    if let Some(space) = spool.space {
        let directory = instance.queue_directory.display();
        let free = space.free >> 20;
        if let Some(minimum) = spool.minimum.filter(|m| space.free < *m) {
            let text = format!(
                "{name}: {directory} has {free} MiB free, queue_minfree is {} MiB: mail is refused; free or add space",
                minimum >> 20
            );
            add(Severity::Critical, text);
        } else if space.free < for_one {
            let text = format!(
                "{name}: {directory} has {free} MiB free, less than 1.5 x message_size_limit: mail is refused; free or add space"
            );
            add(Severity::Critical, text);
        }
    }
    if let Some(percent) = spool.active_percent().filter(|p| *p > CROWDED) {
        let text = format!(
            "{name}: the active queue is {percent} % full; see postfixDomainTable for where mail does not get away"
        );
        add(Severity::Warning, text);
    }
    let Some(snapshot) = snapshot else { return };
    for kind in QueueKind::ALL.into_iter().filter(|kind| *kind != QueueKind::Maildrop && kind.is_mail()) {
        if let Some(files) = snapshot.queue(kind).map(|queue| queue.unreadable).filter(|files| *files > 0) {
            let queue = kind.name();
            let text = format!(
                "{name}: {files} files in {queue} cannot be opened, their recipients are unknown; a queue file belongs to mail_owner: see ls -l {}/{queue}",
                instance.queue_directory.display()
            );
            add(Severity::Warning, text);
        }
    }
    let stuck = |kind| {
        let oldest = snapshot.queue(kind).and_then(|queue| queue.oldest);
        oldest.is_some_and(|arrival| snapshot.clock.wall.saturating_sub(arrival) > STUCK)
    };
    if stuck(QueueKind::Maildrop) {
        add(
            Severity::Warning,
            format!("{name}: mail is older than 10 min in maildrop; see pickup and cleanup in the log"),
        );
    }
    if stuck(QueueKind::Incoming) {
        add(
            Severity::Warning,
            format!("{name}: mail is older than 10 min in incoming; see qmgr in the log, and whether active is full"),
        );
    }
}
