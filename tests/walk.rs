//! The promise: however a manager walks the tree, it sees the same objects, each once, in order; and it can change none.

use crate::common::{self, ROOT, TestAgent, TestPostfix, TestSnmpd, Value, oid};
use postfix_agentx::{
    collect::{
        self,
        health::{AgentCounters, Health, SourceKind},
    },
    mib::Publisher,
    smi::{Objects, Oid},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// The state of a small host, published without any source.
fn publisher() -> Publisher {
    let publisher = Publisher::new(ROOT.parse().expect("an OID"), &collect::catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    for instance in [1, 2, 30] {
        let source = health.source(instance, "x", SourceKind::Queue, Duration::from_secs(30));
        source.success("spool", Duration::ZERO);
        // The row stays for the test.
        std::mem::forget(source);
    }
    publisher
}

#[test]
fn getnext_from_each_object_finds_the_next_one() {
    let (view, now) = (publisher().view(), Instant::now());
    let all: Vec<_> = view.walk(now).collect();
    assert!(all.len() > 20 && all.windows(2).all(|w| w[0].0 < w[1].0), "ascending and not empty");
    let mut name = Oid::new();
    for (here, next) in all.iter().zip(all.iter().skip(1)) {
        assert_eq!(view.get(&here.0, now).as_ref(), Ok(&here.1), "GET {}", here.0);
        assert_eq!(view.next(&here.0, false, &[], now, &mut name).as_ref(), Some(&next.1), "GETNEXT {}", here.0);
        assert_eq!(name, next.0);
        assert_eq!(view.next(&here.0, true, &[], now, &mut name).as_ref(), Some(&here.1), "include {}", here.0);
        assert_eq!(view.next(&here.0, false, &next.0, now, &mut name), None, "the end is not included");
        // Between an instance and its successor there is nothing to find but the successor.
        assert_eq!(view.next(&here.0.child(&[0]), false, &[], now, &mut name).as_ref(), Some(&next.1));
    }
    let last = &all[all.len() - 1].0;
    assert_eq!(view.next(last, false, &[], now, &mut name), None);
}

#[test]
fn a_walk_from_anywhere_before_us_begins_with_the_first_object() {
    let (view, now) = (publisher().view(), Instant::now());
    let (first, _) = view.walk(now).next().expect("an object");
    let mut name = Oid::new();
    for before in
        [&[][..], &[1, 3], &[1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 24], &[1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 25]]
    {
        assert!(view.next(before, true, &[], now, &mut name).is_some());
        assert_eq!(name, first);
    }
    assert_eq!(view.next(&[1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 26], true, &[], now, &mut name), None);
    assert_eq!(view.next(&[2], true, &[], now, &mut name), None);
}

/// What may move while nothing happens to the mail: ages, durations, and whatever Postfix's processes do.
fn moves(name: &str) -> bool {
    let name = Oid::from(common::oid_numbers(name).as_slice());
    let root: Oid = ROOT.parse().expect("an OID");
    collect::catalogue().iter().any(|table| {
        let Some(rest) = name.strip_prefix(root.child(table.entry()).as_slice()) else { return false };
        table
            .columns()
            .iter()
            .any(|c| Some(&c.number) == rest.first() && (is_clock(c.name) || of_processes(table.name())))
    })
}

fn is_clock(name: &str) -> bool {
    ["Age", "Uptime", "Duration", "Successes", "Free"].iter().any(|word| name.contains(word))
}

fn of_processes(table: &str) -> bool {
    table.contains("Daemon") || table.contains("Process") || table == "postfixServiceTable"
}

/// The part of a walk that stays as it is.
fn still(walk: Vec<(String, Value)>) -> BTreeMap<String, Value> {
    // A threshold has a row once its object has been looked at, some seconds later.
    let alarm = oid("postfixAlarmName", &[]);
    let alarms = alarm.rsplit_once('.').map_or("", |(entry, _)| entry);
    walk.into_iter().filter(|(name, _)| !moves(name) && !name.starts_with(alarms)).collect()
}

/// What differs between two walks, and only that.
fn difference(a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>) -> Vec<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    differ.map(|name| format!("{name}: {:?}, {:?}", a.get(name), b.get(name))).collect()
}

#[test]
fn walk_bulkwalk_table_and_dump_agree() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_ready(&snmpd, &oid("postfixInstanceName", &[1]));
    agent.wait_sources_ok(&snmpd, 1);
    // The log's part of a service stands beside the part from master.cf, once that is known.
    agent.wait_ready(&snmpd, &oid("postfixServiceEventStarts", &[1, 1]));

    let bulk = snmpd.walk(ROOT).expect("snmpbulkwalk");
    let next = snmpd.walk_getnext(ROOT).expect("snmpwalk");
    let own = snmpd.udp().walk(ROOT).expect("GETBULK without net-snmp");
    for walk in [&bulk, &next, &own] {
        assert!(walk.windows(2).all(|w| common::oid_numbers(&w[0].0) < common::oid_numbers(&w[1].0)), "ascending");
    }
    let names = |walk: &[(String, Value)]| -> Vec<String> {
        walk.iter().map(|(name, _)| name.clone()).filter(|name| !moves(name)).collect()
    };
    assert!(names(&bulk).len() > 250);
    assert_eq!(names(&bulk), names(&next));
    assert_eq!(names(&bulk), names(&own));
    assert_eq!(difference(&still(bulk.clone()), &still(next)), Vec::<String>::new());

    let table = snmpd.table("postfixInstanceTable");
    assert!(table.contains(&postfix.queue_directory().display().to_string()), "{table}");
    assert!(table.contains("running"), "{table}");
    assert!(!table.contains('?'), "a hole in the table:\n{table}");

    // The same tree without snmpd. CPU shares need a second sample, and counters of the log begin where the daemon saved.
    let dump = agent.run_once(&["dump", "--numeric"]).success();
    let dumped: Vec<String> =
        dump.lines().filter_map(|l| Some(l.split_once(" = ")?.0.trim_matches('.').to_owned())).collect();
    let missing: Vec<_> = names(&bulk).into_iter().filter(|n| !dumped.contains(n)).collect();
    assert_eq!(missing, Vec::<String>::new(), "served but not dumped");
}

