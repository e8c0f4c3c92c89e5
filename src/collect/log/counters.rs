//! What is counted: plain numbers, saved as they are. A counter is a field here and a line in [`super::tables`].
//!
//! All counts have 64 bits. Units are those of the objects: messages, recipients, deliveries (one `status=` line),
//! commands (one refused RCPT, MAIL, …), sessions, events, lines.

use super::{
    clients::Clients, codes::Codes, destinations::Destinations, engine::Ranks, ids::Ids, reasons::Bounces,
    senders::Senders, sizes::Sizes, tls::Tls,
};
use crate::collect::registry::{NAMES, Registry};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// postfixMailTable: the way of mail through one instance, or (as totals) through all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Mail {
    pub received_messages: u64,
    pub received_smtp: u64,
    pub received_local: u64,
    pub received_reinjected: u64,
    pub received_octets: u64,
    pub received_recipients: u64,
    pub internal_messages: u64,
    pub sent: u64,
    pub sent_octets: u64,
    pub sent_to_filter: u64,
    pub forwarded: u64,
    pub deferrals: u64,
    pub suspended: u64,
    pub soft_bounced: u64,
    pub deferred_messages: u64,
    pub bounced: u64,
    pub expired: u64,
    pub force_expired: u64,
    pub other_status: u64,
    pub removed: u64,
    pub held: u64,
    pub discarded: u64,
    pub redirected: u64,
    pub filtered: u64,
    pub requeued: u64,
    pub rejects_temporary: u64,
    pub rejects_permanent: u64,
    pub reject_warnings: u64,
    pub milter_rejects: u64,
    pub proxy_rejects: u64,
    pub cleanup_rejects: u64,
    pub deliverable: u64,
    pub undeliverable: u64,
    pub non_delivery_notices: u64,
    pub delay_notices: u64,
    pub loops_detected: u64,
    pub destinations_saturated: u64,
}

/// The counters postfixTotals has, as accumulators of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Totals {
    pub received: u64,
    pub delivered: u64,
    pub forwarded: u64,
    pub rejects_temporary: u64,
    pub rejects_permanent: u64,
    pub discarded: u64,
    pub deferrals: u64,
    pub deferred_messages: u64,
    pub bounced: u64,
    pub held: u64,
    pub expired: u64,
    pub discontinuities: u64,
}

impl Totals {
    /// What one instance has counted.
    pub fn of(state: &State) -> Self {
        let m = &state.mail;
        Self {
            received: m.received_messages,
            delivered: m.sent,
            forwarded: m.forwarded,
            rejects_temporary: m.rejects_temporary,
            rejects_permanent: m.rejects_permanent,
            discarded: m.discarded,
            deferrals: m.deferrals,
            deferred_messages: m.deferred_messages,
            bounced: m.bounced,
            held: m.held,
            expired: m.expired + m.force_expired,
            discontinuities: state.discontinuities,
        }
    }

    /// Adds what came since `before`.
    pub fn add(&mut self, before: &Self, now: &Self) {
        let pairs: [(&mut u64, u64, u64); 12] = [
            (&mut self.received, before.received, now.received),
            (&mut self.delivered, before.delivered, now.delivered),
            (&mut self.forwarded, before.forwarded, now.forwarded),
            (&mut self.rejects_temporary, before.rejects_temporary, now.rejects_temporary),
            (&mut self.rejects_permanent, before.rejects_permanent, now.rejects_permanent),
            (&mut self.discarded, before.discarded, now.discarded),
            (&mut self.deferrals, before.deferrals, now.deferrals),
            (&mut self.deferred_messages, before.deferred_messages, now.deferred_messages),
            (&mut self.bounced, before.bounced, now.bounced),
            (&mut self.held, before.held, now.held),
            (&mut self.expired, before.expired, now.expired),
            (&mut self.discontinuities, before.discontinuities, now.discontinuities),
        ];
        for (total, before, now) in pairs {
            *total += now.saturating_sub(before);
        }
    }
}

