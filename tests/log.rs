//! The promise: every line of the log is understood or knowingly not, and moves exactly the counters it should; the same
//! numbers as pflogsumm where both define the same thing.

use crate::common::{self, Fate, TestPostfix};
use postfix_agentx::{collect::log::count, config, config::Config, smi::Value};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// With a content filter and a service that takes mail back.
fn config() -> Config {
    let text = "log: { filters: ['smtp-amavis:[127.0.0.1]:10024', 'scan:dummy'], reinject_labels: [reinject] }";
    config::parse(text, "test").expect("a configuration")
}

/// Counters of a log by name, without the index of instance, row and names; equal rows are added.
fn counters(path: &Path, config: &Config) -> BTreeMap<String, u64> {
    let counted = count::count(&[path.to_owned()], config, &mut |_| {}).expect("a readable file").values;
    let mut sums = BTreeMap::new();
    for (name, value) in counted {
        let number = match value {
            Value::Counter32(n) | Value::Gauge32(n) => u64::from(n),
            Value::Counter64(n) => n,
            _ => continue,
        };
        let mut parts = name.trim_start_matches("postfix").splitn(3, '.');
        let descriptor = parts.next().unwrap_or_default();
        // Only enumerations and codes mean something without the row's name.
        let keep = [
            ("Delay", &["Deliveries"][..]),
            ("Dsn", &["Deliveries"]),
            ("DeferEvent", &["Deferrals"]),
            ("Reject", &["Temporary", "Permanent"]),
            ("RejectCode", &["Commands"]),
            ("BounceReason", &["Bounces"]),
            ("Tls", &["Sessions", "Anonymous", "Untrusted", "Trusted", "Verified"]),
            ("TlsPolicy", &["Deliveries"]),
            ("Size", &["Messages", "Recipients"]),
        ]
        .iter()
        .any(|(table, columns)| descriptor.strip_prefix(table).is_some_and(|c| columns.contains(&c)));
        let index = if keep { parts.nth(1).map(|i| format!(".{i}")).unwrap_or_default() } else { String::new() };
        if number > 0 && !["DelayLimit", "SizeLimit"].contains(&descriptor) {
            *sums.entry(format!("{descriptor}{index}")).or_default() += number;
        }
    }
    sums
}

#[test]
fn each_line_moves_exactly_its_counters() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mail.log");
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/log/lines.txt")).expect("the lines");
    let (mut lines, mut blocks, mut wrong) = (Vec::new(), 0, Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let Some(expected) = line.strip_prefix('=') else {
            lines.push(line);
            continue;
        };
        let log: String = lines
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(program, text)| format!("Nov 22 01:17:30 vm postfix/{program}[7]: {text}\n"))
            .collect();
        fs::write(&path, log).expect("a file");
        let mut moved = counters(&path, &config());
        // These move with every line.
        moved.retain(|name, _| name != "LogFileLinesRead" && name != "MessageLines");
        let mut want: BTreeMap<String, u64> = BTreeMap::new();
        for word in expected.split_whitespace() {
            let (name, number) = word.split_once('=').unwrap_or((word, "1"));
            *want.entry(name.into()).or_default() += number.parse::<u64>().expect("a number");
        }
        let differs = |(name, n): (&String, &u64), other: &BTreeMap<String, u64>| other.get(name) != Some(n);
        let extra: Vec<_> = moved.iter().filter(|c| differs(*c, &want)).collect();
        let missing: Vec<_> = want.iter().filter(|c| differs(*c, &moved)).collect();
        if !extra.is_empty() || !missing.is_empty() {
            wrong.push(format!("{}\n  moved {extra:?}\n  expected {missing:?}", lines.join("\n")));
        }
        blocks += 1;
        lines.clear();
    }
    assert!(lines.is_empty() && blocks > 70, "{blocks} blocks");
    assert!(wrong.is_empty(), "{} of {blocks} blocks:\n{}", wrong.len(), wrong.join("\n"));
}

/// The grand totals of pflogsumm by their names.
fn pflogsumm(path: &Path) -> BTreeMap<String, u64> {
    let run = Command::new("pflogsumm").arg("--detail=0").arg(path).env("LC_ALL", "C").output();
    let output = run.expect("pflogsumm: is it installed?");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut totals = BTreeMap::new();
    for line in text.lines().take_while(|line| !line.starts_with("Per-")) {
        let Some((number, name)) = line.trim().split_once("   ") else { continue };
        let number = number.trim();
        let (digits, unit) = match number.strip_suffix('k') {
            Some(digits) => (digits, 1_024),
            None => (number, 1),
        };
        if let Ok(n) = digits.parse::<u64>() {
            // `deferred  (6 deferrals)` has two numbers.
            let (name, inner) = name.trim().split_once("  (").unwrap_or((name.trim(), ""));
            if let Some(deferrals) = inner.split(' ').next().and_then(|n| n.parse().ok()) {
                totals.insert("deferrals".into(), deferrals);
            }
            let name = name.split(" (").next().unwrap_or_default();
            totals.insert(name.trim().to_owned(), n * unit);
        }
    }
    totals
}

