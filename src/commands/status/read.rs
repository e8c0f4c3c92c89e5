//! From the objects of POSTFIX-MIB to what is known of a host. A table that the agent does not serve gives an empty list.

use super::{
    model::{
        Agent, Alarm, Certificate, Count, Daemon, DeferReason, Destination, Domain, Flow, Instance, Mail, Probe, Queue,
        Service, Source, Totals,
    },
    tree::{Row, Tree},
};
use std::collections::BTreeMap;

/// What one GET of a list of hosts asks for; the counters are among them, so that two of them give rates.
pub(super) const SCALARS: [&str; 29] = [
    "postfixAgentVersion",
    "postfixAgentUptime",
    "postfixHealth",
    "postfixHealthText",
    "postfixSourcesFailing",
    "postfixInstancesDown",
    "postfixAlarmsRaised",
    "postfixTotalMessages",
    "postfixTotalKiB",
    "postfixTotalMaildrop",
    "postfixTotalIncoming",
    "postfixTotalActive",
    "postfixTotalDeferred",
    "postfixTotalHold",
    "postfixTotalCorrupt",
    "postfixTotalOldestAge",
    "postfixTotalDeferredOldestAge",
    "postfixTotalSessions",
    "postfixTotalProcesses",
    "postfixTotalInstances",
    "postfixTotalInstancesRunning",
    "postfixTotalCountersSince",
    "postfixTotalCountersAge",
    "postfixTotalDiscontinuities",
    COUNTERS[0],
    COUNTERS[1],
    COUNTERS[2],
    COUNTERS[3],
    COUNTERS[4],
];

/// The counters of [`Flow`], in its order.
pub(super) const COUNTERS: [&str; 5] = [
    "postfixTotalReceived",
    "postfixTotalDelivered",
    "postfixTotalDeferredMessages",
    "postfixTotalBounced",
    "postfixTotalRejected",
];

/// The columns behind the sections, table by table.
pub(super) const TABLES: [&[&str]; 12] = [
    &[
        "postfixInstanceName",
        "postfixInstanceHostname",
        "postfixInstanceVersion",
        "postfixInstanceState",
        "postfixInstanceUptime",
        "postfixInstanceProcessProcesses",
        "postfixSpoolFreeMiB",
        "postfixSpoolFreePercent",
        "postfixSpoolActivePercent",
        // Only to know which revision of the MIB it is.
        "postfixMailName",
        "postfixMailReceivedMessages",
    ],
    &["postfixQueueMessages", "postfixQueueKiB", "postfixQueueOldestAge"],
    &["postfixQueueAgeMessages"],
    &[
        "postfixDomainName",
        "postfixDomainMessages",
        "postfixDomainRecipients",
        "postfixDomainOldestAge",
        "postfixDomainReason",
        "postfixDomainReasonText",
        "postfixDomainNextRetry",
    ],
    &[
        "postfixDeferReasonRecipients",
        "postfixDestinationName",
        "postfixDestinationSent",
        "postfixDestinationDeferrals",
        "postfixDestinationBounced",
        "postfixDestinationLastReason",
        "postfixDestinationLastReasonAge",
    ],
    &["postfixDaemonName", "postfixDaemonState", "postfixDaemonRestarts"],
    &["postfixServiceName", "postfixServiceProcesses", "postfixServiceProcessLimit", "postfixServiceProcessPercent"],
    &[
        "postfixProbeName",
        "postfixProbeKind",
        "postfixProbeTarget",
        "postfixProbeStatus",
        "postfixProbeLatency",
        "postfixProbeAge",
        "postfixProbeSuccessAge",
        "postfixProbeLastError",
    ],
    &[
        "postfixCertificateSource",
        "postfixCertificateSubject",
        "postfixCertificateDaysLeft",
        "postfixCertificateStatus",
        "postfixCertificateError",
    ],
    &[
        "postfixAlarmName",
        "postfixAlarmObject",
        "postfixAlarmValue",
        "postfixAlarmSeverity",
        "postfixAlarmState",
        "postfixAlarmSince",
        "postfixAlarmText",
    ],
    &["postfixSourceName", "postfixSourceMethod", "postfixSourceStatus", "postfixSourceAge", "postfixSourceError"],
    &["postfixLogFileName", "postfixLogFileStatus", "postfixLogFileLastLineAge", "postfixLogFileError"],
];

