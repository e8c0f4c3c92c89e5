//! One sample of an instance with 1,000 processes against `ps -eo pid,ppid,rss,time,args`, taken in turns.
//!
//! The processes are this program again: one holds the lock on master.pid as master(8) does, the others call themselves
//! smtpd and wait for their end. Measured is the whole `refresh`: /proc/locks, every process, the accounts, the tables and
//! their publication. Sampling must not be slower than ps (exit code 1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use postfix_agentx::{
    collect::{
        self, Collector, Context,
        health::{AgentCounters, Health},
        instance::InstanceCollector,
        process::ProcessCollector,
    },
    config::{self, Config},
    mib::Publisher,
    state::StateDirectory,
};
use rustix::fs::{FlockOperation, flock};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write, stdin},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const PROCESSES: usize = 1_000;
const ROUNDS: usize = 25;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    match (arguments[0].as_str(), arguments.get(1).map(String::as_str)) {
        ("smtpd", _) => wait_for_the_end(),
        ("master", Some(lock)) => master(Path::new(lock)),
        // `cargo test --all-targets` starts benchmarks too, without this argument.
        _ if arguments.iter().any(|argument| argument == "--bench") => compare(),
        _ => {}
    }
}

/// Until the other end of standard input is closed.
fn wait_for_the_end() {
    let _ = stdin().read(&mut [0]);
}

/// Holds the lock and has children, until standard input ends; theirs ends with it.
fn master(lock: &Path) {
    let file = fs::File::open(lock).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let spawn = |_| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg0("smtpd").args(["-n", "25", "-t", "inet", "-u", "-o", "stress="]);
        command.stdin(Stdio::piped()).spawn().unwrap()
    };
    let mut children: Vec<Child> = (0..PROCESSES).map(spawn).collect();
    println!("ready");
    wait_for_the_end();
    for child in &mut children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

fn compare() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["etc", "spool/pid", "data"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    fs::write(path("spool/pid/master.pid"), "").unwrap();
    let directories = format!(
        "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\n",
        path("spool").display(),
        path("data").display()
    );
    fs::write(path("etc/main.cf"), directories).unwrap();
    fs::write(path("etc/master.cf"), "25 inet n - n - 2000 smtpd\nqmgr unix n - n 300 1 qmgr\n").unwrap();

    let mut command = Command::new(env::current_exe().unwrap());
    command.arg0("master").arg(path("spool/pid/master.pid"));
    let mut master = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(master.stdout.take().unwrap()).read_line(&mut line).unwrap();

    let instance = config::Instance { config_directory: path("etc"), ..config::Instance::default() };
    let config = Config { instances: vec![instance], ..Config::default() };
    let publisher = Publisher::new(config.agentx.root.clone(), &collect::catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    let state = StateDirectory::open(&path("state")).unwrap();
    let context = Context::new(Arc::new(config), publisher.clone(), health, state);
    let mut instances = InstanceCollector::new(context.clone());
    instances.refresh();
    let mut collector = ProcessCollector::new(context);
    collector.refresh();
    let shown =
        publisher.view().walk(Instant::now()).find(|(name, _)| name.as_slice().ends_with(&[1, 8, 3, 1, 5, 1, 1]));
    assert_eq!(shown.expect("postfixServiceProcesses").1.to_string(), format!("Gauge32: {PROCESSES}"));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| {
            collector.refresh();
        }));
        theirs.push(time(|| {
            let out = Command::new("ps").args(["-eo", "pid,ppid,rss,time,args"]).output().unwrap();
            assert!(out.stdout.iter().filter(|b| **b == b'\n').count() > PROCESSES);
        }));
    }
    drop(master.stdin.take());
    master.wait().unwrap();
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let everyone = fs::read_dir("/proc").unwrap().count();
    println!(
        "a sample of {PROCESSES} Postfix processes: {ours:.1?}, ps: {theirs:.1?}, ratio {ratio:.2} (median of {ROUNDS}, {everyone} other entries in /proc)"
    );
    std::io::stdout().flush().unwrap();
    if ratio > 1.0 {
        std::process::exit(1);
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
