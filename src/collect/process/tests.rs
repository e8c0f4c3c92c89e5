//! What cannot be provoked on a living system, on made-up /proc directories. The rest is in tests/process.rs, on a real
//! Postfix.

use super::*;
use crate::{
    collect::health::{self, AgentCounters, Health},
    collect::instance::{Service, made_up::instance, services_of},
    config::Config,
    mib::Publisher,
    smi::{Objects, Value},
    state::StateDirectory,
};
use rustix::fs::{major, minor};
use std::{fs, os::linux::fs::MetadataExt, time::Instant};
use tempfile::TempDir;

const MASTER_CF: &str = "\
smtp unix - - n - - smtp
25 inet n - n - 2 smtpd
587 inet n - n - - smtpd -o syslog_name=postfix/submission
pickup unix n - n 60 1 pickup
qmgr unix n - n 300 1 qmgr
";
const DAEMONS: &[u32] = &[1, 8, 1, 1];
const SERVICES: &[u32] = &[1, 8, 3, 1];
const INSTANCES: &[u32] = &[1, 3, 3, 1];

/// A /proc, a spool, a master.cf and a state directory.
struct Host {
    dir: TempDir,
    context: Context,
}

/// One process of the made-up /proc.
#[derive(Clone)]
struct Fake {
    pid: u32,
    parent: u32,
    start: u64,
    state: char,
    cpu: u64,
    reaped: u64,
    cmdline: Vec<u8>,
}

