//! The tables whose rows are the busiest of the last hour: senders, destinations, clients.

use super::{
    clients::Client,
    destinations::{Destination, REASON},
    engine::{Engine, Instance},
    senders::Sender,
    tables::{Of, instant},
    tls::Direction,
};
use crate::{
    collect::instance::Owner,
    config::Config,
    mib::{
        Fragment,
        Get::{Age, Counter32, Counter64, Gauge32, Personal},
        Index, Table, column, text,
    },
};

/// How many rows are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub senders: usize,
    pub destinations: usize,
    pub clients: usize,
    /// The log was read from one end to the other, so that `(other)` is all that is not shown.
    pub whole: bool,
}

impl Shown {
    /// As configured.
    pub(super) fn new(config: &Config, whole: bool) -> Self {
        let rows = |rows: u32| usize::try_from(rows).unwrap_or(usize::MAX);
        let log = &config.log;
        // Addresses are nothing without themselves.
        let clients = if config.privacy { 0 } else { rows(log.clients) };
        Self { senders: rows(log.senders), destinations: rows(log.destinations), clients, whole }
    }
}

pub(super) static SENDERS: Table<Of<Sender>> = Table {
    name: "postfixSenderTable",
    entry: &[1, 5, 6, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.value.index]),
    columns: &[
        column(2, "postfixSenderName", Personal(|r| Some(r.owner.row(&r.value.name)))),
        column(3, "postfixSenderMessages", Gauge32(|r| Some(r.value.messages))),
        column(4, "postfixSenderRecipients", Gauge32(|r| Some(r.value.recipients))),
        column(5, "postfixSenderAuthFailures", Gauge32(|r| Some(r.value.auth_failures))),
        column(6, "postfixSenderTotalMessages", Counter32(|r| Some(r.value.totals.messages))),
        column(7, "postfixSenderTotalRecipients", Counter32(|r| Some(r.value.totals.recipients))),
        column(8, "postfixSenderTotalAuthFailures", Counter32(|r| Some(r.value.totals.auth_failures))),
    ],
};

/// One destination.
pub(super) struct DestinationRow {
    index: u32,
    name: String,
    /// Whether TLS can be told.
    tls: bool,
    value: Destination,
}

pub(super) static DESTINATIONS: Table<Of<DestinationRow>> = Table {
    name: "postfixDestinationTable",
    entry: &[1, 5, 17, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.value.index]),
    columns: &[
        column(2, "postfixDestinationName", Personal(|r| Some(r.owner.row(&r.value.name)))),
        column(3, "postfixDestinationSent", Counter32(|r| Some(r.value.value.counts.sent))),
        column(4, "postfixDestinationDeferrals", Counter32(|r| Some(r.value.value.counts.deferrals))),
        column(5, "postfixDestinationSuspended", Counter32(|r| Some(r.value.value.counts.suspended))),
        column(6, "postfixDestinationBounced", Counter32(|r| Some(r.value.value.counts.bounced))),
        column(7, "postfixDestinationConnectFailures", Counter32(|r| Some(r.value.value.counts.connect_failures))),
        column(
            8,
            "postfixDestinationTlsDeliveries",
            Counter32(|r| r.value.tls.then_some(r.value.value.counts.tls_deliveries)),
        ),
        column(9, "postfixDestinationDelay", Counter64(|r| Some(r.value.value.counts.delay))),
        column(10, "postfixDestinationDelayCount", Counter32(|r| Some(r.value.value.counts.delay_count))),
        column(11, "postfixDestinationLastReason", Personal(|r| Some(text(&r.value.value.last_reason, REASON)))),
        column(12, "postfixDestinationLastReasonAge", Age(|r| instant(r.value.value.last_reason_at))),
    ],
};

pub(super) static CLIENTS: Table<Of<Client>> = Table {
    name: "postfixClientTable",
    entry: &[1, 5, 18, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.value.index]),
    columns: &[
        column(2, "postfixClientName", Personal(|r| Some(r.owner.row(&r.value.name)))),
        column(3, "postfixClientConnects", Gauge32(|r| Some(r.value.connects))),
        column(4, "postfixClientRejects", Gauge32(|r| Some(r.value.rejects))),
        column(5, "postfixClientAuthFailures", Gauge32(|r| Some(r.value.auth_failures))),
    ],
};

/// The rows of the three.
pub(super) fn fragments(engine: &Engine, known: impl Fn(usize) -> bool, shown: Shown) -> [Fragment; 3] {
    // In a log that is counted as a whole the hour is all of it.
    let now = if shown.whole { engine.now } else { super::now() };
    let instances: Vec<&Instance> =
        engine.instances.iter().enumerate().filter(|(n, _)| known(*n)).map(|(_, i)| i).collect();
    let destinations = of_all(&instances, |i| {
        // A delivery without a session is one in the clear where sessions are logged.
        let tls = i.logs_tls(Direction::Outbound);
        let row = |(index, name, value)| DestinationRow { index, name, tls, value };
        i.state.destinations.rows(shown.destinations, now, shown.whole).into_iter().map(row).collect()
    });
    let senders = of_all(&instances, |i| i.state.senders.rows(shown.senders, now, shown.whole));
    let clients = of_all(&instances, |i| i.state.clients.rows(shown.clients, now));
    [SENDERS.fragment(&senders), DESTINATIONS.fragment(&destinations), CLIENTS.fragment(&clients)]
}

fn of_all<T>(instances: &[&Instance], rows: impl Fn(&Instance) -> Vec<T>) -> Vec<Of<T>> {
    let of = |instance: &Instance| {
        let owner: Owner = instance.settings.owner();
        rows(instance).into_iter().map(move |value| Of { owner: owner.clone(), value })
    };
    instances.iter().flat_map(|instance| of(instance)).collect()
}
