//! A private Postfix: real programs, own directories, own ports, nothing of the host's instance touched.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::mail::Sinks;
use super::process::user_id;
use super::{PATIENCE, Port, Ran, Sandbox, alive, capture, children, group_id, tool, wait_for};

/// Debian's master.cf without the chroots, which would need copies of half of /etc; `@smtp@` is the port of this instance.
const MASTER_CF: &str = "\
127.0.0.1:@smtp@ inet n - n - - smtpd
pickup    unix  n  -  n  60    1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
verify    unix  -  -  n  -     1  verify
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
proxywrite unix -  -  n  -     1  proxymap
smtp      unix  -  -  n  -     -  smtp
relay     unix  -  -  n  -     -  smtp
        -o syslog_name=postfix/$service_name
showq     unix  n  -  n  -     -  showq
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
discard   unix  -  -  n  -     -  discard
local     unix  -  n  n  -     -  local
virtual   unix  -  n  n  -     -  virtual
lmtp      unix  -  -  n  -     -  lmtp
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
postlog   unix-dgram n - n -   1  postlogd
";

/// No DNS, no network but loopback, no politeness towards strangers: 127.0.0.1 is a stranger here, so that relaying can be refused.
/// local_recipient_maps is empty so that there is mail which bounces after it was accepted.
const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = @dir@/q
data_directory = @dir@/data
maillog_file = @dir@/log/mail.log
maillog_file_prefixes = @dir@
myhostname = mx.local.test
mydestination = local.test
mynetworks = 192.0.2.1/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_connect_timeout = 5s
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 10000
smtpd_hard_error_limit = 10000
in_flow_delay = 0
biff = no
forward_path =
local_recipient_maps =
alias_maps = texthash:@dir@/etc/aliases
alias_database =
mail_spool_directory = @dir@/mbox
";

/// What the instance is to be, before it exists.
#[derive(Debug)]
pub struct PostfixBuilder {
    name: Option<String>,
    main: Vec<String>,
    master: Vec<String>,
    log_mode: u32,
    log_group: String,
}

impl PostfixBuilder {
    /// Sets multi_instance_name, and with it syslog_name. Postfix wants names that begin with `postfix-`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A line of main.cf; later lines win.
    pub fn main(mut self, line: &str) -> Self {
        self.main.push(line.to_owned());
        self
    }

    /// A line of master.cf (a service, or ` -o` options that continue the line before).
    pub fn master(mut self, line: &str) -> Self {
        self.master.push(line.to_owned());
        self
    }

    pub fn hash_queue_depth(self, depth: u32) -> Self {
        self.main(&format!("hash_queue_depth = {depth}"))
    }

    /// Mode and group of the log file. Postfix 3.7 creates it 0600 root and leaves an existing file as it is; the default is 0640 adm, as syslog's.
    pub fn log_file(mut self, mode: u32, group: &str) -> Self {
        self.log_mode = mode;
        group.clone_into(&mut self.log_group);
        self
    }

    /// Makes this the instance whose `postmulti -l` lists these others.
    pub fn lists(self, others: &[&TestPostfix]) -> Self {
        let directories: Vec<String> =
            others.iter().map(|other| other.config_directory().display().to_string()).collect();
        self.main("multi_instance_enable = yes")
            .main(&format!("multi_instance_directories = {}", directories.join(" ")))
    }

    /// Writes all files, starts nothing.
    pub fn create(self) -> TestPostfix {
        let sandbox = Sandbox::new("postfix");
        let smtp = Port::reserve();
        let sinks = Sinks::reserve();
        sandbox.mkdir("etc", 0o755, None);
        sandbox.mkdir("q", 0o755, None);
        sandbox.mkdir("log", 0o755, None);
        sandbox.mkdir("mbox", 0o1777, None);
        sandbox.mkdir("data", 0o755, Some(user_id("postfix").expect("user postfix: is Postfix installed?")));

        let log = sandbox.path("log/mail.log");
        File::create(&log).unwrap();
        chown(&log, None, Some(group_id(&self.log_group).expect("group of the log file"))).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(self.log_mode)).unwrap();

