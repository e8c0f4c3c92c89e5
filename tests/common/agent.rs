//! The agent as a daemon, under a uid that may do nothing but what the installation grants: two groups and a directory.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::Signal;

use super::{Daemon, PATIENCE, ROOT, Ran, Sandbox, TestPostfix, TestSnmpd, Value, capture, group_id, oid, wait_for};

/// A uid and gid that nobody has.
pub const AGENT_UID: u32 = 64_999;

/// A configured agent, running or not; dropped, it is ended and its files are removed.
#[derive(Debug)]
pub struct TestAgent {
    daemon: Option<Daemon>,
    binary: PathBuf,
    reads_everything: bool,
    resolver: Option<PathBuf>,
    sandbox: Sandbox,
}

impl TestAgent {
    /// An agent of these instances, not started yet, with the configuration that [`yaml`](Self::yaml) writes.
    pub fn new(snmpd: &TestSnmpd, instances: &[&TestPostfix]) -> Self {
        Self::with_config(|state| Self::yaml(&format!("unix:{}", snmpd.socket().display()), state, instances))
    }

    /// As [`new`](Self::new), and started.
    pub fn start_for(snmpd: &TestSnmpd, instances: &[&TestPostfix]) -> Self {
        let mut agent = Self::new(snmpd, instances);
        agent.start();
        agent
    }

    /// An agent with any configuration, which is told where its state directory is.
    pub fn with_config(config: impl FnOnce(&Path) -> String) -> Self {
        let sandbox = Sandbox::new("agent");
        let state = sandbox.mkdir("state", 0o750, Some(AGENT_UID));
        sandbox.write("config.yaml", &config(&state));
        let binary = executable(&sandbox);
        Self { daemon: None, binary, reads_everything: false, resolver: None, sandbox }
    }

    /// The configuration for these instances: each with its own log, queue from wherever the agent finds it.
    pub fn yaml(address: &str, state: &Path, instances: &[&TestPostfix]) -> String {
        let mut text = format!(
            "agentx:\n  address: {address}\n  root: {ROOT}\n  priority: 127\nstate_directory: {}\ninstances:\n",
            state.display()
        );
        for instance in instances {
            text.push_str(&format!(
                "  - config_directory: {}\n    log: {{ files: [{}] }}\n    queue: {{ source: auto, interval: 30s }}\n    totals: true\n",
                instance.config_directory().display(),
                instance.log_file().display()
            ));
        }
        text
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// From its next start on it has CAP_DAC_READ_SEARCH, as the unit file may grant it for the spool source.
    pub fn reads_everything(&mut self) {
        self.reads_everything = true;
    }

    /// From its next start on this is its /etc/resolv.conf, and nobody else's.
    pub fn resolver(&mut self, file: &Path) {
        self.resolver = Some(file.to_owned());
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn config_file(&self) -> PathBuf {
        self.sandbox.path("config.yaml")
    }

    pub fn config(&self) -> String {
        fs::read_to_string(self.config_file()).unwrap()
    }

    /// Replaces the configuration; the agent reads it at its next start or SIGHUP.
    pub fn set_config(&self, text: &str) {
        self.sandbox.write("config.yaml", text);
    }

    pub fn state_directory(&self) -> PathBuf {
        self.sandbox.path("state")
    }

    /// Runs it; what it logs is appended to the log of the run before.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.daemon.as_mut().is_none_or(|daemon| daemon.exited().is_some()), "the agent still runs");
        let mut command = self.command(&["run"]);
        command.arg("--config").arg(self.config_file());
        self.daemon = Some(Daemon::spawn("postfix-agentx", &mut command, self.sandbox.path("agent.log")));
    }

    /// SIGTERM, and its exit status.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.running_mut().stop()
    }

    pub fn kill9(&mut self) {
        self.running_mut().kill9();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("the agent was started").signal(signal);
    }

    pub fn pid(&self) -> i32 {
        self.daemon.as_ref().expect("the agent was started").pid()
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.running_mut().exited()
    }

    fn running_mut(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the agent was started")
    }

