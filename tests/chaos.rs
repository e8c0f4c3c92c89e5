//! Nothing snmpd, a manager or an administrator does makes our subtree disappear for more than a moment: random events
//! while four pollers ask. Afterwards every object answers, no answer was ever wrong, and nobody had to help.
//!
//! `make test` runs a short form, `make chaos` 200 events. CHAOS_EVENTS and CHAOS_SEED choose others.

use crate::common::{self, Fate, PATIENCE, Random, TestAgent, TestPostfix, TestSnmpd, UdpClient, Value, oid, wait_for};
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    mem::{Discriminant, discriminant},
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Mail that was sent before it begins; the counters must say exactly this or nothing.
const SENT: usize = 5;

/// What may be answered: the type of each object, and the value of those that nothing changes.
struct Truth {
    types: BTreeMap<String, Discriminant<Value>>,
    values: BTreeMap<String, Value>,
}

impl Truth {
    fn names(&self) -> BTreeSet<String> {
        self.types.keys().cloned().collect()
    }

    fn check(&self, name: &str, value: &Value, wrong: &mut Vec<String>) {
        // snmp-parser reads an empty octet string as "empty", which the client takes for Null; the agent never sends Null.
        let empty = Value::OctetString(Vec::new());
        let value = if *value == Value::Null { &empty } else { value };
        let known = self.types.get(name).is_none_or(|kind| *kind == discriminant(value));
        let right = self.values.get(name).is_none_or(|right| right == value);
        let fine = value.is_exception() || (known && right);
        if !fine && wrong.len() < 20 {
            wrong.push(format!("{name} = {value:?}"));
        }
    }
}

#[derive(Default)]
struct Seen {
    answers: usize,
    wrong: Vec<String>,
    /// The longest time without a good answer to what this poller asks.
    gap: Duration,
}

/// Four ways to ask; each runs until it is told to stop.
fn poll(way: usize, mut client: UdpClient, truth: &Truth, stop: &AtomicBool, good_answers: &AtomicUsize) -> Seen {
    client.set_timeout(Duration::from_millis(500));
    let all: Vec<&str> = truth.types.keys().map(String::as_str).collect();
    let fixed: Vec<&str> = truth.values.keys().map(String::as_str).collect();
    let (mut seen, mut good, mut at) = (Seen::default(), Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        at = (at + 37) % all.len();
        let fifty: Vec<&str> = all.iter().cycle().skip(at).take(50).copied().collect();
        let found = match way {
            0 => client.get(&fixed),
            1 => client.get_next(&fifty[..1]),
            // Panics where names do not ascend.
            2 => client.walk(common::ROOT),
            _ => client.get(&fifty),
        };
        let mut answered = false;
        for (name, value) in found.unwrap_or_default() {
            truth.check(&name, &value, &mut seen.wrong);
            answered |= !value.is_exception() && name.starts_with(common::ROOT);
        }
        if answered {
            seen.answers += 1;
            good_answers.fetch_add(1, Ordering::Relaxed);
            seen.gap = seen.gap.max(good.elapsed());
            good = Instant::now();
        }
        // A pace, not a synchronisation: a poller of some hundred requests a second would only measure itself.
        thread::sleep(Duration::from_millis(20));
    }
    seen.gap = seen.gap.max(good.elapsed());
    seen
}

struct Stage {
    snmpd: TestSnmpd,
    agent: TestAgent,
    pause: Duration,
}

impl Stage {
    fn event(&mut self, dice: &mut Random) -> &'static str {
        let mode = |mode| fs::Permissions::from_mode(mode);
        match dice.below(8) {
            0 => {
                self.snmpd.kill9();
                self.snmpd.start_again();
                "snmpd kill -9"
            }
            1 => {
                self.snmpd.restart();
                "snmpd restart"
            }
            2 => {
                self.snmpd.sighup();
                "snmpd SIGHUP"
            }
            3 => {
                self.snmpd.sigstop();
                thread::sleep(self.pause);
                self.snmpd.sigcont();
                "snmpd SIGSTOP"
            }
            4 => {
                self.agent.signal(Signal::STOP);
                thread::sleep(self.pause);
                self.agent.signal(Signal::CONT);
                "agent SIGSTOP"
            }
            5 => {
                self.agent.kill9();
                self.agent.start();
                "agent kill -9"
            }
            6 => {
                // Gone for whoever comes now; only a new snmpd makes it again.
                fs::remove_file(self.snmpd.socket()).unwrap();
                self.agent.kill9();
                self.agent.start();
                thread::sleep(self.pause / 3);
                self.snmpd.restart();
                "socket removed, agent kill -9, snmpd restart"
            }
            _ => {
                fs::set_permissions(self.snmpd.socket(), mode(0o700)).unwrap();
                self.agent.kill9();
                self.agent.start();
                thread::sleep(self.pause / 3);
                fs::set_permissions(self.snmpd.socket(), mode(0o777)).unwrap();
                "permissions taken, agent kill -9, permissions given back"
            }
        }
    }
}

