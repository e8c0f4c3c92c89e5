//! What the log says of destinations and accounts that somebody should look at (`log.watch`). Careful: a warning that comes
//! without need is one that nobody reads.

use super::{engine::Instance, senders::Busy};
use crate::{
    collect::health::{Condition, Severity, Subject},
    config::Watch,
};

/// An account that sends so many times what the one in the middle sends …
const TIMES: u64 = 10;
/// … and so much at least in an hour …
const MUCH: u64 = 100;
/// … while logins under its name fail more and more, so often at least in half an hour …
const FAILURES: u64 = 5;
/// … on a host where so many accounts send that there is a middle.
const ACCOUNTS: usize = 5;

/// What there is to say of one instance. Where names are not served over SNMP they are not in texts that are.
pub(super) fn conditions(instance: &Instance, watch: &Watch, privacy: bool, now: i64) -> Vec<Condition> {
    let condition = |text| Condition { severity: Severity::Warning, subject: Subject::Log, text };
    destinations(instance, watch, privacy, now).chain(users(instance, watch, privacy, now)).map(condition).collect()
}

fn destinations(instance: &Instance, watch: &Watch, privacy: bool, now: i64) -> impl Iterator<Item = String> {
    let (owner, of) = (&instance.settings.name, instance.settings.index);
    let patience = i64::try_from(watch.deferred_for.as_secs()).unwrap_or(i64::MAX);
    let silent = watch.report_destinations.then(|| instance.state.destinations.silent(patience, now));
    silent.into_iter().flatten().map(move |(index, name)| {
        let name = if privacy { format!("number {index} of postfixDestinationTable") } else { name.to_owned() };
        format!(
            "{owner}: destination {name} took mail before, and for {} has put off all of it; \
             postfixDestinationLastReason.{of}.{index} says why",
            spoken(watch.deferred_for.as_secs())
        )
    })
}

fn users(instance: &Instance, watch: &Watch, privacy: bool, now: i64) -> impl Iterator<Item = String> {
    let (owner, of) = (&instance.settings.name, instance.settings.index);
    let senders = watch.report_users.then_some(&instance.state.senders);
    let (median, accounts) = senders.map_or((0, 0), |senders| senders.median(now));
    let limit = u64::from(watch.user_limit);
    let busy = senders.into_iter().flat_map(move |senders| senders.busy(now));
    busy.filter_map(move |user| {
        let why = if limit > 0 && user.sent > limit {
            format!("more than log.watch.user_limit ({limit}) in an hour")
        } else if stands_out(&user, median, accounts) {
            format!("more than {TIMES} times what others do, while logins fail under its name")
        } else {
            return None;
        };
        let Busy { index, name, .. } = user;
        let name = if privacy { format!("number {index} of postfixSenderTable") } else { name.to_owned() };
        Some(format!(
            "{owner}: user {name} sends {why}: is it the user who does? postfixSenderRecipients.{of}.{index} says how \
             much; if the account is stolen, change its password and look at what is queued"
        ))
    })
}

fn stands_out(user: &Busy<'_>, median: u64, accounts: usize) -> bool {
    let [before, after] = user.failures;
    accounts >= ACCOUNTS
        && user.sent >= MUCH
        && user.sent > median.saturating_mul(TIMES)
        && after >= FAILURES
        && after > before
}

/// `15 min`, `90 s`.
fn spoken(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (minutes @ 1.., 0) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
