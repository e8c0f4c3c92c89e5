//! Where mail goes: who throttles us, who is down, who refuses us.
//!
//! A delivery counts for the organisation of its next hop ([`super::organisation`]), or for its transport where there is no such
//! host. It moves one row: that of its destination where that is shown, else `(other)`; so the rows add up to what
//! postfixMailTable counts while they are the same rows, and their rates always do. Which names have rows [`super::ranked`]
//! decides.
//!
//! Who can bring names here: whoever chooses recipients, and with forged senders whoever makes this host send notices. Mail of
//! the null sender counts where its destination is known; it makes no row, and neither words nor conditions.

use super::{
    counters::Mail,
    ids::Known,
    organisation::{self, Aliases, Names},
    ranked::{Ranked, Ranking, Who},
};
use crate::{
    collect::registry::{OTHER, OTHER_NAME},
    postfix::log::{QueueId, delivery::Delivery, refusal::peer},
};
use memchr::memmem;
use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The three counts of the hour.
const SENT: usize = 0;
const DEFERRED: usize = 1;
const BOUNCED: usize = 2;
/// So many processes' TLS sessions are remembered.
const SESSIONS: usize = 8_192;
/// postfixDestinationLastReason in octets.
pub(super) const REASON: usize = 128;

/// What a delivery moved of postfixMailTable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    sent: u64,
    deferrals: u64,
    suspended: u64,
    bounced: u64,
}

impl Moved {
    /// What is counted now.
    pub(super) fn of(mail: &Mail) -> Self {
        Self { sent: mail.sent, deferrals: mail.deferrals, suspended: mail.suspended, bounced: mail.bounced }
    }

    /// What came since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            deferrals: self.deferrals - before.deferrals,
            suspended: self.suspended - before.suspended,
            bounced: self.bounced - before.bounced,
        }
    }
}

/// The counters of a row. Sums in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub(super) struct Counts {
    pub sent: u64,
    pub deferrals: u64,
    pub suspended: u64,
    pub bounced: u64,
    pub connect_failures: u64,
    pub tls_deliveries: u64,
    pub delay: u64,
    pub delay_count: u64,
}

impl Counts {
    fn add(&mut self, more: &Self) {
        let Self { sent, deferrals, suspended, bounced, connect_failures, tls_deliveries, delay, delay_count } = more;
        self.sent += sent;
        self.deferrals += deferrals;
        self.suspended += suspended;
        self.bounced += bounced;
        self.connect_failures += connect_failures;
        self.tls_deliveries += tls_deliveries;
        self.delay = self.delay.saturating_add(*delay);
        self.delay_count += delay_count;
    }

    fn without(mut self, less: &Self) -> Self {
        self.sent -= less.sent;
        self.deferrals -= less.deferrals;
        self.suspended -= less.suspended;
        self.bounced -= less.bounced;
        self.connect_failures -= less.connect_failures;
        self.tls_deliveries -= less.tls_deliveries;
        self.delay = self.delay.saturating_sub(less.delay);
        self.delay_count -= less.delay_count;
        self
    }
}

/// What is known of one destination.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub(super) struct Destination {
    pub counts: Counts,
    pub last_reason: String,
    /// Seconds since 1970; 0: never.
    pub last_reason_at: i64,
    pub(super) silence: Silence,
}

/// Since when a destination takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Silence {
    /// It took something last; seconds since 1970, as all of these.
    took: i64,
    /// The first deferral after that; 0: none.
    since: i64,
    /// The last one.
    last: i64,
    deferrals: u32,
    /// Three different messages that were deferred, by their ids' hashes.
    messages: Vec<u64>,
}

impl Silence {
    /// It took as much at least, so it is no stranger.
    const TAKEN: u64 = 10;
    const DEFERRALS: u32 = 5;
    const MESSAGES: usize = 3;
    /// It took something within a day before.
    const RECENT: i64 = 86_400;
    /// Retries are 4,000 s apart at most (maximal_backoff_time); whom nothing waits for any more is nobody's trouble.
    const QUIET: i64 = 7_200;

    fn answered(&mut self, took: bool, now: i64) {
        let took = if took { now } else { self.took };
        *self = Self { took, ..Self::default() };
    }

    fn deferred(&mut self, id: QueueId, now: i64, times: u64) {
        if self.since == 0 {
            self.since = now;
        }
        self.last = self.last.max(now);
        self.deferrals = self.deferrals.saturating_add(u32::try_from(times).unwrap_or(u32::MAX));
        // Saved numbers have 18 digits at most.
        let message = hash(id.as_bytes()) >> 8;
        if self.messages.len() < Self::MESSAGES && !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }

