//! A private snmptrapd: traps as a manager would read them.

use super::{Daemon, PATIENCE, Port, Sandbox, alive, mib_path, wait_for};

/// Dropped, it is stopped and removed.
#[derive(Debug)]
pub struct TestTrapd {
    daemon: Daemon,
    port: Port,
    sandbox: Sandbox,
}

impl TestTrapd {
    /// Prints numbers.
    pub fn start() -> Self {
        Self::with("", "%v")
    }

    /// Prints numbers in this format, with more lines of configuration (users of SNMPv3).
    pub fn with(conf: &str, format: &str) -> Self {
        Self::spawn(&["-On"], &[("MIBS", String::new())], conf, format)
    }

    /// Prints names of POSTFIX-MIB.
    pub fn start_named() -> Self {
        Self::named_with("")
    }

    /// The same with more lines of configuration.
    pub fn named_with(conf: &str) -> Self {
        Self::spawn(&[], &[("MIBS", "POSTFIX-MIB".to_owned()), ("MIBDIRS", mib_path())], conf, "%v")
    }

    fn spawn(options: &[&str], environment: &[(&str, String)], conf: &str, format: &str) -> Self {
        let (port, sandbox) = (Port::reserve(), Sandbox::new("trapd"));
        sandbox.mkdir("state", 0o700, None);
        let conf = sandbox.write("snmptrapd.conf", &format!("disableAuthorization yes\n{conf}\n"));
        let log = sandbox.path("traps");
        let mut command = sandbox.command("snmptrapd");
        command.args(["-f", "-n", "-C", "-t"]).args(options).arg("-c").arg(conf).arg("-Lf").arg(&log);
        // One line a trap; -t above keeps it from logging to syslog as well.
        command.arg("-F").arg(format!("TRAP {format}\n")).arg(format!("udp:127.0.0.1:{port}"));
        command.env("SNMP_PERSISTENT_DIR", sandbox.path("state")).env("SNMPCONFPATH", sandbox.dir());
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        let daemon = Daemon::spawn("snmptrapd", &mut command, log);
        let trapd = Self { daemon, port, sandbox };
        wait_for("snmptrapd", PATIENCE, || {
            assert!(alive(trapd.daemon.pid()), "snmptrapd ended: {}", trapd.text());
            trapd.text().contains("NET-SNMP version").then_some(())
        });
        trapd
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// All it printed.
    pub fn text(&self) -> String {
        self.daemon.output()
    }

    /// One string a trap: its variable bindings, separated by tabs, unless another format was asked for.
    pub fn traps(&self) -> Vec<String> {
        self.text().lines().filter_map(|line| line.strip_prefix("TRAP ")).map(str::to_owned).collect()
    }

    /// Waits for a trap that contains this.
    #[track_caller]
    pub fn wait_trap(&self, pattern: &str) -> String {
        wait_for(&format!("trap with {pattern:?}"), PATIENCE, || {
            self.traps().into_iter().find(|trap| trap.contains(pattern))
        })
    }
}
