//! The groups of mtaGroupTable, and what went wrong in them.
//!
//! Three breakdowns of the mail: its queues; reception and delivery; the services that deliver. The services that take mail
//! are parts of reception. A queue's mtaGroupIndex is its postfixQueueKind, a service's comes from its index in
//! POSTFIX-MIB, so that none ever changes.

use super::{
    STORED,
    tables::{self, Failures, Group},
};
use crate::{
    collect::{published::Published, registry::OTHER},
    mib::text,
    smi::{Octets, Oid},
};
use std::sync::Arc;

/// mtaGroupIndex of what arrives.
const RECEPTION: u32 = 101;
/// mtaGroupIndex of all deliveries.
const DELIVERY: u32 = 102;
/// mtaGroupIndex of a service that takes mail is behind this by postfixSmtpdIndex, of which there are at most 4,097.
const SERVER: u32 = 10_000;
/// The same for a service that delivers, by postfixTransportIndex.
const TRANSPORT: u32 = 20_000;

/// Programs that take mail over a network.
pub(super) const SERVERS: &[&str] = &["smtpd"];
/// Programs that deliver over a network.
const CLIENTS: &[&str] = &["smtp", "lmtp"];

/// Enhanced status codes for "temporary" and "permanent" and no more than that (RFC 3463: other or undefined).
const TEMPORARY: u32 = 4_000_000;
const PERMANENT: u32 = 5_000_000;

/// { applTCPProtoID 25 }. LMTP has no port.
fn smtp() -> Arc<Oid> {
    Arc::new(Oid::from([1, 3, 6, 1, 2, 1, 27, 4, 25]))
}

/// The groups of an instance: the queues that can be read, and what the log tells of where it can be read.
pub(super) fn of(published: &Published<'_>, instance: u32) -> Vec<Group> {
    let queues = STORED.filter_map(|kind| queue(published, instance, kind));
    let directions = [reception(published, instance), delivery(published, instance)];
    let servers = services(published, "postfixSmtpdName", instance).filter_map(|row| server(published, row));
    let transports = services(published, "postfixTransportName", instance).filter_map(|row| transport(published, row));
    queues.chain(directions.into_iter().flatten()).chain(servers).chain(transports).collect()
}

fn queue(published: &Published<'_>, instance: u32, kind: u32) -> Option<Group> {
    let index = [instance, kind];
    Some(Group {
        stored_messages: Some(published.number("postfixQueueMessages", &index)?),
        stored_volume: published.number("postfixQueueKiB", &index),
        stored_recipients: published.number("postfixQueueRecipients", &index),
        oldest: published.since("postfixQueueOldestAge", &index),
        ..Group::new(instance, kind, published.text("postfixQueueName", &index)?, tables::QUEUES)
    })
}

/// `postfix reception`: as in POSTFIX-MIB the instance's name comes first.
fn direction(published: &Published<'_>, instance: u32, what: &str) -> Option<Octets> {
    let instance = published.text("postfixInstanceName", &[instance])?;
    Some(text([&instance[..], b" ", what.as_bytes()].concat(), 255))
}

fn reception(published: &Published<'_>, instance: u32) -> Option<Group> {
    let mail = |column| published.number(column, &[instance]);
    let sum = |column| published.sum(column, "postfixSmtpdName", &[instance]);
    let name = direction(published, instance, "reception")?;
    Some(Group {
        received_messages: Some(mail("postfixMailReceivedMessages")?),
        received_volume: mail("postfixMailReceivedKiB"),
        received_recipients: mail("postfixMailReceivedRecipients"),
        inbound: sum("postfixSmtpdSessions"),
        accumulated_inbound: sum("postfixSmtpdConnects"),
        last_inbound: published.last_line(instance, SERVERS),
        ..Group::new(instance, RECEPTION, name, tables::DIRECTIONS)
    })
}