fn fake(pid: u32, parent: u32, cpu: u64, cmdline: &str) -> Fake {
    let cmdline = cmdline.replace(' ', "\0").into_bytes();
    Fake { pid, parent, start: 1_000 + u64::from(pid), state: 'S', cpu, reaped: 0, cmdline }
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["proc/sys/kernel/random", "spool/pid", "etc"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("proc/sys/kernel/random/boot_id"), "boot-1\n").unwrap();
        fs::write(path("proc/meminfo"), "MemTotal: 1000000 kB\nMemFree: 1 kB\nBuffers: 1 kB\nCached: 1 kB\nSwapCached: 0 kB\nActive: 1 kB\nInactive: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\nWriteback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\nVmallocUsed: 0 kB\nVmallocChunk: 0 kB\n").unwrap();
        fs::write(path("spool/pid/master.pid"), "").unwrap();
        let publisher = Publisher::new([1].into(), &[health::TABLES, TABLES].concat());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        let state = StateDirectory::open(&path("state")).unwrap();
        let context = Context::new(Arc::new(Config::default()), publisher, health, state);
        let mut i = instance(&path("spool"), &[("default_process_limit", "100")]);
        i.services = Some(services_of(MASTER_CF).into());
        context.instances.set(vec![Arc::new(i)]);
        Self { dir, context }
    }

    /// The instance now has these services, with these indices.
    fn services(&self, services: Option<Vec<Service>>) {
        let mut instance = (*self.context.instances.current()[0]).clone();
        instance.services = services.map(Into::into);
        self.context.instances.set(vec![Arc::new(instance)]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn collector(&self) -> ProcessCollector {
        ProcessCollector::on(self.context.clone(), &self.path("proc"))
    }

    /// master 100 holds the lock, or nobody.
    fn lock(&self, pid: Option<u32>) {
        let meta = fs::metadata(self.path("spool/pid/master.pid")).unwrap();
        let device = meta.st_dev();
        let line = pid.map(|pid| {
            let (major, minor) = (major(device), minor(device));
            format!("1: FLOCK  ADVISORY  WRITE {pid} {major:02x}:{minor:02x}:{} 0 EOF\n", meta.st_ino())
        });
        fs::write(self.path("proc/locks"), line.unwrap_or_default()).unwrap();
    }

    /// /proc now has these and no others; children of 100 are listed.
    fn processes(&self, processes: &[Fake]) {
        for entry in fs::read_dir(self.path("proc")).unwrap().flatten() {
            if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
        for p in processes {
            let dir = self.path(&format!("proc/{}", p.pid));
            fs::create_dir_all(&dir).unwrap();
            let Fake { pid, parent, start, state, cpu, reaped, .. } = p;
            let stat = format!(
                "{pid} (a) b) {state} {parent} 1 1 0 -1 4194560 10 {reaped} 0 0 {cpu} 0 {reaped} 0 20 0 1 0 {start} 1000 100 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            );
            fs::write(dir.join("stat"), stat).unwrap();
            // 400 pages resident, 300 of them shared.
            fs::write(dir.join("statm"), "1000 400 300 1 0 1 0\n").unwrap();
            fs::write(dir.join("cmdline"), &p.cmdline).unwrap();
        }
        let listed: Vec<String> = processes.iter().filter(|p| p.parent == 100).map(|p| p.pid.to_string()).collect();
        let task = self.path("proc/100/task/100");
        if processes.iter().any(|p| p.pid == 100) {
            fs::create_dir_all(&task).unwrap();
            fs::write(task.join("children"), listed.join(" ") + " ").unwrap();
        }
    }

    fn get(&self, entry: &[u32], below: &[u32]) -> Option<Value> {
        let name = [&[1], entry, below].concat();
        self.context.publisher.view().get(&name, Instant::now()).ok()
    }

    fn number(&self, entry: &[u32], below: &[u32]) -> Option<u32> {
        match self.get(entry, below)? {
            Value::Gauge32(v) | Value::Counter32(v) => Some(v),
            Value::Integer(v) => Some(v as u32),
            other => panic!("{other}"),
        }
    }

    /// (state, pid, CPU time, restarts) of a daemon.
    fn daemon(&self, kind: u32) -> (Option<u32>, Option<u32>, Option<u32>, Option<u32>) {
        let column = |column| self.number(DAEMONS, &[column, 1, kind]);
        (column(3), column(4), column(5), column(10))
    }

    /// (processes, percent, CPU time) of a service.
    fn service(&self, index: u32) -> (Option<u32>, Option<u32>, Option<u32>) {
        let column = |column| self.number(SERVICES, &[column, 1, index]);
        (column(5), column(7), column(8))
    }

    fn total_cpu(&self) -> Option<u32> {
        self.number(INSTANCES, &[2, 1])
    }
}

fn usual() -> Vec<Fake> {
    vec![
        fake(100, 1, 10, "/usr/lib/postfix/sbin/master -w"),
        fake(101, 100, 20, "qmgr -l -t unix -u"),
        fake(102, 100, 3, "pickup -l -t unix -u"),
        fake(103, 100, 5, "smtpd -n 25 -t inet -u -o stress="),
        fake(104, 100, 6, "smtpd -n 25 -t inet -u -o stress="),
        fake(105, 100, 7, "smtpd -n 587 -t inet -u -o syslog_name=postfix/submission"),
    ]
}

const RUNNING: Option<u32> = Some(1);
const RESTING: Option<u32> = Some(2);
const NOT_RUNNING: Option<u32> = Some(3);
const UNKNOWN: Option<u32> = Some(5);

#[test]
fn daemons_and_services_of_one_instance() {
    let host = Host::new();
    host.lock(Some(100));
    let mut processes = usual();
    // The same names elsewhere are none of ours.
    processes.push(fake(200, 1, 1_000, "qmgr -l -t unix -u"));
    processes.push(fake(201, 105, 1_000, "pickup -l -t unix -u"));
    host.processes(&processes);
    let mut collector = host.collector();
    assert_eq!(collector.refresh(), Next::After(INTERVAL));
    assert_eq!(host.daemon(1), (RUNNING, Some(100), Some(10), Some(0)));
    assert_eq!(host.daemon(2), (RUNNING, Some(101), Some(20), Some(0)));
    assert_eq!(host.number(DAEMONS, &[7, 1, 2]), Some(1_600), "KiB");
    assert_eq!(host.number(DAEMONS, &[8, 1, 2]), Some(16), "hundredths of a percent");
    assert_eq!(host.number(DAEMONS, &[6, 1, 2]), None, "no CPU percent before a second sample");
    assert_eq!(host.service(2), (Some(2), Some(100), Some(11)), "25");
    assert_eq!(host.service(3), (Some(1), Some(1), Some(7)), "587");
    assert_eq!(host.service(1), (Some(0), Some(0), Some(0)), "smtp");
    assert_eq!(host.number(SERVICES, &[9, 1, 2]), Some(2 * 400 + 1_200), "own memory of both, shared once");
    assert_eq!(host.number(INSTANCES, &[1, 1]), Some(6));
    assert_eq!(host.number(&[1, 2, 4], &[1, 0]), Some(6));
    assert_eq!(host.total_cpu(), Some(51));
    collector.refresh();
    assert_eq!(host.number(DAEMONS, &[6, 1, 2]), Some(0));
}

#[test]
fn pickup_comes_and_goes() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&usual());
    let mut collector = host.collector();
    collector.refresh();
    let gone: Vec<Fake> = usual().into_iter().filter(|p| p.pid != 102).collect();
    host.processes(&gone);
    assert_eq!(collector.refresh(), Next::After(INTERVAL), "nothing to worry about");
    assert_eq!(host.daemon(3), (RESTING, Some(0), Some(3), Some(0)));
    for column in [6, 7, 8, 9, 11] {
        assert_eq!(host.number(DAEMONS, &[column, 1, 3]), Some(0), "a resting row is complete: column {column}");
    }
    host.processes(&[gone, vec![fake(150, 100, 2, "pickup -l -t unix -u")]].concat());
    collector.refresh();
    assert_eq!(host.daemon(3), (RUNNING, Some(150), Some(5), Some(1)));
}

#[test]
fn a_reused_pid_is_another_process() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&usual());
    let mut collector = host.collector();
    collector.refresh();
    let mut processes = usual();
    // Pid 101 is an smtpd now, and another qmgr runs; 103 is the shell of someone else.
    processes[1] = Fake { start: 9_000, ..fake(101, 100, 1, "smtpd -n 25 -t inet -u -o stress=") };
    processes[3] = Fake { start: 9_001, ..fake(103, 1, 500, "-bash") };
    processes.push(fake(160, 100, 4, "qmgr -l -t unix -u"));
    host.processes(&processes);
    collector.refresh();
    assert_eq!(host.daemon(2), (RUNNING, Some(160), Some(24), Some(1)));
    assert_eq!(host.service(2), (Some(2), Some(100), Some(12)));
}

