//! Why mail waits and who sent it, as `postqueue -j` and `qshape -s` say.

use super::{Watch, now, qshape_by};
use crate::common::{QueuedMessage, TestPostfix};
use postfix_agentx::postfix::{defer_reason::DeferReason, reason::Cause, reason_text};
use std::collections::BTreeMap;

const BACKLOG: [&str; 3] = ["incoming", "active", "deferred"];

/// A row of postfixDomainTable.
#[derive(Debug, PartialEq)]
struct Why {
    reason: Option<u32>,
    text: Option<String>,
}

impl Watch {
    fn optional_text(&self, below: &[u32]) -> Option<String> {
        self.value(below).map(|_| self.text(below))
    }

    /// postfixDomainTable by name: why each waits.
    fn why(&self, instance: u32) -> BTreeMap<String, Why> {
        let column = |column, index| [1, 4, 3, 1, column, instance, index];
        let indices = (1..200).filter(|index| self.value(&column(2, *index)).is_some());
        let row = |index| Why { reason: self.gauge(&column(6, index)), text: self.optional_text(&column(7, index)) };
        indices.map(|index| (own_name(&self.text(&column(2, index))), row(index))).collect()
    }

    /// postfixQueueSenderTable by name: messages, recipients, age of the oldest.
    fn senders(&self, instance: u32) -> BTreeMap<String, [u32; 3]> {
        let column = |column, index| [1, 4, 5, 1, column, instance, index];
        let indices = (1..200).filter(|index| self.value(&column(2, *index)).is_some());
        let row = |index| [3, 4, 5].map(|number| self.gauge(&column(number, index)).unwrap());
        indices.map(|index| (own_name(&self.text(&column(2, index))), row(index))).collect()
    }

    /// What the tables say of senders and reasons is what Postfix lists.
    #[track_caller]
    pub(super) fn backlog_agrees(&self, instance: u32, postfix: &TestPostfix, listed: &[QueuedMessage]) {
        let backlog = || listed.iter().filter(|m| BACKLOG.contains(&m.queue_name.as_str()));
        let mut senders: BTreeMap<String, [u32; 3]> = BTreeMap::new();
        for message in backlog() {
            let sender = message.sender.rsplit('@').next().unwrap().to_ascii_lowercase();
            let sender = if message.sender == "MAILER-DAEMON" { "<>".to_owned() } else { sender };
            let row = senders.entry(sender).or_default();
            row[0] += 1;
            row[1] += message.recipients.len() as u32;
            row[2] = row[2].max((now() - message.arrival_time) as u32);
        }
        let mut seen = self.senders(instance);
        assert_eq!(seen.remove("(other)"), Some([0; 3]), "all senders fit");
        let counts = |rows: &BTreeMap<String, [u32; 3]>| -> Vec<(String, u32, u32)> {
            rows.iter().map(|(name, [messages, recipients, _])| (name.clone(), *messages, *recipients)).collect()
        };
        assert_eq!(counts(&seen), counts(&senders), "by sender");
        for (name, [.., age]) in &seen {
            assert!(age.abs_diff(senders[name][2]) <= 2, "{name}: {age} s, and {} s", senders[name][2]);
        }
        // The other judge leaves out what is forced to expire.
        if backlog().all(|m| !m.forced_expire && !m.recipients.is_empty()) {
            let (_, _, shape) = qshape_by(postfix, &["-s"], &BACKLOG);
            let name = |name: &str| if name == "<>" { "mailer-daemon".to_owned() } else { name.to_owned() };
            let seen: BTreeMap<String, u32> = seen.iter().map(|(n, [messages, ..])| (name(n), *messages)).collect();
            assert_eq!(seen, shape, "qshape -s");
        }

        let mut reasons: BTreeMap<String, BTreeMap<(DeferReason, String), u32>> = BTreeMap::new();
        for recipient in backlog().filter(|m| m.queue_name == "deferred").flat_map(|m| &m.recipients) {
            let Some(reason) = &recipient.delay_reason else { continue };
            let domain = recipient.address.rsplit('@').next().unwrap().to_ascii_lowercase();
            let class = Cause::of(None, reason.as_bytes(), recipient.address.as_bytes()).into();
            let reason = (class, reason_text::plain(reason.as_bytes()));
            *reasons.entry(domain).or_default().entry(reason).or_default() += 1;
        }
        for (domain, why) in self.why(instance) {
            let Some(counts) = reasons.get(&domain) else {
                assert_eq!((why.reason, why.text), (None, None), "{domain}: nobody waits with a reason");
                continue;
            };
            let sum = |class| counts.iter().filter(|((c, _), _)| *c == class).map(|(_, n)| *n).sum::<u32>();
            let class = DeferReason::ALL[why.reason.expect("a reason") as usize - 1];
            let most = DeferReason::ALL.into_iter().map(sum).max().unwrap();
            assert_eq!(sum(class), most, "{domain}: {class:?} of {counts:?}");
            let text = why.text.unwrap_or_default();
            let texts = || counts.iter().filter(|((c, _), _)| *c == class).map(|((_, text), n)| (text, *n));
            let most = texts().map(|(_, n)| n).max();
            assert!(texts().any(|(t, n)| *t == text && Some(n) == most), "{domain}: {text:?} of {counts:?}");
        }
    }
}

/// Without the instance's.
fn own_name(name: &str) -> String {
    name.split_once(' ').expect("the instance's name").1.to_owned()
}
