//! The promise: docs/coming-from.md. What other tools count on one real Postfix, done here as they do it, beside what the agent
//! says of it: equal, or different in the way the document states.
//!
//! The methods are those of the tools' sources: their commands and patterns, not their programs, except for pflogsumm and
//! Debian's prometheus-postfix-exporter, which are run themselves.

use std::collections::BTreeMap;

use crate::common::{
    Daemon, Fate, PATIENCE, Port, Sandbox, TestAgent, TestPostfix, TestSnmpd, Value, capture, oid, repository, tool,
    wait_for,
};
use crate::managers::http;

const MAIL: [(Fate, usize); 12] = [
    (Fate::Delivered, 5),
    (Fate::DeliveredLocal, 2),
    (Fate::Forwarded, 2),
    (Fate::Relayed, 4),
    (Fate::Deferred, 3),
    (Fate::DeferredSoft, 2),
    (Fate::Bounced, 2),
    (Fate::Held, 3),
    (Fate::Discarded, 2),
    (Fate::Rejected, 4),
    (Fate::RejectedTemporarily, 2),
    (Fate::HeaderRejected, 1),
];

struct Site {
    snmpd: TestSnmpd,
    postfix: TestPostfix,
    agent: TestAgent,
    exporter: Port,
    _exporter: Daemon,
    _files: Sandbox,
}

impl Site {
    /// Mail of every fate, counted and at rest.
    fn start() -> Self {
        let snmpd = TestSnmpd::start();
        // No second attempt while the tools look.
        let postfix = TestPostfix::builder().main("minimal_backoff_time = 4h").main("queue_run_delay = 4h").start();
        let mut agent = TestAgent::new(&snmpd, &[&postfix]);
        agent.set_config(&agent.config().replace("interval: 30s", "interval: 1s"));
        agent.start();
        agent.wait_healthy(&snmpd, 1);
        let (files, exporter) = (Sandbox::new("exporter"), Port::reserve());
        // It reads from the end of the log that it finds.
        let mut command = files.command("prometheus-postfix-exporter");
        command
            .arg("--postfix.logfile_path")
            .arg(postfix.log_file())
            .arg("--postfix.showq_path")
            .arg(postfix.queue_directory().join("public/showq"))
            .arg("--web.listen-address")
            .arg(format!("127.0.0.1:{exporter}"));
        let daemon = Daemon::spawn("postfix_exporter", &mut command, files.path("log"));
        wait_for("the exporter", PATIENCE, || http::request(exporter.number(), "GET", "/metrics", "", "").ok());
        let read = oid("postfixLogFileLinesRead", &[1]);
        let number = |value: Value| value.number().and_then(|n| usize::try_from(n).ok());
        let begin = (snmpd.get(&read).ok().and_then(number).unwrap_or_default(), postfix.log().lines().count());
        for (fate, count) in MAIL {
            postfix.send(fate, count);
        }
        let site = Self { snmpd, postfix, agent, exporter, _exporter: daemon, _files: files };
        // At rest: nothing in delivery, and both have read the log to its end.
        wait_for("an idle queue", PATIENCE, || {
            (site.files_in("active") + site.files_in("incoming") + site.files_in("maildrop") == 0).then_some(())
        });
        wait_for("all lines", PATIENCE, || {
            (site.ours(&read) - begin.0 >= site.postfix.log().lines().count() - begin.1).then_some(())
        });
        let waiting = site.files_in("deferred") + site.files_in("hold");
        wait_for("the queue", PATIENCE, || {
            (site.total("Messages") == waiting && site.queue("Messages", 4) == site.files_in("deferred")).then_some(())
        });
        site
    }

    fn ours(&self, oid: &str) -> usize {
        let value = self.snmpd.get(oid).ok().as_ref().and_then(Value::number);
        value.and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
    }

    fn total(&self, name: &str) -> usize {
        self.ours(&oid(&format!("postfixTotal{name}"), &[0]))
    }

    fn mail(&self, name: &str) -> usize {
        self.ours(&oid(&format!("postfixMail{name}"), &[1]))
    }

    /// By postfixQueueKind.
    fn queue(&self, name: &str, kind: u32) -> usize {
        self.ours(&oid(&format!("postfixQueue{name}"), &[1, kind]))
    }

    /// The sum of a column over its rows.
    fn sum(&self, column: &str) -> usize {
        let rows = self.snmpd.walk(&oid(column, &[])).unwrap_or_default();
        rows.iter().filter_map(|(_, value)| usize::try_from(value.number()?).ok()).sum()
    }

    /// `find QUEUE -type f`, one line each.
    fn files_in(&self, queue: &str) -> usize {
        let ran = capture(tool("find").arg(self.postfix.queue_directory().join(queue)).args(["-type", "f"]));
        ran.stdout.lines().count()
    }

    fn grep(&self, pattern: &str) -> usize {
        self.postfix.log_count(pattern)
    }
}

