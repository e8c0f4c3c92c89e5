//! The promise: under load for as long as you like (mail, pollers, rotations, reloads, probes, alarms) nothing is counted twice
//! or lost, and memory, descriptors and threads stay what they were.
//!
//! `make soak` runs it for SOAK_MINUTES (60) minutes.

use crate::common::{self, AGENT_UID, Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, TestTrapd, oid, wait_for};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What the process has.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    /// Resident memory that is its own, KiB.
    memory: u64,
    descriptors: usize,
    threads: u64,
}

fn sample(pid: i32) -> Sample {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent runs");
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("root").count();
    Sample { memory: number("RssAnon:"), descriptors, threads: number("Threads:") }
}

/// The log begins anew, as logrotate's `create` has it.
fn rotate(postfix: &TestPostfix, number: usize) {
    let file = postfix.log_file();
    let old = fs::metadata(&file).unwrap();
    fs::rename(&file, file.with_extension(format!("log.{number}"))).unwrap();
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(old.mode() & 0o777)).unwrap();
    chown(&file, Some(old.uid()), Some(old.gid())).unwrap();
    // Which file says so is not waited for: it may be either.
    postfix.postfix("reload").success();
}

/// The worst of a part of the run.
fn worst(samples: &[Sample]) -> Sample {
    let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
    Sample {
        memory: most(|s| s.memory),
        descriptors: samples.iter().map(|s| s.descriptors).max().unwrap_or(0),
        threads: most(|s| s.threads),
    }
}

#[test]
#[ignore = "as long as you like: make soak"]
fn nothing_grows_and_nothing_is_lost() {
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let trapd = TestTrapd::start_named();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!(
        "{}probes:\n  - {{ name: smtp, kind: smtp, every: 10s, smtp: {{ host: 127.0.0.1, port: {} }} }}\n\
         alarms:\n  - default\n  - {{ name: busy, when: 'rate(postfixMailSent[*]) > 1/m' }}\n",
        agent.config(),
        postfix.smtp_port()
    ));
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    let pid = agent.pid();
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == AGENT_UID || meta.uid() == 0));

    let stop = AtomicBool::new(false);
    let [sent, rejected, walks]: [AtomicUsize; 3] = Default::default();
    let mut samples = Vec::new();
    let (mut reloads, mut rotations) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                postfix.inject(Fate::Delivered, 20);
                sent.fetch_add(20, Ordering::Relaxed);
                postfix.inject(Fate::Rejected, 5);
                rejected.fetch_add(5, Ordering::Relaxed);
                // A pace: about a thousand messages a minute.
                thread::sleep(Duration::from_millis(800));
            }
        });
        for _ in 0..2 {
            let mut client = snmpd.udp();
            let (stop, walks) = (&stop, &walks);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let walked = client.walk(common::ROOT).unwrap_or_default();
                    walks.fetch_add(usize::from(walked.len() > 100), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(200));
                }
            });
        }
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (mut reload_at, mut rotate_at) = (Instant::now(), Instant::now() + Duration::from_secs(15));
            while Instant::now() < until {
                thread::sleep(Duration::from_secs(2));
                samples.push(sample(pid));
                if reload_at.elapsed() > Duration::from_secs(20) {
                    reload_at = Instant::now();
                    agent.signal(Signal::HUP);
                    reloads += 1;
                }
                if Instant::now() > rotate_at {
                    rotate_at = Instant::now() + Duration::from_secs(30);
                    rotations += 1;
                    rotate(&postfix, rotations);
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = played {
            std::panic::resume_unwind(panic);
        }
    });

    let [sent, rejected] = [&sent, &rejected].map(|n| i64::try_from(n.load(Ordering::Relaxed)).unwrap());
    let counted = |name: &str, index: &[u32]| snmpd.get(&oid(name, index)).ok().and_then(|value| value.number());
    println!(
        "{minutes} minutes: {sent} delivered, {rejected} rejected, {rotations} rotations, {reloads} reloads, {} whole walks, {} traps",
        walks.load(Ordering::Relaxed),
        trapd.traps().len()
    );
    // The last of the mail is delivered, and the last lines are read.
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline
        && (counted("postfixMailSent", &[1]) < Some(sent) || counted("postfixTotalRejected", &[0]) < Some(rejected))
    {
        thread::sleep(Duration::from_millis(200));
    }
    let third = samples.len() / 3;
    let (first, last) = (worst(&samples[..third.max(1)]), worst(&samples[samples.len() - third.max(1)..]));
    println!("first third at most {first:?}\nlast third at most {last:?}");
    assert_eq!(counted("postfixMailSent", &[1]), Some(sent), "deliveries are counted once each");
    assert_eq!(counted("postfixTotalRejected", &[0]), Some(rejected), "and so are rejects");
    assert_eq!(counted("postfixLogFileLinesUnrecognised", &[1]), Some(0));
    assert_eq!(agent.pid(), pid, "it was never started anew");
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
    // An eighth more, and what an allocator keeps, is no leak; a leak of an octet a line would be more.
    assert!(last.memory <= first.memory + first.memory / 8 + 2_048, "memory grows: {first:?}, {last:?}");
    assert!(last.descriptors <= first.descriptors + 4, "descriptors grow: {first:?}, {last:?}");
    assert!(last.threads <= first.threads + 2, "threads grow: {first:?}, {last:?}");
    wait_for("postfixAgentReloads", PATIENCE, || (counted("postfixAgentReloads", &[0]) == Some(reloads)).then_some(()));
}
