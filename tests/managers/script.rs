//! A manager behind a script of this directory (manager.py says how they talk): imports or reads the shipped file, polls the
//! rig, and tells what it complains about.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rig::{FAULTS, Rig};
use crate::common::{mib_path, repository, wait_for};

/// How long a manager may take to start, and to see a fault.
/// A source that cannot be read is stale for three minutes before it is failing.
const PATIENCE: Duration = Duration::from_secs(300);

struct Script {
    name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Script {
    fn start(name: &str, rig: &Rig) -> Self {
        let mut command = rig.files.command("python3");
        command
            .arg("-B")
            .arg(repository().join("tests/managers").join(format!("{name}.py")))
            .env("SNMP_PORT", rig.snmpd.port().to_string())
            .env("DIRECTORY", rig.files.dir())
            .env("REPOSITORY", repository())
            .env("MIB_PATH", mib_path())
            .env("AGENT", env!("CARGO_BIN_EXE_postfix-agentx"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let (send, answers) = channel();
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { name: name.to_owned(), questions: child.stdin.take(), child, answers }
    }

    fn answer(&self) -> String {
        self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.questions.as_mut().expect("a pipe"), "{question}").expect("the script lives");
        self.answer()
    }

    fn alarms(&mut self) -> BTreeSet<String> {
        serde_json::from_str(&self.ask("alarms")).expect("a list")
    }

    /// Until the complaints are as wanted; says what they were when they never are.
    fn wait_alarms(&mut self, what: &str, wanted: impl Fn(&BTreeSet<String>) -> bool) -> BTreeSet<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.alarms();
            if wanted(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "{}: not {what}: {seen:?}", self.name);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn wait_quiet(&mut self, when: &str) {
        self.wait_alarms(&format!("quiet {when}"), BTreeSet::is_empty);
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.questions.take());
        if let Err(error) = self.child.wait() {
            eprintln!("{}: {error}", self.name);
        }
    }
}

/// Each fault is told and each end of it, and nothing that is forbidden ever is.
pub fn sees_every_fault(name: &str) {
    let mut rig = Rig::start();
    let mut script = Script::start(name, &rig);
    let begin: Value = serde_json::from_str(&script.answer()).expect("what it expects");
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).expect("a list of texts") };
    let expected: BTreeMap<String, Vec<String>> =
        serde_json::from_value(begin["expected"].clone()).expect("lists by fault");
    let forbidden = words(&begin["forbidden"]);
    let mut last = String::new();
    let ready = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("values", PATIENCE, || {
            last = script.ask("ready");
            (last == "yes").then_some(())
        });
    }));
    assert!(ready.is_ok(), "{name} is not ready: {last}");
    script.wait_quiet("at first");
    for fault in FAULTS {
        let all = expected.get(&format!("{fault:?}")).unwrap_or_else(|| panic!("{name} says nothing of {fault:?}"));
        assert!(!all.is_empty(), "{name} does not see {fault:?}");
        rig.play(fault);
        let seen =
            script.wait_alarms(&format!("{all:?} with {fault:?}"), |seen| all.iter().all(|alarm| seen.contains(alarm)));
        let wrong = seen.iter().find(|alarm| forbidden.iter().any(|begin| alarm.starts_with(begin.as_str())));
        assert!(wrong.is_none(), "{fault:?}: {seen:?}");
        rig.repair(fault);
        script.wait_quiet(&format!("after {fault:?}"));
        eprintln!("{name}: {fault:?}: {seen:?}, and gone");
    }
}

/// A test for each script of this directory that is named; `make test-managers MANAGER=…` finds it by that name.
macro_rules! scripts {
    ($($name:ident),*) => {$(
        mod $name {
            #[test]
            #[ignore = "needs the manager's packages: make test-managers"]
            fn sees_every_fault() {
                super::script::sees_every_fault(stringify!($name));
            }
        }
    )*};
}
pub(super) use scripts;
