//! The promise: whatever breaks, the probe is down at the stage that broke, with its words and its counters, seen through snmpd.

use super::{Shown, daemon};
use crate::common::{PATIENCE, Port, TestSite, TestSnmpd, dovecot::make_maildir, oid, site::MAILBOX, wait_for};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

/// postfixProbeStage.
const CONNECT: u32 = 1;
const BANNER: u32 = 2;
const STARTTLS: u32 = 4;
const AUTH: u32 = 5;
const DELIVER: u32 = 7;
const RECIPIENT: u32 = 11;
const MAILBOX_CONNECT: u32 = 14;
const MAILBOX_STARTTLS: u32 = 16;
const MAILBOX_AUTH: u32 = 17;
const MAILBOX_FOLDER: u32 = 18;

/// A server that greets, then has one answer for each line, then hangs up.
fn scripted(answers: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                for (at, answer) in answers.iter().enumerate() {
                    // What comes after STARTTLS has no lines.
                    let is_line = at > 0 && !answer.starts_with('\0');
                    if is_line && !reader.read_line(&mut String::new()).is_ok_and(|octets| octets > 0) {
                        return;
                    }
                    if !is_line && at > 0 {
                        let _ = reader.fill_buf();
                    }
                    let _ = stream.write_all(answer.as_bytes());
                }
                // Who hangs up first is the probe.
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
            });
        }
    });
    port
}

#[test]
fn each_stage_fails_in_its_turn_and_says_so() {
    let (policy, strict) = (Port::reserve(), Port::reserve());
    let site = TestSite::with(
        |postfix| {
            postfix
                .main("smtpd_recipient_restrictions = check_recipient_access inline:{held@virtual.test=HOLD}")
                .master(&format!("127.0.0.1:{strict} inet n - n - - smtpd"))
                .master(&format!("  -o smtpd_recipient_restrictions=check_policy_service,inet:127.0.0.1:{policy}"))
        },
        |dovecot| {
            dovecot.quota("1k").config(&format!(
                "auth_username_format = %Ln\nservice quota-status {{\n  executable = quota-status -p postfix\n  client_limit = 1\n  inet_listener {{\n    address = 127.0.0.1\n    port = {policy}\n  }}\n}}\nplugin {{\n  quota_status_success = DUNNO\n  quota_status_nouser = DUNNO\n  quota_status_overquota = \"552 5.2.2 Mailbox is over quota\"\n}}\n"
            ))
        },
    );
    site.foreign(20);
    let wrong = site.password("wrong", "Hund3-falsch");
    let closed = Port::reserve();
    let plain = format!("host: 127.0.0.1, port: {}", site.postfix.smtp_port());
    let (submission, imaps) = (site.server(&site.submission, "starttls"), site.server(&site.dovecot.imaps, "implicit"));
    let ca = site.authority.file().display().to_string();
    let other_password =
        |server: &str| server.replace(&site.files.path("password").display().to_string(), &wrong.display().to_string());
    let untrusted = |server: &str| server.replace(&format!("ca_file: {ca}, "), "");
    let to = |address: &str| format!("from: sender@virtual.test, to: {address}, every: 5s, timeout: 5s");
    let smtp = |server: String| format!("kind: smtp, every: 5s, timeout: 5s, smtp: {{ {server} }}");
    let imap = |address: &str, smtp: &str, imap: &str| {
        format!("kind: imap, {}, smtp: {{ {smtp} }}, imap: {{ {imap} }}", to(address))
    };
    let host = |port: u16| format!("host: 127.0.0.1, port: {port}");
    let refuses = scripted(&["421 4.3.2 mx too busy\r\n"]);
    let breaks = scripted(&["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n", "\0no TLS at all\r\n"]);
    let none = scripted(&["220 mx\r\n", "250 mx\r\n"]);
    let cases: Vec<(&str, String, u32, &str)> = vec![
        ("closed", smtp(host(closed.number())), CONNECT, "refused"),
        ("busy", smtp(host(refuses)), BANNER, "421 4.3.2 mx too busy"),
        ("broken tls", smtp(host(breaks) + ", tls: starttls, verify: false"), STARTTLS, "is no TLS"),
        ("no tls", smtp(host(none) + ", tls: starttls"), STARTTLS, "does not offer STARTTLS"),
        ("untrusted", smtp(untrusted(&submission)), STARTTLS, "not trusted"),
        (
            "wrong name",
            smtp(submission.clone() + ", server_name: mail.example.org"),
            STARTTLS,
            "not for mail.example.org",
        ),
        ("wrong password", smtp(other_password(&submission)), AUTH, "535 5.7.8"),
        ("relaying", format!("{}, rcpt: a@example.org", smtp(plain.clone())), RECIPIENT, "554 5.7.1"),
        ("held", imap("held@virtual.test", &plain, &imaps), DELIVER, "not in INBOX at 127.0.0.1"),
        ("over quota", imap(MAILBOX, &host(strict.number()), &imaps), RECIPIENT, "552 5.2.2"),
        ("no folder", imap(MAILBOX, &plain, &format!("{imaps}, folder: Nope")), MAILBOX_FOLDER, "EXAMINE"),
        (
            "no imap",
            imap(MAILBOX, &plain, &imaps.replace(&site.dovecot.imaps.to_string(), &closed.to_string())),
            MAILBOX_CONNECT,
            "refused",
        ),
        ("imap untrusted", imap(MAILBOX, &plain, &untrusted(&imaps)), MAILBOX_STARTTLS, "not trusted"),
        ("imap password", imap(MAILBOX, &plain, &other_password(&imaps)), MAILBOX_AUTH, "AUTHENTICATE"),
        (
            "pop3 password",
            format!(
                "kind: pop3, {}, smtp: {{ {plain} }}, pop3: {{ {} }}",
                to(MAILBOX),
                other_password(&site.server(&site.dovecot.pop3, "starttls"))
            ),
            MAILBOX_AUTH,
            "AUTH",
        ),
        (
            "no maildir",
            format!("kind: maildir, {}, smtp: {{ {plain} }}, maildir: /nonexistent", to(MAILBOX)),
            MAILBOX_FOLDER,
            "/nonexistent/new",
        ),
    ];
    let yaml: String = cases.iter().map(|(name, yaml, ..)| format!("- {{ name: {name}, {yaml} }}\n")).collect();
    let before = site.messages();
    let snmpd = TestSnmpd::start();
    let agent = daemon(&snmpd, &[&site.postfix], &yaml);
    let mut shown = Shown::new(&snmpd);
    for ((name, _, stage, words), index) in cases.iter().zip(1..) {
        wait_for(&format!("a run of `{name}`\n{}", agent.log()), PATIENCE, || {
            shown.number("postfixProbeFailures", &[index]).filter(|failures| *failures > 0)
        });
        // One moment: failures may come between two requests.
        let moment = shown.all(index);
        let error = moment.text("postfixProbeLastError");
        assert_eq!(moment.text("postfixProbeName"), *name);
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(moment.number("postfixProbeStatus"), Some(2), "{name}: {error}");
        assert_eq!(moment.number("postfixProbeSuccesses"), Some(0));
        assert_eq!(moment.number("postfixProbeLatency"), None, "what failed has no latency");
        assert_eq!(moment.stage("postfixProbeStageStatus", *stage), Some(2), "{name}: {error}");
        assert_eq!(moment.stage("postfixProbeStageFailures", *stage), moment.number("postfixProbeFailures"), "{name}");
        let elsewhere = moment.stages().into_iter().filter(|at| at != stage);
        for at in elsewhere {
            assert_eq!(moment.stage("postfixProbeStageFailures", at), Some(0), "{name}: stage {at}");
            assert_ne!(moment.stage("postfixProbeStageStatus", at), Some(2), "{name}: stage {at}");
        }
    }
    assert_eq!(shown.number("postfixProbeReplyCode", &[2]), Some(421));
    assert_eq!(shown.number("postfixProbeReplyCode", &[7]), Some(535));
    let health = shown.text("postfixHealthText", &[0]);
    assert_eq!(shown.number("postfixHealth", &[0]), Some(2), "{health}");
    let log = agent.log();
    for secret in ["Hund3-falsch", crate::common::dovecot::PASSWORD] {
        assert!(!log.contains(secret), "{log}");
        let served = shown.client.walk(crate::common::ROOT).unwrap();
        assert!(served.iter().all(|(_, value)| value.text().is_none_or(|text| !text.contains(secret))));
    }
    drop(agent);
    assert_eq!(site.messages(), before, "nobody's mail was touched");
}

