//! What LibreNMS's own Postfix application reads: the output of two scripts, `extend mailq` and `extend postfixdetailed`,
//! below NET-SNMP-EXTEND-MIB. Here it is computed from POSTFIX-MIB, and only these instances are registered, so that real
//! `extend` entries of the same snmpd stand beside them.
//!
//! LibreNMS draws both as levels. For the second that means: how often since the poll before. An agent that is asked by
//! whom it may be cannot know that; it tells how often within the last `librenms_step`. A number that is not known is an
//! empty line, which LibreNMS draws as a gap.

use crate::{
    collect::published::Published,
    mib::{Fragment, Get, Index, Module, Table, TableOf, column},
    smi::Octets,
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// nsExtendObjects of net-snmp.
pub static NET_SNMP_EXTEND_MIB: Module = Module {
    name: "NET-SNMP-EXTEND-MIB",
    root: Some(&[1, 3, 6, 1, 4, 1, 8072, 1, 3, 2]),
    priority: Some(100),
    whole: false,
    nodes: &[
        &[2, 1, 21, 5, 109, 97, 105, 108, 113],
        &[2, 1, 21, 15, 112, 111, 115, 116, 102, 105, 120, 100, 101, 116, 97, 105, 108, 101, 100],
        &[3, 1, 2, 5, 109, 97, 105, 108, 113],
        &[3, 1, 2, 15, 112, 111, 115, 116, 102, 105, 120, 100, 101, 116, 97, 105, 108, 101, 100],
    ],
};

/// One instance, as a table without an index: the last number of its name stands for the column. The names of the two
/// scripts have different lengths, and as indices do not go into one table.
macro_rules! instance {
    ($name:ident, $shown:literal, $entry:expr, $last:literal, $row:ty, $get:expr) => {
        pub(super) static $name: TableOf<$row> = TableOf {
            module: &NET_SNMP_EXTEND_MIB,
            table: Table {
                name: $shown,
                entry: $entry,
                index: |_| Index::new(),
                columns: &[column($last, $shown, $get)],
            },
        };
    };
}

/// RowStatus active(1): the entry exists, which is what LibreNMS's discovery looks for.
const ACTIVE: Get<()> = Get::Integer(|()| Some(1));
const TEXT: Get<Octets> = Get::Text(|text| Some(text.clone()));
instance!(MAILQ_STATUS, "nsExtendStatus.\"mailq\"", &[2, 1, 21, 5, 109, 97, 105, 108], 113, (), ACTIVE);
instance!(
    DETAILED_STATUS,
    "nsExtendStatus.\"postfixdetailed\"",
    &[2, 1, 21, 15, 112, 111, 115, 116, 102, 105, 120, 100, 101, 116, 97, 105, 108, 101],
    100,
    (),
    ACTIVE
);
instance!(MAILQ, "nsExtendOutputFull.\"mailq\"", &[3, 1, 2, 5, 109, 97, 105, 108], 113, Octets, TEXT);
instance!(
    DETAILED,
    "nsExtendOutputFull.\"postfixdetailed\"",
    &[3, 1, 2, 15, 112, 111, 115, 116, 102, 105, 120, 100, 101, 116, 97, 105, 108, 101],
    100,
    Octets,
    TEXT
);

/// Lines of postfixdetailed.
const LINES: usize = 32;
/// Samples within a step.
const SAMPLES: u32 = 300;

/// The counters at one moment, and the instances they are of.
struct Sample {
    at: Instant,
    instances: Vec<u32>,
    counters: [Option<u64>; LINES],
}

/// The counters of the last step.
#[derive(Default)]
pub(super) struct History(VecDeque<Sample>);

impl History {
    /// The four objects, for these instances.
    pub(super) fn project(&mut self, published: &Published<'_>, instances: &[u32], step: Duration) -> [Fragment; 4] {
        let now = Sample { at: published.now, instances: instances.to_vec(), counters: counters(published, instances) };
        let detailed = lines(&self.since(&now, step));
        if self.0.back().is_none_or(|last| now.at.saturating_duration_since(last.at) >= step / SAMPLES) {
            self.0.push_back(now);
        }
        let mailq = lines(&queues(published, instances));
        [
            MAILQ_STATUS.fragment(&[()]),
            DETAILED_STATUS.fragment(&[()]),
            MAILQ.fragment(&[mailq]),
            DETAILED.fragment(&[detailed]),
        ]
    }

    /// What was counted in the step before `now`. None before the agent has seen a whole step, nor where a counter began
    /// anew or another instance is counted within it.
    fn since(&mut self, now: &Sample, step: Duration) -> [Option<u64>; LINES] {
        let old_enough = |sample: &Sample| now.at.saturating_duration_since(sample.at) >= step;
        while self.0.get(1).is_some_and(old_enough) {
            self.0.pop_front();
        }
        let before = self.0.front().filter(|sample| old_enough(sample) && sample.instances == now.instances);
        let difference = |line: usize| now.counters[line]?.checked_sub(before?.counters[line]?);
        std::array::from_fn(difference)
    }
}

/// A number a line. LibreNMS cuts white space off both ends, so that the first line alone must not be empty.
fn lines(numbers: &[Option<u64>]) -> Octets {
    let known = numbers.first().is_some_and(Option::is_some);
    let line = |number: &Option<u64>| number.filter(|_| known).map(|n| n.to_string()).unwrap_or_default();
    let text: Vec<String> = numbers.iter().map(line).collect();
    Arc::from(text.join("\n").into_bytes())
}

/// incoming, active, deferred, hold: recipients, as the script's qshape counts them.
fn queues(published: &Published<'_>, instances: &[u32]) -> [Option<u64>; 4] {
    [2, 3, 4, 5].map(|kind| sum(published, instances, "postfixQueueRecipients", &[kind]))
}

/// Over all instances, or none.
fn sum(published: &Published<'_>, instances: &[u32], column: &str, index: &[u32]) -> Option<u64> {
    if instances.is_empty() {
        return None;
    }
    instances.iter().map(|instance| published.number(column, &[&[*instance], index].concat())).sum()
}

/// In the order in which LibreNMS reads them. Lines of the script that POSTFIX-MIB does not count are none.
fn counters(published: &Published<'_>, instances: &[u32]) -> [Option<u64>; LINES] {
    let mail = |column| sum(published, instances, column, &[]);
    let refused = |reason| {
        let one = |column| sum(published, instances, column, &[reason]);
        Some(one("postfixRejectTemporary")? + one("postfixRejectPermanent")?)
    };
    // postfixRejectReason.
    let [unknown_recipient, dnsbl, client_host, message_size] = [1, 3, 4, 11].map(refused);
    let connection_refused = sum(published, instances, "postfixDeferEventDeferrals", &[1]);
    [
        mail("postfixMailReceivedMessages"),
        // Recipients, as are forwarded and bounced.
        mail("postfixMailSent"),
        mail("postfixMailForwarded"),
        mail("postfixMailDeferredMessages"),
        mail("postfixMailBounced"),
        mail("postfixMailRejected"),
        mail("postfixMailRejectWarnings"),
        mail("postfixMailHeld"),
        mail("postfixMailDiscarded"),
        mail("postfixMailReceivedOctets"),
        mail("postfixMailSentOctets"),
        // Different senders, their hosts, different recipients and their hosts.
        None,
        None,
        None,
        None,
        connection_refused,
        // "Host is down" is one of several in noRoute.
        None,
        client_host,
        // Helo: no fully-qualified name. Sender: domain not found; not owned by user.
        None,
        None,
        None,
        dnsbl,
        unknown_recipient,
        // Helo: invalid name. Sender: no fully-qualified address. Recipient: domain not found; no fully-qualified address.
        None,
        None,
        None,
        None,
        // Pipelining, server configuration error and problem, unknown reject reason.
        None,
        None,
        None,
        None,
        message_size,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, received: u64, refused: Option<u64>, instances: &[u32]) -> Sample {
        let mut counters = [None; LINES];
        (counters[0], counters[5]) = (Some(received), refused);
        Sample { at, instances: instances.to_vec(), counters }
    }

    #[test]
    fn a_number_is_what_was_counted_within_the_step() {
        let (mut history, begin, step) = (History::default(), Instant::now(), Duration::from_secs(300));
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut ask = |sample: Sample| {
            let since = history.since(&sample, step);
            history.0.push_back(sample);
            (since[0], since[5])
        };
        assert_eq!(ask(sample(at(0), 10, Some(1), &[1])), (None, None));
        assert_eq!(ask(sample(at(299), 15, Some(1), &[1])), (None, None), "not yet a whole step");
        assert_eq!(ask(sample(at(300), 16, None, &[1])), (Some(6), None), "what is unknown is none");
        assert_eq!(ask(sample(at(599), 20, Some(2), &[1])), (Some(5), Some(1)));
        assert_eq!(ask(sample(at(600), 3, Some(3), &[1])), (None, None), "it began anew");
        assert_eq!(ask(sample(at(901), 4, Some(3), &[1])), (Some(1), Some(0)));
        assert_eq!(ask(sample(at(1_201), 99, Some(4), &[1, 2])), (None, None), "of other instances");
        assert_eq!(ask(sample(at(1_502), 99, Some(4), &[1, 2])), (Some(0), Some(0)));
        assert!(history.0.len() <= 3, "what is older than a step is forgotten");
    }

    #[test]
    fn an_unknown_number_is_an_empty_line_and_never_the_first_alone() {
        assert_eq!(&*lines(&[Some(0), None, Some(17), None]), b"0\n\n17\n");
        assert_eq!(&*lines(&[None, Some(1), Some(17), Some(4)]), b"\n\n\n");
    }
}
