//! The promise: dead and malicious servers cost each probe its deadline, and nothing else anything: the agent's memory stays,
//! its answers come as fast as without probes, its other collectors go on.

use super::{Shown, daemon};
use crate::common::{PATIENCE, TestPostfix, TestSnmpd, UdpClient, oid, wait_for};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// A server whose every connection is given to `serve`.
fn server(serve: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Small, so that hundreds of them are nothing.
            let _ = thread::Builder::new().stack_size(64 << 10).spawn(move || serve(stream));
        }
    });
    port
}

fn endless_banner(mut stream: TcpStream) {
    while stream.write_all(b"220-wait\r\n").is_ok() {}
}

fn endless_line(mut stream: TcpStream) {
    while stream.write_all(&[b'2'; 16 << 10]).is_ok() {}
}

fn an_octet_at_a_time(mut stream: TcpStream) {
    while stream.write_all(b"2").is_ok() {
        thread::sleep(Duration::from_millis(200));
    }
}

fn silent(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Octets that begin like TLS records and never end.
fn endless_tls(mut stream: TcpStream) {
    while stream.write_all(&[0x16, 0x03, 0x03, 0x40, 0x00]).and_then(|()| stream.write_all(&[1; 0x4000])).is_ok() {}
}

fn huge_literal(mut stream: TcpStream) {
    let _ = stream.write_all(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n* 1 FETCH (BODY[] {9223372036854775808}\r\n");
    while stream.write_all(&[b'x'; 16 << 10]).is_ok() {}
}

fn endless_untagged(mut stream: TcpStream) {
    let _ = stream.write_all(b"* OK hi\r\n");
    while stream.write_all(b"* 1 EXISTS\r\n").is_ok() {}
}

fn endless_capabilities(mut stream: TcpStream) {
    let _ = stream.write_all(b"+OK hi\r\n+OK list\r\n");
    while stream.write_all(b"X-NOTHING\r\n").is_ok() {}
}

/// Fifty probes of every kind at these.
fn yaml() -> String {
    let smtp: Vec<u16> = [endless_banner, endless_line, an_octet_at_a_time, silent].map(server).into();
    let imap: Vec<u16> = [huge_literal, endless_untagged, endless_line, silent].map(server).into();
    let (pop3, tls) = (server(endless_capabilities), server(endless_tls));
    let mut text = String::new();
    for at in 0..50 {
        let keys = match at % 5 {
            0 | 1 => format!("kind: smtp, smtp: {{ host: 127.0.0.1, port: {} }}", smtp[at % 4]),
            2 => format!("kind: certificate, host: 127.0.0.1, port: {}, tls: starttls, protocol: imap", imap[at % 4]),
            3 => format!("kind: certificate, host: 127.0.0.1, port: {pop3}, tls: starttls, protocol: pop3"),
            _ => format!("kind: smtp, smtp: {{ host: 127.0.0.1, port: {tls}, tls: implicit, verify: false }}"),
        };
        text += &format!("- {{ name: p{at}, every: 1s, timeout: 1s, {keys} }}\n");
    }
    text
}

/// VmRSS in KiB.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim_end_matches("kB").trim().parse().expect("KiB")
}

/// Median and slowest of so many answers.
fn answers(client: &mut UdpClient, count: usize) -> (Duration, Duration) {
    let names = ["postfixHealth", "postfixAgentUptime", "postfixTotalMessages"].map(|name| oid(name, &[0]));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut took: Vec<Duration> = (0..count)
        .map(|_| {
            let asked = Instant::now();
            client.get(&names).expect("an answer");
            // A pace, so that the machine is measured and not filled.
            thread::sleep(Duration::from_millis(1));
            asked.elapsed().saturating_sub(Duration::from_millis(1))
        })
        .collect();
    took.sort_unstable();
    (took[count / 2], took[count - 1])
}

fn attack(time: Duration) {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = daemon(&snmpd, &[&postfix], "");
    agent.wait_sources_ok(&snmpd, 1);
    let mut client = snmpd.udp();
    let idle = answers(&mut client, 500);
    let quiet = resident(agent.pid());
    agent.set_config(&format!("{}\nprobes:\n{}", agent.config().replace("probes:\n", ""), yaml()));
    agent.restart();
    agent.wait_sources_ok(&snmpd, 1);
    let mut shown = Shown::new(&snmpd);
    let failures =
        |shown: &mut Shown| (1..=50).map(|at| shown.number("postfixProbeFailures", &[at])).collect::<Vec<_>>();
    let all_failed = |shown: &mut Shown, least| failures(shown).into_iter().all(|n| n >= Some(least)).then_some(());
    wait_for("every probe to fail twice", PATIENCE * 4, || all_failed(&mut shown, 2));
    let warm = resident(agent.pid());
    let mut client = snmpd.udp();
    let (began, mut busy) = (Instant::now(), Vec::new());
    let mut most = warm;
    while began.elapsed() < time || busy.is_empty() {
        busy.push(answers(&mut client, 500));
        most = most.max(resident(agent.pid()));
    }
    wait_for("every probe to go on failing", PATIENCE * 4, || all_failed(&mut shown, 4));
    let slowest = busy.iter().map(|(_, slowest)| *slowest).max().unwrap_or_default();
    let mut medians: Vec<Duration> = busy.iter().map(|(median, _)| *median).collect();
    medians.sort_unstable();
    let median = medians[medians.len() / 2];
    println!(
        "answers idle: median {:.1?}, slowest {:.1?}; under attack: median {median:.1?}, slowest {slowest:.1?}",
        idle.0, idle.1
    );
    println!(
        "memory without probes {quiet} KiB, with 50 of them {warm} KiB, at most {most} KiB in {:.0?}",
        began.elapsed()
    );
    // 50 hostile servers that send as fast as they can have left nothing behind.
    assert!(most < warm + 8_192, "{warm} KiB grew to {most} KiB");
    // snmpd drops a subagent after a second.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    agent.wait_sources_ok(&snmpd, 1);
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

#[test]
fn fifty_probes_of_hostile_servers() {
    attack(Duration::from_secs(3));
}

#[test]
#[ignore = "a minute long: make chaos"]
fn fifty_probes_of_hostile_servers_for_a_minute() {
    attack(Duration::from_secs(60));
}