#[test]
fn mail_that_comes_late_is_late_and_mail_that_never_comes_is_lost() {
    let site = TestSite::with(
        |postfix| {
            postfix.main(
                "smtpd_recipient_restrictions = check_recipient_access inline:{held@virtual.test=HOLD, discarded@virtual.test=DISCARD}",
            )
        },
        |dovecot| dovecot,
    );
    let held = site.files.path("held");
    make_maildir(&held);
    let smtp = format!("smtp: {{ host: 127.0.0.1, port: {} }}", site.postfix.smtp_port());
    let imap = site.server(&site.dovecot.imaps, "implicit");
    let times = "from: sender@virtual.test, every: 1s, timeout: 1s";
    let snmpd = TestSnmpd::start();
    let mut agent = daemon(
        &snmpd,
        &[&site.postfix],
        &format!(
            "- {{ name: late, kind: maildir, {times}, to: held@virtual.test, {smtp}, maildir: {} }}\n\
             - {{ name: lost, kind: imap, {times}, lost_after: 3s, to: discarded@virtual.test, {smtp}, imap: {{ {imap} }} }}\n",
            held.display()
        ),
    );
    let mut shown = Shown::new(&snmpd);
    let mut wait = |what: &str, index: u32, least: i64| {
        wait_for(what, PATIENCE, || shown.number(what, &[index]).filter(|n| *n >= least))
    };
    wait("postfixProbePending", 1, 1);
    site.postfix.postsuper(&["-H", "ALL"]);
    site.postfix.postqueue(&["-f"]);
    wait("postfixProbeLate", 1, 1);
    let lost = wait("postfixProbeLost", 2, 1);
    // What is waited for, and what was counted, outlives the agent.
    let pending = wait("postfixProbePending", 1, 1);
    agent.kill9();
    let frozen = oid("postfixProbeFailures", &[1]);
    let mut failures = 0;
    agent.start();
    agent.wait_ready(&snmpd, &frozen);
    let mut shown = Shown::new(&snmpd);
    failures += shown.number("postfixProbeFailures", &[1]).unwrap();
    assert!(failures >= pending, "{failures} failures, {pending} pending");
    assert!(shown.number("postfixProbeLost", &[2]).unwrap() >= lost);
    site.postfix.postsuper(&["-H", "ALL"]);
    let late = wait_for("what was sent before the kill is late", PATIENCE, || {
        shown.number("postfixProbeLate", &[1]).filter(|late| *late > pending)
    });
    assert!(late > 1);
    assert_eq!(shown.number("postfixProbeLost", &[1]), Some(0), "nothing late is lost as well");
    assert_eq!(shown.number("postfixProbeLate", &[2]), Some(0));
}
