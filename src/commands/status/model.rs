//! What is known of a host: the same for the screen, for JSON (docs/status.md says what each key means) and for monitoring.

use serde::Serialize;

/// How bad it is; the order is that of the list of hosts, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Ok,
    Warning,
    /// No answer, or none that says it. Worse than a warning, because it may hide everything.
    Unknown,
    Critical,
}

impl Severity {
    /// As monitoring plugins exit.
    pub(super) fn exit_status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// As it is shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Unknown => "UNKNOWN",
            Self::Critical => "CRITICAL",
        }
    }

    /// The label of postfixHealth.
    pub(super) fn of_health(label: Option<&str>) -> Self {
        match label {
            Some("ok") => Self::Ok,
            Some("warning") => Self::Warning,
            Some("critical") => Self::Critical,
            _ => Self::Unknown,
        }
    }
}

/// One host.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// As it was written on the command line.
    pub(super) host: String,
    /// Who answered.
    pub(super) address: Option<String>,
    pub(super) status: Severity,
    /// The worst, in one line.
    pub(super) summary: String,
    /// Everything that is not well, worst first.
    pub(super) problems: Vec<Problem>,
    /// What is good to know and no problem.
    pub(super) notes: Vec<String>,
    /// What there is to tell; nothing where nobody answered.
    pub(super) mail: Option<Box<Mail>>,
}

/// Something that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    /// What it is about.
    pub(super) subject: String,
    pub(super) text: String,
    /// Commands to copy, on that host.
    pub(super) remedy: Vec<String>,
}

/// What a host says of its mail.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Mail {
    /// myhostname of its first instance.
    pub(super) hostname: Option<String>,
    pub(super) agent: Agent,
    pub(super) totals: Totals,
    pub(super) flow: Flow,
    /// From here on `None`: not asked for, as in a list of hosts.
    pub(super) instances: Option<Vec<Instance>>,
    pub(super) queues: Option<Vec<Queue>>,
    pub(super) domains: Option<Vec<Domain>>,
    pub(super) defer_reasons: Option<Vec<DeferReason>>,
    pub(super) destinations: Option<Vec<Destination>>,
    pub(super) daemons: Option<Vec<Daemon>>,
    pub(super) services: Option<Vec<Service>>,
    pub(super) probes: Option<Vec<Probe>>,
    pub(super) certificates: Option<Vec<Certificate>>,
    pub(super) alarms: Option<Vec<Alarm>>,
    pub(super) sources: Option<Vec<Source>>,
    pub(super) logs: Option<Vec<Source>>,
}

/// The agent about itself.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Agent {
    pub(super) version: Option<String>,
    pub(super) uptime_seconds: Option<u32>,
    pub(super) health: Option<&'static str>,
    pub(super) health_text: Option<String>,
    pub(super) sources_failing: Option<u32>,
    pub(super) instances_down: Option<u32>,
    pub(super) alarms_raised: Option<u32>,
}

/// The host's queues and processes, as levels.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) messages: Option<u32>,
    pub(super) kib: Option<u32>,
    pub(super) maildrop: Option<u32>,
    pub(super) incoming: Option<u32>,
    pub(super) active: Option<u32>,
    pub(super) deferred: Option<u32>,
    pub(super) hold: Option<u32>,
    pub(super) corrupt: Option<u32>,
    pub(super) oldest_age_seconds: Option<u32>,
    pub(super) deferred_oldest_age_seconds: Option<u32>,
    pub(super) sessions: Option<u32>,
    pub(super) processes: Option<u32>,
    pub(super) instances: Option<u32>,
    pub(super) instances_running: Option<u32>,
}

/// What came in and what became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Flow {
    /// Since when the counters have missed nothing.
    pub(super) since: Option<String>,
    pub(super) age_seconds: Option<u32>,
    /// How long it was counted for `per_minute`.
    pub(super) sample_seconds: Option<f64>,
    pub(super) received: Count,
    pub(super) delivered: Count,
    pub(super) deferred: Count,
    pub(super) bounced: Count,
    pub(super) rejected: Count,
}

impl Flow {
    /// In the order in which they are shown.
    pub(super) fn named(&self) -> [(&'static str, &Count); 5] {
        [
            ("received", &self.received),
            ("delivered", &self.delivered),
            ("deferred", &self.deferred),
            ("bounced", &self.bounced),
            ("rejected", &self.rejected),
        ]
    }

    pub(super) fn counts_mut(&mut self) -> [&mut Count; 5] {
        [&mut self.received, &mut self.delivered, &mut self.deferred, &mut self.bounced, &mut self.rejected]
    }
}

/// One counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Count {
    /// The counter itself, modulo 2^32.
    pub(super) count: Option<u32>,
    /// Now.
    pub(super) per_minute: Option<f64>,
    /// Since `since`.
    pub(super) average_per_minute: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) hostname: Option<String>,
    pub(super) version: Option<String>,
    pub(super) state: Option<&'static str>,
    pub(super) uptime_seconds: Option<u32>,
    pub(super) processes: Option<u32>,
    pub(super) spool_free_mib: Option<u32>,
    pub(super) spool_free_percent: Option<u32>,
    pub(super) active_percent: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Queue {
    pub(super) instance: String,
    pub(super) queue: &'static str,
    pub(super) messages: Option<u32>,
    pub(super) kib: Option<u32>,
    pub(super) oldest_age_seconds: Option<u32>,
    /// By age, in minutes up to 5, 10, 20, 40, 80, 160, 320, 640, 1280, beyond.
    pub(super) messages_by_age: Vec<Option<u32>>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Domain {
    pub(super) instance: String,
    pub(super) domain: String,
    pub(super) messages: Option<u32>,
    pub(super) recipients: Option<u32>,
    pub(super) oldest_age_seconds: Option<u32>,
    pub(super) reason: Option<&'static str>,
    pub(super) reason_text: Option<String>,
    pub(super) next_retry_seconds: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct DeferReason {
    pub(super) instance: String,
    pub(super) reason: &'static str,
    /// That wait for it.
    pub(super) recipients: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Destination {
    pub(super) instance: String,
    pub(super) destination: String,
    pub(super) sent: Option<u32>,
    pub(super) deferrals: Option<u32>,
    pub(super) bounced: Option<u32>,
    pub(super) last_reason: Option<String>,
    pub(super) last_reason_age_seconds: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Daemon {
    pub(super) name: String,
    pub(super) state: Option<&'static str>,
    pub(super) restarts: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) processes: Option<u32>,
    /// 0: none.
    pub(super) process_limit: Option<u32>,
    pub(super) process_percent: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) kind: Option<&'static str>,
    pub(super) target: Option<String>,
    pub(super) status: Option<&'static str>,
    pub(super) latency_ms: Option<u32>,
    pub(super) age_seconds: Option<u32>,
    pub(super) success_age_seconds: Option<u32>,
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Certificate {
    pub(super) source: String,
    pub(super) subject: Option<String>,
    pub(super) days_left: Option<i64>,
    pub(super) status: Option<&'static str>,
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Alarm {
    pub(super) name: String,
    pub(super) condition: Option<String>,
    pub(super) value: Option<u32>,
    pub(super) severity: Option<&'static str>,
    pub(super) state: Option<&'static str>,
    pub(super) since_seconds: Option<u32>,
    pub(super) text: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) method: Option<String>,
    pub(super) status: Option<&'static str>,
    pub(super) age_seconds: Option<u32>,
    pub(super) error: Option<String>,
}