/// postfixTransportTable: one service that delivers. Sums in milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Transport {
    pub sent: u64,
    pub deferrals: u64,
    pub bounced: u64,
    pub connect_failures: u64,
    pub connections_reused: u64,
    pub tls_connections: u64,
    /// Before the queue manager, in it, connection set-up, transmission, all: sum and number of deliveries.
    pub stages: [Stage; STAGES],
    pub retried: u64,
}

/// One stage of delivery.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stage {
    /// Milliseconds of all deliveries.
    pub sum: u64,
    /// Deliveries.
    pub count: u64,
}

/// beforeQueue, inQueue, connect, transmit, total.
pub const STAGES: usize = 5;
/// The upper bounds of the delay buckets in milliseconds; the last bucket has none.
pub const DELAY_LIMITS: [u64; 10] = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_600_000];

/// postfixSmtpdTable: one smtpd service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Smtpd {
    pub connects: u64,
    pub disconnects: u64,
    pub lost_connections: u64,
    pub timeouts: u64,
    pub too_many_errors: u64,
    pub tls_sessions: u64,
    pub tls_errors: u64,
    pub auth_ok: u64,
    pub auth_failed: u64,
    pub limits_exceeded: u64,
    pub protocol_errors: u64,
    pub unknown_clients: u64,
    pub accepted: u64,
    pub rejects_temporary: u64,
    pub rejects_permanent: u64,
}

/// postfixPostscreenTable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Postscreen {
    pub connects: u64,
    pub pass_new: u64,
    pub pass_old: u64,
    pub allowlisted: u64,
    pub denylisted: u64,
    pub pregreet: u64,
    pub dnsbl_hits: u64,
    pub hangups: u64,
    pub protocol_errors: u64,
    pub rejects: u64,
    pub ports_busy: u64,
    pub stress_mode: u64,
}

/// postfixDnsblTable: one list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Dnsbl {
    pub blocked: u64,
    pub listed: u64,
}

/// postfixMessageTable: one program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Message {
    pub lines: u64,
    /// When its last line was written, seconds since 1970.
    pub last: i64,
    pub warnings: u64,
    pub errors: u64,
    pub fatals: u64,
    pub panics: u64,
    pub unrecognised: u64,
}

/// postfixServiceEventTable: one program under master.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct ServiceEvents {
    pub starts: u64,
    pub abnormal_exits: u64,
    pub limit_reached: u64,
    pub throttles: u64,
}

/// Places that names nobody knows do not take.
const KEPT: usize = 512;

/// Rows of names met at run time. Slot 0 is `(other)`, which has index 1; a name keeps its slot for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Named<T> {
    names: Registry,
    rows: Vec<T>,
    /// A name was refused: health must tell, because this table is blind in part.
    #[serde(skip)]
    refused: bool,
}

impl<T: Default> Default for Named<T> {
    fn default() -> Self {
        Self { names: Registry::new(2), rows: vec![T::default()], refused: false }
    }
}

impl<T: Default> Named<T> {
    /// Whether these can be: a name for each row, and no more of them than are remembered.
    fn are_plausible(&self) -> bool {
        rows_fit(&self.names, self.rows.len())
    }

    /// The slot of `name`; that of `(other)` where no more names fit. The last places are kept for names that are `known` by
    /// the configuration or as Postfix's own: what somebody makes up does not hide them.
    pub fn slot(&mut self, name: &str, known: bool) -> usize {
        if !known && self.rows.len() > NAMES - KEPT && !self.has(name) {
            self.refused = true;
            return 0;
        }
        let slot = self.names.index(name).map_or(0, |index| index as usize - 1);
        self.refused |= slot == 0;
        if slot >= self.rows.len() {
            self.rows.resize_with(slot + 1, T::default);
        }
        slot
    }

