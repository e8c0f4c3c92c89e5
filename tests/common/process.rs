//! Running programs: short ones under a time limit, long ones with a guard that ends them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait_for;

/// A program that may not take longer than 30 s, whatever it waits for.
pub fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=2", "30"]).arg(program).stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

/// What a program that ended said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code; 124 and 137 are those of `timeout`, -1 stands for a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its standard output; a failure of the program is one of the test.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.code == 0, "exit {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs to the end.
#[track_caller]
pub fn capture(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A child that keeps running until told or dropped; what it prints goes to a file, which is shown when the test fails.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    /// Length of the log when this run began.
    begin: u64,
}

impl Daemon {
    /// Starts it with its output appended to `log`.
    pub fn spawn(name: &str, command: &mut Command, log: PathBuf) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let begin = file.metadata().unwrap().len();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { name: name.to_owned(), child, log, begin }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("signal {}: {error}", self.name));
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        if let Some(status) = self.exited() {
            return status;
        }
        self.signal(Signal::TERM);
        wait_for(&format!("end of {} after SIGTERM", self.name), Duration::from_secs(20), || {
            self.child.try_wait().unwrap()
        })
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// What it printed since it was started last.
    pub fn output_of_run(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begin as usize..).unwrap_or_default()).into_owned()
    }

    /// All it printed so far, earlier runs with the same log included.
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
        if super::failing() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines.len().saturating_sub(60);
            eprintln!("---- {}: its last lines\n{}\n----", self.name, lines[last..].join("\n"));
        }
    }
}

/// One process of /proc/PID/stat.
struct Stat {
    comm: String,
    state: char,
    ppid: i32,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself contain some.
    let (head, tail) = text.rsplit_once(") ")?;
    let mut fields = tail.split(' ');
    Some(Stat {
        comm: head.split_once('(')?.1.to_owned(),
        state: fields.next()?.chars().next()?,
        ppid: fields.next()?.parse().ok()?,
    })
}

/// Whether the process runs; a zombie does not.
pub fn alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.state != 'Z')
}

/// The living children of a process by name, lowest pid first.
pub fn children(parent: i32, name: &str) -> Vec<i32> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|&pid| stat(pid).is_some_and(|stat| stat.ppid == parent && stat.comm == name && stat.state != 'Z'))
        .collect();
    pids.sort_unstable();
    pids
}

/// A group's number from /etc/group.
pub fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// A user's uid from /etc/passwd.
pub fn user_id(name: &str) -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}
