//! What is polled: two Postfix instances, snmpd, the agent under its unprivileged user; and what goes wrong with them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::common::{Fate, Sandbox, TestAgent, TestPostfix, TestSnmpd, group_id};

pub struct Rig {
    pub snmpd: TestSnmpd,
    /// Stays up: whatever is said of it while the other one fails is wrong.
    _one: TestPostfix,
    pub two: TestPostfix,
    pub agent: TestAgent,
    /// For the manager's own files.
    pub files: Sandbox,
}

/// The four faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// snmpd answers, and has nothing of ours.
    AgentStopped,
    /// Nobody answers.
    SnmpdStopped,
    /// The second instance does not run.
    InstanceStopped,
    /// The log of the second instance was rotated, and only root may read the new one.
    LogUnreadable,
}

pub const FAULTS: [Fault; 4] = [Fault::AgentStopped, Fault::SnmpdStopped, Fault::InstanceStopped, Fault::LogUnreadable];

impl Rig {
    pub fn start() -> Self {
        let snmpd = TestSnmpd::start();
        let one = TestPostfix::builder().start();
        let two = TestPostfix::builder().name("postfix-out").start();
        let mut agent = TestAgent::new(&snmpd, &[&one, &two]);
        agent.set_config(&agent.config().replace("interval: 30s", "interval: 1s"));
        agent.start();
        agent.wait_healthy(&snmpd, 1);
        agent.wait_healthy(&snmpd, 2);
        for postfix in [&one, &two] {
            postfix.send(Fate::Delivered, 5);
            postfix.send(Fate::Deferred, 3);
            postfix.send(Fate::Rejected, 2);
        }
        Self { snmpd, _one: one, two, agent, files: Sandbox::new("manager") }
    }

    pub fn play(&mut self, fault: Fault) {
        match fault {
            Fault::AgentStopped => assert!(self.agent.stop().success()),
            Fault::SnmpdStopped => self.snmpd.stop(),
            Fault::InstanceStopped => self.two.stop(),
            Fault::LogUnreadable => self.rotate_into_a_closed_log(),
        }
    }

    pub fn repair(&mut self, fault: Fault) {
        match fault {
            Fault::AgentStopped => self.agent.start(),
            Fault::SnmpdStopped => self.snmpd.start_again(),
            Fault::InstanceStopped => self.two.start(),
            Fault::LogUnreadable => self.open_log(),
        }
        self.agent.wait_healthy(&self.snmpd, 1);
        self.agent.wait_healthy(&self.snmpd, 2);
    }

    fn rotate_into_a_closed_log(&self) {
        let log = self.two.log_file();
        fs::rename(&log, log.with_extension("log.1")).expect("the log is renamed");
        fs::write(&log, "").expect("a new log");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).expect("closed");
    }

    fn open_log(&self) {
        let log = self.two.log_file();
        chown(&log, None, group_id("adm")).expect("its group");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).expect("opened");
    }
}
