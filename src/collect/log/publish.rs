//! From counters to rows.

use super::{
    busiest_tables::{self, Shown},
    codes,
    counters::DELAY_LIMITS,
    engine::{Engine, Instance},
    reasons, reject, sizes,
    tables::{
        DEFER_EVENTS, DELAYS, DNSBL, DSN, DelayRow, INSTANCE_LOG, InstanceLog, MAIL, MESSAGES, NamedRow, Of,
        POSTSCREEN, REJECTS, ReasonRow, SERVICE_EVENTS, SMTPD, ServiceRow, SmtpdRow, TRANSPORTS,
    },
    tls,
};
use crate::collect::instance::Owner;
use crate::{mib::Fragment, postfix::defer_reason::DeferReason};
use rustc_hash::FxHashMap;
use std::{fs, path::Path};

/// The open sessions of an instance by smtpd slot. A session counts while its process lives: lines get lost, processes get
/// killed. `None` where /proc hides other users' processes.
pub(super) fn sessions(instance: &mut Instance) -> Option<FxHashMap<usize, u64>> {
    if !Path::new("/proc/1").exists() {
        return None;
    }
    let mut by_slot = FxHashMap::default();
    instance.state.sessions.retain(|pid, slot| {
        // Where the name can be read it must be right: pids are used again.
        let alive = match fs::read(format!("/proc/{pid}/comm")) {
            Ok(comm) => comm.trim_ascii_end() == b"smtpd",
            Err(_) => Path::new(&format!("/proc/{pid}")).exists(),
        };
        *by_slot.entry(*slot).or_default() += u64::from(alive);
        alive
    });
    Some(by_slot)
}

/// All tables with a row an instance, for those that are known. `sessions` by position; `shown` rows
/// of tables of the busiest.
pub(super) fn fragments(
    engine: &Engine,
    known: impl Fn(usize) -> bool,
    sessions: &[Option<FxHashMap<usize, u64>>],
    shown: Shown,
) -> Vec<Fragment> {
    let instances =
        || engine.instances.iter().enumerate().filter(|(n, _)| known(*n)).map(|(_, i)| (i.settings.owner(), i));
    let of = |pick: fn(&Instance) -> InstanceLog| -> Vec<Of<InstanceLog>> {
        instances().map(|(instance, i)| Of { owner: instance, value: pick(i) }).collect()
    };
    let log = of(|i| InstanceLog {
        starts: i.state.starts,
        reloads: i.state.reloads,
        since: i.state.since,
        discontinuities: i.state.discontinuities,
        ids_evicted: i.state.ids.evicted,
    });
    let mail: Vec<_> = instances().map(|(instance, i)| Of { owner: instance, value: i.state.mail.clone() }).collect();
    let postscreen: Vec<_> =
        instances().map(|(instance, i)| Of { owner: instance, value: i.state.postscreen.clone() }).collect();
    let dsn: Vec<_> = instances()
        .flat_map(|(instance, i)| {
            i.state.dsn.0.iter().map(move |(code, n)| Of { owner: instance.clone(), value: (*code, *n) })
        })
        .collect();
    let mut delays = Vec::new();
    let mut defers = Vec::new();
    let mut rejects = Vec::new();
    for (owner, i) in instances() {
        for (stage, buckets) in (1..).zip(&i.state.delays) {
            delays.extend((1..).zip(buckets).map(|(bucket, deliveries)| {
                let limit = DELAY_LIMITS.get(bucket as usize - 1).copied();
                DelayRow { owner: owner.clone(), stage, bucket, limit, deliveries: *deliveries }
            }));
        }
        defers.extend(DeferReason::ALL.into_iter().zip(&i.state.defers).map(|(reason, deferrals)| ReasonRow {
            owner: owner.clone(),
            reason: reason as u32,
            name: reason.label(),
            counts: [*deferrals, 0],
        }));
        rejects.extend(
            (1..).zip(reject::LABELS.into_iter().zip(&i.state.rejects)).map(|(reason, (name, counts))| ReasonRow {
                owner: owner.clone(),
                reason,
                name,
                counts: *counts,
            }),
        );
    }
    let mut smtpd: Vec<SmtpdRow> = Vec::new();
    for (position, i) in engine.instances.iter().enumerate().filter(|(n, _)| known(*n)) {
        for (index, name, value) in i.state.smtpd.iter() {
            let open = sessions.get(position).and_then(Option::as_ref);
            let now = open.map(|by_slot| by_slot.get(&(index as usize - 1)).copied().unwrap_or(0));
            smtpd.push(NamedRow { owner: i.settings.owner(), index, name: name.into(), value: (value.clone(), now) });
        }
    }
    let services: Vec<ServiceRow> = instances()
        .flat_map(|(instance, i)| i.settings.services.iter().map(move |entry| (instance.clone(), i, entry)))
        .filter_map(|(instance, i, entry)| {
            let events = i.state.services.get(&entry.key).cloned().unwrap_or_default();
            Some(ServiceRow { owner: instance, name: entry.key.clone(), index: entry.index?, events })
        })
        .collect();
    let transports = named(instances(), |i| &i.state.transports);
    let dnsbl = named(instances(), |i| &i.state.dnsbl);
    let messages = named(instances(), |i| &i.state.messages);
    let of_each: Vec<(Owner, &Instance)> = instances().collect();
    let mut fragments = vec![
        INSTANCE_LOG.fragment(&log),
        MAIL.fragment(&mail),
        POSTSCREEN.fragment(&postscreen),
        DSN.fragment(&dsn),
        DELAYS.fragment(&delays),
        DEFER_EVENTS.fragment(&defers),
        REJECTS.fragment(&rejects),
        SMTPD.fragment(&smtpd),
        TRANSPORTS.fragment(&transports),
        DNSBL.fragment(&dnsbl),
        MESSAGES.fragment(&messages),
        SERVICE_EVENTS.fragment(&services),
    ];
    for table in [tls::fragments, reasons::fragments, codes::fragments, sizes::fragments] {
        fragments.extend(table(&of_each));
    }
    fragments.extend(busiest_tables::fragments(engine, known, shown));
    fragments
}

fn named<'a, T: Default + Clone + 'a>(
    instances: impl Iterator<Item = (Owner, &'a Instance)>,
    table: fn(&Instance) -> &super::counters::Named<T>,
) -> Vec<NamedRow<T>> {
    instances
        .flat_map(|(instance, i)| {
            let row = move |(index, name, value): (u32, &str, &T)| NamedRow {
                owner: instance.clone(),
                index,
                name: name.to_owned(),
                value: value.clone(),
            };
            table(i).iter().map(row)
        })
        .collect()
}
