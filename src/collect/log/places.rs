//! Where each instance logs.

use super::{
    engine::{Service, Settings},
    filters::{self, Routes},
    journal,
    stream::Origin,
};
use crate::{
    collect::instance::{self, Instance},
    config::{self, LogSource},
    postfix::log::address::Form,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where syslog daemons put the mail facility: Debian, Red Hat, SUSE.
const USUAL: [&str; 3] = ["/var/log/mail.log", "/var/log/maillog", "/var/log/mail"];

/// Which streams there are, and whose.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Stream, positions of its instances, whether it is meant for one instance alone.
    pub streams: Vec<(Origin, Vec<usize>, bool)>,
    /// Positions of instances whose log is not to be read.
    pub disabled: BTreeSet<usize>,
    /// Positions of instances whose log cannot be found, and what to do.
    pub nowhere: BTreeMap<usize, String>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

impl Places {
    /// Of these instances.
    pub(super) fn of(list: &[Arc<Instance>]) -> Self {
        let mut places = Self::default();
        for (position, instance) in list.iter().enumerate() {
            match &instance.settings.log {
                LogSource::None => drop(places.disabled.insert(position)),
                LogSource::Journal => places.add(Origin::Journal, position, false),
                LogSource::Files(files) => {
                    files.iter().for_each(|file| places.add(Origin::File(file.clone()), position, true));
                }
                LogSource::Auto => places.automatic(position, instance),
            }
            places.warnings.extend(warning(instance));
        }
        places
    }

    fn automatic(&mut self, position: usize, instance: &Instance) {
        match instance.parameter("maillog_file") {
            Some(file) if file.starts_with("/dev/") => {
                let text = format!(
                    "{}: maillog_file = {file} leaves no file to read; log to a file, or give `log: {{ files: [/path] }}` in \
                     the configuration",
                    instance.name
                );
                self.nowhere.insert(position, text);
            }
            Some(file) => self.add(Origin::File(file.into()), position, true),
            None => match USUAL.iter().find(|file| Path::new(file).exists()) {
                Some(file) => self.add(Origin::File(file.into()), position, false),
                None if journal::has_files(&journal::DIRECTORIES) => {
                    self.add(Origin::Journal, position, false);
                }
                None => {
                    let text = format!(
                        "{}: no log found: maillog_file is empty, there is no {} and no systemd journal; install rsyslog, or \
                         `postconf maillog_file=/var/log/postfix.log`, or give `log: {{ files: [/path] }}` in the configuration",
                        instance.name,
                        USUAL.join(", ")
                    );
                    self.nowhere.insert(position, text);
                }
            },
        }
    }

    /// One file is one stream, whatever it is called: by canonical path, then by device and inode.
    fn add(&mut self, origin: Origin, position: usize, own: bool) {
        let same = |a: &Origin, b: &Origin| match (a, b) {
            (Origin::File(a), Origin::File(b)) => a == b || identity(a).is_some_and(|id| identity(b) == Some(id)),
            (a, b) => a == b,
        };
        match self.streams.iter_mut().find(|(known, ..)| same(known, &origin)) {
            Some((_, users, both)) => {
                if !users.contains(&position) {
                    users.push(position);
                }
                *both &= own;
            }
            None => self.streams.push((origin, vec![position], own)),
        }
    }
}

fn identity(path: &PathBuf) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// A log that will become unreadable, before it does: postlogd creates maillog_file as 0600 root, and rotation creates it
/// anew.
pub(super) fn warning(instance: &Instance) -> Option<String> {
    let file = instance.parameter("maillog_file").filter(|file| !file.starts_with("/dev/"))?;
    if instance.settings.log != LogSource::Auto
        || instance.parameter("maillog_file_permissions").is_some_and(|p| p != "0600")
    {
        return None;
    }
    let meta = fs::metadata(file).ok()?;
    let readable = rustix::process::getuid().is_root() || meta.uid() == rustix::process::getuid().as_raw();
    (!readable).then(|| {
        format!(
            "{}: {file} will be created anew as 0600 root when it is rotated, and then cannot be read any more; \
             `postconf maillog_file_permissions=0640` (Postfix 3.9), or log through syslog",
            instance.name
        )
    })
}

/// What the engine must know of an instance.
pub(super) fn settings(instance: &Instance, config: &config::Log) -> Settings {
    let services = instance.services.as_deref().unwrap_or_default();
    let routes = Routes::new(instance, services, config);
    if !routes.nameless.is_empty() {
        tracing::warn!(
            instance = instance.name,
            services = routes.nameless.join(", "),
            "takes filtered mail back and logs under no name of its own: without XFORWARD such mail counts twice; \
             give it `-o syslog_name={}/reinject`",
            instance.syslog_name
        );
    }
    Settings {
        name: instance.name.clone(),
        index: instance.index,
        syslog_name: instance.syslog_name.clone(),
        reinject_users: routes.users.iter().filter_map(|user| uid(user)).collect(),
        filters: routes.filters,
        reinject_labels: routes.labels,
        services: services.iter().map(|entry| service(entry, &instance.syslog_name)).collect(),
        addresses: addresses(instance),
        dnsbl: filters::lists(instance, services),
        logs_tls: logs_tls(instance, services),
    }
}

/// smtp_tls_loglevel, of main.cf or of a service.
fn logs_tls(instance: &Instance, services: &[instance::Service]) -> bool {
    const LEVEL: &str = "smtp_tls_loglevel";
    let of_services = services.iter().filter_map(|service| service.entry.option(LEVEL));
    instance
        .parameter(LEVEL)
        .into_iter()
        .chain(of_services)
        .any(|level| level.parse().is_ok_and(|level: u32| level > 0))
}

fn service(service: &instance::Service, syslog_name: &str) -> Service {
    Service {
        name: service.entry.name.clone(),
        key: service.key(),
        program: service.entry.program().to_owned(),
        label: service.log_label(syslog_name).map(str::to_owned),
        syslog_name: service.label.clone(),
        index: service.index,
    }
}

/// The number of a user in /etc/passwd, which is all pipe(8)'s `user=` needs on a mail host.
fn uid(user: &str) -> Option<u32> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    passwd.lines().map(fields).find(|fields| fields[0] == user)?.get(2)?.parse().ok()
}

/// info_log_addr_form; versions before 3.5 do not have it and write addresses as they are.
fn addresses(instance: &Instance) -> Form {
    let old = instance.parameter("mail_version").and_then(|version| {
        let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        Some((parts.next()?, parts.next()?) < (3, 5))
    });
    match instance.parameter("info_log_addr_form") {
        Some("internal") => Form::Internal,
        Some(_) => Form::External,
        None if old == Some(true) => Form::Internal,
        None => Form::External,
    }
}