        let dir = sandbox.dir().display().to_string();
        let mut main = MAIN_CF.replace("@dir@", &dir);
        main.push_str(&sinks.write(&sandbox));
        if let Some(name) = &self.name {
            main.push_str(&format!("multi_instance_name = {name}\nmulti_instance_enable = yes\n"));
        }
        for line in &self.main {
            // Postfix would take the later one as well, and warn of it in the log of every process.
            let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
            main = main.lines().filter(|had| key(had) != key(line)).flat_map(|had| [had, "\n"]).collect();
            main.push_str(line);
            main.push('\n');
        }
        let mut master = MASTER_CF.replace("@smtp@", &smtp.to_string());
        for line in &self.master {
            master.push_str(line);
            master.push('\n');
        }
        sandbox.write("etc/main.cf", &main);
        sandbox.write("etc/master.cf", &master);
        for file in fs::read_dir(sandbox.path("etc")).unwrap().flatten() {
            age(&file.path());
        }
        TestPostfix { name: self.name, smtp, sinks, sandbox }
    }

    pub fn start(self) -> TestPostfix {
        let mut postfix = self.create();
        postfix.start();
        postfix
    }
}

/// One message as `postqueue -j` shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct QueuedMessage {
    pub queue_name: String,
    pub queue_id: String,
    pub arrival_time: i64,
    pub message_size: u64,
    #[serde(default)]
    pub forced_expire: bool,
    pub sender: String,
    pub recipients: Vec<QueuedRecipient>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct QueuedRecipient {
    pub address: String,
    #[serde(default)]
    pub delay_reason: Option<String>,
}

/// A private instance; dropped, it is stopped and removed.
#[derive(Debug)]
pub struct TestPostfix {
    name: Option<String>,
    smtp: Port,
    pub(super) sinks: Sinks,
    // Last: the sandbox ends what the other fields leave.
    sandbox: Sandbox,
}

impl TestPostfix {
    pub fn builder() -> PostfixBuilder {
        PostfixBuilder {
            name: None,
            main: Vec::new(),
            master: Vec::new(),
            log_mode: 0o640,
            log_group: "adm".to_owned(),
        }
    }

    /// multi_instance_name; `postfix` where none was asked for, which is what syslog_name then says.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("postfix")
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn config_directory(&self) -> PathBuf {
        self.sandbox.path("etc")
    }

    pub fn queue_directory(&self) -> PathBuf {
        self.sandbox.path("q")
    }

    pub fn data_directory(&self) -> PathBuf {
        self.sandbox.path("data")
    }

    pub fn log_file(&self) -> PathBuf {
        self.sandbox.path("log/mail.log")
    }

    pub fn smtp_port(&self) -> u16 {
        self.smtp.number()
    }

    /// Appends a line to main.cf; [`reload`](Self::reload) makes it count.
    pub fn append_main(&self, line: &str) {
        append(&self.config_directory().join("main.cf"), line);
    }

    pub fn append_master(&self, line: &str) {
        append(&self.config_directory().join("master.cf"), line);
    }

    /// Starts Postfix and the SMTP servers its mail goes to, and waits until mail is accepted and qmgr runs.
    #[track_caller]
    pub fn start(&mut self) {
        self.sinks.start(&self.sandbox);
        self.postfix("start").success();
        wait_for("master.pid in /proc/locks", PATIENCE, || self.master_pid());
        // It comes a moment later, and on a busy machine longer than the agent waits before it says that there is none.
        wait_for("qmgr", PATIENCE, || (!self.service_pids("qmgr").is_empty()).then_some(()));
    }

    /// `postfix stop`, which lets mail in delivery finish.
    #[track_caller]
    pub fn stop(&self) {
        let master = self.master_pid();
        self.postfix("stop").success();
        wait_for("end of master", PATIENCE, || match master {
            Some(pid) => (!alive(pid)).then_some(()),
            None => Some(()),
        });
    }

    /// `postfix reload`, and waits until master says it did.
    #[track_caller]
    pub fn reload(&self) {
        let before = self.log_count("reload -- version");
        self.postfix("reload").success();
        self.wait_log_count("reload -- version", before + 1);
    }

    /// Any `postfix COMMAND`.
    pub fn postfix(&self, command: &str) -> Ran {
        capture(tool("postfix").arg("-c").arg(self.config_directory()).arg(command).current_dir("/"))
    }

