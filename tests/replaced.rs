//! The promise, with the running agent: however a log is replaced, each line of it counts once; and what nobody understands is
//! not zero.

use crate::common::{PATIENCE, TestAgent, TestPostfix, TestSnmpd, oid, wait_for};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

const SENT: &str = "postfix/smtp[7]: 0F5383D: to=<a@b>, relay=mx[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)";

/// A running Postfix whose log the agent is told to be files that the test writes.
struct Rig {
    agent: TestAgent,
    snmpd: TestSnmpd,
    directory: tempfile::TempDir,
    _postfix: TestPostfix,
}

impl Rig {
    fn new(files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let snmpd = TestSnmpd::start();
        let postfix = TestPostfix::builder().start();
        let agent = TestAgent::new(&snmpd, &[&postfix]);
        let own = format!("{{ files: [{}] }}", postfix.log_file().display());
        let list: Vec<String> = files.iter().map(|f| directory.path().join(f).display().to_string()).collect();
        let config = agent.config();
        assert!(config.contains(&own), "{config}");
        agent.set_config(&config.replace(&own, &format!("{{ files: [{}] }}", list.join(", "))));
        Self { agent, snmpd, directory, _postfix: postfix }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, line: &str, times: usize) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        for n in 0..times {
            // No two lines are equal, as in a real log.
            let stamp = format!("Nov 22 01:{:02}:{:02} mx", n / 60 % 60, n % 60);
            writeln!(file, "{stamp} {}", line.replace("delay=1,", &format!("delay=1.{n},"))).unwrap();
        }
    }

    fn number(&self, name: &str, index: &[u32]) -> Option<i64> {
        self.snmpd.get(&oid(name, index)).ok()?.number()
    }

    /// Waits until so many were counted, and sees that it stays so.
    #[track_caller]
    fn sent(&self, wanted: i64) {
        wait_for(&format!("{wanted} sent"), PATIENCE, || {
            (self.number("postfixMailSent", &[1]) == Some(wanted)).then_some(())
        });
        let read = self.number("postfixLogFileLinesRead", &[1]);
        self.write("beside", "x", 1);
        // Two more publications.
        let age = || self.number("postfixTotalCountersAge", &[0]);
        let before = age();
        wait_for("three seconds", PATIENCE, || (age() >= before.map(|a| a + 3)).then_some(()));
        assert_eq!(self.number("postfixMailSent", &[1]), Some(wanted));
        assert_eq!(self.number("postfixLogFileLinesRead", &[1]), read);
        assert_eq!(self.number("postfixLogFileGaps", &[1]), Some(0));
        assert_eq!(self.number("postfixInstanceLogDiscontinuities", &[1]), Some(0));
    }
}

fn copy_over(from: &Path, to: &Path) {
    let copy = to.with_extension("copy");
    fs::copy(from, &copy).unwrap();
    fs::rename(copy, to).unwrap();
}

/// `sed -i`, an editor, rsync: the same lines in a new file.
#[test]
fn the_same_lines_under_another_inode_count_once() {
    let mut rig = Rig::new(&["mail.log"]);
    rig.write("mail.log", SENT, 1);
    rig.agent.start();
    rig.agent.wait_sources_ok(&rig.snmpd, 1);
    rig.write("mail.log", SENT, 20);
    rig.sent(20);
    copy_over(&rig.path("mail.log"), &rig.path("mail.log"));
    rig.write("mail.log", SENT, 2);
    rig.sent(22);
    // And while nobody looks.
    rig.agent.stop();
    copy_over(&rig.path("mail.log"), &rig.path("mail.log"));
    rig.write("mail.log", SENT, 3);
    rig.agent.start();
    rig.sent(25);
}

/// mail.log and mail.info, both just rotated: whether they are one stream shows with the first lines.
#[test]
fn two_files_that_are_one_stream_from_the_start_count_once() {
    let mut rig = Rig::new(&["mail.log", "mail.info"]);
    rig.write("mail.log", SENT, 0);
    rig.write("mail.info", SENT, 0);
    rig.agent.start();
    rig.agent.wait_sources_ok(&rig.snmpd, 1);
    for name in ["mail.log", "mail.info"] {
        rig.write(name, SENT, 10);
    }
    wait_for("the ten", PATIENCE, || (rig.number("postfixMailSent", &[1]) >= Some(10)).then_some(()));
    let age = || rig.number("postfixTotalCountersAge", &[0]);
    let before = age();
    wait_for("three seconds", PATIENCE, || (age() >= before.map(|a| a + 3)).then_some(()));
    assert_eq!(rig.number("postfixMailSent", &[1]), Some(10));
}

/// What was rotated beside the target of a link while nobody looked is found there.
#[test]
fn the_rotations_of_a_linked_log_are_read_on() {
    let mut rig = Rig::new(&["mail.log"]);
    fs::create_dir(rig.path("elsewhere")).unwrap();
    rig.write("elsewhere/postfix.log", SENT, 1);
    symlink("elsewhere/postfix.log", rig.path("mail.log")).unwrap();
    rig.agent.start();
    rig.agent.wait_sources_ok(&rig.snmpd, 1);
    rig.write("elsewhere/postfix.log", SENT, 4);
    rig.sent(4);
    rig.agent.stop();
    rig.write("elsewhere/postfix.log", SENT, 3);
    fs::rename(rig.path("elsewhere/postfix.log"), rig.path("elsewhere/postfix.log.1")).unwrap();
    rig.write("elsewhere/postfix.log", SENT, 2);
    rig.agent.start();
    rig.sent(9);
}

/// A form that is not read is a failing source, its counters are absent, and health says so.
#[test]
fn a_log_in_a_form_that_is_not_understood_is_failing_and_not_zero() {
    let mut rig = Rig::new(&["mail.log"]);
    rig.write("mail.log", "", 0);
    rig.agent.start();
    rig.agent.wait_sources_ok(&rig.snmpd, 1);
    assert_eq!(rig.number("postfixMailSent", &[1]), Some(0));
    rig.write("mail.log", "<22> a template of somebody's own without any program", 2_000);
    wait_for("failing", PATIENCE, || (rig.number("postfixSourceStatus", &[1, 3]) == Some(3)).then_some(()));
    wait_for("no counter", PATIENCE, || rig.number("postfixMailSent", &[1]).is_none().then_some(()));
    let text = rig.snmpd.get(&oid("postfixHealthText", &[0])).unwrap().text().unwrap_or_default();
    assert!(text.contains("nothing in it is understood"), "{text}");
}
