//! The subagent against a real snmpd: what net-snmp does with what we send, pitfall by pitfall.

use crate::common::{self, PATIENCE, Port, SnmpError, TestSnmpd, TestTrapd, Value, wait_for};
use postfix_agentx::{
    agentx::{self, Address, CheckError, Config, Notification, Notifier, Rate, Stats, Status},
    mib::{Column, Get, Index, Publisher, Table, column},
    smi::{Oid, Value as Smi},
};
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

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

/// One object whose name has 128 sub-identifiers.
static LONG: Table<Row> = Table { name: "longTable", entry: &[1, 2, 1], index: long_index, columns: COLUMNS };

fn long_index(row: &Row) -> Index {
    let mut index = Index::from_elem(u32::MAX, 128 - root().len() - 4);
    index[0] = row.number;
    index
}

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
        let gate = Arc::default();
        Self::start_behind(config, gate)
    }

    /// While `gate` is locked no answer leaves: what an agent that scans in the request path would do.
    fn start_behind(config: Config, gate: Arc<Mutex<()>>) -> Self {
        let publisher = Publisher::new(root(), &[&TABLE, &LONG]);
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
            let view = || {
                drop(gate.lock());
                source.view()
            };
            runtime.block_on(agentx::run(config, view, queue, counters, shutdown));
        });
        Self { publisher, notifier, stats, stop: Some(stop), thread: Some(thread) }
    }

    /// One that serves what `publish` makes of the table.
    fn publish(&self, rows: &[Row]) {
        self.publisher.publish([TABLE.fragment(rows)]);
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

const UPTIME: &str = "1.3.6.1.2.1.1.3.0";

/// What snmpd itself serves; it answers this only while it does not hang.
#[track_caller]
fn assert_alive(snmpd: &TestSnmpd) {
    let mut client = snmpd.udp();
    client.set_timeout(Duration::from_secs(1));
    assert!(matches!(client.get_one(UPTIME), Ok(Value::TimeTicks(_))), "snmpd answers nobody");
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

#[test]
fn every_name_gets_its_answer_and_a_set_afterwards_finds_snmpd_alive() {
    let snmpd = TestSnmpd::start();
    let _subagent = Subagent::registered(&snmpd);
    let names: Vec<String> = (1..=50).map(|n| if n % 7 == 0 { cell(9, n) } else { cell(3, n) }).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = snmpd.udp().get(&names).unwrap();
    assert_eq!(found.len(), 50);
    for (n, (name, value)) in (1..).zip(found) {
        let expected = match n {
            1..=3 => Value::Gauge32(7),
            _ if n % 7 == 0 => Value::NoSuchObject,
            _ => Value::NoSuchInstance,
        };
        assert_eq!((name.as_str(), value), (names[n - 1], expected));
    }
    let mixed = snmpd.udp().get_next(&names).unwrap();
    assert_eq!(mixed.len(), 50);
    for column in [2, 3, 9] {
        let refused = snmpd.set(&cell(column, 1), "s", "x");
        let expected = if column == 9 { "noCreation" } else { "notWritable" };
        assert_eq!(refused, Err(SnmpError::Status(expected.into())));
    }
    assert_eq!(snmpd.get(&cell(2, 1)), Ok(Value::OctetString(b"row".to_vec())));
    assert_alive(&snmpd);
}

#[test]
fn five_hundred_notifications_at_once_block_nobody_and_each_is_confirmed() {
    let trapd = TestTrapd::start();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut config = config(&snmpd);
    config.notifications = Rate { burst: 1000, ..Rate::default() };
    let subagent = Subagent::start(config);
    subagent.wait_registered();
    for number in 1..=500 {
        let object = (root().child(&[1, 1, 1, 3, number]), Smi::Gauge32(number));
        subagent.notifier.send(Notification::new(root().child(&[0, 1]), [object]).unwrap());
    }
    assert_alive(&snmpd);
    wait_for("all confirmed", PATIENCE, || (count(&subagent.stats.notifications_sent) == 500).then_some(()));
    assert_eq!(count(&subagent.stats.notifications_dropped), 0);
    assert_alive(&snmpd);
}

#[test]
fn no_answer_waits_for_a_publication() {
    let snmpd = TestSnmpd::start();
    let subagent = Subagent::registered(&snmpd);
    let done = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                subagent.publish(&rows(20_000, b"a row of many", 9));
            }
        });
        let mut client = snmpd.udp();
        let times = (0..300).map(|_| {
            let began = Instant::now();
            client.get_one(&cell(3, 2)).unwrap();
            began.elapsed()
        });
        let slowest = times.max().unwrap();
        done.store(true, Ordering::Relaxed);
        slowest
    });
    assert!(slowest < Duration::from_secs(1), "agentXTimeout is 1 s, the slowest answer took {slowest:?}");
}

