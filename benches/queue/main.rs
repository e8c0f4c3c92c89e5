//! A spool of up to a million deferred messages, side by side with the tools that look at one: `cargo bench --bench queue`.
//!
//! For each size: `find -type f | wc -l`, the index's first build and its later readings (nothing changed, 1 % changed in
//! one directory, 1 % changed all over), qshape(1), and a real Postfix on the same queue with `postqueue -j`, our own showq
//! source and, where it is installed, prometheus-postfix-exporter; at last the daemon itself behind a real snmpd. Measured
//! is the collector's whole refresh: reading, summing up, tables, publication. Readings are 30 s apart as in production,
//! because the sweep's share depends on it. Before whoever reads all files, all files are read: none is to pay for a cache
//! that another one filled, or that the kernel took back meanwhile. CPU times are those of the process, with its children.
//!
//! `QUEUE_BENCH=100000` limits the size, `QUEUE_BENCH=1000000/2` is one size and depth alone, `QUEUE_BENCH_PAUSE=5` the
//! seconds between readings (the sweep then shrinks with it), `QUEUE_BENCH_ONLY=build` ends after the comparison with
//! qshape. Needs root, and 8 GiB in /tmp for the million. Exit code 1 where the million misses a goal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/common/mod.rs"]
mod common;
mod daemon;
mod generate;

use common::{TestPostfix, wait_for};
use generate::Generated;
use postfix_agentx::{
    collect::{
        self, Collector, Context, Next,
        health::{AgentCounters, Health},
        instance::Instance,
        queue::QueueCollector,
    },
    config::{self, Config, QueueSource},
    mib::Publisher,
    smi::{Objects, Value},
    state::StateDirectory,
};
use std::{
    env,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const ROUNDS: u32 = 4;

struct Measured {
    context: Context,
    collector: QueueCollector,
    _state: tempfile::TempDir,
}

impl Measured {
    fn new(postfix: &TestPostfix, source: QueueSource) -> Self {
        let state = tempfile::tempdir().unwrap();
        let publisher = Publisher::new([1].into(), &collect::catalogue());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        let directory = StateDirectory::open(state.path()).unwrap();
        let context = Context::new(Arc::new(Config::default()), publisher, health, directory);
        let queue = config::Queue { source, interval: Duration::from_millis(1) };
        let settings = config::Instance { config_directory: postfix.config_directory(), queue, ..Default::default() };
        let instance = Instance { index: 1, ..Instance::read(&settings, &Default::default()).unwrap() };
        context.instances.set(vec![Arc::new(instance)]);
        Self { collector: QueueCollector::new(context.clone()), context, _state: state }
    }

    fn gauge(&self, below: &[u32]) -> u64 {
        let name: Vec<u32> = [1].iter().chain(below).copied().collect();
        match self.context.publisher.view().get(&name, Instant::now()) {
            Ok(Value::Gauge32(v) | Value::Counter32(v)) => u64::from(v),
            other => panic!("{below:?}: {other:?}"),
        }
    }

    /// One whole refresh.
    fn refresh(&mut self) -> Duration {
        // What pacing would have us wait is over: the pause between readings is longer.
        let successes = |m: &Self| m.gauge(&[1, 1, 3, 1, 7, 1, 2]);
        self.context.health.tick();
        let before = if self.context.publisher.view().get(&[1, 1, 1, 3, 1, 7, 1, 2], Instant::now()).is_ok() {
            successes(self)
        } else {
            0
        };
        let mut begun = Instant::now();
        loop {
            let next = self.collector.refresh();
            self.context.health.tick();
            match next {
                Next::After(wait) if successes(self) == before => {
                    thread::sleep(wait.min(Duration::from_millis(20)));
                    begun = Instant::now();
                }
                _ if successes(self) > before => return begun.elapsed(),
                _ => {}
            }
        }
    }
}

/// So long it takes until the reasons are there as well, which are read after the first build.
fn reasons(index: &mut Measured) -> f64 {
    let begun = Instant::now();
    while index.context.publisher.view().get(&[1, 1, 4, 4, 1, 3, 1, 1], Instant::now()).is_err() {
        index.refresh();
    }
    begun.elapsed().as_secs_f64()
}

/// Seconds of a command line that runs to its end, by the wall and of CPU.
fn timed(command: &mut Command) -> (f64, f64) {
    // Of the children this process has waited for, in hundredths.
    let spent = || {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields = stat.rsplit(") ").next().unwrap().split(' ').skip(13).take(2);
        fields.map(|f| f.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    };
    let (before, begun) = (spent(), Instant::now());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    (begun.elapsed().as_secs_f64(), spent() - before)
}

fn find(directory: &Path) -> f64 {
    timed(Command::new("sh").args(["-c", "find \"$0\" -type f | wc -l"]).arg(directory)).0
}

/// Reads the beginning of every file below these directories.
fn warm(directories: &[PathBuf]) {
    let below: Vec<PathBuf> = directories
        .iter()
        .flat_map(|d| fs::read_dir(d).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()))
        .collect();
    let read_all = |directory: &Path| {
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => left.push(entry.path()),
                    false => {
                        let _ = File::open(entry.path()).and_then(|mut file| file.read(&mut [0; 4_096]));
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        below.chunks(below.len().div_ceil(8).max(1)).for_each(|part| {
            scope.spawn(move || part.iter().for_each(|d| read_all(d)));
        });
    });
}

/// VmRSS or VmHWM in MiB.
fn memory(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
}

/// CPU seconds of this process so far.
fn cpu_time() -> f64 {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9
}

/// How long answers from the View take, microseconds: median and 99.9th percentile.
struct Asker {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<f64>>,
}

impl Asker {
    fn start(context: &Context) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (until, publisher) = (stop.clone(), context.publisher.clone());
        let thread = thread::spawn(move || {
            let mut times = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::hint::black_box(publisher.view().get(&[1, 1, 1, 1, 1, 0], Instant::now())).unwrap();
                times.push(begun.elapsed().as_secs_f64() * 1e6);
                thread::sleep(Duration::from_micros(500));
            }
            times
        });
        Self { stop, thread }
    }

    fn end(self) -> (f64, f64) {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.thread.join().unwrap();
        times.sort_by(f64::total_cmp);
        (times[times.len() / 2], times[(times.len() * 999 / 1_000).min(times.len() - 1)])
    }
}

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let wanted = env::var("QUEUE_BENCH").unwrap_or_default();
    let (size, depth) = wanted.split_once('/').unwrap_or((&wanted, ""));
    let (limit, only): (usize, Option<u32>) = (size.parse().unwrap_or(1_000_000), depth.parse().ok());
    let pause = Duration::from_secs(env::var("QUEUE_BENCH_PAUSE").ok().and_then(|v| v.parse().ok()).unwrap_or(30));
    let mut missed = Vec::new();
    println!("deferred messages in 20,000 domains; readings {} s apart; times in seconds, (ratio)\n", pause.as_secs());
    let all = [(10_000, 1), (100_000, 1), (1_000_000, 1), (1_000_000, 2)].into_iter();
    let runs = match only {
        Some(depth) => vec![(limit, depth)],
        None => all.filter(|(size, _)| *size <= limit).collect(),
    };
    for (size, depth) in runs {
        measure(size, depth, pause, &mut missed);
    }
    for goal in &missed {
        println!("MISSED: {goal}");
    }
    std::process::exit(i32::from(!missed.is_empty()));
}