fn chaos(events: u64, pause: Duration) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let events = number("CHAOS_EVENTS").unwrap_or(events);
    let seed = number("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()) + 1);
    println!("CHAOS_SEED={seed} CHAOS_EVENTS={events}");
    let mut dice = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);

    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    postfix.send(Fate::Delivered, SENT);
    let (mail, total) = (oid("postfixMailSent", &[1]), oid("postfixTemplateDelivered", &[0]));
    let counted = |snmpd: &TestSnmpd, name: &str| snmpd.get(name).ok()?.number().filter(|n| *n == SENT as i64);
    wait_for("the mail counted", PATIENCE, || counted(&snmpd, &mail).and(counted(&snmpd, &total)));
    let walked = snmpd.walk(common::ROOT).unwrap();
    let version = oid("postfixAgentVersion", &[0]);
    let fixed = [mail.clone(), total, version, oid("postfixInstanceName", &[1])];
    let truth = Truth {
        types: walked.iter().map(|(name, value)| (name.clone(), discriminant(value))).collect(),
        values: walked.iter().filter(|(name, _)| fixed.contains(name)).cloned().collect(),
    };
    assert_eq!(truth.values.len(), fixed.len());

    let stop = AtomicBool::new(false);
    let progress: [AtomicUsize; 4] = Default::default();
    let mut back = Duration::ZERO;
    let mut stage = Stage { snmpd, agent, pause };
    let (seen, missing): (Vec<Seen>, _) = thread::scope(|scope| {
        let (truth, stop, progress) = (&truth, &stop, &progress);
        let pollers: Vec<_> = (0..4)
            .map(|way| {
                let client = stage.snmpd.udp();
                let progress = &progress[way];
                scope.spawn(move || poll(way, client, truth, stop, progress))
            })
            .collect();
        // Whatever happens, the pollers end: the scope waits for them.
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 1..=events {
                let began = Instant::now();
                let what = stage.event(&mut dice);
                let settled = Instant::now();
                // Half of the events hit while the one before is still being recovered from.
                if dice.below(2) == 0 {
                    stage.agent.wait_ready(&stage.snmpd, &mail);
                    back = back.max(settled.elapsed());
                    let before: Vec<usize> = progress.iter().map(|p| p.load(Ordering::Relaxed)).collect();
                    wait_for("all four pollers content", PATIENCE, || {
                        progress.iter().zip(&before).all(|(p, b)| p.load(Ordering::Relaxed) > b + 3).then_some(())
                    });
                }
                println!("{number}: {what}, {:.1?}", began.elapsed());
            }
            stage.agent.wait_ready(&stage.snmpd, &mail);
            // The last of it comes with the collectors' next round.
            let mut missing = BTreeSet::new();
            let of_processes = format!("{}.1.8.2.", common::ROOT);
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                let names =
                    stage.snmpd.walk(common::ROOT).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
                missing = truth.names().difference(&names).cloned().collect();
                // Rows of open files last as long as the process: a daemon may rest by now.
                missing.retain(|name: &String| !name.starts_with(&of_processes));
                if missing.is_empty() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
            missing
        }));
        stop.store(true, Ordering::Relaxed);
        let seen = pollers.into_iter().map(|poller| poller.join().expect("names ascend in every walk")).collect();
        match played {
            Ok(missing) => (seen, missing),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    println!("back at most {back:.1?} after snmpd, socket and agent were there again");
    for (way, seen) in ["GET", "GETNEXT", "GETBULK walk", "GET of 50"].iter().zip(&seen) {
        println!("{way}: {} good answers, longest gap {:.1?}, wrong: {:?}", seen.answers, seen.gap, seen.wrong);
    }
    assert!(missing.is_empty(), "objects that no longer answer: {missing:?}");
    assert!(seen.iter().all(|seen| seen.wrong.is_empty()), "wrong answers, see above");
    assert!(seen.iter().all(|seen| seen.answers > 0));
    assert_eq!(counted(&stage.snmpd, &mail), Some(SENT as i64));
    assert!(!stage.agent.log().contains("panicked"), "{}", stage.agent.log());
}

#[test]
fn eight_random_events() {
    chaos(8, Duration::from_millis(900));
}

#[test]
#[ignore = "minutes long: make chaos"]
fn two_hundred_random_events() {
    chaos(200, Duration::from_secs(3));
}
