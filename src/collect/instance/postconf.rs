//! postconf(1): the parameters of an instance. Parsing main.cf is left to Postfix; it needs no privileges where main.cf is
//! readable.

use super::services::TLS;
use crate::{
    child::{self, ChildError},
    config,
    stop::Stop,
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The parameters this program asks for, all in one run, with [`TLS`].
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
    "lmtp_tls_loglevel",
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
    "smtp_tls_loglevel",
    "smtpd_client_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_etrn_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_tls_loglevel",
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
    /// It succeeded, and said nothing that could be used.
    #[error("{command}: {what}; is it Postfix's own postconf? Run it by hand as the agent's user")]
    Rubbish {
        /// The program and what it was asked.
        command: String,
        /// What is missing.
        what: &'static str,
    },
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

/// Those of what `postconf -x` says that were asked for.
pub(super) fn parameters(text: &str) -> Parameters {
    text.lines()
        .filter_map(|line| line.split_once(" ="))
        .filter(|(name, _)| PARAMETERS.contains(name) || TLS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// What `postconf -xP` says.
pub(super) fn of_services(text: &str) -> Vec<[String; 3]> {
    let split = |line: &str| {
        let (place, value) = line.split_once(" =")?;
        let (service, parameter) = place.rsplit_once('/')?;
        Some([service, parameter, value.trim()].map(str::to_owned))
    };
    text.lines().filter_map(split).collect()
}

/// The postconf of one instance.
pub(super) struct Postconf<'a> {
    config_directory: &'a Path,
    program: PathBuf,
    stop: &'a Stop,
}

impl<'a> Postconf<'a> {
    /// That of its command_directory, else the one that is found. It is asked until the stop.
    pub(super) fn of(settings: &'a config::Instance, stop: &'a Stop) -> Self {
        let program = settings.command_directory.as_deref().map_or("postconf".into(), |d| d.join("postconf"));
        Self { config_directory: &settings.config_directory, program, stop }
    }

    /// [`PARAMETERS`] and [`TLS`], as far as this release has them.
    pub(super) fn parameters(&self) -> Result<Parameters, PostconfError> {
        let arguments: Vec<&OsStr> = ["-x"].iter().chain(PARAMETERS).chain(TLS).map(OsStr::new).collect();
        let text = self.run(&arguments)?;
        let parameters = parameters(&text);
        // What every Postfix has. Without it no spool must be made up.
        let is = |name: &str, right: fn(&str) -> bool| parameters.get(name).is_some_and(|value| right(value));
        if !is("queue_directory", |value| value.starts_with('/')) {
            return Err(self.rubbish("it succeeded without naming a queue_directory"));
        }
        if !is("mail_version", |value| value.starts_with(|c: char| c.is_ascii_digit())) {
            return Err(self.rubbish("it succeeded without naming a mail_version"));
        }
        Ok(parameters)
    }

    fn rubbish(&self, what: &'static str) -> PostconfError {
        let command = format!("{} -c {}", self.program.display(), self.config_directory.display());
        PostconfError::Rubbish { command, what }
    }

    /// The entries of master.cf (`postconf -M`), one a line with its arguments, as Postfix itself reads them.
    pub(super) fn services(&self) -> Result<String, PostconfError> {
        let text = self.run(&["-M".as_ref()])?;
        // Nothing can run without one.
        if text.trim().is_empty() {
            Err(self.rubbish("it succeeded without naming a service of master.cf"))
        } else {
            Ok(text)
        }
    }

    /// What services of master.cf set of these parameters for themselves (`-o syslog_name=`), expanded, as
    /// (`relay/unix`, `syslog_name`, value).
    pub(super) fn set_by_services(&self, parameters: &[&str]) -> Result<Vec<[String; 3]>, PostconfError> {
        let patterns: Vec<String> = parameters.iter().map(|name| format!("*/*/{name}")).collect();
        let arguments: Vec<&OsStr> =
            ["-xP"].into_iter().chain(patterns.iter().map(String::as_str)).map(OsStr::new).collect();
        let text = self.run(&arguments)?;
        Ok(of_services(&text))
    }

    /// Standard output of postconf. Warnings on standard error are Postfix's business unless it fails.
    fn run(&self, arguments: &[&OsStr]) -> Result<String, PostconfError> {
        let mut all: Vec<&OsStr> = vec!["-c".as_ref(), self.config_directory.as_ref()];
        all.extend(arguments);
        let output = child::run(&self.program, &all, DEADLINE, self.stop)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.out).into_owned());
        }
        let said = String::from_utf8_lossy(&output.said);
        // Warnings may come before what it died of.
        let last = said.lines().rfind(|line| !line.is_empty()).map(|line| line.replacen("fatal: ", "", 1));
        Err(PostconfError::Failed { message: last.unwrap_or_else(|| "postconf failed without a word".into()) })
    }
}