#[test]
fn a_request_that_times_out_costs_the_connection_and_everything_comes_back() {
    let snmpd = TestSnmpd::start();
    let gate = Arc::new(Mutex::new(()));
    let subagent = Subagent::start_behind(config(&snmpd), Arc::clone(&gate));
    subagent.wait_registered();
    let mut client = snmpd.udp();
    client.set_timeout(Duration::from_secs(20));
    let closed = gate.lock().unwrap();
    let began = Instant::now();
    assert_eq!(client.get_one(&cell(3, 1)), Err(SnmpError::Status("5".into())), "genErr after six tries");
    assert!(began.elapsed() > Duration::from_secs(4));
    drop(closed);
    wait_for("the second session", PATIENCE, || (count(&subagent.stats.connects) == 2).then_some(()));
    subagent.wait_registered();
    assert_eq!(client.get_one(&cell(3, 1)), Ok(Value::Gauge32(7)));
    assert_eq!(count(&subagent.stats.decode_errors), 0);
}

#[test]
fn answers_up_to_60_kib_arrive_and_larger_ones_are_too_big() {
    let snmpd = TestSnmpd::start();
    let subagent = Subagent::registered(&snmpd);
    subagent.publish(&rows(100, &[b'x'; 1000], 7));
    let names: Vec<String> = (1..=70).map(|row| cell(2, row)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut client = snmpd.udp();
    assert_eq!(client.get(&names[..58]).unwrap().len(), 58);
    assert_eq!(client.get(&names), Err(SnmpError::Status("1".into())), "tooBig");
    assert_eq!(client.get(&names[..58]).unwrap().len(), 58);
    assert_eq!(count(&subagent.stats.connects), 1, "the session is the same");
}

#[test]
fn a_taken_subtree_is_waited_for_and_served_when_it_is_free() {
    let snmpd = TestSnmpd::start();
    let mut first = Subagent::registered(&snmpd);
    let second = Subagent::start(config(&snmpd));
    second.publish(&rows(3, b"second", 8));
    let status = second.wait(|status| matches!(status, Status::Refused { duplicate: true, .. }));
    assert!(status.to_string().contains("priority 127"), "{status}");
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(7)));
    first.stop();
    second.wait_registered();
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(8)));
    assert_eq!(count(&second.stats.connects), 1, "it stayed connected");
}

#[test]
fn a_takeover_priority_wins_over_a_predecessor_that_hangs() {
    let snmpd = TestSnmpd::start();
    let gate = Arc::new(Mutex::new(()));
    let first = Subagent::start_behind(config(&snmpd), Arc::clone(&gate));
    first.wait_registered();
    let hung = gate.lock().unwrap();
    let mut overtaking = config(&snmpd);
    overtaking.regions[0].takeover = Some(126);
    let second = Subagent::start(overtaking);
    second.publish(&rows(3, b"second", 8));
    second.wait_registered();
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(8)));
    drop(hung);
}

#[test]
fn who_overtook_gets_the_configured_place_too_and_a_third_one_is_told_the_truth() {
    let snmpd = TestSnmpd::start();
    let mut overtaking = config(&snmpd);
    overtaking.regions[0].takeover = Some(126);
    let mut first = Subagent::registered(&snmpd);
    let mut second = Subagent::start(overtaking.clone());
    second.publish(&rows(3, b"second", 8));
    second.wait_registered();
    first.stop();
    // It asks again within a second or two; only then is the third one refused at both.
    let held = || snmpd.log().matches("duplicate registration").count();
    let asked = held();
    wait_for("the configured place taken", PATIENCE, || {
        let error = block_on(agentx::try_register(config(&snmpd))).err()?;
        matches!(error, CheckError::Duplicate(_)).then_some(())
    });
    assert!(held() > asked);
    let third = Subagent::start(overtaking);
    third.publish(&rows(3, b"third", 9));
    let status = third.wait(|status| matches!(status, Status::Refused { duplicate: true, .. }));
    assert!(status.to_string().contains("127 and at the takeover priority 126"), "{status}");
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(8)));
    second.stop();
    third.wait_registered();
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(9)));
}

