//! Services master has stopped starting: what the log tells the process collector.
//!
//! A command that cannot be started ends in `bad command startup -- throttling` (master_wakeup, master_spawn), and master
//! leaves that service alone for service_throttle_time. Nothing in /proc shows it, so the log collector notes it here.

use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many programs of all instances are remembered; master.cf of a host has far fewer.
const PROGRAMS: usize = 1_024;

/// When master last throttled a program, and which entries of master.cf. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Throttled(Arc<Mutex<LastThrottled>>);

/// By instance and program.
type LastThrottled = FxHashMap<(u32, Box<str>), Last>;

#[derive(Debug)]
struct Last {
    at: Instant,
    /// Keys (`name/type`) of entries, and when; empty where the log does not tell them.
    entries: BTreeMap<Box<str>, Instant>,
}

impl Throttled {
    /// Master of `instance` has just throttled `program` (the last component of the path in the warning, which is what
    /// master.cf calls the command) for the entry with this key, where that is known. To be called for lines as they are
    /// written, not for a catch-up.
    pub fn note(&self, instance: u32, program: &str, entry: Option<&str>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (instance, Box::from(program));
        if map.len() < PROGRAMS || map.contains_key(&key) {
            let now = Instant::now();
            let last = map.entry(key).or_insert_with(|| Last { at: now, entries: BTreeMap::new() });
            last.at = now;
            if let Some(entry) = entry.filter(|_| last.entries.len() < PROGRAMS) {
                last.entries.insert(entry.into(), now);
            }
        }
    }

    /// The entries of `program` that were throttled within `time`; none where the log did not tell them.
    pub fn entries(&self, instance: u32, program: &str, time: Duration) -> Vec<String> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = map.get(&(instance, Box::from(program)));
        let entries = last.into_iter().flat_map(|last| &last.entries);
        entries.filter(|(_, at)| at.elapsed() < time).map(|(key, _)| key.to_string()).collect()
    }

    /// When `program` of `instance` was throttled last.
    pub fn since(&self, instance: u32, program: &str) -> Option<Instant> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(&(instance, Box::from(program))).map(|last| last.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_is_noted_and_it_is_bounded() {
        let log = Throttled::default();
        let processes = log.clone();
        log.note(1, "smtpd", Some("587/inet"));
        assert!(processes.since(1, "smtpd").is_some());
        assert_eq!(processes.entries(1, "smtpd", Duration::from_secs(60)), ["587/inet"]);
        assert_eq!((processes.since(2, "smtpd"), processes.since(1, "smtp")), (None, None));
        (0..2 * PROGRAMS).for_each(|i| log.note(3, &i.to_string(), None));
        assert_eq!(log.0.lock().unwrap().len(), PROGRAMS);
        let before = processes.since(1, "smtpd");
        log.note(1, "smtpd", Some("587/inet"));
        assert!(processes.since(1, "smtpd") >= before, "a known one is renewed");
    }
}