#[test]
fn a_process_that_ends_while_it_is_looked_at() {
    let host = Host::new();
    host.lock(Some(100));
    let mut processes = usual();
    processes[4].state = 'Z';
    host.processes(&processes);
    // 103 ended before its first read, 105 between its two reads, 107 was never there when it was read.
    fs::remove_dir_all(host.path("proc/103")).unwrap();
    fs::remove_file(host.path("proc/105/statm")).unwrap();
    fs::write(host.path("proc/100/task/100/children"), "101 102 103 104 105 107 x").unwrap();
    host.collector().refresh();
    assert_eq!(host.service(2), (Some(0), Some(0), Some(6)), "a zombie's CPU time is still its own");
    assert_eq!(host.service(3), (Some(0), Some(0), Some(7)));
    assert_eq!(host.number(INSTANCES, &[1, 1]), Some(3));
    assert_eq!(host.total_cpu(), Some(10 + 20 + 3 + 6 + 7));
}

#[test]
fn arguments_are_octets() {
    let host = Host::new();
    host.services(Some(services_of(&format!("{MASTER_CF}m\u{fffd}l inet n - n - 4 smtpd\n"))));
    host.lock(Some(100));
    let mut processes = usual();
    processes[3].cmdline = b"smtpd\0-n\0m\xe9l\0-t\0inet\0-o\0\xff\xfe\0".to_vec();
    processes[4].cmdline = [b"smtpd\0-n\x0025\0-t\0inet\0-o\0".as_slice(), &vec![0xff; 100_000]].concat();
    host.processes(&processes);
    host.collector().refresh();
    assert_eq!(host.service(6), (Some(1), Some(25), Some(5)));
    assert_eq!(host.service(2), (Some(1), Some(50), Some(6)));
}

