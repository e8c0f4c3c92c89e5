//! postfixPatternTable: lines that have an expression of the configuration, all expressions in one pass over a line.
//!
//! What is matched is the whole line as it stands in the file, header included, so that a pattern counts what `grep -cE` of
//! the same file counts; of a line that is a record (JSON, the journal's export) it is `program[pid]: text`. Whatever wrote
//! it counts, Postfix or not. Where a syslog daemon says that a line was repeated, the line counts as often.

use super::{
    engine::{Engine, REPETITIONS, Source},
    tables::instant,
};
use crate::{
    collect::registry::Registry,
    config::pattern::{self, Pattern},
    mib::{
        Fragment,
        Get::{Age, Counter32, Text},
        Index, Table, column, text,
    },
    postfix::log::{Line, Tag},
};
use regex::bytes::RegexSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was counted, by a pattern's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    names: Option<Registry>,
    counts: BTreeMap<String, Count>,
}

/// Of one pattern.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Count {
    matches: u64,
    /// When the last line was written, seconds since 1970; 0: there was none.
    last: i64,
}

/// The patterns of the configuration.
#[derive(Debug)]
pub(super) struct Matcher {
    patterns: Vec<Pattern>,
    /// postfixPatternIndex of each.
    indices: Vec<Option<u32>>,
    set: RegexSet,
    counts: Vec<Count>,
    saved: Saved,
}

impl Matcher {
    /// Takes over what was counted; `None` where there is no pattern.
    pub(super) fn new(patterns: &[Pattern], mut saved: Saved) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        let set = match pattern::set(patterns) {
            Ok(set) => set,
            // The configuration was checked with them.
            Err(e) => {
                tracing::error!("{e}");
                return None;
            }
        };
        let names = saved.names.get_or_insert_with(|| Registry::new(1));
        let indices = patterns.iter().map(|pattern| names.claim(&pattern.name).index).collect();
        saved.counts.retain(|name, _| names.get(name).is_some());
        let counts = patterns.iter().map(|p| saved.counts.get(&p.name).copied().unwrap_or_default()).collect();
        Some(Self { patterns: patterns.to_vec(), indices, set, counts, saved })
    }

    /// To be saved.
    pub(super) fn save(&self) -> Saved {
        let mut saved = self.saved.clone();
        saved.counts.extend(self.patterns.iter().map(|p| p.name.clone()).zip(self.counts.iter().copied()));
        saved
    }

    /// What was noted while the clock was ahead.
    pub(super) fn settle_clock(&mut self, now: i64) {
        self.counts.iter_mut().for_each(|count| count.last = count.last.min(now));
    }

    /// Lines by pattern, in the order of the configuration.
    #[cfg(test)]
    pub(super) fn matches(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.matches).collect()
    }

    /// postfixPatternIndex by pattern.
    #[cfg(test)]
    pub(super) fn indices(&self) -> &[Option<u32>] {
        &self.indices
    }

    fn hits(&self, text: &[u8], tag: &[u8]) -> Vec<usize> {
        let hits = self.set.matches(text);
        let of_program = |at: &usize| self.patterns[*at].program.as_ref().is_none_or(|p| is_of(tag, p.as_bytes()));
        if hits.matched_any() { hits.iter().filter(of_program).collect() } else { Vec::new() }
    }
}

/// Whether a tag is of this program: `postfix/smtpd` is of `postfix/smtpd` and of `smtpd`.
fn is_of(tag: &[u8], program: &[u8]) -> bool {
    tag == program || Tag::new(tag).program == program
}

impl Engine {
    /// Counts what the patterns of the configuration say of a line; `raw` is the line as it stands in the file, where it is
    /// no record, and `previous` the one before it.
    pub(super) fn match_patterns(
        &mut self,
        source: &mut Source,
        raw: Option<&[u8]>,
        line: &Line<'_>,
        previous: Option<&[u8]>,
    ) {
        if self.matcher.is_none() {
            return;
        }
        // What says more is no repetition, but a line like any other.
        match line.repeated().filter(|(times, _)| *times <= REPETITIONS) {
            Some((times, None)) => {
                let kept = std::mem::take(&mut source.previous);
                let before = previous.unwrap_or(&kept);
                let line = Line::split(before);
                if line.repeated().is_none() {
                    self.match_line(source, before, line.tag, times.into());
                }
                source.previous = kept;
            }
            repeated => {
                let times = repeated.map_or(1, |(times, _)| times);
                let pid = line.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
                let whole = || [line.tag, pid.as_bytes(), b": ", line.text].concat();
                match raw {
                    Some(raw) => self.match_line(source, raw, line.tag, times.into()),
                    None => self.match_line(source, &whole(), line.tag, times.into()),
                }
            }
        }
    }

    fn match_line(&mut self, source: &mut Source, text: &[u8], tag: &[u8], times: u64) {
        let hits = self.matcher.as_ref().map(|matcher| matcher.hits(text, tag)).unwrap_or_default();
        for at in hits {
            let wanted = self.matcher.as_ref().and_then(|matcher| matcher.patterns[at].instance.clone());
            if wanted.is_some_and(|name| !self.is_instances(source, tag, &name)) {
                continue;
            }
            let now = self.now;
            if let Some(count) = self.matcher.as_mut().and_then(|matcher| matcher.counts.get_mut(at)) {
                count.matches = count.matches.saturating_add(times);
                count.last = now;
            }
        }
    }

    /// Whether a line is of the instance of this name: Postfix's by its tag, others where the file is that instance's alone.
    fn is_instances(&mut self, source: &mut Source, tag: &[u8], name: &str) -> bool {
        let position = self.position(source, tag).or(source.owner);
        position.and_then(|at| self.instances.get(at)).is_some_and(|instance| instance.settings.name == name)
    }

    /// The rows, for those of the patterns that have an index.
    pub(super) fn pattern_fragment(&self) -> Fragment {
        let rows: Vec<_> = self
            .matcher
            .iter()
            .flat_map(|m| m.patterns.iter().zip(&m.indices).zip(&m.counts))
            .filter_map(|((pattern, index), count)| {
                Some(PatternRow { index: (*index)?, name: pattern.name.clone(), count: *count })
            })
            .collect();
        PATTERNS.fragment(&rows)
    }
}

/// One pattern.
pub(super) struct PatternRow {
    index: u32,
    name: String,
    count: Count,
}

pub(super) static PATTERNS: Table<PatternRow> = Table {
    name: "postfixPatternTable",
    entry: &[1, 5, 13, 1],
    index: |r| Index::from_slice(&[r.index]),
    columns: &[
        column(2, "postfixPatternName", Text(|r| Some(text(&r.name, 64)))),
        column(3, "postfixPatternMatches", Counter32(|r| Some(r.count.matches))),
        column(4, "postfixPatternLastMatchAge", Age(|r| instant(r.count.last))),
    ],
};
