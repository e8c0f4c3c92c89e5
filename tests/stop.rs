//! The promise: SIGTERM and SIGHUP are obeyed within 5 s whatever hangs, from the first instant on, and no child is left.

use crate::common::{Daemon, PATIENCE, Sandbox, TestAgent, TestPostfix, TestSnmpd, alive, wait_for};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Signal, kill_process_group},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What is promised.
const PROMISED: Duration = Duration::from_secs(5);

/// An agent with programs of its own in PATH, that come before Postfix's.
struct Host {
    _snmpd: TestSnmpd,
    postfix: TestPostfix,
    agent: TestAgent,
}

impl Host {
    fn new() -> Self {
        let snmpd = TestSnmpd::start();
        let postfix = TestPostfix::builder().start();
        let agent = TestAgent::new(&snmpd, &[&postfix]);
        let host = Self { _snmpd: snmpd, postfix, agent };
        let bin = host.sandbox().mkdir("bin", 0o755, Some(0));
        // Children write their numbers here.
        host.sandbox().mkdir("children", 0o777, None);
        assert!(bin.is_dir());
        host
    }

    fn sandbox(&self) -> &Sandbox {
        self.agent.sandbox()
    }

    /// A program that writes down its number and goes on with `script`.
    fn program(&self, name: &str, script: &str) {
        let children = self.sandbox().path("children");
        let text = format!("#!/bin/sh\n: > {}/$$\n{script}\n", children.display());
        let path = self.sandbox().write(&format!("bin/{name}"), &text);
        chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, command: &str, config: &Path) -> Command {
        let mut command = self.agent.command(&[command]);
        let path = format!("{}:{}", self.sandbox().path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).arg("--config").arg(config);
        command
    }

    fn start(&self, command: &str) -> Daemon {
        self.start_with(command, &self.agent.config_file())
    }

    fn start_with(&self, command: &str, config: &Path) -> Daemon {
        Daemon::spawn("postfix-agentx", &mut self.command(command, config), self.sandbox().path("agent.log"))
    }

    /// Those that were started so far.
    fn children(&self) -> Vec<i32> {
        let entries = fs::read_dir(self.sandbox().path("children")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
    }

    fn wait_for_children(&self, more_than: usize) {
        wait_for("a child", PATIENCE, || (self.children().len() > more_than).then_some(()));
    }

    /// The promise.
    #[track_caller]
    fn ends(&self, daemon: &mut Daemon) {
        daemon.signal(Signal::TERM);
        wait_for("the end within 5 s of SIGTERM", PROMISED, || daemon.exited());
        let left: Vec<i32> = self.children().into_iter().filter(|pid| alive(*pid)).collect();
        assert_eq!(left, Vec::<i32>::new(), "children left behind");
    }

    fn edit_main_cf(&self) {
        let file = self.postfix.config_directory().join("main.cf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n# {}\n", self.children().len())).unwrap();
    }
}

impl Drop for Host {
    /// What a failed test left behind works in no sandbox.
    fn drop(&mut self) {
        for pid in self.children().into_iter().filter(|pid| alive(*pid)).filter_map(Pid::from_raw) {
            let _gone_already = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A FIFO that nobody writes to.
fn fifo(path: PathBuf) -> PathBuf {
    let _none = fs::remove_file(&path);
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    chown(&path, Some(crate::common::AGENT_UID), None).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    path
}

const HANGS: [&str; 3] = ["exec sleep 1000", "trap '' TERM; sleep 1000 & wait", "sleep 1000 >&2 & exit 0"];

#[test]
fn a_postconf_that_hangs_delays_neither_sigterm_nor_sighup() {
    let host = Host::new();
    for script in HANGS {
        host.program("postconf", script);
        let before = host.children().len();
        let mut daemon = host.start("run");
        host.wait_for_children(before);
        host.ends(&mut daemon);
    }
    // Hanging later, and through SIGHUPs.
    host.program("postconf", "exec /usr/sbin/postconf \"$@\"");
    let mut daemon = host.start("run");
    wait_for("its instance", PATIENCE, || daemon.output_of_run().contains("index=1").then_some(()));
    host.program("postconf", HANGS[0]);
    let before = host.children().len();
    host.edit_main_cf();
    host.wait_for_children(before);
    for reload in 1..=3 {
        daemon.signal(Signal::HUP);
        wait_for("the new configuration within 5 s of SIGHUP", PROMISED, || {
            (daemon.output_of_run().matches("configuration taken over").count() == reload).then_some(())
        });
    }
    host.ends(&mut daemon);
    assert!(!daemon.output_of_run().contains("left behind"), "{}", daemon.output_of_run());
}

#[test]
fn a_journalctl_that_hangs_delays_neither() {
    let host = Host::new();
    host.program("journalctl", HANGS[0]);
    let log = format!("{{ files: [{}] }}", host.postfix.log_file().display());
    host.agent.set_config(&host.agent.config().replace(&log, "{ journal: true }"));
    let mut daemon = host.start("run");
    host.wait_for_children(0);
    daemon.signal(Signal::HUP);
    wait_for("the new configuration within 5 s of SIGHUP", PROMISED, || {
        daemon.output_of_run().contains("configuration taken over").then_some(())
    });
    host.wait_for_children(1);
    host.ends(&mut daemon);
}

#[test]
fn commands_that_collect_once_end_their_children_too() {
    let host = Host::new();
    host.program("postconf", HANGS[0]);
    for command in ["check", "dump"] {
        let before = host.children().len();
        let mut daemon = host.start(command);
        host.wait_for_children(before);
        host.ends(&mut daemon);
    }
}

#[test]
fn a_file_that_never_answers_delays_neither() {
    let host = Host::new();
    for name in ["log", "instances", "process", "queue-domains", "lock"] {
        let path = fifo(host.agent.state_directory().join(name));
        let mut daemon = host.start("run");
        wait_for("its first line, or its end", PATIENCE, || {
            (daemon.output_of_run().lines().count() > 0 || daemon.exited().is_some()).then_some(())
        });
        if daemon.exited().is_none() {
            host.ends(&mut daemon);
        }
        // Most are set aside by then.
        let _aside = fs::remove_file(path);
    }
    let config = fifo(host.sandbox().path("fifo.yaml"));
    let mut daemon = host.start_with("run", &config);
    // It may refuse it at once.
    host.ends_or_ended(&mut daemon);
    // One that becomes a FIFO while it runs.
    let mut daemon = host.start("run");
    wait_for("its instance", PATIENCE, || daemon.output_of_run().contains("index=1").then_some(()));
    fifo(host.agent.config_file());
    daemon.signal(Signal::HUP);
    wait_for("a word within 5 s of SIGHUP", PROMISED, || {
        daemon.output_of_run().contains("the old configuration stays").then_some(())
    });
    host.ends(&mut daemon);
}

impl Host {
    #[track_caller]
    fn ends_or_ended(&self, daemon: &mut Daemon) {
        if daemon.exited().is_none() {
            self.ends(daemon);
        }
    }
}
