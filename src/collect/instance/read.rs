//! One Postfix instance: where it lives, what its parameters say and what its master runs.

use super::{
    Owner,
    postconf::{Parameters, Postconf, PostconfError},
    services::Service,
};
use crate::{config, stop::Stop};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// One Postfix instance of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// postfixInstanceIndex: stays with the configuration directory for ever.
    pub index: u32,
    /// multi_instance_name, else `postfix`; made unique by the instance collector.
    pub name: String,
    /// Where main.cf and master.cf are.
    pub config_directory: PathBuf,
    /// The spool.
    pub queue_directory: PathBuf,
    /// What stands before `/program` in its log lines.
    pub syslog_name: String,
    /// mail_version; empty where nobody knows.
    pub version: String,
    /// myhostname; empty where nobody knows.
    pub hostname: String,
    /// What postconf said, by name.
    pub parameters: Parameters,
    /// The entries of master.cf, in its order; `None` where they are not known.
    pub services: Option<Arc<[Service]>>,
    /// Its entry in the configuration.
    pub settings: config::Instance,
}

/// Why an instance is not known.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// postconf gave no parameters and the configuration has not enough either.
    #[error("{0}")]
    Postconf(#[from] PostconfError),
    /// There is none.
    #[error(
        "{0}; in a container without Postfix give `name`, `queue_directory` and `syslog_name` of this instance in the configuration"
    )]
    NoPostconf(PostconfError),
}

impl Instance {
    /// Reads the instance that `settings` name, but for its services, until the stop. The index is 0 until the registry
    /// gives one.
    pub fn read(settings: &config::Instance, stop: &Stop) -> Result<Self, InstanceError> {
        let parameters = match Postconf::of(settings, stop).parameters() {
            Ok(parameters) => parameters,
            // A sidecar has the spool but no Postfix programs, or programs of another Postfix and not this main.cf; and one
            // with passwords in it may be closed to us. With both, what postconf complains about is wrong.
            Err(e)
                if settings.queue_directory.is_some() && (e.is_absent() || is_closed(&settings.config_directory)) =>
            {
                Parameters::new()
            }
            Err(e) if e.is_absent() => return Err(InstanceError::NoPostconf(e)),
            Err(e) => return Err(e.into()),
        };
        Ok(Self::of(settings, parameters))
    }

    /// What `settings` and these parameters make, without its services.
    pub(super) fn of(settings: &config::Instance, parameters: Parameters) -> Self {
        let parameter = |name: &str| parameters.get(name).filter(|v| !v.is_empty()).cloned();
        let name = settings.name.clone().or_else(|| parameter("multi_instance_name"));
        Self {
            index: 0,
            name: name.unwrap_or_else(|| "postfix".into()),
            config_directory: settings.config_directory.clone(),
            queue_directory: settings
                .queue_directory
                .clone()
                .or_else(|| parameter("queue_directory").map(PathBuf::from))
                .unwrap_or_else(|| "/var/spool/postfix".into()),
            syslog_name: settings
                .syslog_name
                .clone()
                .or_else(|| parameter("syslog_name"))
                .unwrap_or_else(|| "postfix".into()),
            version: settings.version.clone().or_else(|| parameter("mail_version")).unwrap_or_default(),
            hostname: parameter("myhostname").unwrap_or_default(),
            parameters,
            services: None,
            settings: settings.clone(),
        }
    }

    /// Whether its parameters are known; else it is what the configuration says, no more.
    pub fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    /// As its rows carry it.
    pub fn owner(&self) -> Owner {
        Owner { index: self.index, name: self.name.as_str().into() }
    }

    /// A parameter that has a value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A numeric parameter.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name)?.parse().ok()
    }

    /// A time parameter with Postfix's units (`300s`, `5d`; default unit seconds).
    pub fn duration(&self, name: &str) -> Option<Duration> {
        let text = self.parameter(name)?;
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match &text[split..] {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        text[..split].parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
    }

    /// Whether `postmulti -e disable` took it out: it is not expected to run. An instance that lists others, or has no name
    /// for postmulti, is never out.
    pub fn is_disabled(&self) -> bool {
        let secondary = self.parameter("multi_instance_name").is_some() && self.listed().is_empty();
        secondary && self.parameter("multi_instance_enable") != Some("yes")
    }

    /// The configuration directories of the instances this one lists, in postmulti's order, each once.
    pub fn listed(&self) -> Vec<PathBuf> {
        let list = self.parameter("multi_instance_directories").unwrap_or_default();
        let mut directories: Vec<PathBuf> = Vec::new();
        for directory in list.split([',', ' ', '\t']).filter(|d| !d.is_empty()).map(PathBuf::from) {
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        directories
    }
}

/// Whether main.cf is not there for us, or closed to us.
fn is_closed(config_directory: &Path) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    File::open(config_directory.join("main.cf")).is_err_and(|e| matches!(e.kind(), NotFound | PermissionDenied))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An instance with a spool at `queue_directory` and these parameters, for the tests of the collectors.
    pub(crate) fn instance(queue_directory: &Path, parameters: &[(&str, &str)]) -> Instance {
        Instance {
            index: 1,
            name: "postfix".into(),
            config_directory: "/nonexistent".into(),
            queue_directory: queue_directory.to_owned(),
            syslog_name: "postfix".into(),
            version: "3.7.11".into(),
            hostname: "mail.example".into(),
            parameters: parameters.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            services: None,
            settings: config::Instance::default(),
        }
    }

    #[test]
    fn listed_instances_come_once_and_in_order() {
        let i = instance(Path::new("/q"), &[("multi_instance_directories", "/etc/b, /etc/a\t/etc/b/ /etc/c")]);
        assert_eq!(i.listed(), ["/etc/b", "/etc/a", "/etc/c"].map(PathBuf::from));
        assert!(instance(Path::new("/q"), &[]).listed().is_empty());
    }

    #[test]
    fn times_have_postfix_units() {
        let i = instance(Path::new("/q"), &[("a", "300s"), ("b", "5d"), ("c", "7"), ("d", "x"), ("e", "")]);
        assert_eq!(i.duration("a"), Some(Duration::from_secs(300)));
        assert_eq!(i.duration("b"), Some(Duration::from_secs(432_000)));
        assert_eq!(i.duration("c"), Some(Duration::from_secs(7)));
        assert_eq!((i.duration("d"), i.duration("e"), i.duration("f")), (None, None, None));
    }
}
