//! A private net-snmp snmpd as AgentX master, and net-snmp's tools asking it.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::value::{SnmpError, Value};
use super::{Daemon, PATIENCE, Port, Ran, Sandbox, UdpClient, capture, mib_path, tool, tools, wait_for};

/// May read all.
pub const READER: &str = "public";
/// May also write, for tests that a SET is refused by us and not by snmpd's access control.
pub const WRITER: &str = "private";

/// What the master is to be, before it runs.
#[derive(Debug)]
pub struct SnmpdBuilder {
    port: Port,
    sandbox: Sandbox,
    base: String,
    more: String,
    modules: String,
}

impl SnmpdBuilder {
    /// The UDP port it will listen on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its AgentX socket.
    pub fn socket(&self) -> PathBuf {
        self.sandbox.path("agentx")
    }

    /// One more line of configuration.
    pub fn conf(mut self, line: &str) -> Self {
        self.more.push_str(line);
        self.more.push('\n');
        self
    }

    /// This configuration instead of the harness's own; it has to name [`port`](Self::port) and [`socket`](Self::socket).
    pub fn whole_conf(mut self, text: &str) -> Self {
        text.clone_into(&mut self.base);
        self
    }

    /// Sends traps (SNMPv2c, community `public`) to this port.
    pub fn trap_sink(self, port: u16) -> Self {
        self.conf(&format!("trap2sink 127.0.0.1:{port} {READER}"))
    }

    /// snmpd's `-I`; the default is that of Debian's service, which leaves the bogus mta_sendmail in.
    pub fn modules(mut self, list: &str) -> Self {
        list.clone_into(&mut self.modules);
        self
    }

    pub fn start(self) -> TestSnmpd {
        self.sandbox.mkdir("state", 0o700, None);
        self.sandbox.write("snmpd.conf", &format!("{}{}", self.base, self.more));
        let daemon = spawn(&self.sandbox, &self.modules);
        let snmpd = TestSnmpd { daemon, modules: self.modules, port: self.port, sandbox: self.sandbox };
        snmpd.wait_ready();
        snmpd
    }
}

fn spawn(sandbox: &Sandbox, modules: &str) -> Daemon {
    let log = sandbox.path("snmpd.log");
    // Another release, e.g. of Debian 13 (CONTRIBUTING.md).
    let program = std::env::var_os("SNMPD").unwrap_or_else(|| "snmpd".into());
    let mut command = sandbox.command(program);
    command.args(["-f", "-C", "-I", modules]).arg("-c").arg(sandbox.path("snmpd.conf")).arg("-Le");
    environment(&mut command, sandbox);
    Daemon::spawn("snmpd", &mut command, log)
}

/// Neither the host's snmp.conf nor its persistent state nor any MIB.
fn environment(command: &mut Command, sandbox: &Sandbox) {
    command
        .env("SNMP_PERSISTENT_DIR", sandbox.path("state"))
        .env("SNMPCONFPATH", sandbox.dir())
        .env("MIBS", "")
        .env("MIBDIRS", sandbox.dir());
}

/// A running master; dropped, it is stopped and removed.
#[derive(Debug)]
pub struct TestSnmpd {
    daemon: Daemon,
    modules: String,
    port: Port,
    // Last: the sandbox ends what the other fields leave.
    sandbox: Sandbox,
}

impl TestSnmpd {
    pub fn builder() -> SnmpdBuilder {
        let (port, sandbox) = (Port::reserve(), Sandbox::new("snmpd"));
        let base = format!(
            "master agentx\nagentAddress udp:127.0.0.1:{port}\nagentXSocket unix:{}\n\
             agentXPerms 0777 0755\nrocommunity {READER} 127.0.0.1\nrwcommunity {WRITER} 127.0.0.1\n",
            sandbox.path("agentx").display()
        );
        SnmpdBuilder { port, sandbox, base, more: String::new(), modules: "-smux,mteTrigger,mteTriggerConf".to_owned() }
    }

    /// One with nothing special.
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The AgentX socket's path.
    pub fn socket(&self) -> PathBuf {
        self.sandbox.path("agentx")
    }

    /// `127.0.0.1:PORT`, as net-snmp's tools want it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What snmpd logged.
    pub fn log(&self) -> String {
        self.daemon.output()
    }

    #[track_caller]
    pub fn wait_log(&self, pattern: &str) -> String {
        wait_for(&format!("snmpd's log line with {pattern:?}"), PATIENCE, || {
            self.log().lines().find(|line| line.contains(pattern)).map(str::to_owned)
        })
    }

    /// SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill9`](Self::kill9), on the same port and socket.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.daemon.exited().is_some(), "snmpd still runs");
        self.daemon = spawn(&self.sandbox, &self.modules);
        self.wait_ready();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Reads its configuration again; AgentX sessions survive this.
    pub fn sighup(&self) {
        self.daemon.signal(Signal::HUP);
    }

