//! NETWORK-SERVICES-MIB (RFC 2788) and MTA-MIB (RFC 2789) as a projection of POSTFIX-MIB.
//!
//! Nothing is asked of Postfix here: every value is computed, once a second, from what the owners of POSTFIX-MIB's tables
//! have published, all of it from one View. What is not there (not read yet, withdrawn, no source) is not here either, and
//! a sum of which one part is missing is missing. What is published lasts a few ticks only, so that a projection that
//! hangs withdraws itself. What POSTFIX-MIB tells as an age is a TimeStamp here, by the sysUpTime of the master that asks.
//!
//! What LibreNMS reads (`librenms: true`) is one more projection of the same (librenms.rs).
//!
//! An application is an enabled instance, applIndex its postfixInstanceIndex. Which columns have no source, and why, is in
//! docs/standard-mibs.md.

mod groups;
mod librenms;
mod memory;
mod tables;
#[cfg(test)]
mod tests;

pub use librenms::NET_SNMP_EXTEND_MIB;
pub use tables::{MTA_MIB, NETWORK_SERVICES_MIB, TABLES};

use super::{Collector, Context, Next, Registration, published::Published};
use crate::{
    mib::{Fragment, text},
    smi::Epoch,
};
use librenms::History;
use memory::{Memory, Moment};
use std::time::{Duration, Instant};
use tables::{APPLICATIONS, Application, ERRORS, GROUPS, MTAS, Mta};

/// See [`super::COLLECTORS`]. It answers for no source.
pub static REGISTRATION: Registration = Registration {
    name: "standard",
    tables: TABLES,
    kinds: &[],
    host_kinds: &[],
    make: |context| {
        Box::new(Projection { context: context.clone(), memory: Memory::default(), history: History::default() })
    },
};

const TICK: Duration = Duration::from_secs(1);
/// How long a projection that is not renewed is shown.
const LIFETIME: Duration = Duration::from_secs(30);

/// postfixQueueKind of the queues that hold mail somebody waits for: those that `mailq` counts. maildrop to hold.
const STORED: std::ops::RangeInclusive<u32> = 1..=5;

struct Projection {
    context: Context,
    memory: Memory,
    history: History,
}

impl Collector for Projection {
    fn name(&self) -> &'static str {
        REGISTRATION.name
    }

    fn refresh(&mut self) -> Next {
        let context = &self.context;
        let view = context.publisher.view();
        let published = Published::new(&view, &context.config.agentx.root, Instant::now());
        let enabled = published.enabled();
        // What is switched off has no rows; a start without it does not even register the modules.
        let mut fragments: Vec<Fragment> = TABLES.iter().map(|table| table.empty()).collect();
        if context.config.standard_mibs {
            fragments.extend(project(&published, &mut self.memory, &context.epoch, &enabled));
        }
        if context.config.librenms {
            fragments.extend(self.history.project(&published, &enabled, context.config.librenms_step));
        }
        context.publisher.publish(fragments.into_iter().map(|fragment| fragment.valid_for(LIFETIME)));
        Next::After(TICK)
    }
}

/// All tables of both modules.
fn project(published: &Published<'_>, memory: &mut Memory, epoch: &Epoch, enabled: &[u32]) -> [Fragment; 4] {
    let applications: Vec<_> = enabled.iter().map(|i| application(published, memory, epoch, *i)).collect();
    let mtas: Vec<_> = enabled.iter().map(|i| mta(published, *i)).collect();
    let groups: Vec<_> = enabled.iter().flat_map(|i| groups::of(published, *i)).collect();
    let errors: Vec<_> = enabled.iter().flat_map(|i| groups::errors(published, *i)).collect();
    [APPLICATIONS.fragment(&applications), MTAS.fragment(&mtas), GROUPS.fragment(&groups), ERRORS.fragment(&errors)]
}

fn application(published: &Published<'_>, memory: &mut Memory, epoch: &Epoch, instance: u32) -> Application {
    let stamp = |at: Option<Instant>| epoch.stamp(at?);
    // applOperStatus: up(1), down(2). An instance that is unknown has no status.
    let state = published.number("postfixInstanceState", &[instance]);
    let up = match state {
        Some(1) => Some(true),
        Some(2) => Some(false),
        _ => None,
    };
    let started = published.since("postfixInstanceUptime", &[instance]).filter(|_| up == Some(true));
    let started = memory.steady(instance, Moment::Start, started);
    let last_inbound = memory.steady(instance, Moment::Inbound, published.last_line(instance, groups::SERVERS));
    Application {
        instance,
        name: published.text("postfixInstanceName", &[instance]),
        version: published.text("postfixInstanceVersion", &[instance]),
        started: stamp(started),
        status: up.map(|up| if up { 1 } else { 2 }),
        changed: stamp(memory.changed(instance, up, started, published.now)),
        inbound: published.sum("postfixSmtpdSessions", "postfixSmtpdName", &[instance]),
        accumulated_inbound: published.sum("postfixSmtpdConnects", "postfixSmtpdName", &[instance]),
        last_inbound: stamp(last_inbound),
        failed_outbound: published.sum("postfixTransportConnectFailures", "postfixTransportName", &[instance]),
        description: description(published, instance),
    }
}

/// `Postfix 3.7.11 on mx.example.com`.
fn description(published: &Published<'_>, instance: u32) -> Option<crate::smi::Octets> {
    let version = published.text("postfixInstanceVersion", &[instance])?;
    let hostname = published.text("postfixInstanceHostname", &[instance])?;
    Some(text([&b"Postfix "[..], &version, b" on ", &hostname].concat(), 255))
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