/// The scalars alone.
pub(super) fn brief(tree: &Tree) -> Mail {
    let agent = Agent {
        version: tree.text("postfixAgentVersion"),
        uptime_seconds: tree.number("postfixAgentUptime").map(|ticks| ticks / 100),
        health: tree.label("postfixHealth"),
        health_text: tree.text("postfixHealthText"),
        sources_failing: tree.number("postfixSourcesFailing"),
        instances_down: tree.number("postfixInstancesDown"),
        alarms_raised: tree.number("postfixAlarmsRaised"),
    };
    let totals = Totals {
        messages: tree.number("postfixTotalMessages"),
        kib: tree.number("postfixTotalKiB"),
        maildrop: tree.number("postfixTotalMaildrop"),
        incoming: tree.number("postfixTotalIncoming"),
        active: tree.number("postfixTotalActive"),
        deferred: tree.number("postfixTotalDeferred"),
        hold: tree.number("postfixTotalHold"),
        corrupt: tree.number("postfixTotalCorrupt"),
        oldest_age_seconds: tree.number("postfixTotalOldestAge"),
        deferred_oldest_age_seconds: tree.number("postfixTotalDeferredOldestAge"),
        sessions: tree.number("postfixTotalSessions"),
        processes: tree.number("postfixTotalProcesses"),
        instances: tree.number("postfixTotalInstances"),
        instances_running: tree.number("postfixTotalInstancesRunning"),
    };
    Mail { agent, totals, flow: flow(tree), ..Mail::default() }
}

fn flow(tree: &Tree) -> Flow {
    let age = tree.number("postfixTotalCountersAge");
    let mut flow = Flow { since: tree.date("postfixTotalCountersSince"), age_seconds: age, ..Flow::default() };
    for (count, name) in flow.counts_mut().into_iter().zip(COUNTERS) {
        let number = tree.number(name);
        // A counter that may have wrapped says nothing about the average, and less than a minute is none.
        let average = number.zip(age).filter(|(_, age)| *age >= 60);
        let average = average.map(|(number, age)| rounded(f64::from(number) * 60.0 / f64::from(age)));
        *count = Count { count: number, per_minute: None, average_per_minute: average };
    }
    flow
}

/// To a tenth.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Everything.
pub(super) fn full(tree: &Tree) -> Mail {
    let instances = tree.rows(&["postfixInstanceName"]);
    let names: BTreeMap<u32, String> =
        instances.iter().map(|row| (row.at(0), row.text("postfixInstanceName").unwrap_or_default())).collect();
    let names = Names(names);
    let instances: Vec<Instance> = instances.iter().map(instance).collect();
    Mail {
        hostname: instances.iter().find_map(|i| i.hostname.clone().filter(|name| !name.is_empty())),
        instances: Some(instances),
        queues: Some(queues(tree, &names)),
        domains: Some(domains(tree, &names)),
        defer_reasons: Some(defer_reasons(tree, &names)),
        destinations: Some(destinations(tree, &names)),
        daemons: Some(tree.rows(&["postfixDaemonState"]).iter().map(|row| daemon(row, tree, &names)).collect()),
        services: Some(services(tree, &names)),
        probes: Some(tree.rows(&["postfixProbeStatus"]).iter().map(probe).collect()),
        certificates: Some(tree.rows(&["postfixCertificateStatus"]).iter().map(certificate).collect()),
        alarms: Some(tree.rows(&["postfixAlarmState"]).iter().map(alarm).collect()),
        sources: Some(tree.rows(&["postfixSourceStatus"]).iter().map(|row| source(row, tree, &names)).collect()),
        logs: Some(tree.rows(&["postfixLogFileStatus"]).iter().map(log).collect()),
        ..brief(tree)
    }
}

/// Whether it has the rows of the MIB's first revision and none of the second's names.
pub(super) fn is_first_revision(tree: &Tree) -> bool {
    !tree.rows(&["postfixMailReceivedMessages"]).is_empty() && tree.rows(&["postfixMailName"]).is_empty()
}

/// The instances by their index.
struct Names(BTreeMap<u32, String>);

