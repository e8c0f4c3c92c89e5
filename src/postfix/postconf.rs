//! postconf(1): the parameters of an instance. Parsing main.cf is left to Postfix; it needs no privileges where main.cf is
//! readable.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The parameters this program asks for, all in one run.
const PARAMETERS: &[&str] = &[
    "alternate_config_directories",
    "config_directory",
    "content_filter",
    "daemon_directory",
    "data_directory",
    "default_process_limit",
    "hash_queue_depth",
    "hash_queue_names",
    "info_log_addr_form",
    "mail_owner",
    "mail_version",
    "maillog_file",
    "maillog_file_permissions",
    "max_idle",
    "max_use",
    "message_size_limit",
    "multi_instance_directories",
    "multi_instance_enable",
    "multi_instance_name",
    "myhostname",
    "postscreen_dnsbl_sites",
    "qmgr_message_active_limit",
    "queue_directory",
    "queue_minfree",
    "queue_run_delay",
    "service_throttle_time",
    "setgid_group",
    "smtpd_client_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_etrn_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_sender_restrictions",
    "syslog_facility",
    "syslog_name",
];

/// A tool of Postfix hangs only where the machine does; a collector must get out of that.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a tool gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostconfError {
    /// It cannot be started.
    #[error("{program}: {source}; is Postfix installed, and /usr/sbin in the agent's PATH?")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It failed.
    #[error("{message}; {}", remedy(message))]
    Failed {
        /// First line of its standard error.
        message: String,
    },
    /// It did not end.
    #[error("{0}: no answer within 10 s")]
    Timeout(String),
}

/// What to do about a complaint of postconf's; it reads the files as the agent's user.
fn remedy(message: &str) -> &'static str {
    if message.ends_with("Permission denied") {
        "the agent's user must be able to read it (installed by Postfix with mode 0644, in directories with 0755)"
    } else if message.ends_with("No such file or directory") {
        "is config_directory right, and mounted here?"
    } else {
        "correct it: what Postfix starts from now on fails the same way"
    }
}

/// The parameters of one instance, expanded (`postconf -x`).
pub type Parameters = BTreeMap<String, String>;

/// Asks `postconf -c directory` for [`PARAMETERS`].
pub fn parameters(directory: &Path) -> Result<Parameters, PostconfError> {
    let mut arguments: Vec<&OsStr> = vec!["-c".as_ref(), directory.as_ref(), "-x".as_ref()];
    arguments.extend(PARAMETERS.iter().map(OsStr::new));
    let text = run("postconf", &arguments)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(" ="))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

/// The entries of master.cf (`postconf -M`), one a line with its arguments, as Postfix itself reads them.
pub fn services(directory: &Path) -> Result<String, PostconfError> {
    run("postconf", &["-c".as_ref(), directory.as_ref(), "-M".as_ref()])
}

/// The services of master.cf that log under a name of their own (`-o syslog_name=`), as (`relay/unix`, expanded name).
pub fn labels(directory: &Path) -> Result<Vec<(String, String)>, PostconfError> {
    let text = run("postconf", &["-c".as_ref(), directory.as_ref(), "-xP".as_ref(), "*/*/syslog_name".as_ref()])?;
    let split = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        Some((name.strip_suffix("/syslog_name")?.to_owned(), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(split).collect())
}

/// Standard output of a Postfix tool. Warnings on standard error are Postfix's business unless it fails.
fn run(program: &str, arguments: &[&OsStr]) -> Result<String, PostconfError> {
    let command = || {
        let words: Vec<_> = arguments.iter().take(3).map(|a| a.to_string_lossy()).collect();
        format!("{program} {}", words.join(" "))
    };
    let start = |source| PostconfError::Start { program: program.to_owned(), source };
    // Daemons' PATH often lacks sbin.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin:/sbin";
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    // Both pipes are drained beside the wait, so that a talkative tool cannot block on a full one.
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || drain(out));
    let err = thread::spawn(move || drain(err));
    let deadline = Instant::now() + DEADLINE;
    let status = loop {
        match child.try_wait().map_err(start)? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                // It may have ended by itself in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(PostconfError::Timeout(command()));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        Ok(String::from_utf8_lossy(&out).into_owned())
    } else {
        let text = String::from_utf8_lossy(&err);
        // Warnings may stand before what it died of.
        let last = text.lines().rfind(|line| !line.is_empty()).map(|line| line.replacen("fatal: ", "", 1));
        Err(PostconfError::Failed { message: last.unwrap_or_else(|| format!("{} failed without a word", command())) })
    }
}

fn drain(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before a broken pipe is still worth reading; 16 MiB bound a tool gone mad.
        let _ = pipe.take(16 << 20).read_to_end(&mut bytes);
    }
    bytes
}
