//! NETWORK-SERVICES-MIB (RFC 2788) and MTA-MIB (RFC 2789) as a projection of POSTFIX-MIB.
//!
//! Nothing is asked of Postfix here: every value is computed, once a second, from what the owners of POSTFIX-MIB's tables
//! have published, all of it from one View. What is not there (not read yet, withdrawn, no source) is not here either, and
//! a sum of which one part is missing is missing. What is published lasts a few ticks only, so that a projection that
//! hangs withdraws itself.
//!
//! An application is an enabled instance, applIndex its postfixInstanceIndex. Which columns have no source, and why, is in
//! docs/standard-mibs.md.

mod source;
mod tables;
#[cfg(test)]
mod tests;

pub use tables::{MTA_MIB, NETWORK_SERVICES_MIB, TABLES};

use super::{Collector, Context, Next, Registration};
use crate::mib::Fragment;
use source::Published;
use std::time::{Duration, Instant};
use tables::{APPLICATIONS, Application, ERRORS, Failures, GROUPS, Group, MTAS, Mta};

/// See [`super::COLLECTORS`]. It answers for no source.
pub static REGISTRATION: Registration = Registration {
    name: "standard",
    tables: TABLES,
    kinds: &[],
    make: |context| Box::new(Projection(context.clone())),
};

const TICK: Duration = Duration::from_secs(1);
/// How long a projection that is not renewed is shown.
const LIFETIME: Duration = Duration::from_secs(30);

/// postfixQueueKind of the queues that hold mail somebody waits for: those that `mailq` counts. maildrop to hold.
const STORED: std::ops::RangeInclusive<u32> = 1..=5;
/// mtaGroupIndex of what arrives. The queues have their postfixQueueKind, which is below 100.
const RECEPTION: u32 = 101;
/// mtaGroupIndex of all deliveries.
const DELIVERY: u32 = 102;

struct Projection(Context);

impl Collector for Projection {
    fn name(&self) -> &'static str {
        REGISTRATION.name
    }

    fn refresh(&mut self) -> Next {
        let context = &self.0;
        // What is switched off has no rows; a start without it does not even register the modules.
        if context.config.standard_mibs {
            let view = context.publisher.view();
            let published = Published::new(&view, &context.config.agentx.root, Instant::now());
            context.publisher.publish(project(&published).map(|fragment| fragment.valid_for(LIFETIME)));
        } else {
            context.publisher.publish(TABLES.iter().map(|table| table.empty()));
        }
        Next::After(TICK)
    }
}

/// All tables of both modules.
fn project(published: &Published<'_>) -> [Fragment; 4] {
    let instances: Vec<u32> =
        published.rows("postfixInstanceName", &[]).filter_map(|row| row.first().copied()).collect();
    let enabled: Vec<u32> = instances.into_iter().filter(|i| !published.disabled(*i)).collect();
    let applications: Vec<_> = enabled.iter().map(|i| application(published, *i)).collect();
    let mtas: Vec<_> = enabled.iter().map(|i| mta(published, *i)).collect();
    let groups: Vec<_> = enabled.iter().flat_map(|i| groups(published, *i)).collect();
    let errors: Vec<_> = enabled.iter().flat_map(|i| errors(published, *i)).collect();
    [APPLICATIONS.fragment(&applications), MTAS.fragment(&mtas), GROUPS.fragment(&groups), ERRORS.fragment(&errors)]
}

fn application(published: &Published<'_>, instance: u32) -> Application {
    Application {
        instance,
        name: published.text("postfixInstanceName", &[instance]),
        version: published.text("postfixInstanceVersion", &[instance]),
        // applOperStatus: up(1), down(2). An instance that is unknown has no status.
        status: match published.number("postfixInstanceState", &[instance]) {
            Some(1) => Some(1),
            Some(2) => Some(2),
            _ => None,
        },
        inbound: published.sum("postfixSmtpdSessions", "postfixSmtpdName", &[instance]),
    }
}

fn mta(published: &Published<'_>, instance: u32) -> Mta {
    let mail = |column| published.number(column, &[instance]);
    // Of all queues or of none: a level of which a part could not be read would be too low.
    let stored = |column| STORED.map(|kind| published.number(column, &[instance, kind])).sum();
    Mta {
        instance,
        received_messages: mail("postfixMailReceivedMessages"),
        stored_messages: stored("postfixQueueMessages"),
        received_volume: mail("postfixMailReceivedKiB"),
        stored_volume: stored("postfixQueueKiB"),
        transmitted_volume: mail("postfixMailSentKiB"),
        received_recipients: mail("postfixMailReceivedRecipients"),
        stored_recipients: stored("postfixQueueRecipients"),
        transmitted_recipients: mail("postfixMailSent"),
        loops: mail("postfixMailLoopsDetected"),
    }
}

/// The queues that can be read, and, where the log can be read, all that arrives and all that is delivered.
fn groups(published: &Published<'_>, instance: u32) -> Vec<Group> {
    let number = |column, index: &[u32]| published.number(column, index);
    let queue = |kind| {
        let index = [instance, kind];
        Some(Group {
            stored_messages: Some(number("postfixQueueMessages", &index)?),
            stored_volume: number("postfixQueueKiB", &index),
            stored_recipients: number("postfixQueueRecipients", &index),
            oldest: number("postfixQueueOldestAge", &index),
            ..Group::new(instance, kind, published.text("postfixQueueName", &index)?, tables::QUEUES)
        })
    };
    let mail = |column| number(column, &[instance]);
    let reception = || {
        Some(Group {
            received_messages: Some(mail("postfixMailReceivedMessages")?),
            received_volume: mail("postfixMailReceivedKiB"),
            received_recipients: mail("postfixMailReceivedRecipients"),
            inbound: published.sum("postfixSmtpdSessions", "postfixSmtpdName", &[instance]),
            ..Group::new(instance, RECEPTION, "reception".as_bytes().into(), tables::SERVICES)
        })
    };
    let delivery = || {
        Some(Group {
            transmitted_recipients: Some(mail("postfixMailSent")?),
            transmitted_volume: mail("postfixMailSentKiB"),
            loops: mail("postfixMailLoopsDetected"),
            ..Group::new(instance, DELIVERY, "delivery".as_bytes().into(), tables::SERVICES)
        })
    };
    STORED.filter_map(queue).chain(reception()).chain(delivery()).collect()
}

/// mtaStatusCode is numbered as postfixDsnCode is. It has no place for successes.
fn errors(published: &Published<'_>, instance: u32) -> Vec<Failures> {
    let codes = published.rows("postfixDsnDeliveries", &[instance]).filter_map(|row| row.get(1).copied());
    codes
        .filter(|code| (4_000_000..=5_999_999).contains(code))
        .map(|code| Failures {
            instance,
            group: DELIVERY,
            code,
            outbound: published.number("postfixDsnDeliveries", &[instance, code]),
        })
        .collect()
}
