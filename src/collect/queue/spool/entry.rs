//! What is remembered of one queue file: 32 octets.

use super::super::domains::{self, Domain};
use crate::postfix::defer_reason::DeferReason;
use rustc_hash::FxHasher;
use rustix::fs::Stat;
use std::hash::Hasher;

/// One file. No name: the key is a hash of inode and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: u64,
    /// Fingerprint of ctime, which every change of content, mode or times moves.
    pub(super) stamp: u32,
    /// Seconds since 1970: in deferred the next attempt (mtime), in maildrop and incoming when it came there (ctime of the
    /// rename).
    pub(super) time: u32,
    /// When the message arrived, in seconds since 1970.
    pub(super) arrival: u32,
    /// Octets; [`LARGE`] where they are in [`Extras`].
    size: u32,
    /// [`flag`]s, the reason's class, and above them the number of recipients.
    bits: u32,
    /// The recipients' domain; with [`flag::EXTRA`] the place in [`Extras`].
    pub(super) link: u32,
}

pub(super) mod flag {
    /// A message, and not something half written or foreign.
    pub(in super::super) const MESSAGE: u32 = 1 << 4;
    pub(in super::super) const NULL_SENDER: u32 = 1 << 5;
    pub(in super::super) const FORCED_EXPIRE: u32 = 1 << 6;
    pub(in super::super) const GROUP_BITS: u32 = 1 << 7;
    /// Found since the last listing began.
    pub(in super::super) const SEEN: u32 = 1 << 8;
    /// What does not fit is in [`super::Extras`].
    pub(in super::super) const EXTRA: u32 = 1 << 9;
    /// The file could not be opened: its recipients are unknown.
    pub(in super::super) const UNREADABLE: u32 = 1 << 10;
    /// Its defer log is still to be read.
    pub(in super::super) const DUE: u32 = 1 << 11;
}

/// A message of 4 GiB or more.
const LARGE: u32 = u32::MAX;
const REASON: u32 = 0xf;
const COUNT_SHIFT: u32 = 12;
/// More recipients than this are counted in [`Extras`].
const COUNT_MOST: u32 = u32::MAX >> COUNT_SHIFT;

/// The key of a file.
pub(super) fn key(inode: u64, name: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(inode);
    hasher.write(name);
    hasher.finish()
}

/// The place of a key.
pub(super) fn find(entries: &[Entry], key: u64) -> Option<usize> {
    entries.binary_search_by_key(&key, |entry| entry.key).ok()
}