#[test]
fn a_directory_only_for_root_is_told_with_the_remedy() {
    let snmpd = TestSnmpd::start();
    let locked = snmpd.sandbox().mkdir("locked", 0o700, None);
    let socket = locked.join("master");
    let output = told_as_another_user(&snmpd, &socket);
    assert!(output.contains("does not exist") && !output.contains("chmod"), "nobody listens there: {output}");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let output = told_as_another_user(&snmpd, &socket);
    let chmod = format!("chmod 0755 {} && ", locked.display());
    assert!(output.contains("64999 may not enter ") && output.contains(&chmod), "{output}");
    assert!(output.contains("usermod -aG agentx 64999"), "{output}");
    assert!(output.contains("agentXPerms 0660 0755 agentx agentx"), "{output}");
}

#[test]
fn a_socket_only_for_root_is_told_with_the_remedy() {
    let snmpd = TestSnmpd::builder().conf("agentXPerms 0600 0700").start();
    let output = told_as_another_user(&snmpd, &snmpd.socket());
    assert!(output.contains("64999 may not use ") && output.contains("mode 0600, owner root:root"), "{output}");
    // What it says to write is what helps, also where snmpd makes the directory.
    let (_, remedy) = output.split_once("printf '").unwrap();
    let remedy = remedy.split("\\n").next().unwrap();
    assert_eq!(remedy, "agentXPerms 0660 0755 agentx agentx", "no user that runs becomes the socket's owner");
    // packaging/test plays it with the group, which this host may not have.
    let builder = TestSnmpd::builder().conf(&remedy.replace("agentx agentx", "64998 64999"));
    let socket = builder.socket().with_file_name("made").join("master");
    let snmpd = builder.conf(&format!("agentXSocket unix:{}", socket.display())).start();
    let output = told_as_another_user(&snmpd, &socket);
    assert!(output.contains(&format!("registered at unix:{}", socket.display())), "{remedy}: {output}");
}

/// What a subagent of uid 64999 says about this socket.
fn told_as_another_user(snmpd: &TestSnmpd, socket: &Path) -> String {
    let helper = snmpd.sandbox().path("helper");
    std::fs::copy(std::env::current_exe().unwrap(), &helper).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=64999", "--regid=64999", "--clear-groups"]).arg(&helper);
    command
        .args(["--exact", "agentx::registers_as_another_user", "--ignored", "--nocapture"])
        .env("REGISTER_AT", socket);
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// The part of the two tests above that runs as another user.
#[test]
#[ignore = "started by told_as_another_user"]
fn registers_as_another_user() {
    let Some(socket) = std::env::var_os("REGISTER_AT") else { return };
    let config = Config::new(vec![Address::Unix(socket.into())], root(), "test");
    match block_on(agentx::try_register(config)) {
        Ok(address) => println!("registered at {address}"),
        Err(error) => println!("{error}"),
    }
}

#[test]
fn a_master_that_is_not_there_yet_or_any_more_is_waited_for() {
    let builder = TestSnmpd::builder();
    let config = Config::new(vec![Address::Unix(builder.socket())], root(), "test");
    let subagent = Subagent::start(config);
    let status = subagent.wait(|status| matches!(status, Status::Disconnected(_)));
    assert!(status.to_string().contains("does not exist"), "{status}");
    let mut snmpd = builder.start();
    subagent.wait_registered();
    snmpd.kill9();
    let status = subagent.wait(|status| status.to_string().contains("nobody listens"));
    assert!(snmpd.socket().exists(), "the file stays behind: {status}");
    snmpd.start_again();
    let listening = Instant::now();
    subagent.wait_registered();
    assert!(listening.elapsed() < Duration::from_secs(2), "back after {:?}", listening.elapsed());
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(7)));
}

