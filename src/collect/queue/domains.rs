//! Domains of recipients and of senders: names as qshape(1) groups them, small numbers for them, and who waits most.

use crate::postfix::queue::QueueKind;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{borrow::Cow, sync::Arc};

/// So many bits a number takes.
pub(super) const BITS: u32 = 17;
/// So many names are told apart at once. The rest counts as other: a flood of made-up domains must not eat the memory.
const NAMES: usize = (1 << BITS) - 1;
/// What the empty sender is called.
pub(super) const NULL_SENDER: &[u8] = b"<>";
/// No domain is longer (RFC 1035); what claims to be counts as other.
const LONGEST: usize = 255;

/// Whether mail in this queue is part of the backlog.
pub(super) fn is_backlog(queue: QueueKind) -> bool {
    matches!(queue, QueueKind::Incoming | QueueKind::Active | QueueKind::Deferred)
}

/// Number of a domain; 0 is what could not be told apart.
pub(super) type Domain = u32;
/// Stands for every domain beyond [`NAMES`].
pub(super) const OTHER: Domain = 0;

/// The domain of an address, as qshape groups it: what follows the last `@`, in lower case, without a dot at either end.
/// An address without `@` is its own domain, the empty one is MAILER-DAEMON.
pub(super) fn of_address(address: &[u8]) -> Cow<'_, [u8]> {
    if address.is_empty() {
        return Cow::Borrowed(b"mailer-daemon");
    }
    let domain = memchr::memrchr(b'@', address).map_or(address, |at| &address[at + 1..]);
    let clean = |d: &[u8]| {
        d.first() != Some(&b'.')
            && d.last() != Some(&b'.')
            && !d.iter().any(u8::is_ascii_uppercase)
            && memchr::memmem::find(d, b"..").is_none()
    };
    if clean(domain) {
        return Cow::Borrowed(domain);
    }
    let mut name = Vec::with_capacity(domain.len());
    for b in domain.to_ascii_lowercase() {
        if b != b'.' || name.last() != Some(&b'.') {
            name.push(b);
        }
    }
    let trimmed = name.strip_prefix(b".").unwrap_or(&name);
    Cow::Owned(trimmed.strip_suffix(b".").unwrap_or(trimmed).to_vec())
}

/// The domain of a sender, as `qshape -s` groups it; the empty one is [`NULL_SENDER`], and nothing else is.
pub(super) fn of_sender(address: &[u8]) -> Cow<'_, [u8]> {
    if address.is_empty() {
        return Cow::Borrowed(NULL_SENDER);
    }
    match of_address(address) {
        domain if *domain == *NULL_SENDER => Cow::Borrowed(b"\\<>"),
        domain => domain,
    }
}

