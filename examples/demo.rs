//! See it work: a private Postfix and a private snmpd on free loopback ports, the agent under a uid without rights, and mail that ends in every way.
//!
//! `make demo` stays up until Ctrl-C, so that you can ask it yourself; `make demo DEMO=once` shows everything and ends. Nothing is left behind: no
//! process, no file, no trace in the host's own Postfix. It uses what the tests use (tests/common), and needs root because Postfix does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Fate, ROOT, TestAgent, TestPostfix, TestSnmpd, mib_path, wait_for};

/// What is sent, and how many of it: enough for every column to move, few enough to be counted by eye.
const MAIL: [(Fate, usize, &str); 12] = [
    (Fate::Delivered, 7, "delivered to a mailbox"),
    (Fate::DeliveredLocal, 3, "delivered to a system user"),
    (Fate::Forwarded, 2, "forwarded by an alias"),
    (Fate::Relayed, 6, "relayed to the next server"),
    (Fate::Deferred, 5, "deferred: the next server does not answer"),
    (Fate::DeferredSoft, 2, "deferred: the next server says 450"),
    (Fate::BouncedWithNotice, 3, "bounced: no such user"),
    (Fate::Held, 4, "held by a rule"),
    (Fate::Discarded, 2, "discarded by a rule"),
    (Fate::Rejected, 3, "rejected with 550"),
    (Fate::RejectedTemporarily, 2, "rejected with 450"),
    (Fate::HeaderRejected, 1, "rejected for its header"),
];

/// The tables worth a look, with what they answer.
const TABLES: [(&str, &str); 8] = [
    ("postfixQueueTable", "What waits, and for how long?"),
    ("postfixMailTable", "What came in, and what became of it?"),
    ("postfixTransportTable", "Which way did it leave?"),
    ("postfixRejectTable", "Why was mail refused?"),
    ("postfixDeferReasonTable", "What does the waiting mail wait for?"),
    ("postfixDomainTable", "Where does the waiting mail want to go?"),
    ("postfixDaemonTable", "Do Postfix's processes live?"),
    ("postfixSourceTable", "Can these answers be trusted?"),
];

/// All was shown: from here on Ctrl-C is the orderly end.
static STAYS: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let stay = std::env::var("DEMO").as_deref() != Ok("once");
    let (release, released) = std::sync::mpsc::channel::<()>();
    // The show runs beside the signals: whenever Ctrl-C comes, it unwinds, and its guards stop and remove everything.
    let show = std::thread::spawn(move || {
        let _done = Done(Some(done));
        show(stay.then_some(released));
    });
    let interrupted = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("SIGTERM");
        tokio::select! {
            _ = tokio::signal::ctrl_c() => true,
            _ = terminate.recv() => true,
            _ = &mut ended => false,
        }
    });
    if interrupted {
        println!("\nCleaning up …");
        if !STAYS.load(Ordering::Acquire) {
            common::interrupt();
        }
        drop(release);
    }
    match show.join() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupted => ExitCode::from(130),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says that the show is over, also when it ends by a panic.
struct Done(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            let _nobody_waits = done.send(());
        }
    }
}