impl Names {
    fn instance(&self, row: &Row<'_>) -> String {
        self.0.get(&row.at(0)).cloned().unwrap_or_else(|| row.at(0).to_string())
    }

    /// The name of a row without its instance's in front, which the first revision of the MIB did not have there.
    fn own(&self, row: &Row<'_>, column: &str) -> String {
        let name = row.text(column).unwrap_or_default();
        let own = self.0.get(&row.at(0)).and_then(|instance| name.strip_prefix(instance.as_str())?.strip_prefix(' '));
        own.map(str::to_owned).unwrap_or(name)
    }

    /// The whole name, with the instance's in front only where there are several.
    fn whole(&self, row: &Row<'_>, own: &str) -> String {
        if self.0.len() > 1 { format!("{} {own}", self.instance(row)) } else { own.to_owned() }
    }
}

fn instance(row: &Row<'_>) -> Instance {
    Instance {
        name: row.text("postfixInstanceName").unwrap_or_default(),
        hostname: row.text("postfixInstanceHostname"),
        version: row.text("postfixInstanceVersion").filter(|version| !version.is_empty()),
        state: row.label("postfixInstanceState"),
        uptime_seconds: row.number("postfixInstanceUptime"),
        processes: row.number("postfixInstanceProcessProcesses"),
        spool_free_mib: row.number("postfixSpoolFreeMiB"),
        spool_free_percent: row.number("postfixSpoolFreePercent"),
        active_percent: row.number("postfixSpoolActivePercent"),
    }
}

fn queues(tree: &Tree, names: &Names) -> Vec<Queue> {
    let mut ages: BTreeMap<(u32, u32), Vec<Option<u32>>> = BTreeMap::new();
    for row in tree.rows(&["postfixQueueAgeMessages"]) {
        ages.entry((row.at(0), row.at(1))).or_default().push(row.number("postfixQueueAgeMessages"));
    }
    let rows = tree.rows(&["postfixQueueMessages"]);
    let queue = |row: &Row<'_>| {
        Some(Queue {
            instance: names.instance(row),
            queue: tree.index_label("postfixQueueKind", row.at(1))?,
            messages: row.number("postfixQueueMessages"),
            kib: row.number("postfixQueueKiB"),
            oldest_age_seconds: row.number("postfixQueueOldestAge"),
            messages_by_age: ages.get(&(row.at(0), row.at(1))).cloned().unwrap_or_default(),
        })
    };
    rows.iter().filter_map(queue).collect()
}

fn domains(tree: &Tree, names: &Names) -> Vec<Domain> {
    let mut all: Vec<Domain> = tree
        .rows(&["postfixDomainMessages"])
        .iter()
        .map(|row| Domain {
            instance: names.instance(row),
            domain: names.own(row, "postfixDomainName"),
            messages: row.number("postfixDomainMessages"),
            recipients: row.number("postfixDomainRecipients"),
            oldest_age_seconds: row.number("postfixDomainOldestAge"),
            reason: row.label("postfixDomainReason"),
            reason_text: row.text("postfixDomainReasonText").filter(|text| !text.is_empty()),
            next_retry_seconds: row.number("postfixDomainNextRetry"),
        })
        // `(other)` is always there.
        .filter(|domain| domain.messages != Some(0))
        .collect();
    all.sort_by_key(|domain| (std::cmp::Reverse(domain.messages), domain.domain.clone()));
    all
}

fn defer_reasons(tree: &Tree, names: &Names) -> Vec<DeferReason> {
    let rows = tree.rows(&["postfixDeferReasonRecipients"]);
    let reason = |row: &Row<'_>| {
        Some(DeferReason {
            instance: names.instance(row),
            reason: tree.index_label("postfixDeferReason", row.at(1))?,
            recipients: row.number("postfixDeferReasonRecipients"),
        })
    };
    rows.iter().filter_map(reason).filter(|reason| reason.recipients != Some(0)).collect()
}