/// The fingerprint of a ctime.
pub(super) fn stamp(stat: &Stat) -> u32 {
    let mixed = (stat.st_ctime as u64 ^ stat.st_ctime_nsec << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// Seconds since 1970 in 32 bits, which last until 2106.
pub(super) fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

impl Entry {
    /// A file without recipients.
    pub(super) fn new(key: u64, stat: &Stat, flags: u32) -> Self {
        let time = seconds(stat.st_mtime);
        Self { key, stamp: stamp(stat), time, arrival: time, size: 0, bits: flags, link: 0 }
    }

    /// How large the message is; to be followed by [`set_recipients`](Self::set_recipients), which keeps what is large.
    pub(super) fn set_octets(&mut self, octets: u64, found: &mut Recipients) {
        self.size = u32::try_from(octets).unwrap_or(LARGE);
        found.octets = (self.size == LARGE).then_some(octets);
    }

    /// Octets.
    pub(super) fn octets(&self, extras: &Extras) -> u64 {
        let large = || extras.of(self)?.iter().find_map(Share::octets);
        (self.size == LARGE).then(large).flatten().unwrap_or(self.size.into())
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.bits & flag != 0
    }

    pub(super) fn set(&mut self, flag: u32) {
        self.bits |= flag;
    }

    pub(super) fn clear(&mut self, flag: u32) {
        self.bits &= !flag;
    }

    /// Takes the recipients over; `keep` is to put what does not fit into [`Extras`].
    pub(super) fn set_recipients(&mut self, found: &Recipients, keep: impl FnOnce(&Recipients) -> u32) {
        match found.compact() {
            Some((domain, count, reason)) => {
                self.bits |= count << COUNT_SHIFT | reason;
                self.link = domain;
            }
            None => {
                self.bits |= flag::EXTRA;
                self.link = keep(found);
            }
        }
    }

    /// The same file without recipients.
    pub(super) fn without_recipients(mut self) -> Self {
        self.bits &= !(REASON | flag::EXTRA) & ((1 << COUNT_SHIFT) - 1);
        self.link = 0;
        self
    }

    /// Gives back what is kept elsewhere.
    pub(super) fn release(&self, extras: &mut Extras) {
        if self.has(flag::EXTRA) {
            extras.remove(self.link);
        }
    }

    /// How many recipients.
    pub(super) fn recipients(&self, extras: &Extras) -> u32 {
        match extras.of(self) {
            Some(shares) => shares.iter().filter_map(Share::domain).fold(0, |sum, (_, n)| sum.saturating_add(n)),
            None => self.bits >> COUNT_SHIFT,
        }
    }

    /// Every domain with its recipients.
    pub(super) fn each_domain(&self, extras: &Extras, mut visit: impl FnMut(Domain, u32)) {
        match extras.of(self) {
            Some(shares) => shares.iter().filter_map(Share::domain).for_each(|(domain, count)| visit(domain, count)),
            None if self.bits >> COUNT_SHIFT > 0 => visit(self.link, self.bits >> COUNT_SHIFT),
            None => {}
        }
    }

    /// Every reason (its place in [`DeferReason::ALL`]) with its recipients.
    pub(super) fn each_reason(&self, extras: &Extras, mut visit: impl FnMut(usize, u32)) {
        match extras.of(self) {
            Some(shares) => shares.iter().filter_map(Share::reason).for_each(|(reason, count)| visit(reason, count)),
            None => {
                if let Some(reason) = (self.bits & REASON).checked_sub(1) {
                    visit(reason as usize, self.bits >> COUNT_SHIFT);
                }
            }
        }
    }
}

/// Room for so many domains of one message is kept for the next.
const MOST: usize = 1 << 16;

/// Recipients of one file while it is read.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    domains: Vec<(Domain, u32)>,
    reasons: Vec<(u8, u32)>,
    /// Of a message whose size does not fit into an [`Entry`].
    octets: Option<u64>,
}

impl Recipients {
    pub(super) fn clear(&mut self) {
        self.domains.clear();
        self.domains.shrink_to(MOST);
        self.reasons.clear();
        self.octets = None;
    }

    pub(super) fn add(&mut self, domain: Domain) {
        self.add_many(domain, 1);
    }

    pub(super) fn add_many(&mut self, domain: Domain, recipients: u32) {
        // Mail to many domains comes sorted by the sender's list at best; a list of 1,000 costs little here.
        match self.domains.last_mut() {
            Some((last, count)) if *last == domain => *count = count.saturating_add(recipients),
            _ => self.domains.push((domain, recipients)),
        }
        // However many recipients a file claims, what they take is bounded by the domains told apart.
        if self.domains.len() >= 4 * MOST {
            self.merge();
        }
    }

    pub(super) fn add_reason(&mut self, reason: DeferReason) {
        let place = reason as u8 - 1;
        match self.reasons.iter_mut().find(|(have, _)| *have == place) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.reasons.push((place, 1)),
        }
    }

    /// One entry a domain.
    pub(super) fn merge(&mut self) {
        domains::merge(&mut self.domains);
    }

    /// Domain, number and reason where there is one domain and one reason (or none) for all: nearly all mail.
    fn compact(&self) -> Option<(Domain, u32, u32)> {
        let (domain, count) = match self.domains.as_slice() {
            _ if self.octets.is_some() => return None,
            [] => (0, 0),
            [(domain, count)] if *count <= COUNT_MOST => (*domain, *count),
            _ => return None,
        };
        match self.reasons.as_slice() {
            [] => Some((domain, count, 0)),
            [(reason, waiting)] if *waiting == count => Some((domain, count, u32::from(*reason) + 1)),
            _ => None,
        }
    }
}

/// Recipients of one message that have a domain, or a reason, in common.
#[derive(Clone, Copy)]
enum Share {
    Domain(Domain, u32),
    Reason(u8, u32),
    /// The size of the message: upper and lower half.
    Octets(u32, u32),
}

impl Share {
    fn domain(&self) -> Option<(Domain, u32)> {
        if let Self::Domain(domain, count) = *self { Some((domain, count)) } else { None }
    }

    fn octets(&self) -> Option<u64> {
        if let Self::Octets(upper, lower) = *self { Some(u64::from(upper) << 32 | u64::from(lower)) } else { None }
    }

    fn reason(&self) -> Option<(usize, u32)> {
        if let Self::Reason(reason, count) = *self { Some((reason.into(), count)) } else { None }
    }
}

/// What does not fit into an [`Entry`]; one piece of memory a message, because all of them are visited at every reading.
#[derive(Default)]
pub(super) struct Extras {
    slots: Vec<Option<Box<[Share]>>>,
    free: Vec<u32>,
}

impl Extras {
    fn of(&self, entry: &Entry) -> Option<&[Share]> {
        if entry.has(flag::EXTRA) { self.slots.get(entry.link as usize)?.as_deref() } else { None }
    }

    pub(super) fn add(&mut self, found: &Recipients) -> u32 {
        let domains = found.domains.iter().map(|(domain, count)| Share::Domain(*domain, *count));
        let reasons = found.reasons.iter().map(|(reason, count)| Share::Reason(*reason, *count));
        let octets = found.octets.map(|octets| Share::Octets((octets >> 32) as u32, octets as u32));
        let shares = Some(domains.chain(reasons).chain(octets).collect());
        match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = shares;
                place
            }
            None => {
                self.slots.push(shares);
                self.slots.len() as u32 - 1
            }
        }
    }

    fn remove(&mut self, place: u32) {
        if let Some(slot) = self.slots.get_mut(place as usize)
            && slot.take().is_some()
        {
            self.free.push(place);
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

const _: () = assert!(size_of::<Entry>() == 32, "a million of them must fit into 32 MiB");
