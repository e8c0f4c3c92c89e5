//! The promise, on a real Postfix: neither a client that sends what looks like log lines nor a server that answers with them
//! moves a counter that its mail does not move.

use crate::{
    common::{self, TestPostfix},
    grammar::fields::{HOSTILE, external},
};
use postfix_agentx::{collect::log::count, config::Config, smi::Value};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// A server that takes a sender and puts every recipient off, in words of its own.
fn hostile_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut out = stream.try_clone().expect("a socket");
            let _ = out.write_all(b"220 x\r\n");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
                let reply = match verb.as_str() {
                    "RCPT" => format!("450 4.3.0 {}", HOSTILE[number % HOSTILE.len()]),
                    "DATA" => "554 5.5.1 no".to_owned(),
                    "QUIT" => "221 x".to_owned(),
                    _ => "250 x".to_owned(),
                };
                if out.write_all(format!("{reply}\r\n").as_bytes()).is_err() || verb == "QUIT" {
                    break;
                }
            }
        }
    });
    port
}

/// One session: the code of the answer to each command.
fn session(port: u16, commands: &[&str]) -> Vec<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("smtpd");
    let mut out = stream.try_clone().expect("a socket");
    let mut lines = BufReader::new(stream).lines();
    let mut answer = || loop {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    };
    answer();
    let mut answers = Vec::new();
    for command in commands {
        if out.write_all(format!("{command}\r\n").as_bytes()).is_err() {
            break;
        }
        answers.push(answer());
    }
    answers
}

/// Whether it was taken, and whether its recipient was refused.
fn mail(port: u16, sender: &str, recipient: &str) -> (usize, usize) {
    let (from, to) = (format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"));
    let text = "Subject: x, relay=y, status=sent (250 ok\r\n\r\nx\r\n.";
    let answers = session(port, &["EHLO x", &from, &to, "DATA", text, "QUIT"]);
    let taken = answers.get(4).is_some_and(|answer| answer.starts_with("250"));
    (usize::from(taken), usize::from(answers.iter().any(|answer| answer.contains("Relay access denied"))))
}

#[test]
fn hostile_clients_and_a_hostile_server_move_only_what_their_mail_moves() {
    let server = hostile_server();
    let postfix = TestPostfix::builder()
        .main("relay_domains = dead.test hostile.test")
        .main(&format!("transport_maps = inline:{{ {{dead.test = smtp:[127.0.0.1]:1}}, {{hostile.test = smtp:[127.0.0.1]:{server}}} }}"))
        .main("smtp_destination_concurrency_limit = 1")
        .start();
    let port = postfix.smtp_port();
    let (mut accepted, mut refused) = (0, 0);
    for text in HOSTILE {
        let local = |domain: &str| external(&format!("{text}@{domain}"));
        for (sender, recipient) in [
            ("a@sender.test".to_owned(), local("dead.test")),
            (local("sender.test"), "b@dead.test".to_owned()),
            ("a@sender.test".to_owned(), "b@hostile.test".to_owned()),
        ] {
            let (taken, denied) = mail(port, &sender, &recipient);
            accepted += taken;
            // Postfix takes an address with two @ for one that asks to be relayed.
            refused += denied;
        }
        let rcpt = format!("RCPT TO:<{}>", local("elsewhere.test"));
        let helo = format!("EHLO {text}");
        let answers = session(port, &[&helo, "MAIL FROM:<a@sender.test>", &rcpt, "QUIT"]);
        refused += usize::from(answers.iter().any(|answer| answer.contains("Relay access denied")));
        session(port, &[&format!("GET /{text}")]);
    }
    assert!(accepted > 60 && refused > 15, "{accepted} {refused}");
    common::wait_for("all of it deferred", common::PATIENCE, || {
        let queue = postfix.postqueue_json();
        let waits = queue.iter().filter(|m| m.queue_name == "deferred").count();
        (waits == accepted && queue.len() == accepted).then_some(())
    });
    let counted = count::count(&[postfix.log_file()], &Config::default(), &mut |_| {}).expect("a log").values;
    let mut sums = BTreeMap::<String, u64>::new();
    for (name, value) in counted {
        let number = match value {
            Value::Counter32(n) => n.into(),
            Value::Counter64(n) => n,
            _ => continue,
        };
        *sums.entry(name.split('.').next().unwrap_or_default().to_owned()).or_default() += number;
    }
    let get = |name: &str| sums.get(name).copied().unwrap_or(0);
    let log = postfix.log();
    assert_eq!(get("postfixMailReceivedMessages"), accepted as u64, "{log}");
    assert_eq!(get("postfixMailDeferredMessages"), accepted as u64, "{log}");
    // Deliveries are tried once: the next run of the queue is minutes away.
    assert_eq!(get("postfixMailDeferrals"), accepted as u64, "{log}");
    assert_eq!(get("postfixMailRejected"), refused as u64, "{log}");
    for name in [
        "postfixMailSent",
        "postfixMailBounced",
        "postfixMailDiscarded",
        "postfixMailDeliverable",
        "postfixMailUndeliverable",
        "postfixMailOtherStatus",
        "postfixMailExpired",
        "postfixMailForceExpired",
        "postfixMailRequeued",
        "postfixMailReceivedReinjected",
        "postfixMailLoopsDetected",
        "postfixMailForwarded",
        "postfixTransportTlsConnections",
        "postfixTransportBeforeQueueCount",
        "postfixSmtpdTlsSessions",
        "postfixSmtpdAuthFailed",
        "postfixSmtpdLimitsExceeded",
        "postfixDnsblBlocked",
        "postfixLogFileLinesUnrecognised",
        "postfixLogFileLinesForeign",
    ] {
        assert_eq!(get(name), 0, "{name}\n{log}");
    }
    // GET, and the header lines of mail whose DATA was refused.
    let complaints = postfix.log_count("]: warning: non-SMTP command from ");
    assert!(complaints >= HOSTILE.len());
    assert_eq!(get("postfixSmtpdProtocolErrors"), complaints as u64, "{log}");
}
