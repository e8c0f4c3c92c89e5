//! What 200 alarms on a host of 10,000 objects cost of a core: the CPU time of the collector's thread during a minute, as
//! often as it wants to be called. More than 0.1 percent fails (exit code 1).
//!
//! Measured is the whole `refresh`: 4,000 thresholds on rows found by name, by pattern and all of them, more than a hundred
//! raised and cleared every 30 seconds, the table, its publication, the state file, and a master that never answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use postfix_agentx::{
    agentx,
    collect::{
        self, Context, Next, alarm,
        health::{AgentCounters, Health},
    },
    config,
    mib::{Get, Index, Publisher, Table, column, text},
    state::StateDirectory,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    fmt::Write as _,
    process::exit,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const RUN: Duration = Duration::from_secs(60);
const MOST: f64 = 0.001;
const INSTANCES: u32 = 10;
const QUEUES: [&str; 6] = ["maildrop", "incoming", "active", "deferred", "hold", "corrupt"];
const DOMAINS: u32 = 51;

/// Instance, number, name, a level that moves.
type Row = (u32, u32, String, u64);

macro_rules! table {
    ($static:ident, $name:literal, $entry:expr, $($number:literal $object:literal $kind:ident),+) => {
        static $static: Table<Row> = Table {
            name: $name,
            entry: $entry,
            index: |r| Index::from_slice(&[r.0, r.1]),
            columns: &[$(column($number, $object, table!($kind))),+],
        };
    };
    (name) => { Get::Text(|r| Some(text(&r.2, 255))) };
    (level) => { Get::Gauge32(|r| Some(r.3)) };
}

table!(QUEUE, "postfixQueueTable", &[1, 4, 1, 1], 2 "postfixQueueName" name, 3 "postfixQueueMessages" level,
    4 "postfixQueueBytes" level, 5 "a" level, 6 "b" level, 7 "c" level, 8 "d" level, 9 "e" level);
table!(DOMAIN, "postfixDomainTable", &[1, 4, 3, 1], 2 "postfixDomainName" name, 3 "postfixDomainMessages" level,
    4 "postfixDomainRecipients" level, 5 "b" level, 6 "c" level, 7 "d" level, 8 "e" level, 9 "f" level, 10 "g" level, 11 "h" level,
    12 "i" level, 13 "j" level, 14 "k" level, 15 "l" level, 16 "m" level, 17 "n" level, 18 "o" level, 19 "p" level,
    20 "q" level);

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// 200 alarms.
fn alarms() -> String {
    let mut list = String::from("alarms:\n");
    let mut add = |when: String| {
        let number = list.matches("name:").count();
        let _ = writeln!(list, "  - {{ name: alarm {number}, when: '{when}', clear: 300 }}");
    };
    for n in 0..25 {
        add(format!("postfixQueueMessages[*] > {}", 500 + n));
    }
    for n in 0..50 {
        add(format!("postfixQueueMessages[* {}] > {}", QUEUES[n % 6], 500 + n));
    }
    for n in 0..121 {
        add(format!("postfixQueueMessages[postfix-{} {}] > 500", n % 10 + 1, QUEUES[n % 6]));
    }
    for n in 0..4 {
        add(format!("postfixDomainRecipients[*] > {}", 500 + n));
    }
    list
}

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let config = Arc::new(config::parse(&alarms(), "bench").unwrap());
    assert_eq!(config.alarms.0.len(), 200);
    let publisher = Publisher::new(config.agentx.root.clone(), &collect::catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    let state = StateDirectory::open(directory.path()).unwrap();
    let (notifier, _taken) = agentx::notifications(agentx::Rate::default(), Arc::default());
    let context =
        Context { notifier: Some(notifier), ..Context::new(Arc::clone(&config), publisher.clone(), health, state) };

    let publish = |round: u32| {
        let level = |number: u32| if number == round % INSTANCES + 1 { 1_000 } else { 10 };
        let rows = |names: &[String]| -> Vec<Row> {
            let one = |instance: u32| {
                let row = move |(n, name): (usize, &String)| {
                    let level = if n == 3 { level(instance) } else { 10 };
                    (instance, n as u32 + 1, format!("postfix-{instance} {name}"), level)
                };
                names.iter().enumerate().map(row).collect::<Vec<_>>()
            };
            (1..=INSTANCES).flat_map(one).collect()
        };
        let domains: Vec<String> = (0..DOMAINS).map(|n| format!("domain-{n}.example")).collect();
        publisher.publish([QUEUE.fragment(&rows(&QUEUES.map(str::to_owned))), DOMAIN.fragment(&rows(&domains))]);
    };
    publish(0);
    let objects = publisher.view().walk(Instant::now()).count();

    let mut collector = (alarm::REGISTRATION.make)(&context);
    let (begun, mut used, mut round, mut longest) = (Instant::now(), Duration::ZERO, 0, Duration::ZERO);
    while begun.elapsed() < RUN {
        let look = begun.elapsed().as_secs() / 30;
        if look > round {
            round = look;
            publish(round as u32);
        }
        let before = cpu();
        let next = collector.refresh();
        let took = cpu() - before;
        used += took;
        longest = longest.max(took);
        if let Next::After(wait) = next {
            thread::sleep(wait);
        }
    }
    let states = config.agentx.root.child(&[1, 10, 1, 1, 8]);
    let view = publisher.view();
    let thresholds =
        view.walk(Instant::now()).filter(|(name, _)| name.as_slice().starts_with(states.as_slice())).count();
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "200 alarms, {thresholds} thresholds on {objects} objects, over {RUN:?}: {used:.1?} of CPU (longest call {longest:.1?}), {:.3} % of a core, ratio to 0.1 %: {:.2}",
        share * 100.0,
        share / MOST,
    );
    if share > MOST {
        exit(1);
    }
}
