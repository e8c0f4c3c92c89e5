//! postconf(1): the parameters of an instance. Parsing main.cf is left to Postfix; it needs no privileges where main.cf is
//! readable.

use crate::{
    child::{self, ChildError},
    stop::Stop,
};
use std::{collections::BTreeMap, ffi::OsStr, path::Path, time::Duration};

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
    /// It cannot be run, or gave no answer.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// It failed.
    #[error("{message}; {}", remedy(message))]
    Failed {
        /// First line of its standard error.
        message: String,
    },
}

impl PostconfError {
    /// There is no postconf here. One that cannot be started for want of memory or processes is there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Child(ChildError::Missing { .. }))
    }
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
pub(super) type Parameters = BTreeMap<String, String>;

/// Asks `postconf -c directory` for [`PARAMETERS`], until the stop.
pub(super) fn parameters(directory: &Path, stop: &Stop) -> Result<Parameters, PostconfError> {
    let mut arguments: Vec<&OsStr> = vec!["-c".as_ref(), directory.as_ref(), "-x".as_ref()];
    arguments.extend(PARAMETERS.iter().map(OsStr::new));
    let text = run(&arguments, stop)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(" ="))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

/// The entries of master.cf (`postconf -M`), one a line with its arguments, as Postfix itself reads them.
pub(super) fn services(directory: &Path, stop: &Stop) -> Result<String, PostconfError> {
    run(&["-c".as_ref(), directory.as_ref(), "-M".as_ref()], stop)
}

/// The services of master.cf that log under a name of their own (`-o syslog_name=`), as (`relay/unix`, expanded name).
pub(super) fn labels(directory: &Path, stop: &Stop) -> Result<Vec<(String, String)>, PostconfError> {
    let text = run(&["-c".as_ref(), directory.as_ref(), "-xP".as_ref(), "*/*/syslog_name".as_ref()], stop)?;
    let split = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        Some((name.strip_suffix("/syslog_name")?.to_owned(), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(split).collect())
}

/// Standard output of postconf. Warnings on standard error are Postfix's business unless it fails.
fn run(arguments: &[&OsStr], stop: &Stop) -> Result<String, PostconfError> {
    let output = child::run(Path::new("postconf"), arguments, DEADLINE, stop)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.out).into_owned());
    }
    let said = String::from_utf8_lossy(&output.said);
    // Warnings may come before what it died of.
    let last = said.lines().rfind(|line| !line.is_empty()).map(|line| line.replacen("fatal: ", "", 1));
    Err(PostconfError::Failed { message: last.unwrap_or_else(|| "postconf failed without a word".into()) })
}
