//! The collector around engine and follower: what is shown when, what survives, what is told.

use super::*;
use crate::{
    collect::{
        catalogue,
        health::{AgentCounters, Health},
        instance::services_of,
        runner::run_once,
    },
    config::{self, Config, LogSource},
    mib::{AnyTable, Publisher},
    smi::Value,
    state::StateDirectory,
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const AT_ONCE: Patience = Patience { rotated: Duration::ZERO, search: Duration::ZERO };

struct Host {
    directory: tempfile::TempDir,
    config: Config,
    instances: Vec<Arc<Instance>>,
    context: Context,
}

impl Host {
    /// Instances by name and syslog_name, all with the same file of their own or the one given.
    fn new(instances: &[(&str, &str, &[&str])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let list = (1..).zip(instances).map(|(index, (name, syslog_name, files))| {
            let files = files.iter().map(|f| directory.path().join(f)).collect();
            let mut instance = crate::collect::instance::made_up::instance(Path::new("/nonexistent"), &[]);
            instance.index = index;
            instance.name = (*name).into();
            instance.syslog_name = (*syslog_name).into();
            instance.settings = config::Instance { log: LogSource::Files(files), ..config::Instance::default() };
            Arc::new(instance)
        });
        let instances: Vec<_> = list.collect();
        let config = Config::default();
        let context = context(&directory, &config, &instances);
        Self { directory, config, instances, context }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self, name: &str, lines: &[&str]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        for line in lines {
            writeln!(file, "Nov 22 01:17:30 vm {line}").unwrap();
        }
    }

    /// The agent begins anew, with what was saved.
    fn agent(&mut self) -> LogCollector {
        drop(std::mem::replace(&mut self.context, context(&tempfile::tempdir().unwrap(), &Config::default(), &[])));
        self.context = context(&self.directory, &self.config, &self.instances);
        LogCollector::with_patience(self.context.clone(), AT_ONCE)
    }

    fn value(&self, name: &str, index: &[u32]) -> Option<Value> {
        let column = catalogue().into_iter().find_map(|table| {
            let column = table.columns().into_iter().find(|c| c.name == name)?;
            Some([&[1, 3], table.entry(), &[column.number], index].concat())
        });
        let name = column.unwrap_or_else(|| panic!("{name}"));
        let view = self.context.publisher.view();
        crate::smi::Objects::get(&*view, &name, Instant::now()).ok()
    }

    fn number(&self, name: &str, index: &[u32]) -> Option<u64> {
        match self.value(name, index)? {
            Value::Counter32(n) | Value::Gauge32(n) => Some(n.into()),
            Value::Integer(n) => u64::try_from(n).ok(),
            Value::Counter64(n) => Some(n),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn context(directory: &tempfile::TempDir, config: &Config, instances: &[Arc<Instance>]) -> Context {
    // A child that another test is just starting holds the lock of the one before until it has called exec(2).
    let begun = Instant::now();
    let state = loop {
        match StateDirectory::open(&directory.path().join("state")) {
            Err(_) if begun.elapsed() < Duration::from_secs(10) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    let publisher = Publisher::new([1, 3].into(), &catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    let context = Context::new(Arc::new(config.clone()), publisher, health, state);
    context.instances.set(instances.to_vec());
    context
}

const SENT: &str = "postfix/smtp[7]: 0F5383D: to=<a@b>, relay=mx[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)";

fn another(agent: &mut LogCollector) {
    agent.published_at = None;
    agent.reported_at = None;
    // Files with a few lines are compared so often before they are read.
    for _ in 0..=APART {
        run_once(agent);
    }
    agent.published_at = None;
    agent.reported_at = None;
    run_once(agent);
}

#[test]
fn counts_go_on_through_restarts_and_kills() {
    let mut host = Host::new(&[("postfix", "postfix", &["mail.log"])]);
    host.log("mail.log", &[SENT]);
    let mut agent = host.agent();
    run_once(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(0), "begun at the end");
    assert_eq!(host.number("postfixSourceStatus", &[1, 3]), Some(1));
    host.log("mail.log", &[SENT, SENT]);
    another(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(2));
    agent.finish();
    host.log("mail.log", &[SENT]);
    drop(agent);
    let mut agent = host.agent();
    assert_eq!(host.number("postfixMailSent", &[1]), None, "nothing before it is through");
    run_once(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(3));
    assert_eq!(host.number("postfixTotalDelivered", &[0]), Some(3));
    // Killed: what was not saved is read again.
    host.log("mail.log", &[SENT]);
    another(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(4));
    drop(agent);
    fs::rename(host.path("mail.log"), host.path("mail.log.1")).unwrap();
    host.log("mail.log", &[SENT]);
    let mut agent = host.agent();
    (0..3).for_each(|_| another(&mut agent));
    assert_eq!(host.number("postfixMailSent", &[1]), Some(5));
    assert_eq!(host.number("postfixTemplateBounced", &[0]), Some(0));
    assert_eq!(host.number("postfixLogFileLinesRead", &[1]), Some(5));
    assert_eq!(host.number("postfixLogFileGaps", &[1]), Some(0));
}

/// With all queue ids remembered it was 8.65 MB every ten seconds, 75 GB a day.
#[test]
fn a_large_state_is_saved_less_often() {
    assert_eq!((pause(0), pause(600_000)), (SAVE, SAVE));
    for octets in [0, 170_000, 700_000, 8_650_000, 64 << 20] {
        let a_minute = octets as u64 * 60_000 / u64::try_from(pause(octets).as_millis()).unwrap();
        assert!(a_minute <= SAVED_A_MINUTE + 1_000, "{octets} octets: {a_minute} a minute");
    }
}

/// Real lines of mail that an access rule and a header check threw away: what is remembered of it is nothing.
#[test]
fn what_was_thrown_away_gives_its_id_back() {
    let mut host = Host::new(&[("postfix", "postfix", &["log"])]);
    host.log("log", &[]);
    let mut agent = host.agent();
    run_once(&mut agent);
    let lines = [
        "postfix/smtpd[8]: connect from unknown[127.0.0.1]",
        "postfix/smtpd[8]: NOQUEUE: discard: RCPT from unknown[127.0.0.1]: <d@sink.example>: Recipient address policy discard; from=<bob@sink.example> to=<d@sink.example> proto=ESMTP helo=<vm>",
        "postfix/smtpd[8]: C754EB6606: client=unknown[127.0.0.1]",
        "postfix/smtpd[8]: disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
        "postfix/smtpd[8]: connect from unknown[127.0.0.1]",
        "postfix/smtpd[8]: 37BB5B6611: client=unknown[127.0.0.1]",
        "postfix/cleanup[9]: 37BB5B6611: discard: header Subject: discard-me from unknown[127.0.0.1]; from=<bob@sink.example> to=<a@sink.example> proto=ESMTP helo=<vm>",
        "postfix/smtpd[8]: disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
        // Broken off after RCPT, three ways.
        "postfix/smtpd[8]: connect from unknown[127.0.0.1]",
        "postfix/smtpd[8]: 47BB5B6611: client=unknown[127.0.0.1]",
        "postfix/smtpd[8]: 57BB5B6611: client=unknown[127.0.0.1]",
        "postfix/smtpd[8]: lost connection after RCPT from unknown[127.0.0.1]",
        "postfix/smtpd[8]: disconnect from unknown[127.0.0.1] ehlo=1 mail=2 rcpt=2 rset=1 commands=6",
    ];
    for _ in 0..50 {
        host.log("log", &lines);
    }
    another(&mut agent);
    assert_eq!(host.number("postfixMailDiscarded", &[1]), Some(100));
    assert_eq!(agent.engine.instances[0].state.ids.len(), 0);
}

#[test]
fn a_gap_moves_counters_since() {
    let mut host = Host::new(&[("postfix", "postfix", &["mail.log"])]);
    host.log("mail.log", &[SENT]);
    let mut agent = host.agent();
    run_once(&mut agent);
    host.log("mail.log", &[SENT]);
    another(&mut agent);
    agent.engine.instances[0].state.since = 1_000;
    agent.totals_since = 1_000;
    agent.finish();
    drop(agent);
    fs::remove_file(host.path("mail.log")).unwrap();
    let other = SENT.replace("[7]", "[8]");
    host.log("mail.log", &[&other, &other]);
    let mut agent = host.agent();
    (0..3).for_each(|_| another(&mut agent));
    assert_eq!(host.number("postfixMailSent", &[1]), Some(3), "what can be read is counted");
    assert_eq!(host.number("postfixLogFileGaps", &[1]), Some(1));
    assert_eq!(host.number("postfixInstanceLogDiscontinuities", &[1]), Some(1));
    assert!(host.number("postfixInstanceLogCountersAge", &[1]).unwrap() < 60);
    assert!(host.number("postfixTotalCountersAge", &[0]).unwrap() < 60);
}

#[test]
fn lines_go_to_their_instance() {
    let shared: &[&str] = &["mail.log"];
    let own: &[&str] = &["out.log"];
    let mut host =
        Host::new(&[("postfix", "postfix", shared), ("in", "postfix-in.1", shared), ("out", "postfix-out", own)]);
    for file in ["mail.log", "out.log"] {
        host.log(file, &["x"]);
    }
    let mut agent = host.agent();
    run_once(&mut agent);
    let relayed = SENT.replace("postfix/smtp", "postfix/relay/smtp");
    host.log(
        "mail.log",
        &[SENT, &SENT.replace("postfix/", "postfix-in.1/"), &SENT.replace("postfix/", "postfix-xx/"), "dovecot: x"],
    );
    // In a file of its own a hard-coded name is this instance's all the same.
    host.log("out.log", &[&SENT.replace("postfix/", "postfix-out/"), &relayed, "dovecot/imap[3]: x"]);
    another(&mut agent);
    assert_eq!([1, 2, 3].map(|i| host.number("postfixMailSent", &[i])), [Some(1), Some(1), Some(2)]);
    assert_eq!([1, 2].map(|f| host.number("postfixLogFileLinesForeign", &[f])), [Some(2), Some(1)]);
    assert_eq!([1, 2].map(|f| host.number("postfixLogFileLinesUnrecognised", &[f])), [Some(0), Some(0)]);
    assert_eq!(host.number("postfixTotalDelivered", &[0]), Some(4));
    let name = host.value("postfixTransportName", &[3, 3]).unwrap();
    assert_eq!(name, Value::octets("out relay/smtp"));
    // An instance that goes leaves what it counted in the totals, and finds its counters when it returns.
    let all = host.context.instances.current();
    host.context.instances.set(all[..2].to_vec());
    another(&mut agent);
    assert_eq!((host.number("postfixMailSent", &[3]), host.number("postfixTotalDelivered", &[0])), (None, Some(4)));
    host.log("out.log", &[&relayed]);
    host.context.instances.set(all.to_vec());
    another(&mut agent);
    assert_eq!((host.number("postfixMailSent", &[3]), host.number("postfixTotalDelivered", &[0])), (Some(3), Some(5)));
}

#[test]
fn an_unreadable_log_is_failing_with_a_remedy() {
    let mut host = Host::new(&[("postfix", "postfix", &["no/mail.log"])]);
    // Root can read everything; a directory that is a file nobody can.
    fs::write(host.path("no"), "").unwrap();
    let mut agent = host.agent();
    run_once(&mut agent);
    assert_eq!(host.number("postfixSourceStatus", &[1, 3]), Some(3));
    assert_eq!(host.number("postfixMailSent", &[1]), None);
    assert_eq!(host.number("postfixTotalDelivered", &[0]), None);
    assert_eq!(host.number("postfixTemplateDeferred", &[0]), None);
    assert_eq!(host.number("postfixLogFileStatus", &[1]), Some(3));
    fs::remove_file(host.path("no")).unwrap();
    fs::create_dir(host.path("no")).unwrap();
    host.log("no/mail.log", &[SENT]);
    another(&mut agent);
    another(&mut agent);
    assert_eq!(host.number("postfixSourceStatus", &[1, 3]), Some(1));
    assert!(host.number("postfixMailSent", &[1]).is_some());
}

/// Lines that are nobody's, of one kind each; what the complaint says of them.
const NOT_UNDERSTOOD: [(&str, &str); 3] = [
    ("a form that no logger known writes: smtpd 7 connect from h[192.0.2.1]", "nothing in it is understood"),
    ("mta/smtpd[7]: connect from h[192.0.2.1]", "syslog_name: mta"),
    ("sshd[7]: Accepted publickey for root from 192.0.2.1 port 22 ssh2", "other programs"),
];

#[test]
fn a_log_of_which_nothing_is_understood_is_failing_and_its_counters_absent() {
    // A log for two instances is nobody's own.
    for (line, words) in NOT_UNDERSTOOD {
        let mut host = Host::new(&[("out", "postfix", &["mail.log"]), ("in", "postfix-in", &["mail.log"])]);
        host.log("mail.log", &[]);
        let mut agent = host.agent();
        run_once(&mut agent);
        assert_eq!(host.number("postfixMailSent", &[1]), Some(0), "nothing has been written");
        host.log("mail.log", &vec![line; 2_000]);
        another(&mut agent);
        let failing = |host: &Host| {
            assert_eq!(host.number("postfixMailSent", &[1]), None, "{line}");
            assert_eq!(host.number("postfixTotalDelivered", &[0]), None, "{line}");
            assert_eq!(host.number("postfixTemplateDeferred", &[0]), None, "{line}");
            assert_eq!(host.number("postfixSourceStatus", &[1, 3]), Some(3), "{line}");
            assert_eq!(host.number("postfixLogFileStatus", &[1]), Some(3), "{line}");
            assert_eq!(host.number("postfixLogFileLinesForeign", &[1]), Some(2_000), "{line}");
            let Some(Value::OctetString(error)) = host.value("postfixLogFileError", &[1]) else { panic!("{line}") };
            let error = String::from_utf8_lossy(&error).into_owned();
            assert!(error.contains(words), "{error}");
        };
        failing(&host);
        // A restart does not make it zero again.
        agent.finish();
        drop(agent);
        let mut agent = host.agent();
        run_once(&mut agent);
        failing(&host);
        host.log("mail.log", &[SENT]);
        another(&mut agent);
        assert_eq!(host.number("postfixMailSent", &[1]), Some(1), "{line}");
        assert_eq!(host.number("postfixSourceStatus", &[1, 3]), Some(1), "{line}");
        assert_eq!(host.number("postfixLogFileStatus", &[1]), Some(1), "{line}");
    }
}

#[test]
fn a_quiet_postfix_that_was_understood_once_is_not_missed_among_other_programs() {
    let mut host = Host::new(&[("postfix", "postfix", &["mail.log"])]);
    host.log("mail.log", &[]);
    let mut agent = host.agent();
    run_once(&mut agent);
    host.log("mail.log", &[SENT]);
    host.log("mail.log", &vec!["dovecot[7]: imap-login: Login: user=<a>"; 5_000]);
    another(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(1));
    // The logger was given another form while the agent ran.
    host.log("mail.log", &vec!["a form that no logger known writes"; 10_000]);
    another(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), None);
}

#[test]
fn a_journal_without_files_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    assert!(!journal::has_files(&["/nonexistent", path]));
    let machine = directory.path().join("0123456789abcdef");
    fs::create_dir(&machine).unwrap();
    assert!(!journal::has_files(&[path]));
    fs::write(machine.join("system.journal"), "").unwrap();
    assert!(journal::has_files(&[path]));
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told_and_tried_again() {
    let mut host = Host::new(&[("postfix", "postfix", &["mail.log"])]);
    host.log("mail.log", &["x"]);
    let mut agent = host.agent();
    run_once(&mut agent);
    host.log("mail.log", &[SENT]);
    another(&mut agent);
    // Neither root nor anyone else can replace a directory by a file.
    let state = host.path("state");
    let _ = fs::remove_file(state.join("log"));
    fs::create_dir_all(state.join("log/x")).unwrap();
    agent.save();
    assert!(agent.save_error.is_some() && agent.dirty);
    another(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(1), "still served");
    assert_eq!(host.number("postfixHealth", &[0]), Some(2));
    let text = host.value("postfixHealthText", &[0]).unwrap();
    assert!(matches!(&text, Value::OctetString(t) if String::from_utf8_lossy(t).contains("not saved")), "{text:?}");
    fs::remove_dir_all(state.join("log")).unwrap();
    agent.save();
    assert!(agent.save_error.is_none() && !agent.dirty);
}

#[test]
fn equal_streams_count_once() {
    let both: &[&str] = &["mail.log", "mail.info"];
    let mut host = Host::new(&[("postfix", "postfix", both)]);
    let lines: Vec<String> = (0..20).map(|n| SENT.replace("[7]", &format!("[{n}]"))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    both.iter().for_each(|file| host.log(file, &lines));
    let mut agent = host.agent();
    run_once(&mut agent);
    both.iter().for_each(|file| host.log(file, &lines));
    another(&mut agent);
    assert_eq!(host.number("postfixMailSent", &[1]), Some(20));
    assert_eq!([1, 2].map(|f| host.number("postfixLogFileStatus", &[f])), [Some(1), Some(4)]);
}

/// A journalctl that gives what the test writes into a file, and ends when told.
#[test]
fn the_journal_is_followed_from_a_saved_cursor() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |n: u32, text: &str| {
        format!(
            "{{\"__CURSOR\":\"s={n}\",\"__REALTIME_TIMESTAMP\":\"1700000000000000\",\"_HOSTNAME\":\"vm\",\"SYSLOG_IDENTIFIER\":\"postfix/smtp\",\"_PID\":\"7\",\"MESSAGE\":{text}}}\n"
        )
    };
    let text = SENT.split_once(": ").unwrap().1;
    let message = format!("\"{text}\"");
    let bytes = format!("{:?}", text.as_bytes());
    let journal = directory.path().join("journal");
    fs::write(&journal, entry(1, &message) + &entry(2, &message) + &entry(3, &bytes)).unwrap();
    let script = directory.path().join("journalctl");
    // Prints what follows the cursor, or with --lines=1 the last entry or the first one from the cursor on.
    fs::write(
        &script,
        format!(
            "#!/bin/sh\ncd {}; after=; from=\nfor a; do case $a in --after-cursor=*) after=${{a#*=s=}};; --cursor=*) from=${{a#*=s=}};; esac; done\n\
             echo \"$@\" >> calls\n\
             [ -z \"$after\" ] || from=$((after + 1))\n\
             list() {{ while read -r line; do n=${{line#*s=}}; n=${{n%%\\\"*}}; [ \"$n\" -lt \"${{from:-0}}\" ] || printf '%s\\n' \"$line\"; done < journal 2>/dev/null; }}\n\
             case \"$1$from\" in --lines=1) tail -n 1 journal; exit;; --lines=1*) list | head -n 1; exit;; esac\n\
             list\ncat rubbish\nexec sleep 1000\n",
            directory.path().display()
        ),
    )
    .unwrap();
    fs::write(directory.path().join("rubbish"), "rubbish\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let read = |journal: &mut journal::Journal| {
        let (mut lines, mut gaps) = (Vec::new(), 0);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let progress = journal.read(1 << 20, &mut |line, _| lines.push(line.to_vec())).unwrap();
            gaps += progress.gaps;
            // What is no entry is counted as a line, and comes last here.
            if progress.at_end && lines.last().is_some_and(|line| line == b"rubbish\n") {
                break;
            }
            std::thread::yield_now();
        }
        lines.pop();
        (lines, gaps)
    };
    let mut first = journal::Journal::with_program(&script, None, false);
    assert_eq!(read(&mut first), (Vec::new(), 0), "begun at the end");
    assert_eq!(first.cursor(), Some("s=3"));
    drop(first);
    let mut again = journal::Journal::with_program(&script, Some("s=1".into()), false);
    let (lines, gaps) = read(&mut again);
    assert_eq!((lines.len(), gaps), (2, 0));
    assert_eq!(lines[0], format!("Jan  1 00:00:00 vm {SENT}\n").into_bytes());
    assert_eq!(lines[0], lines[1], "an array of bytes is a message as well");
    assert_eq!(again.cursor(), Some("s=3"));
    let calls = fs::read_to_string(directory.path().join("calls")).unwrap();
    assert!(
        calls.contains("--follow") && calls.contains("--after-cursor=s=1") && calls.contains("SYSLOG_FACILITY=2"),
        "{calls}"
    );
    // The journal was vacuumed while nobody read: what is left is counted, what is gone is a gap.
    fs::write(&journal, entry(4, &message) + &entry(5, &message)).unwrap();
    let mut late = journal::Journal::with_program(&script, Some("s=2".into()), false);
    let (lines, gaps) = read(&mut late);
    assert_eq!((lines.len(), gaps, late.cursor()), (2, 1, Some("s=5")));
    // Nothing is left behind it: what is there may have been counted.
    let mut later = journal::Journal::with_program(&script, Some("s=9".into()), false);
    assert_eq!((read(&mut later), later.cursor()), ((Vec::new(), 1), Some("s=5")));
}

/// Both look like a journal without entries to `journalctl --follow`.
#[test]
fn a_journal_that_may_not_be_read_is_an_error_and_not_empty() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("journalctl");
    for said in [
        "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1",
        // With a journal of one's own, in which no mail is.
        "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2; echo '-- No entries --'",
    ] {
        fs::write(&script, format!("#!/bin/sh\n{said}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut journal = journal::Journal::with_program(&script, None, false);
        let error = loop {
            match journal.read(1 << 20, &mut |_, _| {}) {
                Err(e) => break e.to_string(),
                Ok(progress) => assert!(!progress.at_end, "no error"),
            }
        };
        assert!(error.contains("systemd-journal") && said.contains(&error[12..40]), "{error}");
    }
}

#[test]
fn a_journalctl_that_ends_is_told_with_what_it_said() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("journalctl");
    fs::write(&script, "#!/bin/sh\n[ $1 = --lines=1 ] || { echo 'Out of order.' >&2; exit 1; }\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut journal = journal::Journal::with_program(&script, None, false);
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match journal.read(1 << 20, &mut |_, _| {}) {
            Err(e) => break e.to_string(),
            Ok(_) => assert!(Instant::now() < deadline, "no error"),
        }
        std::thread::yield_now();
    };
    assert!(error.contains("Out of order.") && error.contains("systemd-journal"), "{error}");
}

/// Whatever it does not do, the log beside it is read on.
#[test]
fn a_journalctl_that_hangs_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("journalctl");
    for hang in ["sleep 1000 &\nexec >&- 2>&-\nsleep 1000"] {
        fs::write(&script, format!("#!/bin/sh\n{hang}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut journal = journal::Journal::with_program(&script, Some("s=1".into()), false);
        let (mut reads, begun) = (0, Instant::now());
        let error = loop {
            match journal.read(1 << 20, &mut |_, _| {}) {
                Err(e) => break e.to_string(),
                Ok(progress) => assert!(!progress.at_end && !journal.is_placed(), "{hang}"),
            }
            reads += 1;
            assert!(begun.elapsed() < Duration::from_secs(60), "{hang}: no error");
        };
        assert!(error.contains("no answer within 10 s"), "{error}");
        assert!(reads > 50, "each of {reads} calls came back at once");
        assert_eq!(journal.cursor(), Some("s=1"), "where it was left is not forgotten");
    }
}

#[test]
fn all_tables_are_in_the_catalogue() {
    let names: Vec<&str> = catalogue().iter().map(|t| t.name()).collect();
    assert!(TABLES.iter().all(|t: &&dyn AnyTable| names.contains(&t.name())));
}

/// `587 inet … -o syslog_name=postfix/submission` is no entry of that name, and not the first smtpd.
#[test]
fn events_belong_to_the_entry_whose_label_tells() {
    let mut host = Host::new(&[("postfix", "postfix", &["mail.log"])]);
    let mut instance = (*host.instances[0]).clone();
    let master_cf = "25 inet n - n - - smtpd\n587 inet n - n - - smtpd -o syslog_name=postfix/submission\n";
    instance.services = Some(services_of(master_cf).into());
    host.instances = vec![Arc::new(instance)];
    host.config.log.from = LogStart::Start;
    host.log(
        "mail.log",
        &[
            "postfix/submission/smtpd[70]: fatal: bad boolean configuration: smtpd_tls_wrappermode = x",
            "postfix/master[1]: warning: process /usr/lib/postfix/sbin/smtpd pid 70 exit status 1",
            "postfix/master[1]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling",
            "postfix/smtpd[71]: connect from unknown[192.0.2.1]",
        ],
    );
    let mut agent = host.agent();
    agent.refresh();
    agent.refresh();
    let events = |column, index| host.value(column, &[1, index]);
    for column in ["postfixServiceEventAbnormalExits", "postfixServiceEventThrottles"] {
        assert_eq!((events(column, 1), events(column, 2)), (Some(Value::Counter32(0)), Some(Value::Counter32(1))));
    }
}

/// 0.1.0 had the counters by the instances' names.
#[test]
fn counters_of_0_1_0_stay() {
    let mut host = Host::new(&[("renamed since", "postfix", &["a.log"]), ("/etc/b", "postfix-b", &["b.log"])]);
    host.log("a.log", &[SENT]);
    host.log("b.log", &[&SENT.replace("postfix/", "postfix-b/")]);
    let mut agent = host.agent();
    run_once(&mut agent);
    host.log("a.log", &[SENT, SENT]);
    host.log("b.log", &[&SENT.replace("postfix/", "postfix-b/")]);
    another(&mut agent);
    agent.finish();
    drop(agent);
    // As that release wrote it.
    let bytes = host.context.state.load_bytes(FILE, saved::VERSION).unwrap().unwrap();
    let mut everything = Everything::decode(&bytes).unwrap();
    let old = std::mem::take(&mut everything.by_index);
    everything.instances =
        old.into_iter().map(|(i, state)| (["postfix", "/etc/b"][i as usize - 1].into(), state)).collect();
    host.context.state.save_bytes(FILE, 1, &everything.encode().unwrap()).unwrap();
    host.context.state.save_bytes("instances", 1, br#"{"first":1,"names":["postfix","/etc/b"]}"#).unwrap();
    for _ in 0..2 {
        let mut agent = host.agent();
        another(&mut agent);
        assert_eq!(host.number("postfixMailSent", &[1]), Some(2));
        assert_eq!(host.number("postfixMailSent", &[2]), Some(1));
        agent.finish();
    }
    // From now on the index tells.
    let mut instance = (*host.instances[0]).clone();
    instance.name = "and again".into();
    host.instances[0] = Arc::new(instance);
    host.instances.reverse();
    let mut agent = host.agent();
    another(&mut agent);
    assert_eq!((host.number("postfixMailSent", &[1]), host.number("postfixMailSent", &[2])), (Some(2), Some(1)));
}

/// rsyslog says in another file what it dropped; where that cannot be read the number is not known, and not 0.
#[test]
fn what_the_syslog_daemon_dropped_is_told_by_its_own_log() {
    let mut host = Host::new(&[("postfix", "postfix", &["mail.log"])]);
    host.log("mail.log", &[]);
    let mut agent = host.agent();
    run_once(&mut agent);
    assert_eq!(host.number("postfixLogFileLinesSuppressed", &[1]), None, "nobody can know");
    drop(agent);
    host.log("syslog", &["rsyslogd: imuxsock: 9 messages lost due to rate-limiting"]);
    let mut agent = host.agent();
    run_once(&mut agent);
    assert_eq!(host.number("postfixLogFileLinesSuppressed", &[1]), Some(0), "what came before is history");
    let lost = "rsyslogd: imuxsock lost 50 messages from pid 4 due to rate-limiting";
    // What Postfix wrote stands there too, and is counted where it belongs.
    let warning = "postfix/smtpd[7]: warning: a text";
    host.log("syslog", &[SENT, lost, SENT, warning]);
    host.log("mail.log", &[SENT, warning]);
    another(&mut agent);
    assert_eq!(host.number("postfixLogFileLinesSuppressed", &[1]), Some(50));
    assert_eq!(host.number("postfixMailSent", &[1]), Some(1));
    assert_eq!(host.number("postfixTemplateWarning", &[0]), Some(1));
    assert_eq!(host.value("postfixLogFileName", &[2]), None, "it is no mail log");
    agent.finish();
    drop(agent);
    host.log("syslog", &[lost]);
    let mut agent = host.agent();
    run_once(&mut agent);
    another(&mut agent);
    assert_eq!(host.number("postfixLogFileLinesSuppressed", &[1]), Some(100), "once, through a restart");
    agent.finish();
    drop(agent);
    fs::remove_file(host.path("syslog")).unwrap();
    fs::create_dir(host.path("other")).unwrap();
    host.config.log.admissions = vec![host.path("other")];
    let mut agent = host.agent();
    run_once(&mut agent);
    assert_eq!(host.number("postfixLogFileLinesSuppressed", &[1]), None, "what is named cannot be read");
    assert_eq!(host.number("postfixMailSent", &[1]), Some(1), "which is no fault of the log");
}

/// NethServer's `transfer/smtpd`, `postfix-submission/smtpd`: the service's name leads to the one instance that has it.
#[test]
fn a_service_under_a_name_of_its_own_is_its_instances() {
    let lines = [
        "transfer/smtpd[7]: connect from unknown[192.0.2.1]",
        "both/smtpd[7]: connect from unknown[192.0.2.1]",
        "postfix/both/smtpd[7]: connect from unknown[192.0.2.1]",
    ];
    let mut host = Host::new(&[("out", "postfix-out", &["mail.log"]), ("in", "postfix", &["mail.log"])]);
    let text = "10 inet n - n - - smtpd -o syslog_name=transfer\n11 inet n - n - - smtpd -o syslog_name=both\n\
                12 inet n - n - - smtpd -o syslog_name=postfix/both\n";
    let services = services_of(text);
    for (instance, many) in host.instances.iter_mut().zip([3, 0]) {
        let mine: Vec<_> = services.iter().take(many).cloned().collect();
        let other: Vec<_> = services.iter().skip(1).cloned().collect();
        Arc::make_mut(instance).services = Some(if many == 0 { other.into() } else { mine.into() });
    }
    host.log("mail.log", &[]);
    let mut agent = host.agent();
    run_once(&mut agent);
    host.log("mail.log", &lines);
    another(&mut agent);
    let connects =
        |instance: u32| (1..10).filter_map(|row| host.number("postfixSmtpdConnects", &[instance, row])).sum::<u64>();
    assert_eq!(connects(1), 1, "transfer is out's alone");
    assert_eq!(connects(2), 1, "postfix/both is below the other's own name, and two say they have it");
    assert_eq!(host.number("postfixLogFileLinesForeign", &[1]), Some(1), "nobody can tell whose `both` is");
}