    /// What it wrote to stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(self.sandbox.path("agent.log")).unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_log(&self, pattern: &str) -> String {
        wait_for(&format!("the agent's log line with {pattern:?}"), PATIENCE, || {
            self.log().lines().find(|line| line.contains(pattern)).map(str::to_owned)
        })
    }

    /// Waits until this object has a value, asked through snmpd.
    #[track_caller]
    pub fn wait_ready(&mut self, snmpd: &TestSnmpd, oid: &str) -> Value {
        let mut client = snmpd.udp();
        wait_for(&format!("a value of {oid}"), PATIENCE, || {
            if let Some(status) = self.exited() {
                panic!("the agent ended with {status}");
            }
            client.get_one(oid).ok().filter(|value| !value.is_exception())
        })
    }

    /// Waits until every source of this instance is read with success (or is not wanted), and what it read is there: a
    /// collector may publish a moment after it has reported.
    #[track_caller]
    pub fn wait_sources_ok(&mut self, snmpd: &TestSnmpd, instance: u32) {
        let (status, limit) = (oid("postfixSourceStatus", &[]), oid("postfixServiceProcessLimit", &[instance]));
        let shown = [
            (2, oid("postfixQueueMessages", &[instance, 5])),
            (3, oid("postfixMailSent", &[instance])),
            (4, oid("postfixDaemonState", &[instance, 1])),
        ];
        let mut client = snmpd.udp();
        wait_for(&format!("status ok of every source of instance {instance}"), PATIENCE, || {
            if let Some(ended) = self.exited() {
                panic!("the agent ended with {ended}");
            }
            // Each collector brings its own rows.
            for kind in postfix_agentx::collect::kinds().map(|kind| kind as u32) {
                let ok = match client.get_one(&format!("{status}.{instance}.{kind}")) {
                    Ok(Value::Integer(1)) => true,
                    Ok(Value::Integer(4)) => false,
                    _ => return None,
                };
                let object = shown.iter().find(|(of, _)| *of == kind && ok);
                if object.is_some_and(|(_, oid)| client.get_one(oid).map_or(true, |value| value.is_exception())) {
                    return None;
                }
            }
            let (next, _) = client.get_next(&[&limit]).ok()?.pop()?;
            next.starts_with(&limit).then_some(())
        });
    }

    /// Waits until every source is read and postfixHealth is ok: nothing is unknown any more and nothing is wrong.
    #[track_caller]
    pub fn wait_healthy(&mut self, snmpd: &TestSnmpd, instance: u32) {
        self.wait_sources_ok(snmpd, instance);
        let health = oid("postfixHealth", &[0]);
        let mut client = snmpd.udp();
        wait_for("postfixHealth ok", PATIENCE, || (client.get_one(&health) == Ok(Value::Integer(1))).then_some(()));
    }

    /// Runs a command that ends, with this configuration: `["dump"]`, `["check"]`, `["count", …]`.
    pub fn run_once(&self, arguments: &[&str]) -> Ran {
        let (command, rest) = arguments.split_first().expect("a command");
        capture(self.command(&[command]).arg("--config").arg(self.config_file()).args(rest))
    }

    /// The agent's binary with the agent's rights.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.unprivileged(&self.binary);
        command.args(arguments);
        command
    }

    /// Any program as the unprivileged user, in the groups that the installation gives it: postdrop for showq, adm for the log.
    pub fn unprivileged(&self, program: impl AsRef<OsStr>) -> Command {
        let groups: Vec<String> =
            ["postdrop", "adm"].iter().filter_map(|name| group_id(name)).map(|gid| gid.to_string()).collect();
        const MOUNT: &str = r#"mount --bind "$1" /etc/resolv.conf && shift && exec "$@""#;
        let mut command = match &self.resolver {
            None => self.sandbox.command("setpriv"),
            Some(file) => {
                let mut outer = self.sandbox.command("unshare");
                outer.args(["-m", "--propagation", "private", "sh", "-c", MOUNT, "sh"]).arg(file).arg("setpriv");
                outer
            }
        };
        command.arg(format!("--reuid={AGENT_UID}")).arg(format!("--regid={AGENT_UID}"));
        command
            .arg(format!("--groups={}", groups.join(",")))
            .args(if self.reads_everything {
                ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
            } else {
                ["--inh-caps=-all", "--ambient-caps=-all"]
            })
            .arg("--")
            .arg(program);
        // Backtraces of the test runner's taste are not part of what an administrator sees.
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
        command
    }
}

/// The binary that cargo built next to this test or example, copied into the sandbox where its path is closed to others (a checkout below /root).
fn executable(sandbox: &Sandbox) -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_postfix-agentx").map_or_else(
        || {
            // target/PROFILE/examples/demo: cargo tells only tests where the binary is.
            let here = std::env::current_exe().unwrap();
            here.ancestors().nth(2).unwrap().join("postfix-agentx")
        },
        PathBuf::from,
    );
    assert!(built.exists(), "{} is missing: run `cargo build` with the same profile first", built.display());
    if built.ancestors().all(|part| fs::metadata(part).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0)) {
        return built;
    }
    let copy = sandbox.path("postfix-agentx");
    fs::copy(&built, &copy).unwrap();
    chown(&copy, Some(0), Some(0)).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}
