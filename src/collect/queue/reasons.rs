//! Why mail waits, by domain: a small number for every text that differs in more than numbers and addresses, and which of
//! them most recipients of a domain wait for.

use super::domains::{self, Domain};
use crate::postfix::{defer_log::Waiting, defer_reason::DeferReason, reason_text};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Number of a text; 0 is no reason at all.
pub(super) type Text = u32;
/// What of a recipient's domain and reason is remembered together, in 32 bits: [`why`].
pub(super) type Why = u32;

/// So many bits a number takes: what a domain's leaves of 32.
const BITS: u32 = u32::BITS - domains::BITS;
/// So many texts are told apart at once. Of the rest the class alone is known: servers that say something else each time
/// must not eat the memory.
const TEXTS: usize = 1 << 13;
/// The first numbers stand for a class of which no text is known.
const CLASSES: Text = DeferReason::ALL.len() as Text;

const _: () = assert!(TEXTS + DeferReason::ALL.len() < 1 << BITS);

/// Domain and reason of a recipient.
pub(super) fn why(domain: Domain, text: Text) -> Why {
    domain << BITS | text
}

pub(super) fn domain_of(why: Why) -> Domain {
    why >> BITS
}

pub(super) fn text_of(why: Why) -> Text {
    why & ((1 << BITS) - 1)
}

/// Class and text of a reason, as they are looked for in [`Texts`].
#[derive(Debug)]
pub(super) struct Judged {
    class: DeferReason,
    text: String,
}

impl Judged {
    pub(super) fn of(waiting: Waiting<'_>) -> Self {
        Self { class: waiting.class(), text: reason_text::plain(waiting.reason) }
    }
}

/// Texts → numbers. A number is free again once nobody waits for that reason.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// By class.
    numbers: [FxHashMap<Arc<str>, Text>; DeferReason::ALL.len()],
    /// By number, after those of the classes.
    texts: Vec<Option<(DeferReason, Arc<str>)>>,
    free: Vec<Text>,
}

impl Texts {
    /// The number of a reason.
    pub(super) fn number(&mut self, judged: &Judged) -> Text {
        let class = judged.class as Text;
        let Some(numbers) = self.numbers.get_mut(class as usize - 1) else { return class };
        if let Some(number) = numbers.get(&*judged.text) {
            return *number;
        }
        if judged.text.is_empty() {
            return class;
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.texts.len() < TEXTS => {
                self.texts.push(None);
                CLASSES + self.texts.len() as Text
            }
            None => return class,
        };
        let text: Arc<str> = judged.text.as_str().into();
        numbers.insert(text.clone(), number);
        if let Some(slot) = self.texts.get_mut((number - CLASSES) as usize - 1) {
            *slot = Some((judged.class, text));
        }
        number
    }

    /// No number is larger.
    pub(super) fn last(&self) -> usize {
        CLASSES as usize + self.texts.len()
    }

    fn slot(&self, number: Text) -> Option<&(DeferReason, Arc<str>)> {
        self.texts.get((number as usize).checked_sub(CLASSES as usize + 1)?)?.as_ref()
    }

    /// What class of reason it is.
    pub(super) fn class(&self, number: Text) -> Option<DeferReason> {
        match number {
            0 => None,
            1..=CLASSES => DeferReason::ALL.get(number as usize - 1).copied(),
            _ => self.slot(number).map(|(class, _)| *class),
        }
    }

    /// The same reason with its text forgotten.
    pub(super) fn without_text(&self, number: Text) -> Text {
        self.class(number).map_or(0, |class| class as Text)
    }

    /// Frees every number for which `used` says no.
    pub(super) fn retain(&mut self, used: impl Fn(Text) -> bool) {
        for (position, slot) in self.texts.iter_mut().enumerate() {
            let number = CLASSES + position as Text + 1;
            if !used(number)
                && let Some((class, text)) = slot.take()
            {
                self.numbers[class as usize - 1].remove(&text);
                self.free.push(number);
            }
        }
    }
}

/// What the recipients of one row wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reasons {
    classes: [OfClass; DeferReason::ALL.len()],
}

/// Those who wait for one class of reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfClass {
    recipients: u64,
    /// The text that most of them have, and how many.
    text: Option<(Arc<str>, u64)>,
}

impl Reasons {
    fn add(&mut self, class: DeferReason, text: Option<&Arc<str>>, recipients: u64) {
        let of = &mut self.classes[class as usize - 1];
        of.recipients += recipients;
        let Some(text) = text else { return };
        // Among equals the first of the alphabet, so that a row does not change for nothing.
        let more = of.text.as_ref().is_none_or(|(other, most)| (recipients, other) > (*most, text));
        if more {
            of.text = Some((text.clone(), recipients));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            mine.recipients += theirs.recipients;
            match (&mut mine.text, &theirs.text) {
                (Some((text, count)), Some((same, more))) if text == same => *count += more,
                (Some((_, count)), Some((_, more))) if more <= count => {}
                (_, None) => {}
                (mine, theirs) => *mine = theirs.clone(),
            }
        }
    }

