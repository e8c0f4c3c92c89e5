//! Who authenticated and sent how much: the account somebody stole.
//!
//! Names come from successful logins and from the configuration. What strangers try where they do not get in are no names.

use super::{
    hour::Hour,
    ranked::{Ranked, Ranking, Row, Who},
};
use crate::collect::registry::{OTHER, OTHER_NAME, Registry};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The three counts of the hour.
const MESSAGES: usize = 0;
const RECIPIENTS: usize = 1;
const FAILURES: usize = 2;

/// What a name ever did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub(super) struct Totals {
    pub messages: u64,
    pub recipients: u64,
    pub auth_failures: u64,
}

impl Totals {
    fn add(&mut self, what: usize, by: u64) {
        let place = match what {
            MESSAGES => &mut self.messages,
            RECIPIENTS => &mut self.recipients,
            _ => &mut self.auth_failures,
        };
        *place = place.saturating_add(by);
    }
}

impl Ranking for Totals {
    fn rank([messages, recipients, failures]: [u64; 3]) -> (u64, u64) {
        (messages.max(recipients), failures)
    }

    fn is_kept(&self) -> bool {
        *self != Self::default()
    }
}

/// All authenticated names of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Senders {
    ranked: Ranked<Totals>,
    /// Numbers for those whose mail is on its way into the queue; none is given twice.
    accounts: Registry,
    /// What nobody had a row for when it happened.
    other: Totals,
    all: Totals,
}

/// As it was saved; `names` and `hours` by a version that had the hour only, and a slot for each name.
#[derive(Deserialize)]
struct Saved {
    ranked: Option<Ranked<Totals>>,
    accounts: Option<Registry>,
    #[serde(default)]
    other: Totals,
    #[serde(default)]
    all: Totals,
    names: Option<Registry>,
    #[serde(default)]
    hours: Vec<Hour>,
}

impl From<Saved> for Senders {
    fn from(saved: Saved) -> Self {
        let names = saved.names.unwrap_or_else(|| Registry::new(OTHER + 1));
        // Ids that are on their way have the index of their name.
        let accounts = saved.accounts.unwrap_or_else(|| names.clone());
        let ranked = saved.ranked.unwrap_or_else(|| {
            let known = |index: &u32| names.name(*index).is_some();
            let rows = (OTHER..).zip(saved.hours.iter().copied()).filter(|(index, _)| known(index));
            let row = |(index, hour)| (index, Row { placed: true, hour, ..Row::default() });
            let rows: BTreeMap<_, _> = rows.map(row).collect();
            Ranked::with_hours(names, rows, &saved.hours)
        });
        Self { ranked, accounts, other: saved.other, all: saved.all }
    }
}

impl Default for Senders {
    fn default() -> Self {
        let (ranked, other, all) = Default::default();
        Self { ranked, accounts: Registry::new(OTHER + 1), other, all }
    }
}

/// One row of postfixSenderTable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    /// postfixSenderIndex.
    pub index: u32,
    /// sasl_username.
    pub name: String,
    /// Over the last hour.
    pub messages: u64,
    /// Over the last hour.
    pub recipients: u64,
    /// Over the last hour.
    pub auth_failures: u64,
    /// Ever.
    pub totals: Totals,
}

/// What health looks at: a name and its last hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Busy<'a> {
    pub index: u32,
    pub name: &'a str,
    /// Messages or recipients, whichever are more.
    pub sent: u64,
    /// Failed logins of the first half of the hour and of the second.
    pub failures: [u64; 2],
}

impl Senders {
    /// So many rows, and always these.
    pub(super) fn arrange(&mut self, places: usize, watched: &[String]) {
        self.ranked.arrange(places, watched.iter().map(String::as_str));
    }

    /// `name` authenticated and begins so many messages. Returns the number it is known by until the queue manager has the message.
    pub(super) fn message(&mut self, name: &str, now: i64, times: u64) -> u32 {
        let who = self.ranked.note(name, now, MESSAGES, times, true);
        self.count(who, Some(name), MESSAGES, times);
        self.accounts.turn(now);
        self.accounts.claim(name).index.unwrap_or(0)
    }

    /// Its message goes to so many.
    pub(super) fn recipients(&mut self, account: u32, recipients: u64, now: i64) {
        let name = self.accounts.name(account).map(str::to_owned);
        let who = match &name {
            Some(name) => self.ranked.note(name, now, RECIPIENTS, recipients, true),
            None => {
                self.ranked.note_nameless(now, RECIPIENTS, recipients);
                Who::Other
            }
        };
        self.count(who, name.as_deref(), RECIPIENTS, recipients);
    }