#[test]
fn forked_and_not_yet_executed() {
    let host = Host::new();
    host.lock(Some(100));
    let mut processes = usual();
    processes[1].cmdline = b"/usr/lib/postfix/sbin/master\0-w\0".to_vec();
    processes.push(fake(170, 100, 0, "qmgr -l -t unix -u"));
    host.processes(&processes);
    let mut collector = host.collector();
    collector.refresh();
    assert_eq!(host.daemon(2).1, Some(170));
    processes[1].cmdline = b"smtpd\0-n\x0025\0-t\0inet\0".to_vec();
    host.processes(&processes);
    collector.refresh();
    assert_eq!(host.service(2).0, Some(3), "its command line was read again");
}

#[test]
fn a_kernel_that_lists_no_children() {
    let host = Host::new();
    host.lock(Some(100));
    let mut processes = usual();
    processes.push(fake(200, 1, 1_000, "qmgr -l -t unix -u"));
    host.processes(&processes);
    fs::remove_file(host.path("proc/100/task/100/children")).unwrap();
    let mut collector = host.collector();
    collector.refresh();
    assert_eq!((host.daemon(2).1, host.number(INSTANCES, &[1, 1])), (Some(101), Some(6)));
    // Strangers are remembered and not read again.
    fs::write(host.path("proc/200/stat"), "unreadable").unwrap();
    collector.refresh();
    assert_eq!(host.number(INSTANCES, &[1, 1]), Some(6));
    assert_eq!(host.daemon(2).1, Some(101));
}

#[test]
fn hidden_processes_are_unknown_and_not_zero() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&[]);
    let mut collector = host.collector();
    collector.refresh();
    for kind in [1, 2, 3] {
        assert_eq!(host.daemon(kind), (UNKNOWN, None, None, None));
    }
    assert_eq!(host.total_cpu(), None);
    assert_eq!(host.number(&[1, 2, 4], &[1, 0]), None, "never a partial sum");
    let error = host.get(&[1, 1, 3, 1], &[9, 1, 4]).unwrap().to_string();
    assert!(error.contains("hidepid=0"), "{error}");
    assert!(error.ends_with("share the pid namespace\""), "the remedy is not cut off: {error}");
    assert_eq!(host.number(&[1, 1, 3, 1], &[4, 1, 4]), Some(3), "failing");
    // Seen again.
    host.processes(&usual());
    collector.refresh();
    assert_eq!(host.daemon(2).0, RUNNING);
}

#[test]
fn one_bad_look_withdraws_nothing() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&usual());
    let mut collector = host.collector();
    collector.refresh();
    host.processes(&[]);
    collector.refresh();
    assert_eq!(host.daemon(2), (RUNNING, Some(101), Some(20), Some(0)));
    assert_eq!(host.number(&[1, 1, 3, 1], &[4, 1, 4]), Some(2), "stale");
}

