//! AgentX, measured side by side in one run: `cargo bench --bench agentx`. Ratios, not times, since machines differ.
//!
//! - codec.rs: our PDUs against the crate `agentx` 0.1.1.
//! - view.rs: a View of 100,000 objects against one of 1,000.
//! - snmpd.rs: our subagent against one in C on net-snmp's own library (c_subagent.c), both behind one and the same snmpd.
//!   These three are pinned to one CPU, or the scheduler would decide the result.
//!
//! Each pair is measured in turns, and the ratio is the median over the turns: what disturbs one disturbs the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/common/mod.rs"]
mod common;

mod codec;
mod snmpd;
mod view;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

fn main() {
    // The subagent under test runs in a process of its own, so that its CPU time is known.
    if let Some(socket) = std::env::var_os(snmpd::CHILD) {
        return snmpd::serve(socket.into());
    }
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut table = Table::default();
    codec::measure(&mut table);
    view::measure(&mut table);
    if std::env::var_os("BENCH_NO_SNMPD").is_none() {
        snmpd::measure(&mut table);
    }
    table.print();
}

/// One line for each comparison.
#[derive(Default)]
struct Table(Vec<[String; 5]>);

impl Table {
    /// `goal` is the least ratio other : ours that will do.
    fn row(&mut self, what: &str, ours: Duration, other: Duration, ratio: f64, goal: f64) {
        let verdict = if ratio >= goal { "reached" } else { "MISSED" };
        let texts = [
            what.to_owned(),
            format!("{ours:.1?}"),
            format!("{other:.1?}"),
            format!("{ratio:.2}"),
            format!("≥ {goal} {verdict}"),
        ];
        println!("{}: {} against {}, ratio {}, goal {}", texts[0], texts[1], texts[2], texts[3], texts[4]);
        self.0.push(texts);
    }

    fn print(&self) {
        println!("\n| | ours | other | other : ours | goal |\n|---|---|---|---|---|");
        for [what, ours, other, ratio, goal] in &self.0 {
            println!("| {what} | {ours} | {other} | {ratio} | {goal} |");
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs both in turns; the median of each, and of the ratios other : ours.
fn compare(turns: usize, mut ours: impl FnMut() -> Duration, mut other: impl FnMut() -> Duration) -> [f64; 3] {
    let pairs: Vec<(f64, f64)> = (0..turns).map(|_| (ours().as_secs_f64(), other().as_secs_f64())).collect();
    [
        median(pairs.iter().map(|(a, _)| *a).collect()),
        median(pairs.iter().map(|(_, b)| *b).collect()),
        median(pairs.iter().map(|(a, b)| b / a).collect()),
    ]
}

/// Time of one of `count` runs.
fn each<T>(count: u32, mut run: impl FnMut() -> T) -> Duration {
    let began = Instant::now();
    for _ in 0..count {
        black_box(run());
    }
    began.elapsed() / count
}