    fn lasts(&self, sent: u64, patience: i64, now: i64) -> bool {
        self.since > 0
            && sent >= Self::TAKEN
            && self.deferrals >= Self::DEFERRALS
            && self.messages.len() >= Self::MESSAGES
            && self.since - self.took <= Self::RECENT
            && now - self.since >= patience
            && now - self.last <= Self::QUIET
    }
}

impl Ranking for Destination {
    fn rank(hour: [u64; 3]) -> (u64, u64) {
        (hour.iter().sum(), hour[SENT])
    }
}

/// The TLS session of a process, by hash; which message it is used for, 0 while none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Session(u64, u64);

/// All of one instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Destinations {
    ranked: Ranked<Destination>,
    /// What had no row when it happened.
    other: Destination,
    all: Counts,
    sessions: FxHashMap<u32, Session>,
    #[serde(skip)]
    names: Names,
}

/// A delivery line.
pub(super) struct Event<'a> {
    pub delivery: &'a Delivery<'a>,
    pub id: QueueId,
    pub pid: Option<u32>,
    /// Its reason can name the host: smtp, lmtp and what the queue manager repeats of them.
    pub speaks: bool,
    /// The service's label.
    pub transport: &'a str,
    pub known: Known,
    /// The whole delay in milliseconds, where it counts.
    pub delay: Option<u64>,
    pub moved: Moved,
    pub now: i64,
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    bytes.hash(&mut hasher);
    // 0 says that there is none.
    hasher.finish() | 1
}

impl Destinations {
    /// So many rows, and always these.
    pub(super) fn arrange(&mut self, places: usize, watched: &[String], aliases: &Arc<Aliases>) {
        self.names = Names::new(aliases.clone());
        let watched: Vec<_> = watched.iter().map(|name| aliases.name(name.as_bytes()).unwrap_or_default()).collect();
        self.ranked.arrange(places, watched.iter().map(String::as_str).filter(|name| !name.is_empty()));
    }

    /// The fate of one recipient, or of so many as the line was repeated.
    pub(super) fn delivery(&mut self, event: &Event<'_>) {
        let (delivery, moved, now) = (event.delivery, event.moved, event.now);
        // The session is bound to its first message, whatever became of that.
        let encrypted = event.speaks && self.is_encrypted(event);
        let (what, times) = match moved {
            Moved { sent: times @ 1.., .. } => (SENT, times),
            Moved { deferrals: times @ 1.., .. } => (DEFERRED, times),
            Moved { bounced: times @ 1.., .. } => (BOUNCED, times),
            _ => return,
        };
        let host = organisation::host_of(delivery.relay);
        let host = host.or_else(|| organisation::host_told(delivery.reason).filter(|_| event.speaks));
        let notice = event.known.notice;
        let who = match host {
            Some(host) => match self.names.of_host(host) {
                Some(name) => self.ranked.note(&name, now, what, times, !notice),
                None => Who::Other,
            },
            // pipe(8) logs its service, local(8) and virtual(8) their names; what has no relay at all is known by its label.
            None => {
                let relay = std::str::from_utf8(delivery.relay).ok();
                let bare = relay.filter(|relay| !matches!(*relay, "" | "none") && !relay.contains('['));
                self.ranked.note(bare.unwrap_or(event.transport), now, what, times, true)
            }
        };
        let counts = Counts {
            sent: moved.sent,
            deferrals: moved.deferrals,
            suspended: moved.suspended,
            bounced: moved.bounced,
            connect_failures: 0,
            tls_deliveries: moved.sent * u64::from(encrypted),
            delay: event.delay.unwrap_or(0).saturating_mul(moved.sent),
            delay_count: moved.sent * u64::from(event.delay.is_some()),
        };
        self.all.add(&counts);
        let row = self.row(who);
        row.counts.add(&counts);
        if notice {
            return;
        }
        if what != SENT {
            row.last_reason = words(delivery.reason);
            row.last_reason_at = now;
        }
        // A mailbox that is full (X.2.X) or an address (X.1.X) is its recipient's trouble, not the destination's.
        match (what, delivery.dsn) {
            (SENT, _) => row.silence.answered(true, now),
            (BOUNCED, _) => row.silence.answered(false, now),
            (_, Some([_, 1 | 2, _])) => {}
            _ => row.silence.deferred(event.id, now, times),
        }
    }

    fn row(&mut self, who: Who) -> &mut Destination {
        match who {
            Who::Shown(index) => self.ranked.value(index).unwrap_or(&mut self.other),
            Who::Known(_) | Who::Other => &mut self.other,
        }
    }

