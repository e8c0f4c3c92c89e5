//! What master.cf says an instance runs, and the number of each entry.

use super::postconf::Postconf;
use crate::{
    collect::registry::Registry,
    config,
    postfix::master_cf::{self, Entry},
    stop::Stop,
};

/// An entry of master.cf as the whole agent knows it. Its name is the address it listens on where its type is `inet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its columns and arguments.
    pub entry: Entry,
    /// Under what it logs (`-o syslog_name=`), expanded; `None`: under the instance's own name.
    pub label: Option<String>,
    /// postfixServiceIndex; `None` where the registry is full.
    pub index: Option<u32>,
}

impl Service {
    /// How it is known in state files: `smtp/inet` and `smtp/unix` are two.
    pub fn key(&self) -> String {
        key(&self.entry.name, &self.entry.kind)
    }

    /// What stands in its log lines between the instance's syslog_name and the program; `None` where that does not tell it
    /// from others.
    pub fn log_label<'a>(&'a self, syslog_name: &str) -> Option<&'a str> {
        let label = self.label.as_deref()?;
        match label.strip_prefix(syslog_name) {
            Some("") => None,
            Some(rest) if rest.starts_with('/') => rest.get(1..),
            _ => Some(label),
        }
    }
}

/// See [`Service::key`].
pub fn key(name: &str, kind: &str) -> String {
    format!("{name}/{kind}")
}

/// Reads master.cf, until the stop. The indices are still to be given.
pub(super) fn read(settings: &config::Instance, stop: &Stop) -> Result<Vec<Service>, String> {
    let postconf = Postconf::of(settings, stop);
    let text = postconf.services().map_err(|e| e.to_string())?;
    let entries = master_cf::parse(&text).map_err(|e| e.to_string())?;
    // A value may name parameters, and those may have others' defaults: Postfix expands it.
    let labels = if entries.iter().any(|entry| entry.option("syslog_name").is_some()) {
        postconf.labels().map_err(|e| e.to_string())?
    } else {
        Vec::new()
    };
    let service = |entry: Entry| {
        let key = key(&entry.name, &entry.kind);
        let label = labels.iter().find(|(of, _)| *of == key).map(|(_, label)| label.clone());
        Service { entry, label, index: None }
    };
    Ok(entries.into_iter().map(service).collect())
}

/// Gives each its index.
pub(super) fn number(services: &mut [Service], indices: &mut Registry) {
    services.iter_mut().for_each(|service| service.index = indices.index(&service.key()));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The services of a master.cf as `postconf -M` prints it, numbered from 1; labels as they are written.
    pub(crate) fn services(master_cf: &str) -> Vec<Service> {
        let entries = master_cf::parse(master_cf).unwrap();
        let service = |(index, entry): (u32, Entry)| Service {
            label: entry.option("syslog_name").map(str::to_owned),
            index: Some(index),
            entry,
        };
        (1..).zip(entries).map(service).collect()
    }

    #[test]
    fn labels_below_the_instances_name() {
        let text = "25 inet n - n - - smtpd\n587 inet n - n - - smtpd -o syslog_name=postfix/submission\n\
                    x inet n - n - - smtpd -o syslog_name=other/x\n";
        let services = services(text);
        let labels: Vec<_> = services.iter().map(|service| service.log_label("postfix")).collect();
        assert_eq!(labels, [None, Some("submission"), Some("other/x")]);
        assert_eq!(services[1].key(), "587/inet");
    }
}
