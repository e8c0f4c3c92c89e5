//! postfixTemplate*: the patterns of SolarWinds SAM's Postfix template, taken literally. Each physical line counts once for
//! each pattern it has, whatever wrote it. The corrected objects are named in the MIB's descriptions.

use aho_corasick::{
    AhoCorasick,
    packed::{self, Searcher},
};
use serde::{Deserialize, Serialize};

/// Lines that have each pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct Template {
    pub delivered: u64,
    pub forwarded: u64,
    pub rejected: u64,
    pub received: u64,
    pub discarded: u64,
    pub deferred: u64,
    pub bounced: u64,
    pub held: u64,
    pub fatal: u64,
    pub warning: u64,
    pub panic: u64,
    pub error: u64,
}

/// Finds all patterns in one pass over the line. The four that begin with `status=` share one needle.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    /// SIMD, where the processor has it.
    packed: Option<Searcher>,
    portable: AhoCorasick,
}

const NEEDLES: [&str; 9] =
    ["status=", "reject:", "discard:", "hold:", " fatal:", " warning:", " panic:", " error:", "postfix/pickup"];

impl Patterns {
    /// `None` only if the patterns above were impossible.
    pub(super) fn new() -> Option<Self> {
        let packed = packed::Config::new().builder().extend(NEEDLES).build();
        Some(Self { packed, portable: AhoCorasick::new(NEEDLES).ok()? })
    }

    /// Counts `line`.
    pub(super) fn count(&self, line: &[u8], template: &mut Template) {
        let mut hits = 0_u16;
        match &self.packed {
            Some(searcher) => {
                searcher.find_iter(line).for_each(|m| hits |= hit(line, m.pattern().as_usize(), m.end()));
            }
            None => self.portable.find_iter(line).for_each(|m| hits |= hit(line, m.pattern().as_usize(), m.end())),
        }
        if hits == 0 {
            return;
        }
        let counters: [&mut u64; 12] = [
            &mut template.delivered,
            &mut template.rejected,
            &mut template.discarded,
            &mut template.held,
            &mut template.fatal,
            &mut template.warning,
            &mut template.panic,
            &mut template.error,
            &mut template.received,
            &mut template.forwarded,
            &mut template.deferred,
            &mut template.bounced,
        ];
        for (bit, counter) in counters.into_iter().enumerate() {
            *counter += u64::from(hits >> bit & 1);
        }
    }
}

fn hit(line: &[u8], needle: usize, end: usize) -> u16 {
    match needle {
        0 => match &line[end..] {
            [b'd', b'e', b'f', ..] if line[end..].starts_with(b"deferred") => 1 << 10,
            [b'b', ..] if line[end..].starts_with(b"bounced") => 1 << 11,
            [b's', ..] if line[end..].starts_with(b"sent (delivered to") => 1,
            [b's', ..] if line[end..].starts_with(b"sent (forwarded to") => 1 << 9,
            _ => 0,
        },
        8 => {
            let origin = |word: &[u8]| memchr::memmem::find(line, word).is_some();
            u16::from(origin(b"sender=") || origin(b"uid=")) << 8
        }
        other => 1 << other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the template's Perl does.
    fn literally(line: &[u8]) -> [u64; 12] {
        let has = |pattern: &str| u64::from(memchr::memmem::find(line, pattern.as_bytes()).is_some());
        [
            has("status=sent (delivered to"),
            has("status=sent (forwarded to"),
            has("reject:"),
            has("postfix/pickup") & (has("sender=") | has("uid=")),
            has("discard:"),
            has("status=deferred"),
            has("status=bounced"),
            has("hold:"),
            has(" fatal:"),
            has(" warning:"),
            has(" panic:"),
            has(" error:"),
        ]
    }

    fn counted(line: &[u8]) -> [u64; 12] {
        let mut t = Template::default();
        Patterns::new().unwrap().count(line, &mut t);
        [
            t.delivered,
            t.forwarded,
            t.rejected,
            t.received,
            t.discarded,
            t.deferred,
            t.bounced,
            t.held,
            t.fatal,
            t.warning,
            t.panic,
            t.error,
        ]
    }

    #[test]
    fn each_pattern_once_a_line() {
        let twice = b"Nov 22 01:17:30 vm x: reject: reject: status=bounced status=deferred hold: warning: warning:";
        assert_eq!(counted(twice), literally(twice));
        assert_eq!(counted(b"milter-reject: x")[2], 1, "SAM's pattern has it too");
        assert_eq!(counted(b"Nov 22 01:17:30 vm postfix/pickup[1]: 55ECFB6612: uid=0 from=<root>")[3], 1);
    }

    proptest! {
        #[test]
        fn as_a_plain_search_finds_them(
            parts in proptest::collection::vec(
                prop_oneof![
                    "(status=)?(sent \\()?(delivered to|forwarded to|deferred|bounced)", "(milter-)?(reject|discard|hold|fatal|panic):",
                    " (fatal|warning|panic|error):", "postfix/pickup", "uid=", "sender=", ".{0,40}"
                ], 0..8)
        ) {
            let line = parts.concat().replace('\n', " ").into_bytes();
            prop_assert_eq!(counted(&line), literally(&line));
        }
    }
}
