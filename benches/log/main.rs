//! A log of 2 million lines, side by side with the tools that read one: `cargo bench --bench log`.
//!
//! A private Postfix makes the log with mail in every fate and a bulk of mail that is relayed; its lines are then repeated
//! with other queue ids, process ids and timestamps until there are enough. Measured are whole processes, from start to
//! end, on one core, LC_ALL=C, the best of three: `postfix-agentx count` (all counters) against `grep -c status=`, `wc -l`,
//! pflogsumm, mtail with the Postfix program of its own package, and prometheus-postfix-exporter fed from a file. Then what
//! following 10,000 lines a second costs the collector.
//!
//! `LOG_BENCH=500000` sets the number of lines, `MTAIL=/path` another mtail. Tools that are not installed are left out.
//! Exit code 1 where a goal is missed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{Fate, TestPostfix, wait_for};
use postfix_agentx::{
    collect::{
        self, Collector, Context,
        health::{AgentCounters, Health},
        instance::Instance,
        log::LogCollector,
    },
    config::{self, Config, LogSource},
    mib::Publisher,
    postfix::log::{Line, text},
    state::StateDirectory,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const AGENT: &str = env!("CARGO_BIN_EXE_postfix-agentx");
const ROUNDS: usize = 3;

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let wanted = env::var("LOG_BENCH").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000_000);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("mail.log");
    let base = real_lines();
    let lines = repeat(&base, wanted, &log);
    let bytes = fs::metadata(&log).unwrap().len();
    println!("{lines} lines, {} MiB, from {} lines of a real Postfix\n", bytes >> 20, base.len());
    let path = log.to_str().unwrap();

    // Once for the page cache.
    timed(&mut Command::new("wc"), &["-l", path]).unwrap();
    let (grep, _) = best(|| timed(&mut Command::new("grep"), &["-c", "status=", path]).unwrap());
    let mut table = Table { lines, bytes, grep };
    println!("{:<44} {:>8} {:>9} {:>9} {:>10} {:>8}", "", "seconds", "MiB/s", "Mlines/s", "× grep", "RSS MiB");
    table.row("grep -c status=", grep, None);
    let (wc, _) = best(|| timed(&mut Command::new("wc"), &["-l", path]).unwrap());
    table.row("wc -l", wc, None);
    let (count, memory) = best(|| timed(&mut Command::new(AGENT), &["count", path]).unwrap());
    table.row("postfix-agentx count, every counter", count, memory);
    let mut goals =
        vec![(format!("count at {:.2} of the speed of grep -c, goal 0.25", grep / count), grep / count >= 0.25)];

    let tenth = directory.path().join("tenth.log");
    let share = repeat(&base, wanted / 10, &tenth) as f64 / lines as f64;
    let tenth_path = tenth.to_str().unwrap();
    // The slow ones read a tenth, and the time is scaled up.
    let mut slow = |name: &str, goal: f64, seconds: Option<(f64, Option<u64>)>| match seconds {
        None => println!("{name:<44} not installed"),
        Some((seconds, memory)) => {
            table.row(name, seconds / share, memory);
            let times = seconds / share / count;
            goals.push((format!("{times:.1} × as fast as {name}, goal {goal}"), times >= goal));
        }
    };
    let pflogsumm = installed("pflogsumm")
        .then(|| best(|| timed(&mut Command::new("pflogsumm"), &["--detail=0", tenth_path]).unwrap()));
    slow("pflogsumm --detail=0", 10.0, pflogsumm);
    slow("mtail, its own postfix.mtail", 15.0, mtail(directory.path(), tenth_path));
    slow("prometheus-postfix-exporter", 15.0, exporter(directory.path(), &tenth));

    let (share, resident) = following(directory.path(), &base);
    println!("\nfollowing 10,000 lines/s: {:.2} % of a core, {resident} KiB resident", share * 100.0);
    goals.push((format!("following 10,000 lines/s at {:.2} %, goal under 2 %", share * 100.0), share < 0.02));
    println!();
    goals.iter().for_each(|(text, met)| println!("{}  {text}", if *met { "ok    " } else { "MISSED" }));
    if goals.iter().all(|(_, met)| *met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Table {
    lines: usize,
    bytes: u64,
    grep: f64,
}

impl Table {
    fn row(&mut self, name: &str, seconds: f64, memory: Option<u64>) {
        let memory = memory.map_or(String::new(), |kib| format!("{:.1}", kib as f64 / 1_024.0));
        println!(
            "{name:<44} {seconds:>8.3} {:>9.0} {:>9.2} {:>10.3} {memory:>8}",
            self.bytes as f64 / seconds / f64::from(1 << 20),
            self.lines as f64 / seconds / 1e6,
            self.grep / seconds,
        );
    }
}

/// Every fate, and twenty times as much bulk.
fn real_lines() -> Vec<Vec<u8>> {
    let postfix = TestPostfix::builder().start();
    for fate in Fate::ALL {
        postfix.send(fate, 12);
    }
    let sent = postfix.log_count("status=sent");
    let source = Command::new("smtp-source")
        .args(["-s", "10", "-m", "3000", "-l", "2000", "-f", Fate::Relayed.sender(), "-t", Fate::Relayed.recipient()])
        .arg(format!("127.0.0.1:{}", postfix.smtp_port()))
        .env("PATH", env::var("PATH").unwrap() + ":/usr/sbin")
        .status()
        .expect("smtp-source of Postfix");
    assert!(source.success());
    wait_for("the bulk delivered", Duration::from_secs(120), || {
        (postfix.log_count("status=sent") >= sent + 3_000).then_some(())
    });
    postfix.log().into_bytes().split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Writes at least `wanted` lines: the base again and again, with ids and times of its own each time.
fn repeat(base: &[Vec<u8>], wanted: usize, path: &Path) -> usize {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut written = 0;
    for copy in 0.. {
        if written >= wanted {
            break;
        }
        for line in base {
            out.write_all(&varied(line, copy)).unwrap();
            written += 1;
        }
    }
    out.flush().unwrap();
    written
}

/// A line of another moment: five digits more in its queue id, another minute.
fn varied(line: &[u8], copy: usize) -> Vec<u8> {
    let split = Line::split(line);
    let head = line.len() - split.text.len();
    let mut new = line[..head].to_vec();
    if let Some(minute) = new.get_mut(10..12) {
        minute.copy_from_slice(format!("{:02}", copy % 60).as_bytes());
    }
    if text::queue_id(split.text).is_some() {
        new.extend(format!("{copy:05X}").bytes());
    }
    new.extend(split.text);
    new.push(b'\n');
    new
}

fn installed(program: &str) -> bool {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    path.split(':').any(|directory| Path::new(directory).join(program).exists())
}

/// Seconds and peak memory of one run, on one core.
fn timed(command: &mut Command, arguments: &[&str]) -> Option<(f64, Option<u64>)> {
    let program = command.get_program().to_owned();
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(program).args(arguments);
    let begun = Instant::now();
    pinned.env("LC_ALL", "C").env("TZ", "UTC");
    // Into a pipe: grep stops at its first match where its output is /dev/null.
    let mut child = pinned.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut out = child.stdout.take()?;
    let drain = thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let mut peak = None;
    let status = loop {
        if let Some(status) = child.try_wait().ok()? {
            break status;
        }
        peak = peak.max(resident(&child, "VmHWM:"));
        thread::sleep(Duration::from_millis(1));
    };
    let seconds = begun.elapsed().as_secs_f64();
    drain.join().ok()?.ok()?;
    status.success().then_some((seconds, peak))
}

fn resident(child: &Child, line: &str) -> Option<u64> {
    status_of(&format!("/proc/{}/status", child.id()), line)
}

fn status_of(path: &str, line: &str) -> Option<u64> {
    let status = fs::read_to_string(path).ok()?;
    status.lines().find_map(|l| l.strip_prefix(line))?.split_whitespace().next()?.parse().ok()
}

fn best(run: impl Fn() -> (f64, Option<u64>)) -> (f64, Option<u64>) {
    (0..ROUNDS).map(|_| run()).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

fn mtail(directory: &Path, log: &str) -> Option<(f64, Option<u64>)> {
    let program = env::var("MTAIL").unwrap_or_else(|_| "mtail".into());
    if !program.contains('/') && !installed(&program) {
        return None;
    }
    // Debian ships it as an example.
    let beside = Path::new(&program).parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    let example = [beside, Path::new("/usr")]
        .map(|root| root.join("share/doc/mtail/examples/postfix.mtail"))
        .into_iter()
        .find(|path| path.exists())?;
    let programs = directory.join("mtail");
    fs::create_dir_all(&programs).unwrap();
    fs::copy(example, programs.join("postfix.mtail")).unwrap();
    let arguments = ["-one_shot", "-progs", programs.to_str().unwrap(), "-logs", log];
    Some(best(|| timed(&mut Command::new(&program), &arguments).expect("mtail reads the log")))
}

/// It follows a file and never ends: its counters tell when it is through.
fn exporter(directory: &Path, log: &Path) -> Option<(f64, Option<u64>)> {
    if !installed("prometheus-postfix-exporter") {
        return None;
    }
    let feed = directory.join("feed.log");
    File::create(&feed).unwrap();
    let content = fs::read(log).unwrap();
    let connects = memchr::memmem::find_iter(&content, b"]: connect from ").count();
    let port = common::Port::reserve();
    let address = format!("127.0.0.1:{port}");
    let mut child = Command::new("taskset")
        .args(["-c", "0", "prometheus-postfix-exporter"])
        .arg(format!("--web.listen-address={address}"))
        .arg(format!("--postfix.logfile_path={}", feed.display()))
        .arg("--postfix.showq_path=/nonexistent")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let counted = || -> Option<usize> {
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let value = text.lines().find_map(|l| l.strip_prefix("postfix_smtpd_connects_total "))?;
        value.parse::<f64>().ok().map(|n| n as usize)
    };
    wait_for("the exporter listens", Duration::from_secs(20), counted);
    // It begins at the end of the file; give it the time to open it.
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    OpenOptions::new().append(true).open(&feed).unwrap().write_all(&content).unwrap();
    let deadline = begun + Duration::from_secs(300);
    let mut seen = 0;
    while seen < connects && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
        seen = counted().unwrap_or(0);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let memory = resident(&child, "VmHWM:");
    let _ = child.kill();
    let _ = child.wait();
    println!("{:<44} {seen} of {connects} connects", "  (prometheus-postfix-exporter");
    Some((seconds, memory))
}

/// The collector on a file that grows by 10,000 lines a second: its share of a core, and what this process has resident.
fn following(directory: &Path, base: &[Vec<u8>]) -> (f64, u64) {
    let log: PathBuf = directory.join("follow.log");
    File::create(&log).unwrap();
    let publisher = Publisher::new([1].into(), &collect::catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    let state = StateDirectory::open(&directory.join("state")).unwrap();
    let context = Context::new(Arc::new(Config::default()), publisher, health, state);
    let settings = config::Instance {
        config_directory: "/nonexistent".into(),
        name: Some("postfix".into()),
        queue_directory: Some(directory.to_owned()),
        syslog_name: Some("postfix".into()),
        log: LogSource::Files(vec![log.clone()]),
        ..config::Instance::default()
    };
    let mut instance = Instance::read(&settings, &Default::default()).unwrap();
    instance.index = 1;
    context.instances.set(vec![Arc::new(instance)]);
    let mut collector = LogCollector::new(context);
    collect::runner::run_once(&mut collector);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, base, log) = (stop.clone(), base.to_vec(), log.clone());
        thread::spawn(move || {
            let mut file = OpenOptions::new().append(true).open(log).unwrap();
            let (mut next, begun, mut written) = (0, Instant::now(), 0_u128);
            while !stop.load(Ordering::Relaxed) {
                let due = begun.elapsed().as_millis() * 10;
                let mut chunk = Vec::new();
                while written < due {
                    chunk.extend(varied(&base[next % base.len()], next / base.len()));
                    (next, written) = (next + 1, written + 1);
                }
                file.write_all(&chunk).unwrap();
                thread::sleep(Duration::from_millis(10));
            }
        })
    };
    let cpu = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let (begun, before) = (Instant::now(), cpu());
    while begun.elapsed() < Duration::from_secs(25) {
        if let collect::Next::After(wait) = collector.refresh() {
            thread::sleep(wait);
        }
    }
    let share = (cpu() - before) / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    (share, status_of("/proc/self/status", "VmRSS:").unwrap_or(0))
}
