//! The single daemons of an instance, and what to call one whose process is not there.
//!
//! master(8) keeps only qmgr running. All others come when they are needed and leave on their own: pickup after max_use
//! (100) wake-ups, which is once in 100 minutes and healthy. A gap is `resting` until something speaks against it.

use crate::postfix::master_cf::{Entry, Wakeup};
use std::time::{Duration, Instant};

/// postfixDaemonKind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Master = 1,
    Qmgr = 2,
    Pickup = 3,
    Tlsmgr = 4,
    Anvil = 5,
    Scache = 6,
    Verify = 7,
    Postscreen = 8,
    Postlogd = 9,
}

impl Kind {
    /// The daemon a program of master.cf is.
    pub(super) fn of(program: &str) -> Option<Self> {
        Some(match program {
            "qmgr" | "oqmgr" | "nqmgr" => Self::Qmgr,
            "pickup" => Self::Pickup,
            "tlsmgr" => Self::Tlsmgr,
            "anvil" => Self::Anvil,
            "scache" => Self::Scache,
            "verify" => Self::Verify,
            "postscreen" => Self::Postscreen,
            "postlogd" => Self::Postlogd,
            _ => return None,
        })
    }
}

/// postfixDaemonState.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running = 1,
    Resting = 2,
    NotRunning = 3,
    Throttled = 4,
    Unknown = 5,
}

/// One daemon an instance should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Daemon {
    pub(super) kind: Kind,
    /// Program as master.cf calls it.
    pub(super) program: String,
    wakeup: Option<Wakeup>,
}

impl Daemon {
    /// Time between two wake-ups.
    pub(super) fn wakeup(&self) -> Option<Duration> {
        self.wakeup.map(|wakeup| wakeup.every)
    }
}

/// The daemons of this master.cf, master first. Of several entries of one kind the first stands for it.
pub(super) fn daemons<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Daemon> {
    let master = Daemon { kind: Kind::Master, program: "master".into(), wakeup: None };
    let mut daemons = vec![master];
    for entry in entries {
        if let Some(kind) = Kind::of(entry.program())
            && daemons.iter().all(|d| d.kind != kind)
        {
            daemons.push(Daemon { kind, program: entry.program().to_owned(), wakeup: entry.wakeup });
        }
    }
    daemons
}

/// Where master.cf cannot be read: what no Postfix is without.
pub(super) fn assumed() -> Vec<Daemon> {
    let daemon = |kind, program: &str| Daemon { kind, program: program.into(), wakeup: None };
    vec![daemon(Kind::Master, "master"), daemon(Kind::Qmgr, "qmgr"), daemon(Kind::Pickup, "pickup")]
}

/// How long the judge waits before it says that a daemon is missing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A process that should be there must be missing for this long: a reload swaps qmgr within 50 ms.
    pub certain: Duration,
    /// A wake-up may be this late.
    pub late: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { certain: Duration::from_secs(2), late: Duration::from_secs(30) }
    }
}

/// Since when a daemon has no process, and what could still be an explanation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    since: Instant,
    /// Faults of the children master had waited for (see [`Absence::go_on`]).
    reaped: u64,
}

impl Absence {
    pub(super) fn begin(now: Instant, reaped: u64) -> Self {
        Self { since: now, reaped }
    }

    /// Still absent. A wake-up can start and end a process between two samples; then master has waited for one more.
    /// The fault counter of its children tells, since none starts without page faults.
    pub(super) fn go_on(&mut self, daemon: &Daemon, now: Instant, reaped: u64) {
        if daemon.kind != Kind::Qmgr && self.reaped != reaped {
            *self = Self { since: now, reaped };
        }
    }

    /// What to call a daemon without a process under a running master. `None`: look again before saying so.
    pub(super) fn judge(&self, daemon: &Daemon, now: Instant, throttled: bool, patience: Patience) -> Option<State> {
        let absent = now.saturating_duration_since(self.since);
        if throttled {
            return Some(State::Throttled);
        }
        match (daemon.kind, daemon.wakeup) {
            (Kind::Master | Kind::Qmgr, _) => (absent >= patience.certain).then_some(State::NotRunning),
            // Woken up whatever happens, so it should have come back.
            (_, Some(Wakeup { every, always: true })) if absent > every + patience.late => Some(State::NotRunning),
            _ => Some(State::Resting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::master_cf;

    fn of(master_cf: &str) -> Daemon {
        daemons(&master_cf::parse(master_cf).unwrap()).pop().unwrap()
    }

    fn after(seconds: u64, daemon: &Daemon, throttled: bool) -> Option<State> {
        let now = Instant::now();
        Absence::begin(now, 7).judge(daemon, now + Duration::from_secs(seconds), throttled, Patience::default())
    }

    #[test]
    fn rows_are_what_master_cf_has() {
        let text = "smtp inet n - y - 1 postscreen\nqmgr unix n - n 300 1 oqmgr\n25 inet n - y - 1 postscreen\nx unix - - y - - smtp";
        let list = daemons(&master_cf::parse(text).unwrap());
        let names: Vec<_> = list.iter().map(|d| (d.kind as u8, d.program.as_str())).collect();
        assert_eq!(names, [(1, "master"), (8, "postscreen"), (2, "oqmgr")]);
    }

    #[test]
    fn qmgr_is_missing_only_after_two_looks() {
        let qmgr = of("qmgr unix n - n 300 1 qmgr");
        assert_eq!(after(0, &qmgr, false), None);
        assert_eq!(after(2, &qmgr, false), Some(State::NotRunning));
        assert_eq!(after(0, &qmgr, true), Some(State::Throttled));
    }

    #[test]
    fn pickup_rests_until_its_wakeup_is_overdue() {
        let pickup = of("pickup unix n - n 60 1 pickup");
        assert_eq!(after(0, &pickup, false), Some(State::Resting));
        assert_eq!(after(90, &pickup, false), Some(State::Resting));
        assert_eq!(after(91, &pickup, false), Some(State::NotRunning));
        let now = Instant::now();
        let mut absence = Absence::begin(now, 7);
        absence.go_on(&pickup, now + Duration::from_secs(80), 8);
        assert_eq!(
            absence.judge(&pickup, now + Duration::from_secs(120), false, Patience::default()),
            Some(State::Resting),
            "it may have run"
        );
        absence.go_on(&pickup, now + Duration::from_secs(120), 8);
        assert_eq!(
            absence.judge(&pickup, now + Duration::from_secs(171), false, Patience::default()),
            Some(State::NotRunning)
        );
    }

    #[test]
    fn what_comes_on_demand_rests() {
        assert_eq!(after(9_999, &of("tlsmgr unix - - y 1000? 1 tlsmgr"), false), Some(State::Resting));
        assert_eq!(after(9_999, &of("anvil unix - - y - 1 anvil"), false), Some(State::Resting));
    }
}
