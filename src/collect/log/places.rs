//! Where each instance logs.

use super::{
    engine::{Service, Settings},
    filters::{self, Routes},
    journal,
    stream::Origin,
};
use crate::{
    advice,
    collect::instance::{self, Instance},
    config::{self, LogSource},
    postfix::log::address::Form,
    regular,
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
    /// Positions of instances whose journal is read because their file may not be, and what would change that.
    pub instead: BTreeMap<usize, String>,
}

/// Where the log of the mail facility may be.
struct Sources<'a> {
    files: &'a [&'a str],
    journals: &'a [&'static str],
    /// Whether this user may read a file.
    may_read: &'a dyn Fn(&Path) -> bool,
    /// Whether it was read before.
    begun: &'a dyn Fn(&Origin) -> bool,
}

/// Where it is.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    File(PathBuf),
    Journal,
    /// This file may not be read, and the journal may.
    Instead(PathBuf),
    Nowhere,
}

impl Sources<'_> {
    /// The first one that can be read. What was read before is stayed with where that is possible: only so is every line
    /// counted once, for the same lines are in the journal and in the file.
    fn find(&self) -> Found {
        let Some(file) = self.files.iter().map(PathBuf::from).find(|file| file.exists()) else {
            return if journal::has_files(self.journals) { Found::Journal } else { Found::Nowhere };
        };
        let begun = (self.begun)(&Origin::File(file.clone()));
        if begun || !journal::may_be_read(self.journals) {
            return Found::File(file);
        }
        if !(self.may_read)(&file) {
            Found::Instead(file)
        } else if (self.begun)(&Origin::Journal) {
            Found::Journal
        } else {
            Found::File(file)
        }
    }
}

/// What is wrong with it otherwise is told when it is read.
fn may_read(file: &Path) -> bool {
    !regular::open(file).is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
}

impl Places {
    /// Of these instances; `begun` says what was read before.
    pub(super) fn of(list: &[Arc<Instance>], begun: impl Fn(&Origin) -> bool) -> Self {
        let mut places = Self::default();
        let sources = Sources { files: &USUAL, journals: &journal::DIRECTORIES, may_read: &may_read, begun: &begun };
        for (position, instance) in list.iter().enumerate() {
            match &instance.settings.log {
                LogSource::None => drop(places.disabled.insert(position)),
                LogSource::Journal => places.add(Origin::Journal, position, false),
                LogSource::Files(files) => {
                    files.iter().for_each(|file| places.add(Origin::File(file.clone()), position, true));
                }
                LogSource::Auto => places.automatic(position, instance, &sources),
            }
            places.warnings.extend(warning(instance));
        }
        places
    }

    fn automatic(&mut self, position: usize, instance: &Instance, sources: &Sources<'_>) {
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
            None => match sources.find() {
                Found::File(file) => self.add(Origin::File(file), position, false),
                Found::Journal => self.add(Origin::Journal, position, false),
                Found::Instead(file) => {
                    let what = format_args!(
                        "{} may not be read by {}, so the journal is followed, which may; to have the file instead let it be \
                         read and write `log: {{ files: [{0}] }}`",
                        file.display(),
                        advice::user()
                    );
                    self.instead.insert(position, what.to_string());
                    self.add(Origin::Journal, position, false);
                }
                Found::Nowhere => {
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
        logs_tls: [
            logs_tls(instance, services, &["smtpd_tls_loglevel"]),
            logs_tls(instance, services, &["smtp_tls_loglevel", "lmtp_tls_loglevel"]),
        ],
    }
}

/// Whether one of these levels is above 0, in main.cf or of a service.
fn logs_tls(instance: &Instance, services: &[instance::Service], levels: &[&str]) -> bool {
    let of_services = |level| services.iter().filter_map(move |service| service.entry.option(level));
    levels
        .iter()
        .flat_map(|level| instance.parameter(level).into_iter().chain(of_services(level)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_be_read_is_stayed_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (file, machine) = (path("maillog"), path("journal/abc"));
        fs::create_dir_all(&machine).unwrap();
        // DIRECTORIES are statics.
        let journals: &'static str = path("journal").display().to_string().leak();
        let name = file.display().to_string();
        let closed = std::cell::Cell::new(false);
        let found = |begun: &[Origin]| {
            let begun = |origin: &Origin| begun.contains(origin);
            let files = ["/nonexistent", &name];
            Sources { files: &files, journals: &[journals], may_read: &|_| !closed.get(), begun: &begun }.find()
        };
        assert_eq!(found(&[]), Found::Nowhere);
        let journal = machine.join("system.journal");
        fs::write(&journal, "").unwrap();
        assert_eq!(found(&[]), Found::Journal);
        fs::write(&file, "").unwrap();
        assert_eq!(found(&[]), Found::File(file.clone()));
        assert_eq!(found(&[Origin::Journal]), Found::Journal, "its lines would be counted a second time");
        assert_eq!(found(&[Origin::Journal, Origin::File(file.clone())]), Found::File(file.clone()));
        fs::remove_file(&journal).unwrap();
        assert_eq!(found(&[Origin::Journal]), Found::File(file.clone()));
        closed.set(true);
        assert_eq!(found(&[]), Found::File(file.clone()), "there is nothing else; its remedy is told");
        fs::write(&journal, "").unwrap();
        assert_eq!(found(&[]), Found::Instead(file.clone()));
        assert_eq!(found(&[Origin::File(file.clone())]), Found::File(file), "what it has lost is told");
    }
}