fn destinations(tree: &Tree, names: &Names) -> Vec<Destination> {
    let mut all: Vec<Destination> = tree
        .rows(&["postfixDestinationSent"])
        .iter()
        .map(|row| Destination {
            instance: names.instance(row),
            destination: names.own(row, "postfixDestinationName"),
            sent: row.number("postfixDestinationSent"),
            deferrals: row.number("postfixDestinationDeferrals"),
            bounced: row.number("postfixDestinationBounced"),
            last_reason: row.text("postfixDestinationLastReason").filter(|text| !text.is_empty()),
            last_reason_age_seconds: row.number("postfixDestinationLastReasonAge"),
        })
        .collect();
    let busy = |d: &Destination| {
        [d.sent, d.deferrals, d.bounced].into_iter().flatten().fold(0_u64, |sum, count| sum + u64::from(count))
    };
    all.retain(|destination| busy(destination) > 0);
    all.sort_by_key(|destination| (std::cmp::Reverse(busy(destination)), destination.destination.clone()));
    all
}

fn daemon(row: &Row<'_>, tree: &Tree, names: &Names) -> Daemon {
    let kind = tree.index_label("postfixDaemonKind", row.at(1)).unwrap_or("?");
    Daemon {
        name: names.whole(row, kind),
        state: row.label("postfixDaemonState"),
        restarts: row.number("postfixDaemonRestarts"),
    }
}

fn services(tree: &Tree, names: &Names) -> Vec<Service> {
    let rows = tree.rows(&["postfixServiceProcesses"]);
    let mut all: Vec<Service> = rows
        .iter()
        .map(|row| Service {
            name: names.whole(row, &names.own(row, "postfixServiceName")),
            processes: row.number("postfixServiceProcesses"),
            process_limit: row.number("postfixServiceProcessLimit"),
            process_percent: row.number("postfixServiceProcessPercent"),
        })
        .collect();
    all.sort_by_key(|service| std::cmp::Reverse(service.near()));
    all
}

impl Service {
    /// How near it is to a limit that can be reached: a service of one process always is at it.
    pub(super) fn near(&self) -> u32 {
        if self.process_limit.is_some_and(|limit| limit > 1) { self.process_percent.unwrap_or_default() } else { 0 }
    }
}

fn probe(row: &Row<'_>) -> Probe {
    Probe {
        name: row.text("postfixProbeName").unwrap_or_default(),
        kind: row.label("postfixProbeKind"),
        target: row.text("postfixProbeTarget"),
        status: row.label("postfixProbeStatus"),
        latency_ms: row.number("postfixProbeLatency"),
        age_seconds: row.number("postfixProbeAge"),
        success_age_seconds: row.number("postfixProbeSuccessAge"),
        error: row.text("postfixProbeLastError").filter(|text| !text.is_empty()),
    }
}

fn certificate(row: &Row<'_>) -> Certificate {
    Certificate {
        source: row.text("postfixCertificateSource").unwrap_or_default(),
        subject: row.text("postfixCertificateSubject").filter(|text| !text.is_empty()),
        days_left: row.integer("postfixCertificateDaysLeft"),
        status: row.label("postfixCertificateStatus"),
        error: row.text("postfixCertificateError").filter(|text| !text.is_empty()),
    }
}

fn alarm(row: &Row<'_>) -> Alarm {
    Alarm {
        name: row.text("postfixAlarmName").unwrap_or_default(),
        condition: row.text("postfixAlarmObject"),
        value: row.number("postfixAlarmValue"),
        severity: row.label("postfixAlarmSeverity"),
        state: row.label("postfixAlarmState"),
        since_seconds: row.number("postfixAlarmSince"),
        text: row.text("postfixAlarmText").filter(|text| !text.is_empty()),
    }
}

fn source(row: &Row<'_>, tree: &Tree, names: &Names) -> Source {
    let kind = tree.index_label("postfixSourceKind", row.at(1)).unwrap_or("?");
    Source {
        name: names.whole(row, kind),
        method: row.text("postfixSourceMethod").filter(|text| !text.is_empty()),
        status: row.label("postfixSourceStatus"),
        age_seconds: row.number("postfixSourceAge"),
        error: row.text("postfixSourceError").filter(|text| !text.is_empty()),
    }
}

fn log(row: &Row<'_>) -> Source {
    Source {
        name: row.text("postfixLogFileName").unwrap_or_default(),
        method: None,
        status: row.label("postfixLogFileStatus"),
        age_seconds: row.number("postfixLogFileLastLineAge"),
        error: row.text("postfixLogFileError").filter(|text| !text.is_empty()),
    }
}