    pub fn sigstop(&self) {
        self.daemon.signal(Signal::STOP);
    }

    pub fn sigcont(&self) {
        self.daemon.signal(Signal::CONT);
    }

    /// Waits for the line that snmpd logs once all its sockets are open; a request would need to know who may ask under this configuration.
    #[track_caller]
    fn wait_ready(&self) {
        wait_for("snmpd on its UDP port", PATIENCE, || {
            let log = self.daemon.output_of_run();
            assert!(super::alive(self.daemon.pid()), "snmpd ended: {log}");
            log.contains("NET-SNMP version").then_some(())
        });
    }

    /// One of net-snmp's tools, e.g. `snmpget`, in the private environment; community, options and address are yours to add.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = tool(program);
        environment(&mut command, &self.sandbox);
        command
    }

    /// Runs `PROGRAM -v2c -c COMMUNITY FORMAT OPTIONS… ADDRESS ARGUMENTS…`.
    fn ask(&self, program: &str, community: &str, options: &[&str], arguments: &[&str]) -> Ran {
        let mut command = self.tool(program);
        command.args(["-v2c", "-c", community, tools::FORMAT]).args(options).arg(self.address()).args(arguments);
        capture(&mut command)
    }

    /// The value, which may be an exception.
    pub fn get(&self, oid: &str) -> Result<Value, SnmpError> {
        let bindings = self.get_many(&[oid])?;
        bindings.into_iter().next().map(|(_, value)| value).ok_or_else(|| SnmpError::Tool("no binding".to_owned()))
    }

    pub fn get_many(&self, oids: &[&str]) -> Result<Vec<(String, Value)>, SnmpError> {
        tools::parse(&self.ask("snmpget", READER, &["-t", "10", "-r", "0"], oids))
    }

    pub fn get_next(&self, oid: &str) -> Result<(String, Value), SnmpError> {
        let bindings = tools::parse(&self.ask("snmpgetnext", READER, &["-t", "10", "-r", "0"], &[oid]))?;
        bindings.into_iter().next().ok_or_else(|| SnmpError::Tool("no binding".to_owned()))
    }

    /// All below this OID by GETBULK; the tool itself fails when identifiers do not increase. Empty when there is nothing.
    pub fn walk(&self, oid: &str) -> Result<Vec<(String, Value)>, SnmpError> {
        self.walk_with("snmpbulkwalk", oid)
    }

    /// The same by GETNEXT.
    pub fn walk_getnext(&self, oid: &str) -> Result<Vec<(String, Value)>, SnmpError> {
        self.walk_with("snmpwalk", oid)
    }

    fn walk_with(&self, program: &str, oid: &str) -> Result<Vec<(String, Value)>, SnmpError> {
        let mut bindings = tools::parse(&self.ask(program, READER, &["-t", "10", "-r", "0"], &[oid]))?;
        bindings.retain(|(_, value)| !value.is_exception());
        Ok(bindings)
    }

    /// `snmpset`: `kind` is its type letter (i, u, s, …).
    pub fn set(&self, oid: &str, kind: &str, value: &str) -> Result<Value, SnmpError> {
        let bindings = tools::parse(&self.ask("snmpset", WRITER, &["-t", "10", "-r", "0"], &[oid, kind, value]))?;
        bindings.into_iter().next().map(|(_, value)| value).ok_or_else(|| SnmpError::Tool("no binding".to_owned()))
    }

    /// A tool with the names of our MIB and of the standard's for mail, e.g. `snmptable` on `POSTFIX-MIB::postfixQueueTable`.
    pub fn named(&self, program: &str, options: &[&str], arguments: &[&str]) -> Ran {
        let mut command = self.tool(program);
        command.env_remove("MIBS").args(["-v2c", "-c", READER, "-M", &mib_path(), "-m", "POSTFIX-MIB:MTA-MIB"]);
        command.args(options).arg(self.address()).args(arguments);
        capture(&mut command)
    }

    /// A table as a reader of `snmptable` sees it.
    #[track_caller]
    pub fn table(&self, name: &str) -> String {
        self.named("snmptable", &["-Cb", "-CB", "-Ci"], &[name]).success()
    }

    /// A client without processes, for many requests a second.
    pub fn udp(&self) -> UdpClient {
        UdpClient::connect(self.port(), READER)
    }

    /// Where its configuration stands.
    pub fn conf_file(&self) -> PathBuf {
        self.sandbox.path("snmpd.conf")
    }

    /// Lines of the log that complain about the configuration.
    pub fn complaints(&self) -> Vec<String> {
        let suspicious = ["Warning", "Error", "Unknown token", "rror:", "failed", "Can't", "cannot"];
        self.log().lines().filter(|line| suspicious.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
    }
}