#[test]
fn sys_or_table_names_our_capabilities() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_ready(&snmpd, &oid("postfixAgentVersion", &[0]));
    let ids = || snmpd.walk("1.3.6.1.2.1.1.9.1.2").expect("sysORID");
    let ours = Value::Oid(format!("{ROOT}.3.1"));
    common::wait_for("our sysORID", common::PATIENCE, || ids().iter().any(|(_, id)| *id == ours).then_some(()));
    agent.stop();
    let gone = || ids().iter().all(|(_, id)| *id != ours).then_some(());
    common::wait_for("its end with the session", common::PATIENCE, gone);
}

#[test]
fn no_object_can_be_set() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_ready(&snmpd, &oid("postfixInstanceName", &[1]));
    agent.wait_sources_ok(&snmpd, 1);
    // The log's part of a service stands beside the part from master.cf, once that is known.
    agent.wait_ready(&snmpd, &oid("postfixServiceEventStarts", &[1, 1]));
    let before = snmpd.walk(ROOT).expect("a walk");
    for (name, value) in &before {
        let (kind, new) = match value {
            Value::Integer(v) => ("i", (v + 1).to_string()),
            // snmpset can send no Counter32; read-only objects refuse any type alike.
            Value::Counter32(v) | Value::Gauge32(v) => ("u", v.wrapping_add(1).to_string()),
            Value::TimeTicks(v) => ("t", v.wrapping_add(1).to_string()),
            _ => ("s", "changed".to_owned()),
        };
        let refused = snmpd.set(name, kind, &new).expect_err("a SET must fail");
        assert_eq!(refused, common::SnmpError::Status("notWritable".into()), "{name}");
    }
    let unknown = snmpd.set(&format!("{ROOT}.9.9.9.0"), "i", "1").expect_err("no such object");
    assert_eq!(unknown, common::SnmpError::Status("noCreation".into()));
    let after = snmpd.walk(ROOT).expect("a walk");
    assert_eq!(difference(&still(before), &still(after)), Vec::<String>::new());
}