    /// The name of a slot; none of that of `(other)`.
    pub fn name(&self, slot: usize) -> Option<&str> {
        self.names.name(u32::try_from(slot + 1).ok()?)
    }

    /// Whether `name` has a slot of its own.
    pub fn has(&self, name: &str) -> bool {
        self.names.get(name).is_some()
    }

    /// How many slots there are, that of `(other)` among them.
    pub fn slots(&self) -> usize {
        self.rows.len()
    }

    /// The row of a slot.
    pub fn at(&mut self, slot: usize) -> &mut T {
        let slot = if slot < self.rows.len() { slot } else { 0 };
        if self.rows.is_empty() {
            self.rows.push(T::default());
        }
        &mut self.rows[slot]
    }

    /// All rows.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut()
    }

    /// Index, name and row of all, `(other)` first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, &T)> {
        use crate::collect::registry::{OTHER, OTHER_NAME};
        (OTHER..).zip(&self.rows).map(|(index, row)| (index, self.names.name(index).unwrap_or(OTHER_NAME), row))
    }
}

/// Whether a state that was saved can have so many rows for these names. A row stands at its index, so one absurd index would
/// be all of the memory.
pub(super) fn rows_fit(names: &Registry, rows: usize) -> bool {
    let given = names.given();
    rows <= NAMES + 1 && given.start == 2 && usize::try_from(given.end).is_ok_and(|end| end <= NAMES + 2)
}

/// postfixDsnTable: `(class × 1000 + subject) × 1000 + detail` → deliveries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dsn(pub FxHashMap<u32, u64>);

impl Dsn {
    fn is_registered(code: u32) -> bool {
        let (subject, detail) = (code / 1_000 % 1_000, code % 1_000);
        usize::try_from(subject).is_ok_and(|subject| Self::DETAILS.get(subject).is_some_and(|last| detail <= *last))
    }

    /// So many codes that no registry knows have a row of their own, first come, first served: any server can make them up. Three
    /// more rows are for the rest of each class.
    const ODD: usize = 61;
    /// The greatest detail of each subject from 0 to 7 in IANA's registry (RFC 3463, RFC 5248). These always have their rows.
    const DETAILS: [u32; 8] = [0, 10, 4, 5, 7, 7, 10, 30];

    /// So many deliveries ended with this code.
    pub fn count(&mut self, [class, subject, detail]: [u32; 3], times: u64) {
        let code = (class * 1_000 + subject) * 1_000 + detail;
        let registered = Self::is_registered(code);
        if let Some(count) = self.0.get_mut(&code) {
            *count += times;
            return;
        }
        let odd = || self.0.keys().filter(|code| !Self::is_registered(**code) && **code % 1_000_000 != 999_999).count();
        let code = if registered || odd() < Self::ODD { code } else { class * 1_000_000 + 999_999 };
        *self.0.entry(code).or_default() += times;
    }
}

/// All that is counted of one instance; saved by the instance's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the table of its name")]
pub struct State {
    pub mail: Mail,
    pub transports: Named<Transport>,
    /// By stage, then bucket.
    pub delays: [[u64; DELAY_LIMITS.len() + 1]; STAGES],
    pub dsn: Dsn,
    /// By postfixDeferReason - 1.
    pub defers: [u64; 13],
    pub bounces: Bounces,
    pub sizes: Sizes,
    pub tls: Tls,
    pub senders: Senders,
    pub destinations: Destinations,
    pub clients: Clients,
    pub smtpd: Named<Smtpd>,
    pub postscreen: Postscreen,
    /// By postfixRejectReason - 1: temporary, permanent.
    pub rejects: [[u64; 2]; 18],
    pub codes: Codes,
    pub dnsbl: Named<Dnsbl>,
    pub messages: Named<Message>,
    /// By `name/type` of master.cf's entry.
    pub services: BTreeMap<String, ServiceEvents>,
    /// Processes that logged before, and the entry they serve.
    pub pids: Pids,
    pub starts: u64,
    pub reloads: u64,
    /// Since when nothing was lost, seconds since 1970.
    pub since: i64,
    pub discontinuities: u64,
    /// Open smtpd sessions by process: the slot in `smtpd`.
    pub sessions: FxHashMap<u32, usize>,
    /// What [`Totals`] has taken over already.
    pub totals_seen: Totals,
    /// Saved beside the rest, in binary.
    #[serde(skip)]
    pub ids: Ids,
}

