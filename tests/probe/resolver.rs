//! The promise: a resolver that never answers costs each probe its deadline and one small thread, and nothing else anything.

use super::{Shown, daemon};
use crate::common::{PATIENCE, TestPostfix, TestSnmpd, oid, wait_for};
use std::{
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

const PROBES: u32 = 20;

/// A name server that takes every question and answers none.
fn silent_resolver() -> UdpSocket {
    let addresses = (1..250).map(|last| ([127, 77, 53, last], 53).into());
    let mut found = addresses.filter_map(|address: std::net::SocketAddr| UdpSocket::bind(address).ok());
    found.next().expect("port 53 of some loopback address")
}

/// The agent's threads that look up a name or read a file for a probe.
fn lookups(pid: i32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "probe-blocking").count()
}

#[test]
fn a_resolver_that_never_answers_costs_each_probe_its_deadline_and_nothing_more() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let resolver = silent_resolver();
    let mut agent = daemon(&snmpd, &[&postfix], "");
    agent.wait_sources_ok(&snmpd, 1);
    let file = agent.sandbox().write(
        "resolv.conf",
        &format!("nameserver {}\noptions timeout:30 attempts:5\n", resolver.local_addr().unwrap().ip()),
    );
    agent.resolver(&file);
    let probe = |n| {
        format!(
            "- {{ name: p{n}, kind: smtp, every: 2s, timeout: 1s, smtp: {{ host: mx{n}.example.net, port: 25 }} }}\n"
        )
    };
    // The last one needs no resolver, and its server is there.
    let works = format!(
        "- {{ name: near, kind: smtp, every: 2s, timeout: 2s, smtp: {{ host: 127.0.0.1, port: {} }} }}\n",
        postfix.smtp_port()
    );
    let probes: String = (1..=PROBES).map(probe).collect();
    agent.set_config(&format!("{}\nprobes:\n{probes}{works}", agent.config().replace("probes:\n", "")));
    agent.restart();
    agent.wait_sources_ok(&snmpd, 1);
    let mut shown = Shown::new(&snmpd);
    wait_for("every probe to fail three times", PATIENCE, || {
        (1..=PROBES).all(|n| shown.number("postfixProbeFailures", &[n]) >= Some(3)).then_some(())
    });
    resolver.set_nonblocking(true).unwrap();
    assert!(resolver.recv(&mut [0; 512]).is_ok(), "it was never asked, and this test proves nothing");
    let why = shown.text("postfixProbeLastError", &[1]);
    assert!(why.contains("name") || why.contains("resol") || why.contains("hangs"), "{why}");
    assert!((1..=PROBES as usize).contains(&lookups(agent.pid())), "{}", lookups(agent.pid()));
    assert_eq!(shown.number("postfixProbeStatus", &[PROBES + 1]), Some(1), "the one that needs none");
    let successes = shown.number("postfixProbeSuccesses", &[PROBES + 1]);
    wait_for("it to go on", PATIENCE, || {
        (shown.number("postfixProbeSuccesses", &[PROBES + 1]) > successes).then_some(())
    });
    // Answers come as ever, and the agent ends at once although twenty of its threads hang.
    let asked = Instant::now();
    assert!(snmpd.get(&oid("postfixHealth", &[0])).is_ok());
    assert!(asked.elapsed() < Duration::from_secs(1));
    let told = Instant::now();
    assert!(agent.stop().success());
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}