    /// Somebody did not get in, so many times. What strangers try are not names: only those that have sent mail, or are watched, get a row.
    pub(super) fn failure(&mut self, name: Option<&str>, now: i64, times: u64) {
        let known = name.filter(|name| self.ranked.knows(name));
        let who = match known {
            Some(name) => self.ranked.note(name, now, FAILURES, times, true),
            None => {
                self.ranked.note_nameless(now, FAILURES, times);
                Who::Other
            }
        };
        self.count(who, known, FAILURES, times);
    }

    /// A name's totals are its own, shown or not; what is not shown when it happens is `(other)`'s as well, so that the rates of
    /// all rows are the rate of all.
    fn count(&mut self, who: Who, name: Option<&str>, what: usize, by: u64) {
        self.all.add(what, by);
        let own = match who {
            Who::Shown(index) | Who::Known(index) => self.ranked.value(index),
            Who::Other => name.and_then(|name| self.ranked.candidate(name)),
        };
        if let Some(own) = own {
            own.add(what, by);
        }
        if !matches!(who, Who::Shown(_)) {
            self.other.add(what, by);
        }
    }

    /// The `most` busiest of the last hour and those that are watched by index, behind `(other)`. `whole`: of a log that was read
    /// from one end to the other, where `(other)` is all that is not shown.
    pub(super) fn rows(&self, most: usize, now: i64, whole: bool) -> Vec<Sender> {
        let sender = |index, name: &str, hour: [u64; 3], totals| {
            let [messages, recipients, auth_failures] = hour;
            Sender { index, name: name.to_owned(), messages, recipients, auth_failures, totals }
        };
        let shown = self.ranked.busiest(most, now);
        let mut rows = vec![sender(OTHER, OTHER_NAME, self.ranked.all(now), if whole { self.all } else { self.other })];
        for (index, name, row) in shown {
            let shown = sender(index, name, row.hour.sums(now), row.value);
            let other = &mut rows[0];
            other.messages = other.messages.saturating_sub(shown.messages);
            other.recipients = other.recipients.saturating_sub(shown.recipients);
            other.auth_failures = other.auth_failures.saturating_sub(shown.auth_failures);
            if whole {
                other.totals.messages -= shown.totals.messages;
                other.totals.recipients -= shown.totals.recipients;
                other.totals.auth_failures -= shown.totals.auth_failures;
            }
            rows.push(shown);
        }
        rows
    }