    /// A server could not be reached, or did not let us begin: the line names it. No queue id does, so it makes no row.
    pub(super) fn unreachable(&mut self, line: &[u8], transport: &str, now: i64, times: u64) {
        self.all.connect_failures += times;
        let name = organisation::host_told(line).map(|host| self.names.of_host(host));
        let who = match &name {
            Some(Some(name)) => self.ranked.note(name, now, SENT, 0, false),
            Some(None) => Who::Other,
            None => self.ranked.note(transport, now, SENT, 0, false),
        };
        self.row(who).counts.connect_failures += times;
    }

    /// `Trusted TLS connection established to host[address]:port: …`, also `reused`: this process has a session.
    pub(super) fn session(&mut self, pid: Option<u32>, rest: &[u8]) {
        const TO: &[u8] = b" to ";
        let (Some(pid), Some(at)) = (pid, memmem::find(rest, TO)) else { return };
        let Some((server, _)) = peer(&rest[at + TO.len()..]) else { return };
        if self.sessions.len() >= SESSIONS {
            self.sessions.clear();
        }
        self.sessions.insert(pid, Session(hash(server), 0));
    }

    /// A process has one session at a time, and uses it for one message; what comes through a cached one logs its own line.
    fn is_encrypted(&mut self, event: &Event<'_>) -> bool {
        let Some(session) = event.pid.and_then(|pid| self.sessions.get_mut(&pid)) else { return false };
        let Some((server, _)) = peer(event.delivery.relay) else { return false };
        if session.0 != hash(server) {
            return false;
        }
        let message = hash(event.id.as_bytes());
        if session.1 == 0 {
            session.1 = message;
        }
        session.1 == message
    }

    /// Index, name and content of all rows, `(other)` first. `whole`: of a log that was read from one end to the other, where
    /// `(other)` is all that is not shown.
    pub(super) fn rows(&self, most: usize, now: i64, whole: bool) -> Vec<(u32, String, Destination)> {
        let mut rows = vec![(OTHER, OTHER_NAME.to_owned(), self.other.clone())];
        let shown = self.ranked.busiest(most, now);
        rows.extend(shown.into_iter().map(|(index, name, row)| (index, name.to_owned(), row.value.clone())));
        if whole {
            let mut sum = Counts::default();
            rows[1..].iter().for_each(|(.., row)| sum.add(&row.counts));
            rows[0].2.counts = self.all.without(&sum);
        }
        rows
    }

    /// Those that took mail and have deferred all of it for so many seconds: index and name.
    pub(super) fn silent(&self, patience: i64, now: i64) -> impl Iterator<Item = (u32, &str)> {
        let lasts = move |row: &Destination| row.silence.lasts(row.counts.sent, patience, now);
        self.ranked.shown().filter(move |(.., row)| lasts(&row.value)).map(|(index, name, _)| (index, name))
    }

    /// What a clock that was ahead wrote lies in the future, and would be of no age until then.
    pub(super) fn settle_clock(&mut self, now: i64) {
        self.other.last_reason_at = self.other.last_reason_at.min(now);
        self.ranked.values_mut().for_each(|row| row.last_reason_at = row.last_reason_at.min(now));
    }

    /// All that is counted, for tests.
    #[cfg(test)]
    pub(super) fn all(&self) -> Counts {
        self.all
    }
}

/// A reason as it is shown: what the server said without the words around it, and without addresses of people.
fn words(reason: &[u8]) -> String {
    let reason = String::from_utf8_lossy(&reason[..reason.len().min(1_024)]);
    let reason = reason.strip_prefix("delivery temporarily suspended: ").unwrap_or(&reason);
    let said = |reason: &str| {
        let rest = reason.strip_prefix("host ")?;
        let (_, rest) = peer(rest.as_bytes())?;
        let rest = &reason[reason.len() - rest.len()..];
        Some(rest.strip_prefix(" said: ").or_else(|| rest.strip_prefix(" refused to talk to me: "))?.to_owned())
    };
    let reason = said(reason).unwrap_or_else(|| reason.to_owned());
    let mut out = String::with_capacity(REASON);
    for (n, word) in reason.split(' ').enumerate() {
        if n > 0 {
            out.push(' ');
        }
        match word.find('@') {
            Some(_) => {
                let end = word.rfind(|c: char| c.is_alphanumeric() || c == '>' || c == ']').map_or(0, |at| at + 1);
                let end = word.ceil_char_boundary(end);
                out.push_str("<>");
                out.push_str(&word[end..]);
            }
            None => out.push_str(word),
        }
        if out.len() >= REASON {
            break;
        }
    }
    out.truncate(out.floor_char_boundary(REASON));
    out
}

#[cfg(test)]
#[path = "destinations_tests.rs"]
mod tests;