#[test]
fn sighup_keeps_the_session_and_a_restart_brings_a_new_one() {
    let mut snmpd = TestSnmpd::start();
    let subagent = Subagent::registered(&snmpd);
    snmpd.sighup();
    snmpd.wait_log("Reconfiguring daemon");
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(7)));
    assert_eq!(count(&subagent.stats.connects), 1);
    snmpd.restart();
    wait_for("the second session", PATIENCE, || (count(&subagent.stats.connects) == 2).then_some(()));
    subagent.wait_registered();
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(7)));
}

#[test]
fn a_walk_leaves_our_subtree_upwards_and_passes_an_empty_table() {
    let snmpd = TestSnmpd::start();
    let subagent = Subagent::registered(&snmpd);
    let (next, _) = snmpd.get_next(&cell(4, 3)).unwrap();
    let numbers = |name: &str| name.split('.').map(|n| n.parse::<u32>().unwrap()).collect::<Vec<_>>();
    assert!(numbers(&next) > numbers(&cell(4, 3)), "{next}");
    assert!(!next.starts_with(common::ROOT), "{next}");
    subagent.publish(&[]);
    let (beyond, _) = snmpd.get_next(common::ROOT).unwrap();
    assert_eq!(beyond, next, "as if we were not there");
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::NoSuchInstance));
}

#[test]
fn a_trap_carries_sysuptime_trap_oid_and_objects_in_that_order() {
    let trapd = TestTrapd::start();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let subagent = Subagent::registered(&snmpd);
    let object = (root().child(&[1, 1, 1, 2, 1]), Smi::octets("in the trap"));
    subagent.notifier.send(Notification::new(root().child(&[0, 4]), [object]).unwrap());
    let trap = trapd.wait_trap("in the trap");
    let names: Vec<&str> = trap.split('\t').map(|binding| binding.split(" = ").next().unwrap()).collect();
    let ours = format!(".{}", cell(2, 1));
    assert_eq!(names, [".1.3.6.1.2.1.1.3.0", ".1.3.6.1.6.3.1.1.4.1.0", &ours], "{trap}");
    assert!(trap.contains(&format!("OID: .{}.0.4", common::ROOT)), "{trap}");
}

#[test]
fn every_kind_of_sink_gets_it_v1_v2c_v3_trap_and_inform() {
    let user = "-u trapper -l authPriv -a SHA -A secret-to-sign -x AES -X secret-to-hide";
    let create = |engine: &str| format!("createUser {engine} trapper SHA secret-to-sign AES secret-to-hide");
    // Of an SNMPv1 trap: enterprise, generic and specific number.
    let v1 = TestTrapd::with("", "v1 %N %w %q %v");
    let v2 = TestTrapd::start();
    let inform = TestTrapd::with("", "%V, %v");
    let v3 = TestTrapd::with(&create("-e 0x8000000001020304"), "%P %v");
    let v3_inform = TestTrapd::with(&create(""), "%P %v");
    let snmpd = TestSnmpd::builder()
        .trap_sink(v2.port())
        .conf(&format!("trapsink 127.0.0.1:{} public", v1.port()))
        .conf(&format!("informsink 127.0.0.1:{} public", inform.port()))
        .conf(&format!("trapsess -v 3 -e 0x8000000001020304 {user} 127.0.0.1:{}", v3.port()))
        .conf(&format!("trapsess -Ci -v 3 {user} 127.0.0.1:{}", v3_inform.port()))
        .start();
    assert_eq!(snmpd.complaints(), Vec::<String>::new());
    let subagent = Subagent::registered(&snmpd);
    let objects =
        [(root().child(&[1, 1, 1, 2, 1]), Smi::octets("in the trap")), (root().child(&[1, 9, 0]), Smi::Gauge32(5))];
    subagent.notifier.send(Notification::new(root().child(&[0, 4]), objects).unwrap());
    let first = v1.wait_trap("in the trap");
    assert!(first.starts_with(&format!("v1 .{} 6 .4 ", common::ROOT)), "{first}");
    for trapd in [&v1, &v2, &inform, &v3, &v3_inform] {
        let trap = trapd.wait_trap("in the trap");
        assert!(trap.contains("Gauge32: 5"), "{trap}");
    }
    for (trapd, kind) in [(&v3, "TRAP"), (&v3_inform, "INFORM")] {
        let trap = trapd.wait_trap("in the trap");
        assert!(trap.contains(kind) && trap.contains("v3"), "{trap}");
    }
    wait_for("the confirmation", PATIENCE, || (count(&subagent.stats.notifications_sent) == 1).then_some(()));
    assert_alive(&snmpd);
}