const QUEUES: [(u32, &str); 5] = [(1, "maildrop"), (2, "incoming"), (3, "active"), (4, "deferred"), (5, "hold")];

/// Datadog's two ways, and Munin's and telegraf's, which is the first.
fn datadog(site: &Site) {
    for (kind, queue) in QUEUES {
        assert_eq!(site.files_in(queue), site.queue("Messages", kind), "find {queue}");
    }
    // Its other way: marks of `postqueue -p`, whatever is not marked is deferred.
    let (mut active, mut hold, mut deferred) = (0, 0, 0);
    for line in site.postfix.postqueue(&["-p"]).success().lines() {
        if line.contains('*') {
            active += 1;
        } else if line.contains('!') {
            hold += 1;
        } else if line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            deferred += 1;
        }
    }
    assert_eq!((active, hold), (site.queue("Messages", 3), site.queue("Messages", 5)), "postqueue -p");
    assert_eq!(deferred, site.queue("Messages", 4) + site.queue("Messages", 1) + site.queue("Messages", 2));
    // A user who may not look: its 0, our absence.
    let mut blind = site.agent.unprivileged("find");
    let ran = capture(blind.arg(site.postfix.queue_directory().join("deferred")).args(["-type", "f"]));
    assert!(ran.code != 0 && ran.stdout.is_empty(), "{ran:?}");
}

fn netdata(site: &Site) {
    let text = site.postfix.postqueue(&["-p"]).success();
    let last = text.lines().last().unwrap_or_default();
    let words: Vec<&str> = last.split(' ').collect();
    let (size, count) = (words[1].parse::<usize>().expect(last), words[4].parse::<usize>().expect(last));
    assert_eq!(count, site.total("Messages"), "{last}");
    // It cuts the sum of sizes to KiB; ours rounds up, so that a small queue is not an empty one.
    let kib = site.total("KiB");
    assert!((size..=size + 6).contains(&kib), "{last}: {kib} KiB");
}

/// LibreNMS' script: the first number of qshape's TOTAL, which is recipients.
fn librenms(site: &Site) {
    for (kind, queue) in QUEUES {
        let ran = capture(tool("qshape").arg("-c").arg(site.postfix.config_directory()).arg(queue));
        let text = ran.success();
        let total = text.lines().find_map(|line| line.trim_start().strip_prefix("TOTAL")).expect("TOTAL");
        let first: usize = total.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).expect(total);
        assert_eq!(first, site.queue("Recipients", kind), "qshape {queue}");
    }
}

/// The patterns of SolarWinds' template, by grep: our counters of the same name, and what they should have been.
fn solarwinds(site: &Site) {
    for (name, pattern) in [
        ("Delivered", "status=sent (delivered to"),
        ("Forwarded", "status=sent (forwarded to"),
        ("Rejected", "reject:"),
        ("Discarded", "discard:"),
        ("Deferred", "status=deferred"),
        ("Bounced", "status=bounced"),
        ("Held", "hold:"),
        ("Fatal", " fatal:"),
        ("Warning", " warning:"),
        ("Panic", " panic:"),
        ("Error", " error:"),
    ] {
        assert_eq!(site.grep(pattern), site.ours(&oid(&format!("postfixTemplate{name}"), &[0])), "{pattern}");
    }
    let received = |line: &&str| line.contains("postfix/pickup") && (line.contains("sender=") || line.contains("uid="));
    assert_eq!(site.postfix.log().lines().filter(received).count(), site.ours(&oid("postfixTemplateReceived", &[0])));
    // Where the pattern is right, and where it is not.
    assert_eq!(site.grep("reject:"), site.mail("Rejected"));
    assert_eq!(site.grep("status=deferred"), site.mail("Deferrals"));
    assert_eq!(site.grep("status=bounced"), site.mail("Bounced"));
    assert_eq!(site.grep("hold:"), site.mail("Held"));
    assert_eq!((site.grep("status=sent (forwarded to"), site.mail("Forwarded")), (0, 2), "no Postfix writes it");
    assert!(site.grep("status=sent (delivered to") < site.mail("Sent"), "smtp(8) writes another text");
    assert_eq!(site.ours(&oid("postfixTemplateReceived", &[0])), 0, "what came by SMTP is not seen");
}