/// What snmpwalk needs the MIB and the IETF's base modules for, the program knows by itself.
#[test]
fn dump_names_everything_as_snmpwalk_does_with_the_mib() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_ready(&snmpd, &oid("postfixInstanceName", &[1]));
    agent.wait_sources_ok(&snmpd, 1);
    agent.wait_ready(&snmpd, &oid("postfixServiceEventStarts", &[1, 1]));
    let walk = snmpd.named("snmpwalk", &["-t", "10"], &[ROOT]).success();
    let dump = agent.run_once(&["dump"]).success();
    let name = |line: &str| line.split_once(" = ").map(|(name, _)| name.trim_start_matches("POSTFIX-MIB::").to_owned());
    let dumped: Vec<&str> = dump.lines().collect();
    let names: Vec<String> = dump.lines().filter_map(name).collect();
    let missing: Vec<String> = walk.lines().filter_map(name).filter(|n| !names.contains(n)).collect();
    // A CPU share needs a second sample.
    let missing: Vec<_> = missing.iter().filter(|name| !name.contains("CpuPercent")).collect();
    assert!(missing.is_empty(), "{missing:?}\n{dump}");
    // Values of every kind, the whole line.
    for begin in [
        "postfixInstanceState.1 = INTEGER: running(1)",
        "postfixInstanceName.1 = STRING: ",
        "postfixQueueMessages.1.deferred = Gauge32: 0 messages",
        "postfixSourceStatus.1.log = INTEGER: ok(1)",
        "postfixMailReceivedOctets.1 = Counter64: 0 octets",
        "postfixTotalSent",
    ] {
        let of_snmpwalk = walk.lines().map(|l| l.trim_start_matches("POSTFIX-MIB::")).find(|l| l.starts_with(begin));
        if let Some(line) = of_snmpwalk {
            assert!(dumped.contains(&line), "{line}\n{dump}");
        } else {
            assert_eq!(begin, "postfixTotalSent", "{walk}");
        }
    }
    // A part of it, by name and by number.
    let part = agent.run_once(&["dump", "postfixQueueTable", "postfixHealth.0"]).success();
    assert!(part.lines().all(|l| l.starts_with("postfixQueue") || l.starts_with("postfixHealth.0 = ")), "{part}");
    assert!(part.lines().count() > 10 && !part.contains("postfixQueueAge."), "{part}");
    let one = agent.run_once(&["dump", "-n", "postfixTotalDeferred"]).success();
    assert_eq!(one, format!(".{} = Gauge32: 0\n", oid("postfixTotalDeferred", &[0])));
    let ran = agent.run_once(&["dump", "postfixQueues.table"]);
    assert!(ran.code == 2 && ran.stderr.contains("is no table"), "{}", ran.stderr);
}

#[test]
fn the_modules_are_printed_at_any_root_and_smilint_objects_to_none() {
    let snmpd = TestSnmpd::start();
    let agent = TestAgent::new(&snmpd, &[]);
    for root in [ROOT, "1.3.6.1.4.1.32473.25", "1.3.6.1.3.77", "1.3.6.1.4.1.8072.9999.1"] {
        let directory = agent.sandbox().mkdir(&format!("mibs-{root}"), 0o755, Some(common::AGENT_UID));
        let there = directory.display().to_string();
        let ran = agent.run_once(&["mib", "--root", root, "--directory", &there]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut smilint = common::tool("smilint");
        smilint.env("SMIPATH", format!("{}:{there}", common::base_mibs()));
        let ran = common::capture(smilint.args(["-m", "-s", "-l", "6"]).arg(directory.join("POSTFIX-MIB.txt")));
        // An enterprise's own arcs have names elsewhere, if at all.
        let complaints = format!("{}{}", ran.stdout, ran.stderr);
        let complaints: Vec<_> = complaints.lines().filter(|line| !line.contains("{node-implicit}")).collect();
        assert_eq!(complaints, Vec::<&str>::new(), "{root}");
        let mut translate = common::tool("snmptranslate");
        let path = format!("{}:{there}", common::base_mibs());
        let ran =
            common::capture(translate.args(["-M", &path, "-m", "POSTFIX-MIB", "-On", "POSTFIX-MIB::postfixHealth"]));
        assert_eq!(ran.stdout.trim(), format!(".{root}.1.1.1.1"), "{}", ran.stderr);
        let printed = agent.run_once(&["mib", "--root", root]).success();
        let modules = ["POSTFIX-MIB.txt", "POSTFIX-AGENTCAPS-MIB.txt"];
        let text = modules.map(|name| std::fs::read_to_string(directory.join(name)).expect("a module")).concat();
        assert_eq!(printed, text);
    }
}
