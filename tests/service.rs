//! The promise to the service manager: ready when it serves, or when there is nothing to serve through; reloads, stops and
//! the watchdog as sd_notify(3) has them.

use crate::common::{Daemon, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use rustix::process::{Signal, kill_process};
use std::{
    cell::RefCell,
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    time::{Duration, Instant},
};

/// What systemd would be: a socket, and what came through it.
struct Manager {
    socket: UnixDatagram,
    told: RefCell<Vec<String>>,
}

impl Manager {
    /// At a path that the agent may write to.
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        Self::with(socket)
    }

    fn with(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, told: RefCell::default() }
    }

    /// All so far.
    fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.told.borrow_mut().push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        self.told.borrow().clone()
    }

    /// The first datagram that has this line, and the number it has.
    #[track_caller]
    fn wait(&self, line: &str) -> (usize, String) {
        wait_for(line, PATIENCE, || {
            let told = self.told();
            let found = told.iter().position(|datagram| datagram.lines().any(|found| found.starts_with(line)));
            found.map(|number| (number, told[number].clone()))
        })
    }
}

/// The agent as a unit with `Type=notify`, perhaps with `WatchdogSec=`.
fn start(agent: &TestAgent, socket: &str, watchdog: Option<Duration>) -> Daemon {
    let mut command = agent.command(&["run"]);
    command.arg("--config").arg(agent.config_file()).env("NOTIFY_SOCKET", socket);
    if let Some(period) = watchdog {
        // WATCHDOG_PID is not known before; without it every process is meant.
        command.env("WATCHDOG_USEC", period.as_micros().to_string());
    }
    Daemon::spawn("postfix-agentx", &mut command, agent.sandbox().path("agent.log"))
}

#[test]
fn ready_is_registered_and_reloads_and_the_stop_are_told() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let path = agent.sandbox().path("notify");
    let manager = Manager::at(&path);
    let mut daemon = start(&agent, &path.display().to_string(), None);
    let (ready, text) = manager.wait("READY=1");
    assert!(text.contains("\nSTATUS=serves through snmpd at unix:"), "{text}");
    assert!(
        snmpd.get(&oid("postfixAgentVersion", &[0])).is_ok_and(|v| !v.is_exception()),
        "it was said that it serves"
    );
    manager.wait("STATUS=serves through snmpd at ");

    daemon.signal(Signal::HUP);
    let (reloading, text) = manager.wait("RELOADING=1");
    let stamp: u64 = text.lines().find_map(|l| l.strip_prefix("MONOTONIC_USEC=")).unwrap().parse().unwrap();
    assert!(stamp > 0 && reloading > ready, "{text}");
    wait_for("READY=1 after the reload", PATIENCE, || {
        manager.told()[reloading + 1..].iter().any(|told| told.starts_with("READY=1")).then_some(())
    });

    // A configuration that is wrong ends the reload too, and is seen by whoever watches the mail.
    let right = agent.config();
    agent.set_config("agentx:\n  adress: unix:/x\n");
    let before = manager.told().len();
    daemon.signal(Signal::HUP);
    wait_for("READY=1 after the refused reload", PATIENCE, || {
        let told = manager.told();
        let again = told[before..].iter().position(|told| told.starts_with("RELOADING=1"))? + before;
        told[again..].iter().any(|told| told.starts_with("READY=1")).then_some(())
    });
    let health = |wanted: fn(i64, &str) -> bool, what: &str| {
        wait_for(what, PATIENCE, || {
            let Ok(Value::Integer(level)) = snmpd.get(&oid("postfixHealth", &[0])) else { return None };
            let Ok(Value::OctetString(text)) = snmpd.get(&oid("postfixHealthText", &[0])) else { return None };
            wanted(level, &String::from_utf8_lossy(&text)).then_some(())
        });
    };
    health(
        |level, text| level == 2 && text.contains("SIGHUP: ") && text.contains("the old configuration stays"),
        "the refused SIGHUP in postfixHealth",
    );
    agent.set_config(&right);
    daemon.signal(Signal::HUP);
    health(|level, text| level == 1 && text == "ok", "postfixHealth ok after a SIGHUP that was taken");

    daemon.signal(Signal::TERM);
    let (_, text) = manager.wait("STOPPING=1");
    assert!(text.contains("\nSTATUS=saves"), "{text}");
    assert!(daemon.stop().success());
}

#[test]
fn without_snmpd_it_is_ready_all_the_same_and_says_what_it_waits_for() {
    let mut snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().create();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    snmpd.stop();
    let name = format!("postfix-agentx-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let manager = Manager::with(socket);
    let begun = Instant::now();
    let mut daemon = start(&agent, &format!("@{name}"), None);
    manager.wait("STATUS=waits for snmpd, and counts: ");
    let (_, text) = manager.wait("READY=1");
    assert!(text.contains("\nSTATUS=waits for snmpd"), "{text}");
    // systemd gives a unit 90 s.
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    snmpd.restart();
    manager.wait("STATUS=serves through snmpd at ");
    assert!(daemon.stop().success());
}

#[test]
fn the_watchdog_is_fed_by_threads_that_live_only() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let path = agent.sandbox().path("notify");
    let manager = Manager::at(&path);
    let mut daemon = start(&agent, &path.display().to_string(), Some(Duration::from_secs(3)));
    let fed = || manager.told().iter().filter(|told| *told == "WATCHDOG=1").count();
    wait_for("WATCHDOG=1 four times", PATIENCE, || (fed() >= 4).then_some(()));
    // All of it stands still: that is what a watchdog is for.
    daemon.signal(Signal::STOP);
    let before = fed();
    let until = Instant::now() + Duration::from_secs(4);
    wait_for("the period to pass", PATIENCE, || (Instant::now() > until).then_some(()));
    assert!(fed() <= before + 1, "one was on its way");
    daemon.signal(Signal::CONT);
    wait_for("WATCHDOG=1 again", PATIENCE, || (fed() > before + 1).then_some(()));
    assert!(daemon.stop().success());
}

#[test]
fn a_notify_socket_that_is_not_there_is_no_failure() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().create();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let mut daemon = start(&agent, "/nonexistent/notify", Some(Duration::from_secs(1)));
    wait_for("its session", PATIENCE, || daemon.output_of_run().contains("serving through snmpd").then_some(()));
    // Neither a debugger nor a core dump of this user's sees the passwords of probes.
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    assert_eq!(u64::from_str_radix(effective, 16), Ok(0), "{status}");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{}/environ", daemon.pid())).unwrap());
    assert_eq!(owner, 0, "a process that is not dumpable belongs to root in /proc");
    kill_process(rustix::process::Pid::from_raw(daemon.pid()).unwrap(), Signal::TERM).unwrap();
    assert!(daemon.stop().success());
}
