//! What master.cf says an instance runs, and the number of each entry.

use super::postconf::Postconf;
use crate::{
    collect::registry::Registry,
    config,
    postfix::master_cf::{self, Entry},
    stop::Stop,
};
use std::collections::BTreeMap;

/// The parameters that say whether an SMTP server uses TLS, and with which certificates.
pub(super) const TLS: &[&str] = &[
    "smtpd_enforce_tls",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_dcert_file",
    "smtpd_tls_eccert_file",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
];

/// An entry of master.cf as the whole agent knows it. Its name is the address it listens on where its type is `inet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its columns and arguments.
    pub entry: Entry,
    /// Under what it logs (`-o syslog_name=`), expanded; `None`: under the instance's own name.
    pub label: Option<String>,
    /// What it sets of [`TLS`] for itself, expanded.
    pub tls: BTreeMap<String, String>,
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
    // A value may name parameters, and those may have others' defaults: Postfix expands it. postconf complains about what
    // no entry sets.
    let is_set = |name: &&str| entries.iter().any(|entry| entry.option(name).is_some());
    let asked: Vec<&str> = TLS.iter().copied().chain(["syslog_name"]).filter(is_set).collect();
    let set = match asked.as_slice() {
        [] => Vec::new(),
        asked => postconf.set_by_services(asked).map_err(|e| e.to_string())?,
    };
    let service = |entry: Entry| {
        let key = key(&entry.name, &entry.kind);
        let own = set.iter().filter(|[of, ..]| *of == key);
        let mut tls: BTreeMap<String, String> = own.map(|[_, name, value]| (name.clone(), value.clone())).collect();
        let label = tls.remove("syslog_name");
        Service { entry, label, tls, index: None }
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
            tls: TLS.iter().filter_map(|name| Some(((*name).to_owned(), entry.option(name)?.to_owned()))).collect(),
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
