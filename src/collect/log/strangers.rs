//! What a log holds that is nobody's: whether "nothing was counted" means that nothing happened, or that nothing was
//! understood.
//!
//! Counted from the last line that was an instance's on, by what the line looks like. A quiet Postfix and a log in a form
//! that is not read look alike in the counters; here they do not. What a line says is never looked at, so nobody who sends
//! mail can make a log look foreign.

use crate::{advice, postfix::log::text};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// So many lines without a tag, or of a Postfix by another name, are no accident.
const FEW: u64 = 20;
/// So many are none in a log that has been understood before, or where only other programs speak.
const MANY: u64 = 200;
/// In a log that other programs share they may speak for long while Postfix has nothing to do.
const SHARED: u64 = 2_000;

/// What a line that is nobody's looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No `program[pid]:` was found in it.
    Unread,
    /// One of Postfix's programs, under a syslog_name that no known instance has.
    Postfix,
    /// Another program's.
    Other,
}

/// Lines since the last one that was an instance's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Strangers {
    unread: u64,
    postfix: u64,
    others: u64,
    /// The syslog_name of the last of Postfix's lines.
    name: String,
}

impl Strangers {
    /// So many lines of nobody's; `name` is what stands before their program.
    pub(super) fn note(&mut self, kind: Kind, name: &[u8], times: u64) {
        let counter = match kind {
            Kind::Unread => &mut self.unread,
            Kind::Postfix => &mut self.postfix,
            Kind::Other => &mut self.others,
        };
        *counter = counter.saturating_add(times);
        if kind == Kind::Postfix && self.name.as_bytes() != name {
            self.name = text::name(name);
        }
    }

    /// An instance's line was understood.
    pub(super) fn clear(&mut self) {
        if *self != Self::default() {
            *self = Self::default();
        }
    }

    /// Of a whole file of so many lines: whether all of them, or nearly, are in no form that is read.
    pub(super) fn unreadable(&self, lines: u64) -> bool {
        lines > 0 && lines == self.unread + self.postfix + self.others && self.unread > self.postfix + self.others
    }

    /// Why nothing of `syslog_name` in `log` can be believed to be missing, and what to do; `None` where all is well or it is
    /// too early to tell. `before` says that lines of it were once understood, `own` that the log is its alone.
    pub(super) fn complaint(&self, log: &str, syslog_name: &str, before: bool, own: bool) -> Option<String> {
        let remedy = "give the right file as `log: { files: [/path] }` in the configuration";
        if self.unread >= if before { MANY } else { FEW } && self.unread > self.postfix + self.others {
            return Some(format!(
                "{log}: nothing in it is understood: {} lines have no `{syslog_name}/program[pid]:`; let the syslog daemon \
                 write its traditional form, RFC 5424 or JSON, or {remedy}; see what is not understood: \
                 postfix-agentx count {}",
                self.unread,
                advice::quoted(Path::new(log))
            ));
        }
        if before {
            return None;
        }
        if self.postfix >= FEW {
            return Some(format!(
                "{log}: {} lines are of a Postfix called {} and none of {syslog_name}; if that is this instance, set \
                 `syslog_name: {}` for it in the configuration, else {remedy}",
                self.postfix, self.name, self.name
            ));
        }
        (self.others >= if own { MANY } else { SHARED }).then(|| {
            format!(
                "{log}: {} lines are of other programs or hosts and none is of {syslog_name}; if Postfix logs elsewhere {remedy}",
                self.others
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(kind: Kind, times: u64) -> Strangers {
        let mut strangers = Strangers::default();
        strangers.note(kind, b"other", times);
        strangers
    }

    #[test]
    fn each_kind_has_its_own_patience() {
        for (kind, before, own, enough) in [
            (Kind::Unread, false, false, Some(FEW)),
            (Kind::Unread, true, false, Some(MANY)),
            (Kind::Postfix, false, true, Some(FEW)),
            (Kind::Postfix, true, true, None),
            (Kind::Other, false, true, Some(MANY)),
            (Kind::Other, false, false, Some(SHARED)),
            (Kind::Other, true, true, None),
        ] {
            let said = |times| noted(kind, times).complaint("/x.log", "postfix", before, own).is_some();
            match enough {
                Some(enough) => assert!(!said(enough - 1) && said(enough), "{kind:?} {before} {own}"),
                None => assert!(!said(SHARED * 2), "{kind:?} {before} {own}"),
            }
        }
    }

    #[test]
    fn one_line_that_is_understood_ends_it() {
        let mut strangers = noted(Kind::Unread, MANY);
        strangers.clear();
        assert_eq!(strangers, Strangers::default());
    }
}
