//! The promise: in the journal a line of the log has its priority and no second time; elsewhere it has both in words.

use crate::common::{PATIENCE, TestAgent, TestSnmpd, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
};

/// What the daemon logged until it said that it is connected, with standard error as the journal would connect it or not.
fn logged(stream: impl FnOnce(&File) -> String) -> Vec<String> {
    let snmpd = TestSnmpd::start();
    let agent = TestAgent::new(&snmpd, &[]);
    // Nobody is to be watched: an empty list is written otherwise.
    agent.set_config(&agent.config().replace("instances:\n", "instances: []\n"));
    let log = agent.sandbox().path("journal");
    let file = File::create(&log).unwrap();
    let mut command = agent.command(&["run"]);
    command.arg("--config").arg(agent.config_file()).env("JOURNAL_STREAM", stream(&file)).stderr(file);
    let mut child = command.spawn().unwrap();
    let text = || fs::read_to_string(&log).unwrap();
    wait_for("a line", PATIENCE, || text().contains("serving through snmpd").then_some(()));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    wait_for("the end", PATIENCE, || child.try_wait().unwrap());
    text().lines().map(str::to_owned).collect()
}

#[test]
fn priorities_where_it_is_the_journal_and_words_elsewhere() {
    let name = |file: &File| file.metadata().map(|meta| format!("{}:{}", meta.dev(), meta.ino())).unwrap();
    let lines = logged(name);
    let is_entry = |line: &String| ["<3>", "<4>", "<6>"].iter().any(|priority| line.starts_with(priority));
    assert!(lines.iter().all(is_entry), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(" INFO ") && !line.contains("Z ")), "{lines:?}");
    let lines = logged(|_| "0:0".to_owned());
    assert!(lines.iter().all(|line| line.starts_with("20") && line.contains('T')), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" INFO ")), "{lines:?}");
}
