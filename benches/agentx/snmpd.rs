//! Our subagent and one in C on net-snmp's own library, both behind one and the same real snmpd, same table, in turns.

use super::{Table, common, compare, each, median};
use common::{Daemon, PATIENCE, TestSnmpd, Value, capture, wait_for};
use postfix_agentx::{
    agentx::{self, Address, Config},
    mib::{self, Column, Get, Index, Publisher, column},
    smi::Oid,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// Names the AgentX socket to a child that is to be the subagent.
pub(crate) const CHILD: &str = "BENCH_AGENTX_SOCKET";

const ROWS: u32 = 1000;
const OBJECTS: u32 = ROWS * 10;
const OURS: &str = "1.3.6.1.4.1.8072.9999.9999.25";
/// The table in C; the last two are those of its neighbour.
const OTHER: &str = "1.3.6.1.4.1.8072.9999.9999.26";
const TURNS: usize = 9;

/// Time it took, and of that the subagent's CPU time.
type Walk = (Duration, Duration);

struct Row {
    number: u32,
    texts: [String; 2],
}

macro_rules! columns {
    ($($number:literal $kind:ident $get:expr,)*) => { &[$(column($number, "bench", Get::$kind($get)),)*] };
}
const COLUMNS: &[Column<Row>] = columns! {
    2 Gauge32 |r: &Row| Some(u64::from(r.number) * 10),
    3 Gauge32 |r: &Row| Some(u64::from(r.number) * 10 + 1),
    4 Gauge32 |r: &Row| Some(u64::from(r.number) * 10 + 2),
    5 Gauge32 |r: &Row| Some(u64::from(r.number) * 10 + 3),
    6 Gauge32 |r: &Row| Some(u64::from(r.number) * 10 + 4),
    7 Counter64 |r: &Row| Some(u64::from(r.number) * 100),
    8 Counter64 |r: &Row| Some(u64::from(r.number) * 100 + 1),
    9 Counter64 |r: &Row| Some(u64::from(r.number) * 100 + 2),
    10 Text |r: &Row| Some(r.texts[0].as_bytes().into()),
    11 Text |r: &Row| Some(r.texts[1].as_bytes().into()),
};
static TABLE: mib::Table<Row> =
    mib::Table { name: "bench", entry: &[1, 1, 1], index: |row| Index::from_slice(&[row.number]), columns: COLUMNS };

/// The child: serves the table until it is killed.
pub(crate) fn serve(socket: PathBuf) {
    let root: Oid = OURS.parse().unwrap();
    let publisher = Publisher::new(root.clone(), &[&TABLE]);
    let texts = |n| [format!("text 0 of row {n}"), format!("text 1 of row {n}")];
    let rows: Vec<Row> = (1..=ROWS).map(|number| Row { number, texts: texts(number) }).collect();
    publisher.publish([TABLE.fragment(&rows)]);
    let config = Config::new(vec![Address::Unix(socket)], root, "bench");
    let stats = Arc::default();
    let (_, queue) = agentx::notifications(config.notifications, Arc::clone(&stats));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(agentx::run(config, || publisher.view(), queue, stats, std::future::pending()));
}

/// The C subagent's binary, or why there is none.
fn compile(directory: &Path) -> Result<PathBuf, String> {
    let libraries = capture(Command::new("net-snmp-config").arg("--agent-libs"));
    if libraries.code != 0 {
        return Err("net-snmp-config is missing: apt-get install libsnmp-dev".to_owned());
    }
    let binary = directory.join("c_subagent");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-o"]).arg(&binary).arg(common::repository().join("benches/agentx/c_subagent.c"));
    let ran = capture(cc.args(libraries.stdout.split_ascii_whitespace()));
    if ran.code == 0 { Ok(binary) } else { Err(ran.stderr) }
}

/// User and system time of all threads of a process so far, from the scheduler's own clock.
fn cpu(pid: i32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// All on one CPU. Left to the scheduler, a wake-up across CPUs (dear, most of all in a virtual machine) now falls on one
/// subagent and now on the other, and is up to ten times what either of them does.
fn pin(pid: i32) {
    let mut first = rustix::thread::CpuSet::new();
    first.set(0);
    rustix::thread::sched_setaffinity(rustix::process::Pid::from_raw(pid), &first).unwrap();
}

pub(crate) fn measure(table: &mut Table) {
    let snmpd = TestSnmpd::start();
    let binary = match compile(snmpd.sandbox().dir()) {
        Ok(binary) => binary,
        Err(why) => return println!("no comparison with the C library: {why}"),
    };
    let log = |name: &str| snmpd.sandbox().path(name);
    let mut command = snmpd.sandbox().command(std::env::current_exe().unwrap());
    let ours = Daemon::spawn("our subagent", command.env(CHILD, snmpd.socket()), log("ours.log"));
    let mut command = snmpd.sandbox().command(binary);
    command.arg(snmpd.socket()).arg(format!("{OTHER}.1.1")).arg(ROWS.to_string());
    command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", log("state")).env("SNMPCONFPATH", "/nonexistent");
    let other = Daemon::spawn("C subagent", &mut command, log("other.log"));
    for root in [OURS, OTHER] {
        wait_for(root, PATIENCE, || snmpd.get(&format!("{root}.1.1.1.2.1")).ok().filter(|v| *v == Value::Gauge32(10)));
    }
    [snmpd.pid(), ours.pid(), other.pid()].into_iter().for_each(pin);
    let values = |root| snmpd.walk(root).unwrap().into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    let served = values(OURS);
    assert_eq!(served.len(), OBJECTS as usize);
    assert!(served == values(OTHER), "both serve the same");

    for count in [1, 50] {
        let names = |root: &str| {
            (0..count).map(|n| format!("{root}.1.1.1.{}.{}", 2 + n % 10, 17 * n + 1)).collect::<Vec<String>>()
        };
        let ask = |root| {
            let (names, mut client) = (names(root), snmpd.udp());
            move || {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                each(1000, || client.get(&names).unwrap())
            }
        };
        let text = format!("GET of {count} through snmpd, against net-snmp's library");
        row(table, &text, compare(TURNS, ask(OURS), ask(OTHER)), 1.0);
    }
    for program in ["snmpwalk", "snmpbulkwalk"] {
        let walk = |root: &str, pid: i32| {
            let (began, cpu_before) = (Instant::now(), cpu(pid));
            let mut command = snmpd.tool(program);
            command.args(["-v2c", "-c", "public", "-t", "10", "-Oqn"]).arg(snmpd.address()).arg(root);
            let lines = capture(&mut command).success().lines().count();
            let (took, used) = (began.elapsed(), cpu(pid) - cpu_before);
            assert_eq!(lines, OBJECTS as usize);
            (took, used)
        };
        let mut pairs = Vec::new();
        for _ in 0..TURNS {
            pairs.push((walk(OURS, ours.pid()), walk(OTHER, other.pid())));
        }
        let pick = |get: &dyn Fn(&(Walk, Walk)) -> f64| median(pairs.iter().map(get).collect());
        let seconds = Duration::as_secs_f64;
        let times =
            [pick(&|p| seconds(&p.0.0)), pick(&|p| seconds(&p.1.0)), pick(&|p| seconds(&p.1.0) / seconds(&p.0.0))];
        row(table, &format!("{program} of {OBJECTS} objects, against net-snmp's library"), times, 1.0);
        let objects = f64::from(OBJECTS);
        let used = [
            pick(&|p| seconds(&p.0.1) / objects),
            pick(&|p| seconds(&p.1.1) / objects),
            pick(&|p| seconds(&p.1.1) / seconds(&p.0.1)),
        ];
        row(table, &format!("{program}: user + system time of the subagent for each GetNext"), used, 2.0);
        let share = |get: &dyn Fn(&(Walk, Walk)) -> f64| 100.0 * pick(get);
        println!(
            "{program}: our process runs {:.0} % of the walk's time, the C subagent {:.0} %; the rest is snmpd and the tool",
            share(&|p| seconds(&p.0.1) / seconds(&p.0.0)),
            share(&|p| seconds(&p.1.1) / seconds(&p.1.0)),
        );
    }
}

fn row(table: &mut Table, what: &str, [ours, other, ratio]: [f64; 3], goal: f64) {
    table.row(what, Duration::from_secs_f64(ours), Duration::from_secs_f64(other), ratio, goal);
}