    /// Who is shown, with what health judges by.
    pub(super) fn busy(&self, now: i64) -> impl Iterator<Item = Busy<'_>> {
        self.ranked.shown().map(move |(index, name, row)| {
            let [first, second] = row.hour.halves(now);
            let sent = Totals::rank(row.hour.sums(now)).0;
            Busy { index, name, sent, failures: [first[FAILURES], second[FAILURES]] }
        })
    }

    /// What the one in the middle of all who sent anything in the last hour sent, and how many those are.
    pub(super) fn median(&self, now: i64) -> (u64, usize) {
        let sent = self.ranked.hours().map(|hour| Totals::rank(hour.sums(now)).0);
        let mut sent: Vec<u64> = sent.filter(|sent| *sent > 0).collect();
        let middle = sent.len() / 2;
        if sent.is_empty() {
            return (0, 0);
        }
        (*sent.select_nth_unstable(middle).1, sent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_020;

    fn senders(places: usize, watched: &[&str]) -> Senders {
        let mut senders = Senders::default();
        let watched: Vec<String> = watched.iter().map(|name| (*name).to_owned()).collect();
        senders.arrange(places, &watched);
        senders
    }

    fn by_name(rows: &[Sender]) -> Vec<(u32, &str, [u64; 3], [u64; 3])> {
        let row = |r: &Sender| [r.totals.messages, r.totals.recipients, r.totals.auth_failures];
        rows.iter().map(|r| (r.index, &*r.name, [r.messages, r.recipients, r.auth_failures], row(r))).collect()
    }

    #[test]
    fn an_hour_passes_and_the_rest_is_other() {
        let mut senders = senders(1, &[]);
        for n in 0..10 {
            let account = senders.message("bot", NOW + n * 60, 1);
            senders.recipients(account, 50, NOW + n * 60);
        }
        senders.message("alice", NOW, 1);
        senders.failure(Some("alice"), NOW, 1);
        senders.failure(Some("nobody"), NOW, 1);
        senders.failure(None, NOW, 1);
        let rows = senders.rows(1, NOW + 600, false);
        assert_eq!(
            by_name(&rows),
            [(1, "(other)", [1, 0, 3], [1, 0, 3]), (2, "bot", [10, 500, 0], [10, 500, 0])],
            "what strangers try is no name"
        );
        // The gauges are of an hour, the totals of all time; a place that nobody needs is kept.
        let rows = senders.rows(1, NOW + 4_500, false);
        assert_eq!(by_name(&rows), [(1, "(other)", [0; 3], [1, 0, 3]), (2, "bot", [0; 3], [10, 500, 0])]);
        // alice has it now, with what she did before she had.
        senders.message("alice", NOW + 4_500, 1);
        senders.message("alice", NOW + 4_560, 1);
        let rows = senders.rows(1, NOW + 4_560, false);
        assert_eq!(by_name(&rows)[1], (3, "alice", [2, 0, 0], [3, 0, 1]));
        assert_eq!(
            rows[0].totals,
            Totals { messages: 2, recipients: 0, auth_failures: 3 },
            "one came while bot had it"
        );
    }

    #[test]
    fn the_watched_are_always_rows() {
        let mut senders = senders(1, &["carol", "dave"]);
        senders.failure(Some("dave"), NOW, 1);
        (0..3).for_each(|_| {
            senders.message("alice", NOW, 1);
        });
        let rows = senders.rows(1, NOW, false);
        let names: Vec<_> = rows.iter().map(|r| (r.index, &*r.name, r.totals.auth_failures)).collect();
        assert_eq!(names, [(1, "(other)", 0), (2, "carol", 0), (3, "dave", 1), (4, "alice", 0)]);
    }

    /// A clock that was ten years ahead for a moment: the hour is right again, and over after an hour.
    #[test]
    fn a_clock_that_was_ahead() {
        let mut senders = senders(5, &[]);
        let sum = |senders: &Senders, now| senders.rows(5, now, false).iter().map(|s| s.messages).sum::<u64>();
        senders.message("eve", NOW + 315_360_000, 1);
        assert_eq!(sum(&senders, NOW), 0);
        senders.message("eve", NOW, 1);
        senders.message("eve", NOW + 300, 1);
        assert_eq!(sum(&senders, NOW + 600), 2);
        assert_eq!(sum(&senders, NOW + 4_500), 0);
    }

    /// Saved before there were totals: indices, the hour and the accounts of mail on its way are as they were.
    #[test]
    fn an_older_state_is_read() {
        let piece = NOW / 300;
        let mut pieces = vec![[0, 0, 0]; 12];
        pieces[usize::try_from(piece.rem_euclid(12)).unwrap()] = [3, 4, 1];
        let old = serde_json::json!({
            "names": { "first": 2, "next": 4, "lived": 0, "clock": null, "names": [["alice", 2, 0], ["bob", 3, 0]] },
            "hours": [{ "latest": 0, "pieces": vec![[0, 0, 0]; 12] }, { "latest": piece, "pieces": pieces }, { "latest": 0, "pieces": [] }],
        });
        let mut senders: Senders = serde_json::from_value(old).unwrap();
        senders.arrange(20, &[]);
        senders.recipients(3, 7, NOW);
        let rows = senders.rows(20, NOW, false);
        let expected =
            [(1, "(other)", [0; 3], [0; 3]), (2, "alice", [3, 4, 1], [0; 3]), (3, "bob", [0, 7, 0], [0, 7, 0])];
        assert_eq!(by_name(&rows), expected);
        let again: Senders = serde_json::from_str(&serde_json::to_string(&senders).unwrap()).unwrap();
        assert_eq!(by_name(&again.rows(20, NOW, false)), expected);
    }

    #[test]
    fn the_median_is_of_those_who_sent() {
        let mut senders = senders(3, &["idle"]);
        assert_eq!(senders.median(NOW), (0, 0));
        for (name, messages) in [("a", 1), ("b", 2), ("c", 90)] {
            (0..messages).for_each(|_| {
                senders.message(name, NOW, 1);
            });
        }
        assert_eq!(senders.median(NOW), (2, 3));
        senders.failure(Some("a"), NOW + 2_400, 1);
        let busy: Vec<_> = senders.busy(NOW + 2_400).map(|b| (b.name.to_owned(), b.sent, b.failures)).collect();
        assert!(busy.contains(&("a".into(), 1, [0, 1])), "{busy:?}");
    }
}
