//! What the service manager hears of the daemon: that it serves, what it waits for, and that all its threads live.

use crate::{
    advice,
    agentx::{Stats, Status},
    collect::health::Health,
    service::Service,
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Ready is what serves through snmpd. Where that does not come up within this time the unit is ready all the same and
/// waits for as long as it takes: a unit that were not could never be started before snmpd, and would time out without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the thread that talks to snmpd turns: it answers when it is asked. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    asked: watch::Sender<u64>,
    answered: Arc<AtomicU64>,
}

impl Pulse {
    /// Asks once more.
    fn ask(&self) {
        self.asked.send_modify(|number| *number += 1);
    }

    /// Whether the last question was answered.
    fn is_answered(&self) -> bool {
        *self.asked.borrow() == self.answered.load(Ordering::Relaxed)
    }

    /// Answers, for ever.
    pub(super) async fn answer(self) {
        let mut asked = self.asked.subscribe();
        loop {
            let number = *asked.borrow_and_update();
            self.answered.store(number, Ordering::Relaxed);
            if asked.changed().await.is_err() {
                return pending().await;
            }
        }
    }
}

/// The service manager's view.
pub(super) struct Manager {
    service: Service,
    stats: Arc<Stats>,
    link: watch::Receiver<Status>,
    health: Health,
    pulse: Pulse,
    begun: Instant,
}

impl Manager {
    pub(super) fn new(stats: Arc<Stats>, health: Health, pulse: Pulse) -> Self {
        let link = stats.watch();
        Self { service: Service::of_environment(), stats, link, health, pulse, begun: Instant::now() }
    }

    /// Until something has changed between snmpd and us.
    pub(super) async fn link_changed(&mut self) {
        if self.link.changed().await.is_err() {
            pending::<()>().await;
        }
    }

    /// Tells what is to be told. The caller has seen that every thread is there.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        let link = self.stats.status();
        self.service.status(&shown(&link, &self.health.text()));
        let serves = matches!(link, Status::Registered(_));
        if !self.service.is_ready() && (serves || now.duration_since(self.begun) >= PATIENCE) {
            self.service.ready();
        }
        if self.service.is_hungry(now) && self.pulse.is_answered() {
            self.service.alive(now);
            self.pulse.ask();
        }
        self.service.flush();
    }

    pub(super) fn reloading(&mut self) {
        self.service.status("takes the configuration over");
        self.service.reloading();
    }

    pub(super) fn reloaded(&mut self) {
        self.service.status(&shown(&self.stats.status(), &self.health.text()));
        self.service.ready();
    }

    pub(super) fn stopping(&mut self) {
        self.service.status("saves what was counted");
        self.service.stopping();
    }
}

/// One line: what snmpd is to us, and how Postfix is. Commands are for `check`.
fn shown(link: &Status, health: &str) -> String {
    let health = advice::split(health).0;
    match link {
        Status::Registered(address) => format!("serves through snmpd at {address}; {health}"),
        Status::Starting | Status::Open(_) => format!("registers with snmpd; {health}"),
        Status::Disconnected(why) => format!("waits for snmpd, and counts: {}", advice::split(why).0),
        Status::Refused { why, .. } => format!("is not served, and counts: {}", advice::split(why).0),
        Status::Stopped => "stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_turn_does_not_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pulse = Pulse::default();
        let answers = runtime.spawn(pulse.clone().answer());
        assert!(pulse.is_answered(), "nothing was asked yet");
        pulse.ask();
        assert!(!pulse.is_answered());
        runtime.block_on(async {
            while !pulse.is_answered() {
                tokio::task::yield_now().await;
            }
        });
        answers.abort();
    }

    #[test]
    fn the_status_says_what_is_waited_for_and_leaves_commands_to_check() {
        let waits = shown(&Status::Disconnected("nobody listens; do: systemctl restart snmpd".into()), "ok");
        assert_eq!(waits, "waits for snmpd, and counts: nobody listens");
        let serves =
            shown(&Status::Registered("unix:/x".into()), "postfix: Postfix is stopped; do: systemctl start postfix");
        assert_eq!(serves, "serves through snmpd at unix:/x; postfix: Postfix is stopped");
    }
}