    pub fn postconf(&self, arguments: &[&str]) -> String {
        capture(tool("postconf").arg("-c").arg(self.config_directory()).args(arguments)).success()
    }

    /// Any `postsuper ARGUMENTS`, e.g. `["-h", "ALL"]`.
    #[track_caller]
    pub fn postsuper(&self, arguments: &[&str]) -> String {
        let ran = capture(tool("postsuper").arg("-c").arg(self.config_directory()).args(arguments));
        let report = ran.stderr.clone();
        ran.success();
        report
    }

    /// Any `postqueue ARGUMENTS`.
    pub fn postqueue(&self, arguments: &[&str]) -> Ran {
        capture(tool("postqueue").arg("-c").arg(self.config_directory()).args(arguments))
    }

    /// What waits, as Postfix itself tells it.
    #[track_caller]
    pub fn postqueue_json(&self) -> Vec<QueuedMessage> {
        let text = self.postqueue(&["-j"]).success();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
            .collect()
    }

    /// The pid of master, from whoever holds the lock on master.pid: the file itself outlives master.
    pub fn master_pid(&self) -> Option<i32> {
        let file = fs::metadata(self.queue_directory().join("pid/master.pid")).ok()?;
        let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
        let id = format!("{major:02x}:{minor:02x}:{}", file.ino());
        let locks = fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&id.as_str())).then(|| fields[4].parse().ok())?
        })
    }

    /// The processes of one service's program that run now, e.g. `qmgr`.
    pub fn service_pids(&self, program: &str) -> Vec<i32> {
        self.master_pid().map(|master| children(master, program)).unwrap_or_default()
    }

    /// Signals every process of a program and says which; with SIGKILL waits until they are gone.
    #[track_caller]
    pub fn kill_service(&self, program: &str, signal: Signal) -> Vec<i32> {
        let pids = self.service_pids(program);
        assert!(!pids.is_empty(), "no {program} runs");
        for &pid in &pids {
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
        if signal == Signal::KILL {
            wait_for(&format!("end of {program}"), PATIENCE, || pids.iter().all(|&pid| !alive(pid)).then_some(()));
        }
        pids
    }

    /// SIGKILL to master, as the OOM killer would; its daemons notice and leave.
    pub fn kill_master(&self) {
        if let Some(pid) = self.master_pid() {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
            wait_for("end of master", PATIENCE, || (!alive(pid)).then_some(()));
        }
    }

    /// The whole log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Lines of the log that contain this.
    pub fn log_count(&self, pattern: &str) -> usize {
        self.log().lines().filter(|line| line.contains(pattern)).count()
    }

    /// Waits for a line and returns it.
    #[track_caller]
    pub fn wait_log(&self, pattern: &str) -> String {
        wait_for(&format!("log line with {pattern:?}"), PATIENCE, || {
            self.log().lines().find(|line| line.contains(pattern)).map(str::to_owned)
        })
    }

    /// Waits until at least so many lines contain this.
    #[track_caller]
    pub fn wait_log_count(&self, pattern: &str, count: usize) {
        wait_for(&format!("{count} log lines with {pattern:?}"), PATIENCE, || {
            (self.log_count(pattern) >= count).then_some(())
        });
    }
}

impl Drop for TestPostfix {
    fn drop(&mut self) {
        // SIGTERM to master ends its process group in milliseconds; the sandbox ends what does not listen.
        if let Some(pid) = self.master_pid().and_then(Pid::from_raw) {
            let _gone_already = kill_process(pid, Signal::TERM);
        }
        if super::failing() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(60);
            eprintln!("---- {}: its last log lines\n{}\n----", self.name(), lines[last..].join("\n"));
        }
    }
}

fn append(path: &Path, line: &str) {
    use std::io::Write as _;
    let mut file =
        File::options().append(true).open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    writeln!(file, "{line}").unwrap();
    drop(file);
    age(path);
}

/// Postfix waits until a configuration file was left alone for two seconds before it believes what it read (dict_load_file_xt); so we make it look old.
/// A change is still seen, because the time is never the same twice.
fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(10);
    File::options().append(true).open(path).and_then(|file| file.set_modified(old)).unwrap();
}