#[test]
fn cpu_time_never_goes_back() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&usual());
    let mut collector = host.collector();
    collector.refresh();
    assert_eq!(host.total_cpu(), Some(51));
    // Reaped between two reads: gone from the list, not yet in master's sum.
    let mut processes = usual();
    processes.truncate(5);
    host.processes(&processes);
    collector.refresh();
    assert_eq!(host.total_cpu(), Some(51));
    assert_eq!(host.service(3), (Some(0), Some(0), Some(7)));
    processes[0].reaped = 9;
    host.processes(&processes);
    collector.refresh();
    assert_eq!(host.total_cpu(), Some(53), "it had used 2 more before its end");
    // The agent is killed: what it showed was saved.
    drop(collector);
    processes[1].cpu = 21;
    host.processes(&processes);
    let mut collector = host.collector();
    collector.refresh();
    assert_eq!((host.total_cpu(), host.daemon(2).2, host.service(2).2), (Some(54), Some(21), Some(11)));
    assert_eq!(host.daemon(2).3, Some(0));
    // Another master.
    let restarted: Vec<Fake> = usual().into_iter().take(2).map(|p| Fake { start: p.start + 500, ..p }).collect();
    host.processes(&restarted);
    collector.refresh();
    assert_eq!((host.total_cpu(), host.daemon(2).2), (Some(54 + 30), Some(21 + 20)));
    assert_eq!((host.daemon(1).3, host.daemon(2).3), (Some(1), Some(1)));
    // After a reboot the same pids with the same start times are other processes.
    drop(collector);
    fs::write(host.path("proc/sys/kernel/random/boot_id"), "boot-2\n").unwrap();
    host.collector().refresh();
    assert_eq!((host.total_cpu(), host.daemon(2).2), (Some(84 + 30), Some(41 + 20)));
    assert_eq!((host.daemon(1).3, host.daemon(2).3), (Some(2), Some(2)));
}

#[test]
fn rows_follow_master_cf_and_indices_stay() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&usual());
    let mut collector = host.collector();
    collector.refresh();
    // `25` leaves and `lmtp` comes; the others keep their indices.
    let lmtp = Service { index: Some(6), ..services_of("lmtp unix - - n - - lmtp\n").remove(0) };
    let others = services_of(MASTER_CF).into_iter().filter(|service| service.entry.name != "25");
    host.services(Some(std::iter::once(lmtp).chain(others).collect()));
    collector.refresh();
    assert_eq!(host.service(2), (None, None, None));
    assert_eq!(host.service(3), (Some(1), Some(1), Some(7)), "587 kept its index");
    assert_eq!(host.get(SERVICES, &[2, 1, 6]).unwrap().to_string(), "STRING: \"postfix lmtp/unix\"");
    drop(collector);
    host.services(Some(services_of(MASTER_CF)));
    host.collector().refresh();
    assert_eq!(host.service(2), (Some(2), Some(100), Some(11)), "back with its CPU time");
    assert_eq!(host.service(6), (None, None, None));
}

#[test]
fn a_stopped_instance_has_complete_rows_without_processes() {
    let host = Host::new();
    host.lock(None);
    host.processes(&[]);
    // Nothing is said at the first look: this waits until it is certain.
    let begun = Instant::now();
    host.collector().refresh();
    assert!(begun.elapsed() >= Patience::default().certain);
    for kind in [1, 2, 3] {
        assert_eq!(host.daemon(kind), (NOT_RUNNING, Some(0), Some(0), Some(0)));
    }
    assert_eq!(host.service(2), (Some(0), Some(0), Some(0)));
    assert_eq!(host.number(&[1, 2, 4], &[1, 0]), Some(0));
}

#[test]
fn without_master_cf_there_are_still_the_daemons() {
    let host = Host::new();
    host.lock(Some(100));
    host.processes(&usual());
    host.services(None);
    let mut collector = host.collector();
    collector.refresh();
    assert_eq!(host.daemon(2), (RUNNING, Some(101), Some(20), Some(0)));
    assert_eq!(host.get(SERVICES, &[2, 1, 1]), None);
}

#[test]
fn throttled_comes_from_the_log() {
    let host = Host::new();
    host.lock(Some(100));
    let without_qmgr: Vec<Fake> = usual().into_iter().filter(|p| p.pid != 101).collect();
    host.processes(&without_qmgr);
    host.context.throttled.note(1, "qmgr", None);
    host.context.throttled.note(1, "smtp", Some("smtp/unix"));
    host.context.throttled.note(1, "not-in-master-cf", None);
    host.collector().refresh();
    assert_eq!(host.daemon(2).0, Some(4));
    let text = host.get(&[1, 1, 1], &[2, 0]).unwrap().to_string();
    assert!(text.contains("qmgr cannot be started"), "{text}");
    assert_eq!(host.number(&[1, 1, 1], &[1, 0]), Some(3), "critical");
}
