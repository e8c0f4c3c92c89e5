//! Whole runs against servers that mean no good, on loopback.

use super::run::{Environment, Memory, Outcome, run};
use crate::config;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// A server whose every connection is given to `serve`.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn probe(yaml: &str) -> Outcome {
    probe_in(yaml, Environment::system())
}

fn probe_in(yaml: &str, environment: Environment) -> Outcome {
    let config = config::parse(&format!("probes:\n- {{ name: t, {yaml} }}\n"), "test.yaml").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&config.probes[0], Arc::new(environment), &mut Memory::default(), Vec::new()))
}

fn smtp(port: u16) -> String {
    format!("kind: smtp, timeout: 500ms, smtp: {{ host: 127.0.0.1, port: {port} }}")
}

#[test]
fn hostile_servers_cost_a_probe_its_deadline_and_have_their_stage() {
    let endless = server(|mut s| while s.write_all(b"220-x\r\n").is_ok() {});
    let long = server(|mut s| while s.write_all(&[b'x'; 4_096]).is_ok() {});
    let slow = server(|mut s| {
        while s.write_all(b"2").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let silent = server(|mut s| drop(s.read(&mut [0; 1])));
    let gone = server(drop);
    let imap = server(|mut s| drop(s.write_all(b"* OK hello\r\n")));
    for (port, text) in [
        (endless, "is no answer of SMTP"),
        (long, "more than 4096 octets"),
        (slow, "no answer within 500 ms"),
        (silent, "no answer within 500 ms"),
        (gone, "closed the connection"),
        (imap, "`* OK hello` is no answer of SMTP"),
    ] {
        let began = Instant::now();
        let (stage, why) = probe(&smtp(port)).failure.unwrap();
        assert_eq!(stage, super::stage::Stage::Banner, "{why}");
        assert!(why.contains(text), "{why}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_literal_of_two_to_the_63_is_refused() {
    let port = server(|mut s| {
        let _ = s.write_all(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n* 1 FETCH (BODY[] {9223372036854775808}\r\n");
        let _ = s.read_to_end(&mut Vec::new());
    });
    let yaml = format!("kind: certificate, host: 127.0.0.1, port: {port}, tls: starttls, protocol: imap, timeout: 5s");
    let outcome = probe(&yaml);
    let (_, why) = outcome.failure.unwrap();
    assert!(why.contains("a literal of 9223372036854775808 octets"), "{why}");
    assert_eq!(outcome.judged.unwrap().status, super::certificate::Status::Unreadable);
}

#[test]
fn a_resolver_that_hangs_costs_its_probe_the_deadline() {
    let resolve = |_: &str, _: u16| {
        thread::park_timeout(Duration::from_secs(20));
        Ok(Vec::new())
    };
    let environment = Environment { resolve: Arc::new(resolve), ..Environment::system() };
    let began = Instant::now();
    let outcome = probe_in("kind: smtp, timeout: 300ms, smtp: { host: mx.example }", environment);
    assert_eq!(outcome.failure.unwrap(), (super::stage::Stage::Resolve, "no answer within 300 ms".into()));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn words_before_tls_fail_the_probe() {
    let port = server(|mut s| {
        let mut heard = [0; 512];
        let _ = s.write_all(b"220 hi\r\n");
        let _ = s.read(&mut heard);
        let _ = s.write_all(b"250-hi\r\n250 STARTTLS\r\n");
        let _ = s.read(&mut heard);
        let _ = s.write_all(b"220 go\r\n250 AUTH PLAIN\r\n");
        let _ = s.read_to_end(&mut Vec::new());
    });
    let yaml = format!("kind: smtp, timeout: 5s, smtp: {{ host: 127.0.0.1, port: {port}, tls: starttls }}");
    let (stage, why) = probe(&yaml).failure.unwrap();
    assert_eq!(stage, super::stage::Stage::Starttls);
    assert!(why.contains("CVE-2011-0411"), "{why}");
}

/// What servers say, from which dialogues are made up.
const SAID: [&str; 26] = [
    "220 hi\r\n",
    "250-mx\r\n",
    "250 SIZE\r\n",
    "354 go\r\n",
    "421 bye\r\n",
    "5",
    "\r\n",
    "* OK [CAPABILITY IMAP4rev1 IDLE] hi\r\n",
    "* CAPABILITY IMAP4rev1 UIDPLUS\r\n",
    "* 1 EXISTS\r\n",
    "* SEARCH 1 2 4294967295\r\n",
    "* 1 FETCH (UID 7 BODY[HEADER] {4}\r\n",
    "ab)\r\n",
    "* BYE\r\n",
    "A0001 OK\r\n",
    "A0002 OK\r\n",
    "A0003 NO x\r\n",
    "{18446744073709551616}\r\n",
    "+ go\r\n",
    "+OK\r\n",
    "-ERR no\r\n",
    "1 abc\r\n",
    "2 def\r\n",
    ".\r\n",
    "X-Postfix-Agentx-Probe: t@h;1;00112233445566778899aabbccddeeff\r\n",
    "\u{0}\u{ff}",
];

/// A whole dialogue of each kind with these answers.
fn dialogues(answers: &str) {
    use super::{connection::Connection, imap::Imap, pop3, smtp::Smtp, stage::MAILBOX};
    let yaml = "probes: [{ name: t, kind: smtp, smtp: { host: h } }]";
    let probe = config::parse(yaml, "test.yaml").unwrap().probes.remove(0);
    let server = probe.servers()[0].clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let new = || {
            let stream = tokio::io::join(std::io::Cursor::new(answers.as_bytes().to_vec()), tokio::io::sink());
            let run = super::run::Run::new(&probe, Arc::new(Environment::system()), Default::default(), Vec::new());
            (run, Connection::new(Box::new(stream), 4_096))
        };
        let (mut run, connection) = new();
        if let Ok(mut smtp) = Smtp::over(&mut run, &server, connection, 220).await {
            if smtp.recipient(&mut run, "a@b", "c@d").await.is_ok() {
                let _ = smtp.message(&mut run, b"x").await;
            }
            smtp.quit(&mut run, true).await;
        }
        let (mut run, connection) = new();
        if let Ok(imap) = Imap::over(&mut run, &server, connection, MAILBOX).await {
            let _ = imap.enter(&mut run, "INBOX").await;
        }
        let (mut run, connection) = new();
        if let Ok(pop3) = pop3::Pop3::over(&mut run, &server, connection, MAILBOX).await {
            let _ = pop3.first(&mut run, &server, &mut pop3::Foreign::default()).await;
        }
    });
}

proptest::proptest! {
    #[test]
    fn whatever_servers_say_in_whatever_order_is_no_panic(
        said in proptest::collection::vec(proptest::sample::select(&SAID[..]), 0..40),
    ) {
        dialogues(&said.concat());
    }
}