/// A domain as postfixDomainName shows it: octets that are no UTF-8, control characters and the backslash that would be taken
/// for the beginning of one are written `\xNN`, so that no two domains look the same and none is lost.
pub(super) fn shown(domain: &[u8]) -> Cow<'_, str> {
    let plain = |text: &str| !text.chars().any(|c| c.is_control() || c == '\\');
    if let Some(text) = std::str::from_utf8(domain).ok().filter(|text| plain(text)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(domain.len() + 16);
    let escape = |out: &mut String, octets: &[u8]| octets.iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    for chunk in domain.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c.is_control() || c == '\\' => escape(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    // Each octet may have become four; what is cut off alike adds up in one row.
    out.truncate(out.floor_char_boundary(LONGEST));
    Cow::Owned(out)
}

/// Recipients of one message by domain, made one entry a domain.
pub(super) fn merge(by_domain: &mut Vec<(Domain, u32)>) {
    by_domain.sort_unstable();
    by_domain.dedup_by(|later, first| {
        let same = later.0 == first.0;
        if same {
            first.1 = first.1.saturating_add(later.1);
        }
        same
    });
}

/// Names → numbers. A number is free again once nothing waits for its domain.
#[derive(Default)]
pub(super) struct Domains {
    numbers: FxHashMap<Arc<[u8]>, Domain>,
    /// By number - 1.
    names: Vec<Option<Arc<[u8]>>>,
    free: Vec<Domain>,
}

impl Domains {
    /// The number of a domain.
    pub(super) fn number(&mut self, name: &[u8]) -> Domain {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if name.len() > LONGEST {
            return OTHER;
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.names.len() < NAMES => {
                self.names.push(None);
                self.names.len() as Domain
            }
            None => return OTHER,
        };
        let name: Arc<[u8]> = name.into();
        self.names[number as usize - 1] = Some(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// The largest number in use.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of a domain that has one.
    pub(super) fn get(&self, name: &[u8]) -> Option<Domain> {
        self.numbers.get(name).copied()
    }

    pub(super) fn name(&self, number: Domain) -> Option<&Arc<[u8]>> {
        self.names.get((number as usize).checked_sub(1)?)?.as_ref()
    }

    /// Frees every number for which `used` says no.
    pub(super) fn retain(&mut self, used: impl Fn(Domain) -> bool) {
        for (position, slot) in self.names.iter_mut().enumerate() {
            let number = position as Domain + 1;
            if !used(number)
                && let Some(name) = slot.take()
            {
                self.numbers.remove(&name);
                self.free.push(number);
            }
        }
    }
}

/// What waits for one domain, or from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Messages with at least one recipient there.
    pub(super) messages: u32,
    pub(super) recipients: u32,
    /// Arrival of the oldest, in seconds since 1970; [`NEVER`] where there is none.
    pub(super) oldest: u32,
    /// The earliest next attempt of those that are deferred, likewise.
    pub(super) next: u32,
}

/// No time: later than all.
pub(super) const NEVER: u32 = u32::MAX;

impl Default for Waiting {
    fn default() -> Self {
        Self { messages: 0, recipients: 0, oldest: NEVER, next: NEVER }
    }
}

impl Waiting {
    /// Counts a message, whose next attempt is at `next`, or not known.
    pub(super) fn add(&mut self, recipients: u32, arrival: u32, next: u32) {
        self.messages = self.messages.saturating_add(1);
        self.recipients = self.recipients.saturating_add(recipients);
        self.oldest = self.oldest.min(arrival);
        self.next = self.next.min(next);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.recipients = self.recipients.saturating_add(other.recipients);
        self.oldest = self.oldest.min(other.oldest);
        self.next = self.next.min(other.next);
    }
}

/// The domains with the largest backlog, and the sum of all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    pub(super) top: Vec<(Arc<[u8]>, Waiting)>,
    pub(super) other: Waiting,
}

/// What is to be told by name.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Of recipients' domains.
    pub(super) domains: Most,
    /// Of senders' domains.
    pub(super) senders: Most,
}

impl Wanted {
    pub(super) fn new(domains: usize, senders: usize) -> Self {
        // As qshape counts: recipients by their domains, and messages by their senders'.
        let senders = Most { size: |waiting| (waiting.messages, waiting.recipients), ..Most::new(senders) };
        Self { domains: Most::new(domains), senders }
    }
}

/// How many domains to tell by name, and which ones were at the last reading.
#[derive(Clone, Debug)]
pub(super) struct Most {
    most: usize,
    /// What the largest have most of.
    size: fn(&Waiting) -> (u32, u32),
    shown: FxHashSet<Arc<[u8]>>,
}

impl Most {
    pub(super) fn new(most: usize) -> Self {
        Self { most, size: |waiting| (waiting.recipients, 0), shown: FxHashSet::default() }
    }

    /// Remembers what is told now.
    pub(super) fn remember(&mut self, backlog: &Backlog) {
        self.shown = backlog.top.iter().map(|(name, _)| name.clone()).collect();
    }
}

/// The place of every domain in a backlog; all others have the last one together.
pub(super) struct Places {
    by_number: Vec<u32>,
    others: u32,
}

impl Places {
    pub(super) fn of(&self, domain: Domain) -> u32 {
        self.by_number.get(domain as usize).copied().unwrap_or(self.others)
    }

    pub(super) fn count(&self) -> usize {
        self.others as usize + 1
    }
}

impl Backlog {
    /// Where each domain is.
    pub(super) fn places(&self, domains: &Domains) -> Places {
        let others = self.top.len() as u32;
        let mut by_number = vec![others; domains.len() + 1];
        for (place, (name, _)) in (0..).zip(&self.top) {
            if let Some(number) = domains.get(name).and_then(|number| by_number.get_mut(number as usize)) {
                *number = place;
            }
        }
        Places { by_number, others }
    }