/// Real mail in every fate, counted twice.
#[test]
fn count_equals_pflogsumm_where_both_mean_the_same() {
    let postfix = TestPostfix::builder().start();
    for (number, fate) in Fate::ALL.into_iter().enumerate() {
        postfix.send(fate, 1 + number % 4);
    }
    postfix.sendmail("sender@virtual.test", &["user@virtual.test"], "Subject: local\n\nx\n");
    common::wait_for("the last mail delivered", common::PATIENCE, || {
        let rests = |queue: &str| ["deferred", "hold"].contains(&queue);
        (postfix.log_count("uid=") == 1 && postfix.postqueue_json().iter().all(|m| rests(&m.queue_name))).then_some(())
    });
    let ours = counters(&postfix.log_file(), &Config::default());
    let theirs = pflogsumm(&postfix.log_file());
    let sum = |names: &[&str]| names.iter().map(|name| ours.get(*name).copied().unwrap_or(0)).sum::<u64>();
    let equal: [(&str, &[&str]); 10] = [
        // What smtpd and pickup began to take.
        ("received", &["MailReceivedSmtp", "MailReceivedLocal"]),
        // `status=sent` of every agent: pflogsumm calls what the discard transport threw away delivered as well.
        ("delivered", &["MailSent", "MailSentToFilter", "discarded by transport"]),
        ("forwarded", &["MailForwarded"]),
        ("deferred", &["MailDeferredMessages"]),
        ("deferrals", &["MailDeferrals"]),
        ("bounced", &["MailBounced"]),
        ("rejected", &["MailRejected"]),
        ("reject warnings", &["MailRejectWarnings"]),
        ("held", &["MailHeld"]),
        // Its discarded are smtpd's and cleanup's lines; ours are those and the discard transport's recipients.
        ("discarded", &["TemplateDiscarded"]),
    ];
    let by_transport = ours.get("MailDiscarded").copied().unwrap_or(0) - sum(&["TemplateDiscarded"]);
    assert!(by_transport > 0, "{ours:?}");
    for (name, names) in equal {
        let extra = if names.contains(&"discarded by transport") { by_transport } else { 0 };
        assert_eq!(theirs.get(name).copied(), Some(sum(names) + extra), "{name}: {theirs:?}\n{ours:?}");
    }
    assert_eq!(sum(&["LogFileLinesUnrecognised"]), 0, "a real Postfix is understood");
    assert_eq!(sum(&["LogFileLinesForeign"]), 0);
}

/// What the agent does not understand can be seen and sent, and steers no terminal.
#[test]
fn lines_that_are_not_understood_can_be_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mail.log");
    let lines = "Nov 22 01:17:30 mx postfix/smtpd[7]: connect from unknown[192.0.2.1]\n\
                 Nov 22 01:17:30 mx postfix/smtpd[7]: a text of a later release \x1b[2J\u{202e}\n";
    fs::write(&file, lines).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postfix-agentx"));
        common::capture(command.arg("count").args(more).arg(&file)).success()
    };
    assert_eq!(run(&["--unrecognised"]), "postfix/smtpd[7]: a text of a later release \\x1b[2J\\u{202e}\n");
    assert!(run(&[]).contains("Unrecognised.1 = 1"), "{}", run(&[]));
}

/// Zeros are never the answer to what could not be read.
#[test]
fn what_is_no_log_is_refused_and_what_is_compressed_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let count = |file: &Path| {
        Command::new(env!("CARGO_BIN_EXE_postfix-agentx")).arg("count").arg(file).output().expect("a process")
    };
    for (name, content) in [
        ("json", &b"{\"time\":\"2026-01-01\",\"message\":\"hello\"}\n"[..]),
        ("text", b"hello\nworld\n"),
        ("binary", &[0, 159, 10, 200, 10, 7]),
        // The start of an lz4 and of a 7z file, which are not read.
        ("lz4", &[0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7]),
        ("7z", &[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, 0, 4]),
    ] {
        fs::write(path(name), content).expect("written");
        let output = count(&path(name));
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("nothing in it is understood"), "{name}: {said}");
    }
    let line = "Jan  1 00:00:00 h postfix/qmgr[1]: 4F0A1: removed\n".repeat(5_000);
    fs::write(path("log"), &line).expect("written");
    let plain = count(&path("log")).stdout;
    for program in ["gzip", "xz", "bzip2", "zstd"] {
        let packed = Command::new(program).arg("-c").arg(path("log")).output().expect("a process");
        fs::write(path("log"), &packed.stdout).expect("written");
        assert_eq!(count(&path("log")).stdout, plain, "{program}");
        // An archive that ends too early is not the whole log.
        fs::write(path("log"), &packed.stdout[..packed.stdout.len() / 2]).expect("written");
        assert_eq!(count(&path("log")).status.code(), Some(1), "{program}");
        fs::write(path("log"), &line).expect("written");
    }
}