fn show(released: Option<std::sync::mpsc::Receiver<()>>) {
    step("Starting a private snmpd and a private Postfix");
    let snmpd = TestSnmpd::builder().conf("maxGetbulkResponses 500").start();
    let postfix = TestPostfix::builder().start();
    println!(
        "snmpd on udp:{}, Postfix on port {} with {}",
        snmpd.address(),
        postfix.smtp_port(),
        postfix.config_directory().display()
    );

    step("Starting postfix-agentx without any rights");
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    // The demo should not wait half a minute for its first queue reading.
    agent.set_config(&agent.config().replace("interval: 30s", "interval: 2s"));
    agent.start();
    // Whatever is written before the log is followed would not count.
    agent.wait_sources_ok(&snmpd, 1);
    println!("uid {}, groups postdrop (to ask for the queue) and adm (to read the log)", common::AGENT_UID);

    step("Sending mail that ends in every way");
    for (fate, count, what) in MAIL {
        postfix.send(fate, count);
        println!("{count:3}  {what}");
    }

    step("Waiting until the agent has seen all of it");
    let sum = |fates: &[Fate]| -> i64 {
        MAIL.iter().filter(|(fate, ..)| fates.contains(fate)).map(|(_, count, _)| *count as i64).sum()
    };
    let rejected = sum(&[Fate::Rejected, Fate::RejectedTemporarily, Fate::HeaderRejected]);
    // Neither held, nor discarded, nor rejected mail has entered the queue.
    let received = sum(&MAIL.map(|(fate, ..)| fate)) - rejected - sum(&[Fate::Held, Fate::Discarded]);
    let mut client = snmpd.udp();
    for (name, expected) in [
        ("postfixTotalReceived", received),
        ("postfixTotalRejected", rejected),
        ("postfixTotalDeferred", sum(&[Fate::Deferred, Fate::DeferredSoft])),
        ("postfixTotalHold", sum(&[Fate::Held])),
    ] {
        let oid = scalar(name);
        let value = wait_for(&format!("{name} = {expected}"), common::PATIENCE, || {
            client.get_one(&oid).ok().and_then(|value| value.number()).filter(|&value| value == expected)
        });
        println!("{name} = {value}");
    }

    step("The totals, by name");
    let totals = snmpd.named("snmpwalk", &["-Oqs"], &["POSTFIX-MIB::postfixTotals"]).success();
    // The names carry their instance, which is 0 for every scalar.
    for (name, value) in totals.lines().filter_map(|line| line.split_once(' ')) {
        println!("{:34} {value}", name.trim_end_matches(".0"));
    }

    let mut empty = Vec::new();
    for (table, question) in TABLES {
        step(&format!("{question}  ({table})"));
        if !print_table(&snmpd, table) {
            empty.push(table);
        }
    }

    assert!(empty.is_empty(), "tables without rows: {empty:?}");
    let walked = client.walk(ROOT).expect("a walk of the whole tree");
    step("Ask it yourself");
    println!("{} objects are there. From another terminal:\n", walked.len());
    println!("  snmpwalk -v2c -c public -M {} -m POSTFIX-MIB {} POSTFIX-MIB::postfixMIB", mib_path(), snmpd.address());
    println!(
        "  snmptable -v2c -c public -M {} -m POSTFIX-MIB -Cb -Ci {} POSTFIX-MIB::postfixQueueTable",
        mib_path(),
        snmpd.address()
    );
    println!(
        "  printf 'Subject: hi\\n\\nHello.\\n' | sendmail -C {} user@virtual.test",
        postfix.config_directory().display()
    );
    if let Some(released) = released {
        println!("\nEverything stays up until Ctrl-C.");
        STAYS.store(true, Ordering::Release);
        let _interrupted = released.recv();
    }
    assert!(agent.stop().success(), "the agent ends cleanly: {}", agent.log());
}

/// Prints a table, a wide one on its side: names on the left, one row of the table beside the other. Says whether there was a row.
fn print_table(snmpd: &TestSnmpd, table: &str) -> bool {
    let text = snmpd.named("snmptable", &["-Cb", "-Ci", "-Cf", "\t"], &[&format!("POSTFIX-MIB::{table}")]);
    if text.code != 0 || !text.stdout.contains('\t') {
        println!("(no rows: {})", text.stderr.lines().chain(text.stdout.lines()).last().unwrap_or_default());
        return false;
    }
    let mut lines: Vec<Vec<&str>> = text
        .stdout
        .lines()
        .filter(|line| line.contains('\t'))
        .map(|line| line.split('\t').map(str::trim).collect())
        .collect();
    let wide = lines.first().is_some_and(|head| head.len() > 9);
    if wide {
        let columns = lines.first().map_or(0, Vec::len);
        lines = (0..columns)
            .map(|column| lines.iter().map(|line| line.get(column).copied().unwrap_or("")).collect())
            .collect();
    }
    let count = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines.iter().map(|line| line.get(column).map_or(0, |cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| {
                // Numbers to the right, so that their digits stand under each other.
                if cell.parse::<f64>().is_ok() { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
    true
}

/// The instance of a scalar by its name, asked of the MIB so that no number stands here.
fn scalar(name: &str) -> String {
    let mut command = common::tool("snmptranslate");
    command.args(["-M", &mib_path(), "-m", "POSTFIX-MIB", "-On", &format!("POSTFIX-MIB::{name}.0")]);
    common::capture(&mut command).success().trim().trim_start_matches('.').to_owned()
}

fn step(title: &str) {
    println!("\n\x1b[1m{title}\x1b[0m");
}
