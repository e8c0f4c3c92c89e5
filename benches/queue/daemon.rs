//! The agent as a daemon behind a real snmpd: whether it answers while it builds, and what it costs afterwards.

use crate::common::{TestAgent, TestPostfix, TestSnmpd, UdpClient, oid, wait_for};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// So long the idle daemon is watched.
const IDLE: Duration = Duration::from_secs(65);

/// Median and 99.9th percentile, in microseconds.
struct Answers(f64, f64);

/// Starts an agent that may read the spool, asks it all the time, and prints what came of it.
pub fn measure(postfix: &TestPostfix) {
    let snmpd = TestSnmpd::start();
    let mut agent = TestAgent::new(&snmpd, &[postfix]);
    agent.reads_everything();
    let uptime = oid("postfixAgentUptime", &[0]);
    let deferred = oid("postfixTotalDeferred", &[0]);
    agent.start();
    agent.wait_ready(&snmpd, &uptime);
    let begun = Instant::now();
    let built = AtomicBool::new(false);
    let building = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(snmpd.udp(), &uptime, &built));
        let mut client = snmpd.udp();
        wait_for("the index of the daemon", Duration::from_secs(600), || {
            client.get_one(&deferred).ok().filter(|value| !value.is_exception())
        });
        built.store(true, Ordering::Relaxed);
        asker.join().expect("the asker")
    });
    let took = begun.elapsed();
    let stop = AtomicBool::new(false);
    let idle = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(snmpd.udp(), &uptime, &stop));
        thread::sleep(took.clamp(Duration::from_secs(2), Duration::from_secs(10)));
        stop.store(true, Ordering::Relaxed);
        asker.join().expect("the asker")
    });
    println!(
        "   GET through snmpd, µs, median (99.9 %): while building ({:.1} s) {:.0} ({:.0}), idle {:.0} ({:.0}): {:.2} × and {:.2} ×",
        took.as_secs_f64(),
        building.0,
        building.1,
        idle.0,
        idle.1,
        building.0 / idle.0,
        building.1 / idle.1
    );
    let (ticks, begun) = (cpu(agent.pid()), Instant::now());
    thread::sleep(IDLE);
    let percent = (cpu(agent.pid()) - ticks) as f64 / begun.elapsed().as_secs_f64();
    println!("   the daemon, idle, every 30 s: {percent:.2} % of a core, {}", memory(agent.pid()));
    agent.stop();
}

fn ask(mut client: UdpClient, name: &str, stop: &AtomicBool) -> Answers {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        assert!(!client.get_one(name).expect("an answer").is_exception());
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        thread::sleep(Duration::from_micros(500));
    }
    times.sort_by(f64::total_cmp);
    Answers(times[times.len() / 2], times[(times.len() * 999 / 1_000).min(times.len() - 1)])
}

/// Hundredths of a second spent so far.
fn cpu(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<u64> =
        stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2).map(|f| f.parse().unwrap()).collect();
    fields.iter().sum()
}

fn memory(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
    };
    format!("resident {} MiB ({} of its own), at most {} MiB", field("VmRSS"), field("RssAnon"), field("VmHWM"))
}