    /// The class most of them wait for, and the text most of those have; the first of several that are as many.
    pub(super) fn first(&self) -> Option<(DeferReason, Option<&Arc<str>>)> {
        let all = DeferReason::ALL.into_iter().zip(&self.classes).rev();
        let (class, most) = all.max_by_key(|(_, of)| of.recipients)?;
        (most.recipients > 0).then(|| (class, most.text.as_ref().map(|(text, _)| text)))
    }
}

/// Recipients by row and text, while they are counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: FxHashMap<(u32, Text), u64>,
}

impl Tally {
    pub(super) fn add(&mut self, row: u32, text: Text, recipients: u64) {
        *self.counts.entry((row, text)).or_default() += recipients;
    }

    /// The reasons of so many rows.
    pub(super) fn finish(self, rows: usize, texts: &Texts) -> Vec<Reasons> {
        let mut all = vec![Reasons::default(); rows];
        for ((row, number), recipients) in self.counts {
            if let (Some(reasons), Some(class)) = (all.get_mut(row as usize), texts.class(number)) {
                reasons.add(class, texts.slot(number).map(|(_, text)| text), recipients);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(class: DeferReason, text: &str) -> Judged {
        Judged { class, text: text.into() }
    }

    #[test]
    fn texts_have_numbers_for_as_long_as_somebody_waits() {
        let mut texts = Texts::default();
        let a = texts.number(&judged(DeferReason::Local, "a"));
        let b = texts.number(&judged(DeferReason::Policy, "a"));
        assert_ne!(a, b, "the same words in two classes");
        assert_eq!(texts.number(&judged(DeferReason::Local, "a")), a);
        assert_eq!((texts.class(a), texts.class(b)), (Some(DeferReason::Local), Some(DeferReason::Policy)));
        assert_eq!(texts.without_text(b), DeferReason::Policy as Text);
        let none = texts.number(&judged(DeferReason::Tls, ""));
        assert_eq!((none, texts.class(none), texts.class(0)), (6, Some(DeferReason::Tls), None));
        texts.retain(|number| number == b);
        assert_eq!(texts.class(a), None);
        assert_eq!(texts.number(&judged(DeferReason::Tls, "c")), a, "it is free again");
        let many: Vec<Text> =
            (0..TEXTS + 9).map(|n| texts.number(&judged(DeferReason::Other, &n.to_string()))).collect();
        assert_eq!(many.iter().filter(|n| **n == DeferReason::Other as Text).count(), 11, "the rest has its class");
        assert_eq!(texts.last(), TEXTS + DeferReason::ALL.len());
        assert!(many.iter().all(|n| *n as usize <= texts.last() && text_of(why(9, *n)) == *n));
        assert_eq!(domain_of(why((1 << domains::BITS) - 1, many[0])), (1 << domains::BITS) - 1);
    }

    #[test]
    fn what_most_recipients_wait_for_is_shown() {
        let mut texts = Texts::default();
        let mut tally = Tally::default();
        let mut number = |class, text: &str| texts.number(&judged(class, text));
        let (quota, full) = (number(DeferReason::OverQuota, "quota"), number(DeferReason::OverQuota, "full"));
        let grey = number(DeferReason::Greylisted, "grey");
        for (row, text, recipients) in
            [(0, quota, 3), (0, full, 3), (0, grey, 5), (0, quota, 1), (1, grey, 2), (2, 8, 1)]
        {
            tally.add(row, text, recipients);
        }
        let rows = tally.finish(4, &texts);
        let first = |reasons: &Reasons| reasons.first().map(|(class, text)| (class, text.map(|t| t.to_string())));
        let expected = |class, text: &str| Some((class, Some(text.to_owned())));
        assert_eq!(first(&rows[0]), expected(DeferReason::OverQuota, "quota"), "7 of 12");
        assert_eq!(first(&rows[1]), expected(DeferReason::Greylisted, "grey"));
        assert_eq!(first(&rows[2]), Some((DeferReason::OverQuota, None)), "its text is not known");
        assert_eq!(first(&rows[3]), None, "nobody waits");
        let mut merged = rows[0].clone();
        merged.merge(&rows[1]);
        assert_eq!(first(&merged), expected(DeferReason::Greylisted, "grey"), "7 of 14, and it is the first one");
    }
}
