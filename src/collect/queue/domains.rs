//! Recipient domains: names as qshape(1) groups them, small numbers for them, and who waits most.

use rustc_hash::{FxHashMap, FxHashSet};
use std::{borrow::Cow, sync::Arc};

/// So many names are told apart at once. The rest counts as other: a flood of made-up domains must not eat the memory.
const NAMES: usize = 1 << 17;
/// No domain is longer (RFC 1035); what claims to be counts as other.
const LONGEST: usize = 255;

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

/// What waits for one domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Messages with at least one recipient there.
    pub(super) messages: u32,
    pub(super) recipients: u32,
    /// Arrival of the oldest.
    pub(super) oldest: Option<i64>,
}

impl Waiting {
    pub(super) fn add(&mut self, recipients: u32, arrival: i64) {
        self.messages = self.messages.saturating_add(1);
        self.recipients = self.recipients.saturating_add(recipients);
        self.oldest = Some(self.oldest.map_or(arrival, |oldest| oldest.min(arrival)));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.recipients = self.recipients.saturating_add(other.recipients);
        self.oldest = match (self.oldest, other.oldest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// The domains with the most recipients waiting, and the sum of all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    pub(super) top: Vec<(Arc<[u8]>, Waiting)>,
    pub(super) other: Waiting,
}

/// How many domains to tell by name, and which ones were at the last reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) most: usize,
    shown: FxHashSet<Arc<[u8]>>,
}

impl Wanted {
    pub(super) fn new(most: usize) -> Self {
        Self { most, shown: FxHashSet::default() }
    }

    /// Remembers what is told now.
    pub(super) fn remember(&mut self, backlog: &Backlog) {
        self.shown = backlog.top.iter().map(|(name, _)| name.clone()).collect();
    }
}

impl Backlog {
    /// Picks the largest. `waiting` stands by number, 0 being what has no name.
    pub(super) fn pick(domains: &Domains, waiting: &[Waiting], wanted: &Wanted) -> Self {
        let mut order: Vec<Domain> =
            (1..waiting.len() as Domain).filter(|n| waiting[*n as usize].recipients > 0).collect();
        // Among equals those stay that are shown, since every newcomer takes the place of a name; then names decide.
        let new = |n: Domain| domains.name(n).is_none_or(|name| !wanted.shown.contains(name));
        let compare = |a: &Domain, b: &Domain| {
            let by_size = waiting[*b as usize].recipients.cmp(&waiting[*a as usize].recipients);
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
        ] {
            assert_eq!(of_address(address.as_bytes()), domain.as_bytes(), "{address}");
        }
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
            waiting[number].add(recipients, arrival);
        }
        let pick = |most| Backlog::pick(&domains, &waiting, &Wanted::new(most));
        let backlog = pick(2);
        let names: Vec<_> = backlog.top.iter().map(|(name, w)| (&**name, w.messages, w.recipients, w.oldest)).collect();
        assert_eq!(names, [(&b"b"[..], 2, 8, Some(6)), (b"a", 1, 5, Some(8))]);
        assert_eq!(backlog.other, Waiting { messages: 3, recipients: 7, oldest: Some(4) });
        assert_eq!(pick(0).top.len(), 0);
        // c and d: equal, and c comes first by name, unless d has been shown.
        waiting[4].recipients = 5;
        waiting[1].recipients = 0;
        let mut wanted = Wanted::new(2);
        let second = |wanted: &Wanted| Backlog::pick(&domains, &waiting, wanted).top[1].0.to_vec();
        assert_eq!(second(&wanted), b"c");
        wanted.remember(&Backlog { top: vec![(b"d"[..].into(), Waiting::default())], ..Backlog::default() });
        assert_eq!(second(&wanted), b"d");
        domains.retain(|n| n != 2);
        assert_eq!((domains.number(b"e"), domains.number(b"a"), domains.number(b"b")), (2, 1, 5));
    }
}
