//! The subagent against a real snmpd: what net-snmp does with what we send, pitfall by pitfall.

mod common;

use common::{PATIENCE, TestSnmpd, Value, wait_for};
use postfix_agentx::{
    agentx::{self, Address, Config, Notifier, Region, Stats, Status},
    mib::{Column, Get, Index, Publisher, Table, column},
    smi::{Oid, Value as Smi},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

struct Row {
    number: u32,
    text: Vec<u8>,
    level: u64,
}

const COLUMNS: &[Column<Row>] = &[
    column(2, "testText", Get::Text(|row: &Row| Some(row.text.as_slice().into()))),
    column(3, "testLevel", Get::Gauge32(|row: &Row| Some(row.level))),
    column(4, "testWide", Get::Counter64(|row: &Row| Some(row.level))),
];
static TABLE: Table<Row> =
    Table { name: "testTable", entry: &[1, 1, 1], index: |row| Index::from_slice(&[row.number]), columns: COLUMNS };

fn root() -> Oid {
    common::ROOT.parse().unwrap()
}

fn cell(column: u32, row: u32) -> String {
    format!("{}.1.1.1.{column}.{row}", common::ROOT)
}

fn rows(count: u32, text: &[u8], level: u64) -> Vec<Row> {
    (1..=count).map(|number| Row { number, text: text.to_vec(), level }).collect()
}

/// A subagent of this process on its own thread.
struct Subagent {
    publisher: Publisher,
    notifier: Notifier,
    stats: Arc<Stats>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn config(snmpd: &TestSnmpd) -> Config {
    Config::new(vec![Address::Unix(snmpd.socket())], root(), "test subagent")
}

impl Subagent {
    fn start(config: Config) -> Self {
        let publisher = Publisher::new(root(), &[&TABLE]);
        publisher.publish([TABLE.fragment(&rows(3, b"row", 7))]);
        let stats = Arc::new(Stats::default());
        let (notifier, queue) = agentx::notifications(config.notifications, Arc::clone(&stats));
        let (stop, stopped) = oneshot::channel::<()>();
        let (source, counters) = (publisher.clone(), Arc::clone(&stats));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let shutdown = async {
                let _dropped_is_as_good = stopped.await;
            };
            runtime.block_on(agentx::run(config, || source.view(), queue, counters, shutdown));
        });
        Self { publisher, notifier, stats, stop: Some(stop), thread: Some(thread) }
    }

    fn registered(snmpd: &TestSnmpd) -> Self {
        let subagent = Self::start(config(snmpd));
        subagent.wait_registered();
        subagent
    }

    #[track_caller]
    fn wait_registered(&self) {
        self.wait(|status| matches!(status, Status::Registered(_)));
    }

    #[track_caller]
    fn wait(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        wait_for("the wanted state of the link", PATIENCE, || Some(self.stats.status()).filter(&wanted))
    }

    fn count(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Subagent {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn everything_served_is_seen_by_get_getnext_and_getbulk() {
    let snmpd = TestSnmpd::start();
    let _subagent = Subagent::registered(&snmpd);
    assert_eq!(snmpd.get(&cell(3, 2)), Ok(Value::Gauge32(7)));
    assert_eq!(snmpd.get(&cell(4, 2)), Ok(Value::Counter64(7)));
    let walked = snmpd.walk(common::ROOT).unwrap();
    assert_eq!(walked.len(), 9);
    assert_eq!(walked, snmpd.walk_getnext(common::ROOT).unwrap());
    assert_eq!(walked[0], (cell(2, 1), Value::OctetString(b"row".to_vec())));
}