impl State {
    /// Whether these numbers can have been counted. A state file is the agent's own, and somebody may have written another one.
    pub(super) fn is_plausible(&self) -> bool {
        let named = [
            self.transports.are_plausible(),
            self.smtpd.are_plausible(),
            self.dnsbl.are_plausible(),
            self.messages.are_plausible(),
        ];
        named.into_iter().all(|plausible| plausible) && self.services.len() <= NAMES + 1
    }

    /// What there are more names of than can have rows.
    pub(super) fn crowded(&self) -> impl Iterator<Item = &'static str> {
        let tables = [
            (self.transports.refused, "delivery services"),
            (self.smtpd.refused, "SMTP services"),
            (self.dnsbl.refused, "DNS lists"),
            (self.messages.refused, "programs"),
        ];
        tables.into_iter().filter_map(|(refused, what)| refused.then_some(what))
    }

    /// Takes over how many rows tables of the busiest have, and which rows they always have.
    pub(super) fn arrange(&mut self, ranks: &Ranks) {
        self.senders.arrange(ranks.senders, &ranks.users);
        self.destinations.arrange(ranks.destinations, &ranks.watched, &ranks.aliases);
        self.clients.arrange(ranks.clients);
    }
}

/// Processes met in the log, the last 32,768 of them at least.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pids {
    young: FxHashMap<u32, u16>,
    old: FxHashMap<u32, u16>,
}

impl Pids {
    const GENERATION: usize = 32_768;

    /// Notes that `pid` serves the entry at this position of master.cf; says whether it is new.
    pub fn note(&mut self, pid: u32, entry: u16) -> bool {
        if self.young.contains_key(&pid) {
            return false;
        }
        if self.young.len() >= Self::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(pid, entry);
        self.old.remove(&pid).is_none()
    }

    /// What a process served.
    pub fn get(&self, pid: u32) -> Option<u16> {
        self.young.get(&pid).or_else(|| self.old.get(&pid)).copied()
    }

    /// It has ended; its number may come again.
    pub fn ended(&mut self, pid: u32) {
        self.young.remove(&pid);
        self.old.remove(&pid);
    }

    /// All have ended.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod crowding {
    use super::*;

    /// 61 codes that a remote server made up hid 2.0.0, and 4,096 labels of somebody's logger(1) every real one.
    #[test]
    fn what_somebody_makes_up_hides_nothing() {
        let mut dsn = Dsn::default();
        (99..199).for_each(|detail| dsn.count([5, 0, detail], 1));
        dsn.count([2, 0, 0], 500);
        dsn.count([4, 4, 1], 3);
        dsn.count([5, 0, 250], 1);
        assert_eq!((dsn.0.get(&2_000_000), dsn.0.get(&4_004_001)), (Some(&500), Some(&3)));
        assert_eq!((dsn.0.len(), dsn.0.get(&5_999_999)), (61 + 3, Some(&40)));
        let mut rows = Named::<Message>::default();
        for n in 0..5_000 {
            let slot = rows.slot(&format!("made up {n}"), false);
            rows.at(slot).lines += 1;
        }
        let real = rows.slot("submission/smtpd", true);
        assert!(real > 0 && rows.slot("another", false) == 0);
        assert_eq!(rows.iter().map(|(_, _, message)| message.lines).sum::<u64>(), 5_000);
        (0..1_000).for_each(|n| assert!(rows.slot(&format!("known {n}"), true) < NAMES + 1));
        assert_eq!(rows.iter().count(), NAMES + 1);
    }
}