fn delivery(published: &Published<'_>, instance: u32) -> Option<Group> {
    let mail = |column| published.number(column, &[instance]);
    let name = direction(published, instance, "delivery")?;
    Some(Group {
        transmitted_recipients: Some(mail("postfixMailSent")?),
        transmitted_volume: mail("postfixMailSentKiB"),
        failed_outbound: published.sum("postfixTransportConnectFailures", "postfixTransportName", &[instance]),
        last_attempt: published.last_line(instance, CLIENTS),
        loops: mail("postfixMailLoopsDetected"),
        ..Group::new(instance, DELIVERY, name, tables::DIRECTIONS)
    })
}

/// The rows of a table of services.
fn services(published: &Published<'_>, names: &str, instance: u32) -> impl Iterator<Item = [u32; 2]> {
    published.rows(names, &[instance]).filter_map(|row| row.try_into().ok())
}

/// The row of everything without a row of its own is a group once something is in it.
fn exists(index: u32, events: u64) -> bool {
    index != OTHER || events > 0
}

fn server(published: &Published<'_>, row @ [instance, index]: [u32; 2]) -> Option<Group> {
    let connects = published.number("postfixSmtpdConnects", &row)?;
    let group = Group {
        inbound: published.number("postfixSmtpdSessions", &row),
        accumulated_inbound: Some(connects),
        protocol: Some(smtp()),
        // A part of reception.
        ..Group::new(
            instance,
            SERVER + index,
            published.text("postfixSmtpdName", &row)?,
            i32::try_from(RECEPTION).ok()?,
        )
    };
    exists(index, connects).then_some(group)
}

fn transport(published: &Published<'_>, row @ [instance, index]: [u32; 2]) -> Option<Group> {
    let number = |column| published.number(column, &row);
    let sent = number("postfixTransportSent")?;
    let tried = sent + number("postfixTransportDeferrals")? + number("postfixTransportBounced")?;
    let program = published.text("postfixTransportProgram", &row)?;
    let is = |name: &&str| name.as_bytes() == &*program;
    let group = Group {
        transmitted_recipients: Some(sent),
        failed_outbound: if CLIENTS.iter().any(is) { number("postfixTransportConnectFailures") } else { None },
        protocol: is(&"smtp").then(smtp),
        ..Group::new(instance, TRANSPORT + index, published.text("postfixTransportName", &row)?, tables::TRANSPORTS)
    };
    exists(index, tried).then_some(group)
}

/// What ended with an error: deliveries by their enhanced status code, refused commands by the class of their reply code.
/// mtaStatusCode is numbered as postfixDsnCode is. It has no place for successes.
pub(super) fn errors(published: &Published<'_>, instance: u32) -> Vec<Failures> {
    let codes = published.rows("postfixDsnDeliveries", &[instance]).filter_map(|row| row.get(1).copied());
    let outbound = codes.filter(|code| (4_000_000..=5_999_999).contains(code)).map(|code| Failures {
        instance,
        group: DELIVERY,
        code,
        inbound: None,
        outbound: published.number("postfixDsnDeliveries", &[instance, code]),
    });
    let refused = |group, code, column, row: &[u32]| {
        let inbound = Some(published.number(column, row)?);
        Some(Failures { instance, group, code, inbound, outbound: None })
    };
    let all = [(TEMPORARY, "postfixMailRejectsTemporary"), (PERMANENT, "postfixMailRejectsPermanent")];
    let all = all.into_iter().filter_map(|(code, column)| refused(RECEPTION, code, column, &[instance]));
    let servers = services(published, "postfixSmtpdName", instance).filter(|row| server(published, *row).is_some());
    let by_server = servers.flat_map(|row| {
        let columns = [(TEMPORARY, "postfixSmtpdRejectsTemporary"), (PERMANENT, "postfixSmtpdRejectsPermanent")];
        columns.into_iter().filter_map(move |(code, column)| refused(SERVER + row[1], code, column, &row))
    });
    outbound.chain(all).chain(by_server).collect()
}