fn measure(size: usize, depth: u32, pause: Duration, missed: &mut Vec<String>) {
    // qmgr looks at the queue once when it starts; nothing is due for a day.
    let mut postfix = TestPostfix::builder().hash_queue_depth(depth).main("queue_run_delay = 1d").create();
    let begun = Instant::now();
    let mut generated = Generated::create(&postfix.queue_directory(), size, depth as usize);
    println!("== {size} messages, hash_queue_depth {depth} (generated in {:.0} s)", begun.elapsed().as_secs_f64());
    let deferred = postfix.queue_directory().join("deferred");
    let all = [deferred.clone(), postfix.queue_directory().join("defer")];
    find(&deferred);
    let found = find(&deferred);
    row("find -type f | wc -l", found, None);
    let goal = |what: &str, ratio: f64, limit: f64, missed: &mut Vec<String>| {
        // Of a small queue the fixed costs of both sides are compared, a process against a thread.
        if size == 1_000_000 && ratio > limit {
            missed.push(format!("{size} × depth {depth}: {what} {ratio:.2}, goal {limit}"));
        }
    };

    let before = memory("VmRSS");
    let mut index = Measured::new(&postfix, QueueSource::Spool);
    let idle = Asker::start(&index.context);
    thread::sleep(Duration::from_secs(2));
    let idle = idle.end();
    warm(&all);
    let asker = Asker::start(&index.context);
    let spent = cpu_time();
    let build = index.refresh().as_secs_f64();
    let spent = cpu_time() - spent;
    let building = asker.end();
    let (resident, peak) = (memory("VmRSS"), memory("VmHWM"));
    check(&index, &generated);
    row("first build of the index", build, Some((found, "find")));
    println!("   {:42} {spent:9.3}", "  CPU time of it (its threads run at nice 19)");
    row("the reasons, from the defer logs", reasons(&mut index), None);

    let mut later = |what: &str,
                     limit: f64,
                     missed: &mut Vec<String>,
                     generated: &mut Generated,
                     change: &dyn Fn(&mut Generated)| {
        // After the pause the caches are cold for whoever comes first: they take turns.
        let (mut ours, mut theirs) = (0.0, 0.0);
        for round in 0..ROUNDS {
            change(generated);
            thread::sleep(pause);
            if round % 2 == 0 {
                theirs += find(&deferred);
            }
            ours += index.refresh().as_secs_f64();
            if round % 2 == 1 {
                theirs += find(&deferred);
            }
            check(&index, generated);
        }
        let rounds = f64::from(ROUNDS);
        row(what, ours / rounds, Some((theirs / rounds, "find")));
        goal(what, ours / theirs, limit, missed);
    };
    let part = size / 100;
    let only_build = env::var("QUEUE_BENCH_ONLY").as_deref() == Ok("build");
    if !only_build {
        later("nothing changed", 0.2, missed, &mut generated, &|_| {});
        later("1 % changed in one directory", 1.0, missed, &mut generated, &|g| g.change_one(part));
        later("1 % changed all over", 4.0, missed, &mut generated, &|g| g.change_all(part));
    }
    let settled = memory("VmRSS");
    println!(
        "   resident {:.0} MiB, peak {:.0} MiB, after all changes {:.0} MiB (without the {before:.0} MiB of the benchmark itself)",
        resident - before,
        peak - before,
        settled - before
    );
    println!(
        "   an answer from the View: idle {:.1} µs (99.9 %: {:.0}), while building {:.1} µs ({:.0})",
        idle.0, idle.1, building.0, building.1
    );
    goal("resident MiB", resident.max(settled) - before + 8.0, 96.0, missed);

    drop(index);
    warm(&all);
    let shape = timed(Command::new("qshape").args(["-b", "10"]).arg(&deferred));
    row("qshape", shape.0, None);
    println!("   {:42} {:9.3}", "  CPU time of it", shape.1);
    let mut again = Measured::new(&postfix, QueueSource::Spool);
    warm(&all);
    let spent = cpu_time();
    let build = again.refresh().as_secs_f64();
    let spent = cpu_time() - spent;
    check(&again, &generated);
    let build_and_reasons = build + reasons(&mut again);
    drop(again);
    row("first build after qshape", build, Some((shape.0, "qshape")));
    println!("   {:42} {spent:9.3} {:8.2} × qshape", "  CPU time of it", spent / shape.1);
    goal("first build / qshape", build / shape.0, 0.1, missed);
    if only_build {
        return;
    }

    postfix.start();
    let quiet = || {
        let before = cpu(&postfix);
        thread::sleep(Duration::from_millis(500));
        (cpu(&postfix) == before).then_some(())
    };
    wait_for("qmgr's first look at the queue", Duration::from_secs(300), quiet);
    warm(&all);
    let (listed, _) = timed(Command::new("postqueue").arg("-c").arg(postfix.config_directory()).arg("-j"));
    row("postqueue -j", listed, Some((build_and_reasons, "first build and reasons")));
    let mut showq = Measured::new(&postfix, QueueSource::Showq);
    warm(&all);
    let read = showq.refresh().as_secs_f64();
    check(&showq, &generated);
    row("our showq source", read, Some((listed, "postqueue -j")));
    println!("   resident with showq alone {:.0} MiB", memory("VmRSS"));
    warm(&all);
    if let Some(scraped) = exporter(&postfix) {
        row("prometheus-postfix-exporter, one scrape", scraped, Some((build_and_reasons, "first build and reasons")));
    }
    warm(&all);
    daemon::measure(&postfix);
    println!();
}