    /// Picks the largest. `waiting` stands by number, 0 being what has no name.
    pub(super) fn pick(domains: &Domains, waiting: &[Waiting], wanted: &Most) -> Self {
        let mut order: Vec<Domain> =
            (1..waiting.len() as Domain).filter(|n| waiting[*n as usize].messages > 0).collect();
        // Among equals those stay that are shown, since every newcomer takes the place of a name; then names decide.
        let new = |n: Domain| domains.name(n).is_none_or(|name| !wanted.shown.contains(name));
        let compare = |a: &Domain, b: &Domain| {
            let by_size = (wanted.size)(&waiting[*b as usize]).cmp(&(wanted.size)(&waiting[*a as usize]));
            by_size.then_with(|| new(*a).cmp(&new(*b))).then_with(|| domains.name(*a).cmp(&domains.name(*b)))
        };
        let cut = wanted.most.min(order.len());
        if cut < order.len() && cut > 0 {
            order.select_nth_unstable_by(cut - 1, compare);
        }
        let (top, rest) = order.split_at_mut(cut);
        top.sort_unstable_by(compare);
        let mut backlog = Self { top: Vec::with_capacity(cut), other: waiting.first().copied().unwrap_or_default() };
        for number in top {
            if let Some(name) = domains.name(*number) {
                backlog.top.push((name.clone(), waiting[*number as usize]));
            }
        }
        for number in rest {
            backlog.other.merge(&waiting[*number as usize]);
        }
        backlog
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_qshape_groups_them() {
        for (address, domain) in [
            ("a@b.example", "b.example"),
            ("a@B.Example", "b.example"),
            ("\"a@b\"@c.example.", "c.example"),
            ("a@.x..y.", "x.y"),
            ("local", "local"),
            ("", "mailer-daemon"),
            ("a@", ""),
            ("a@<>", "<>"),
        ] {
            assert_eq!(of_address(address.as_bytes()), domain.as_bytes(), "{address}");
        }
        let senders = ["", "a@<>", "a@B.example"].map(|address| shown(&of_sender(address.as_bytes())).into_owned());
        assert_eq!(senders, ["<>", "\\x5c<>", "b.example"], "nobody takes the name of the empty sender");
    }

    #[test]
    fn no_two_domains_look_the_same() {
        let domains: [&[u8]; 8] = [
            b"b.example",
            "b\u{fc}cher.example".as_bytes(),
            b"b\xfccher",
            b"b\xfdcher",
            b"b\xfc",
            b"b\\xfc",
            b"a\x01",
            b"a?",
        ];
        let names: std::collections::BTreeSet<_> = domains.iter().map(|d| shown(d)).collect();
        assert_eq!(names.len(), domains.len(), "{names:?}");
        assert_eq!((&*shown(domains[0]), &*shown(domains[2])), ("b.example", "b\\xfccher"));
        assert_eq!(shown(&[0xff; 255]).len(), LONGEST, "no longer than a name may be");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut domains = Domains::default();
        assert_eq!(domains.number(&[b'a'; 256]), OTHER);
        assert!((0..NAMES).all(|i| domains.number(i.to_string().as_bytes()) != OTHER));
        assert_eq!(domains.number(b"one too many"), OTHER);
        assert_eq!(domains.number(b"0"), 1);
    }

    #[test]
    fn numbers_are_given_again_and_the_largest_backlog_is_picked() {
        let mut domains = Domains::default();
        let numbers: Vec<_> = ["a", "b", "c", "d"].map(|n| domains.number(n.as_bytes())).into();
        assert_eq!(numbers, [1, 2, 3, 4]);
        let mut waiting = vec![Waiting::default(); 5];
        for (number, recipients, arrival) in [(0, 1, 9), (1, 5, 8), (2, 7, 7), (2, 1, 6), (3, 5, 5), (4, 1, 4)] {
            waiting[number].add(recipients, arrival, NEVER - number as u32);
        }
        let pick = |most| Backlog::pick(&domains, &waiting, &Most::new(most));
        let backlog = pick(2);
        let names: Vec<_> = backlog.top.iter().map(|(name, w)| (&**name, w.messages, w.recipients, w.oldest)).collect();
        assert_eq!(names, [(&b"b"[..], 2, 8, 6), (b"a", 1, 5, 8)]);
        assert_eq!(backlog.other, Waiting { messages: 3, recipients: 7, oldest: 4, next: NEVER - 4 });
        assert_eq!(pick(0).top.len(), 0);
        // c and d: equal, and c comes first by name, unless d has been shown.
        waiting[4].recipients = 5;
        waiting[1] = Waiting::default();
        let mut wanted = Most::new(2);
        let second = |wanted: &Most| Backlog::pick(&domains, &waiting, wanted).top[1].0.to_vec();
        assert_eq!(second(&wanted), b"c");
        wanted.remember(&Backlog { top: vec![(b"d"[..].into(), Waiting::default())], ..Backlog::default() });
        assert_eq!(second(&wanted), b"d");
        domains.retain(|n| n != 2);
        assert_eq!((domains.number(b"e"), domains.number(b"a"), domains.number(b"b")), (2, 1, 5));
    }
}
