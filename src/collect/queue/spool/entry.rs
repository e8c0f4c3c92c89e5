//! What is remembered of one queue file: 32 octets.

pub(super) use super::super::snapshot::seconds;
use super::super::{
    domains::{self, Domain},
    reasons::{self, Text, Why},
};
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
    /// [`flag`]s, above them the sender's domain, and then the number of recipients.
    bits: u32,
    /// The recipients' domain and reason ([`Why`]); with [`flag::EXTRA`] the place in [`Extras`].
    pub(super) link: u32,
}

pub(super) mod flag {
    /// A message, and not something half written or foreign.
    pub(in super::super) const MESSAGE: u32 = 1 << 0;
    pub(in super::super) const NULL_SENDER: u32 = 1 << 1;
    pub(in super::super) const FORCED_EXPIRE: u32 = 1 << 2;
    pub(in super::super) const GROUP_BITS: u32 = 1 << 3;
    /// Found since the last listing began.
    pub(in super::super) const SEEN: u32 = 1 << 4;
    /// What does not fit is in [`super::Extras`].
    pub(in super::super) const EXTRA: u32 = 1 << 5;
    /// The file could not be opened: its recipients are unknown.
    pub(in super::super) const UNREADABLE: u32 = 1 << 6;
    /// Its defer log is still to be read.
    pub(in super::super) const DUE: u32 = 1 << 7;
}

/// A message of 4 GiB or more.
const LARGE: u32 = u32::MAX;
const SENDER_SHIFT: u32 = 8;
const COUNT_SHIFT: u32 = SENDER_SHIFT + domains::BITS;
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

    /// Who sent it: the number of a domain.
    pub(super) fn set_sender(&mut self, sender: Domain) {
        self.bits |= sender << SENDER_SHIFT;
    }

    pub(super) fn sender(&self) -> Domain {
        (self.bits >> SENDER_SHIFT) & ((1 << domains::BITS) - 1)
    }

    /// Takes the recipients over; `keep` is to put what does not fit into [`Extras`].
    pub(super) fn set_recipients(&mut self, found: &Recipients, keep: impl FnOnce(&Recipients) -> u32) {
        match found.compact() {
            Some((why, count)) => {
                self.bits |= count << COUNT_SHIFT;
                self.link = why;
            }
            None => {
                self.bits |= flag::EXTRA;
                self.link = keep(found);
            }
        }
    }

    /// The same file without recipients.
    pub(super) fn without_recipients(mut self) -> Self {
        self.bits &= !flag::EXTRA & ((1 << COUNT_SHIFT) - 1);
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
            None if self.bits >> COUNT_SHIFT > 0 => visit(reasons::domain_of(self.link), self.bits >> COUNT_SHIFT),
            None => {}
        }
    }

    /// Every domain and reason with its recipients. Who has no reason is in none.
    pub(super) fn each_reason(&self, extras: &Extras, mut visit: impl FnMut(Why, u32)) {
        match extras.of(self) {
            Some(shares) => shares.iter().filter_map(Share::reason).for_each(|(why, count)| visit(why, count)),
            None if self.bits >> COUNT_SHIFT > 0 && reasons::text_of(self.link) != 0 => {
                visit(self.link, self.bits >> COUNT_SHIFT);
            }
            None => {}
        }
    }
}

/// Room for so many domains of one message is kept for the next.
const MOST: usize = 1 << 16;

/// Recipients of one file while it is read.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    domains: Vec<(Domain, u32)>,
    reasons: Vec<(Why, u32)>,
    /// Of a message whose size does not fit into an [`Entry`].
    octets: Option<u64>,
}

impl Recipients {
    pub(super) fn clear(&mut self) {
        self.domains.clear();
        self.domains.shrink_to(MOST);
        self.reasons.clear();
        self.reasons.shrink_to(MOST);
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

    /// A recipient in `domain` with this reason. `forget` takes the text from it: so much differs within one message that
    /// the classes have to do.
    pub(super) fn add_reason(&mut self, domain: Domain, text: Text, forget: impl Fn(Text) -> Text) {
        let why = reasons::why(domain, text);
        match self.reasons.last_mut() {
            Some((last, count)) if *last == why => *count = count.saturating_add(1),
            _ => self.reasons.push((why, 1)),
        }
        if self.reasons.len() >= 4 * MOST {
            domains::merge(&mut self.reasons);
            if self.reasons.len() >= MOST {
                for (why, _) in &mut self.reasons {
                    *why = reasons::why(reasons::domain_of(*why), forget(reasons::text_of(*why)));
                }
                domains::merge(&mut self.reasons);
            }
        }
    }

    /// One entry a domain, and one a domain and reason.
    pub(super) fn merge(&mut self) {
        domains::merge(&mut self.domains);
        domains::merge(&mut self.reasons);
    }

    /// Domain with reason, and number, where there is one domain and one reason (or none) for all: nearly all mail.
    fn compact(&self) -> Option<(Why, u32)> {
        let (domain, count) = match self.domains.as_slice() {
            _ if self.octets.is_some() => return None,
            [] => (0, 0),
            [(domain, count)] if *count <= COUNT_MOST => (*domain, *count),
            _ => return None,
        };
        match self.reasons.as_slice() {
            [] => Some((reasons::why(domain, 0), count)),
            [(why, waiting)] if *waiting == count && reasons::domain_of(*why) == domain => Some((*why, count)),
            _ => None,
        }
    }

    /// What is kept of them in [`Extras`].
    fn shares(&self) -> Box<[Share]> {
        let mut shares = Vec::with_capacity(self.domains.len() + 1);
        // Both are sorted by the domain.
        let mut waiting = self.reasons.as_slice();
        let mut take = |until: Option<Domain>| {
            let end = waiting.partition_point(|(why, _)| until.is_none_or(|domain| reasons::domain_of(*why) <= domain));
            let (taken, rest) = waiting.split_at(end);
            waiting = rest;
            taken
        };
        for &(domain, count) in &self.domains {
            match take(Some(domain)) {
                [(why, waiting)] if *waiting == count && reasons::domain_of(*why) == domain => {
                    shares.push(Share::Both(*why, count));
                }
                reasons => {
                    shares.push(Share::Domain(domain, count));
                    shares.extend(reasons.iter().map(|(why, count)| Share::Reason(*why, *count)));
                }
            }
        }
        shares.extend(take(None).iter().map(|(why, count)| Share::Reason(*why, *count)));
        shares.extend(self.octets.map(|octets| Share::Octets((octets >> 32) as u32, octets as u32)));
        shares.into_boxed_slice()
    }
}

/// Recipients of one message that have a domain, or a reason, in common.
#[derive(Clone, Copy)]
enum Share {
    Domain(Domain, u32),
    Reason(Why, u32),
    /// All recipients in a domain have one reason.
    Both(Why, u32),
    /// The size of the message: upper and lower half.
    Octets(u32, u32),
}

impl Share {
    fn domain(&self) -> Option<(Domain, u32)> {
        match *self {
            Self::Domain(domain, count) => Some((domain, count)),
            Self::Both(why, count) => Some((reasons::domain_of(why), count)),
            Self::Reason(..) | Self::Octets(..) => None,
        }
    }

    fn octets(&self) -> Option<u64> {
        if let Self::Octets(upper, lower) = *self { Some(u64::from(upper) << 32 | u64::from(lower)) } else { None }
    }

    fn reason(&self) -> Option<(Why, u32)> {
        if let Self::Reason(why, count) | Self::Both(why, count) = *self { Some((why, count)) } else { None }
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
        let shares = Some(found.shares());
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