fn pflogsumm(site: &Site) {
    let ran = capture(tool("pflogsumm").arg(site.postfix.log_file()));
    let text = ran.success();
    let mut theirs: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().take_while(|line| !line.contains("Per-Hour")) {
        let mut words = line.split_ascii_whitespace();
        let (Some(Ok(count)), Some(name)) = (words.next().map(str::parse), words.next()) else { continue };
        theirs.entry(name).or_insert(count);
    }
    let raw = site.mail("ReceivedSmtp") + site.mail("ReceivedLocal");
    assert_eq!(theirs["received"], raw, "client= and uid= lines: {text}");
    // Ours counts what came into the queue: not what was refused after DATA or discarded, and what is held when it is released.
    let refused = site.mail("CleanupRejects") + site.mail("Discarded");
    assert_eq!(site.mail("ReceivedMessages") + refused + site.queue("Messages", 5), raw, "{text}");
    assert_eq!(theirs["delivered"], site.mail("Sent"), "{text}");
    assert_eq!(theirs["forwarded"], site.mail("Forwarded"), "{text}");
    assert_eq!(theirs["deferred"], site.mail("DeferredMessages"), "{text}");
    let deferrals = text.lines().find_map(|line| line.split_once("deferred  (")?.1.split(' ').next()?.parse().ok());
    assert_eq!(deferrals, Some(site.mail("Deferrals")), "{text}");
    assert_eq!(theirs["bounced"], site.mail("Bounced"), "{text}");
    assert_eq!(theirs["rejected"], site.mail("Rejected"), "{text}");
    assert_eq!(theirs["held"], site.mail("Held"), "{text}");
    assert_eq!(theirs["discarded"], site.mail("Discarded"), "{text}");
}

/// mailgraph's patterns, which count as pflogsumm does but for what it calls received.
fn mailgraph(site: &Site) {
    assert_eq!(site.grep(": client="), site.mail("ReceivedSmtp"));
    let forwarded = site.mail("Forwarded");
    assert_eq!(site.grep("status=sent"), site.mail("Sent") + forwarded, "it counts both lines of a forwarded mail");
}

/// kumina's exporter, as Debian ships it.
fn exporter(site: &Site) {
    let metrics = || {
        let text = http::request(site.exporter.number(), "GET", "/metrics", "", "").unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with("postfix_"));
        lines
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse::<f64>().ok()?))
            })
            .collect::<BTreeMap<String, f64>>()
    };
    let of = |all: &BTreeMap<String, f64>, name: &str| all.get(name).copied().unwrap_or_default().round() as usize;
    let removed = site.mail("Removed");
    let all = wait_for("the exporter's counters", PATIENCE, || {
        let all = metrics();
        (of(&all, "postfix_qmgr_messages_removed_total") == removed).then_some(all)
    });
    assert_eq!(of(&all, "postfix_smtpd_connects_total"), site.sum("postfixSmtpdConnects"));
    assert_eq!(of(&all, "postfix_smtpd_disconnects_total"), site.sum("postfixSmtpdDisconnects"));
    let processed = "postfix_smtpd_messages_processed_total{sasl_method=\"\"}";
    let processed = if all.contains_key(processed) { processed } else { "postfix_smtpd_messages_processed_total" };
    assert_eq!(of(&all, processed), site.mail("ReceivedSmtp"), "{all:?}");
    // Activations, and each notice and forwarded copy is one more; none was tried twice here.
    let inserted = of(&all, "postfix_qmgr_messages_inserted_size_bytes_count");
    assert_eq!(inserted, site.mail("ReceivedMessages") + site.mail("InternalMessages"), "{all:?}");
    // NOQUEUE at RCPT only: what was refused after DATA is not in it.
    let rejected: usize = all
        .iter()
        .filter(|(name, _)| name.starts_with("postfix_smtpd_messages_rejected_total"))
        .map(|(_, n)| n.round() as usize)
        .sum();
    assert_eq!(rejected + site.mail("CleanupRejects"), site.mail("Rejected"), "{all:?}");
    // Of deliveries it knows those of smtp, lmtp and pipe; local's and virtual's are not there.
    let smtp: usize = all
        .iter()
        .filter(|(name, _)| name.starts_with("postfix_smtp_delivery_delay_seconds_count"))
        .map(|(_, n)| n.round() as usize)
        .sum();
    assert!(smtp > 0 && site.mail("Sent") > 4, "{all:?}");
    for (kind, queue) in QUEUES {
        let theirs = of(&all, &format!("postfix_showq_message_size_bytes_count{{queue=\"{queue}\"}}"));
        // Its binary reader names the queues; those of Postfix before 3.1 are "other".
        assert_eq!(theirs, site.queue("Messages", kind), "{queue}: {all:?}");
    }
}

#[test]
fn what_other_tools_count_is_ours_or_differs_as_the_document_says() {
    let site = Site::start();
    datadog(&site);
    netdata(&site);
    librenms(&site);
    solarwinds(&site);
    pflogsumm(&site);
    mailgraph(&site);
    exporter(&site);
}

/// Every descriptor of the document is one, and every tool has its part.
#[test]
fn the_document_names_objects_that_exist() {
    let text = std::fs::read_to_string(repository().join("docs/coming-from.md")).expect("docs/coming-from.md");
    let unknown = crate::integrations::unknown_descriptors(&crate::mib::module(), &text);
    assert!(unknown.is_empty(), "{unknown:?}");
    for tool in [
        "Datadog",
        "Netdata",
        "SolarWinds",
        "postfix_exporter",
        "telegraf",
        "LibreNMS",
        "Checkmk",
        "Munin",
        "pflogsumm",
        "mailgraph",
    ] {
        assert!(text.contains(&format!("## {tool}")), "nothing on {tool}");
    }
}