#[test]
fn a_notification_waits_for_snmpd_to_come_back() {
    let trapd = TestTrapd::start();
    let mut snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let subagent = Subagent::registered(&snmpd);
    snmpd.kill9();
    subagent.wait(|status| matches!(status, Status::Disconnected(_)));
    subagent.notifier.send(Notification::new(root().child(&[0, 4]), []).unwrap());
    snmpd.start_again();
    trapd.wait_trap("0.4");
    wait_for("the confirmation", PATIENCE, || (count(&subagent.stats.notifications_sent) == 1).then_some(()));
}

#[test]
fn sub_identifiers_of_any_size_and_128_of_them_pass_through_snmpd() {
    let snmpd = TestSnmpd::start();
    let subagent = Subagent::registered(&snmpd);
    let all: Vec<u8> = (0..=255).collect();
    let row = |number| Row { number, text: all.clone(), level: u64::MAX };
    subagent.publisher.publish([TABLE.fragment(&[row(1 << 31), row(u32::MAX)]), LONG.fragment(&[row(1)])]);
    let found: BTreeMap<_, _> = snmpd.udp().walk(common::ROOT).unwrap().into_iter().collect();
    assert_eq!(found[&cell(4, u32::MAX)], Value::Counter64(u64::MAX));
    assert_eq!(found[&cell(2, 1 << 31)], Value::OctetString(all));
    let long = found.keys().find(|name| name.split('.').count() == 128).expect("a name of 128 sub-identifiers");
    assert_eq!(snmpd.udp().get_one(long).unwrap(), found[long]);
    assert_eq!(found.len(), 9);
}

#[test]
fn tcp_and_tcp6_work_and_the_first_address_that_answers_is_taken() {
    for host in ["tcp:127.0.0.1", "tcp6:[::1]"] {
        serves_by(host);
    }
}

fn serves_by(host: &str) {
    let port = Port::reserve();
    let builder = TestSnmpd::builder();
    let address = format!("{host}:{}", port.number());
    let both = format!("agentXSocket unix:{},{address}", builder.socket().display());
    let snmpd = builder.conf(&both).start();
    let list = Address::list(&format!("unix:/nonexistent/master,{address}")).unwrap();
    let subagent = Subagent::start(Config::new(list, root(), "test"));
    let status = subagent.wait(|status| matches!(status, Status::Registered(_)));
    assert_eq!(status, Status::Registered(address));
    assert_eq!(snmpd.walk(common::ROOT).unwrap().len(), 9);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_check_registers_once_and_leaves_nothing_behind() {
    let snmpd = TestSnmpd::start();
    let address = format!("unix:{}", snmpd.socket().display());
    for _ in 0..2 {
        assert_eq!(block_on(agentx::try_register(config(&snmpd))), Ok(address.clone()));
    }
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::NoSuchObject));
    let subagent = Subagent::registered(&snmpd);
    let taken = block_on(agentx::try_register(config(&snmpd)));
    assert!(matches!(taken, Err(CheckError::Duplicate(_))), "{taken:?}");
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(7)), "the one that serves is not disturbed");
    assert_eq!(count(&subagent.stats.connects), 1);
    let mut overtaking = config(&snmpd);
    overtaking.regions[0].takeover = Some(126);
    let taken = block_on(agentx::try_register(overtaking)).unwrap_err();
    assert!(taken.to_string().contains("overtakes it at priority 126"), "a check overtakes nobody: {taken}");
    assert_eq!(snmpd.get(&cell(3, 1)), Ok(Value::Gauge32(7)));
    let nobody = Config::new(vec!["/nonexistent/master".parse().unwrap()], root(), "test");
    let error = block_on(agentx::try_register(nobody)).unwrap_err();
    assert!(error.to_string().contains("`master agentx`"), "{error}");
}