fn row(what: &str, seconds: f64, against: Option<(f64, &str)>) {
    let ratio = against.map(|(other, name)| format!("{:8.2} × {name}", seconds / other)).unwrap_or_default();
    println!("   {what:42} {seconds:9.3} {ratio}");
}

/// The numbers are those of what was generated.
#[track_caller]
fn check(measured: &Measured, generated: &Generated) {
    assert_eq!(measured.gauge(&[1, 4, 1, 1, 3, 1, 4]), generated.messages() as u64, "messages");
    assert_eq!(measured.gauge(&[1, 4, 1, 1, 4, 1, 4]), generated.recipients(), "recipients");
}

/// CPU ticks of the instance's qmgr.
fn cpu(postfix: &TestPostfix) -> u64 {
    let ticks = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
        let mut next = || fields.next().and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        next() + next()
    };
    postfix.service_pids("qmgr").into_iter().map(ticks).sum()
}

/// A scrape, where the exporter is installed (Debian: prometheus-postfix-exporter).
fn exporter(postfix: &TestPostfix) -> Option<f64> {
    let port = common::Port::reserve().number();
    let mut child = Command::new("prometheus-postfix-exporter")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--postfix.showq_path={}", postfix.queue_directory().join("public/showq").display()))
        .arg(format!("--postfix.logfile_path={}", postfix.log_file().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    wait_for("the exporter", common::PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let url = format!("http://127.0.0.1:{port}/metrics");
    let begun = Instant::now();
    let mut command = Command::new("curl");
    let output = command.args(["-s", "--max-time", "300", &url]).output();
    let took = begun.elapsed().as_secs_f64();
    let _ = child.kill();
    let _ = child.wait();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    text.contains("postfix_up{path=").then_some(took)
}
