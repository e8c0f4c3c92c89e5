//! The certificates that each instance's SMTP servers use, as main.cf and master.cf name them; no probe is needed for them.
//!
//! postconf(5): where smtpd_tls_chain_files is set the other parameters are not used. A chain file begins with its key and may
//! hold several chains; the agent can mostly not read it, which is a state (unreadable) and no failure. An entry of master.cf
//! that sets another file has a certificate of its own; one with the same file has not. What is configured where TLS is off
//! is used by nobody, and is not watched. tls_server_sni_maps is not looked into: a probe with `server_name` sees what is
//! presented for a name.

use super::{
    certificate,
    run::{Judged, judge},
};
use crate::{
    collect::instance::{Instance, Instances, Service},
    config::probe::Certificates,
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Between two readings. A certificate is renewed without a word to anybody.
const EVERY: Duration = Duration::from_secs(20);
/// A reading that takes longer hangs in a file system.
const HANGS: Duration = Duration::from_secs(30);
/// How long a caller that looks only once waits for pieces of it.
const WAIT: Duration = Duration::from_millis(200);
/// More files than this of one instance are not read.
const FILES: usize = 256;

/// Parameters that name one certificate each.
const SINGLE: [&str; 3] = ["smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_dcert_file"];
const CHAINS: &str = "smtpd_tls_chain_files";

/// One certificate of an instance's.
#[derive(Clone, Debug)]
pub(super) struct Own {
    /// What it keeps its index by, whatever the instance is called. No probe's name has a control character.
    pub(super) key: String,
    /// `postfix smtpd_tls_cert_file`, `postfix submission/inet smtpd_tls_chain_files 2`
    pub(super) name: String,
    /// Where it is.
    pub(super) file: PathBuf,
    pub(super) judged: Judged,
}

/// A file that a parameter names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    /// The service where it has its own, and the parameter.
    name: String,
    file: PathBuf,
}

/// All of them, as last read.
pub(super) struct SmtpdCertificates {
    settings: Certificates,
    own: Vec<Own>,
    reading: Option<(Instant, mpsc::Receiver<Vec<Own>>)>,
    read: Option<(Instant, Arc<Vec<Arc<Instance>>>)>,
    /// Whether the reading that goes on takes too long.
    hangs: bool,
}

impl SmtpdCertificates {
    pub(super) fn new(settings: Certificates) -> Self {
        Self { settings, own: Vec::new(), reading: None, read: None, hangs: false }
    }

    /// Reads where that is due, on a thread of its own; says whether there is something new. `wait`: for a caller that looks
    /// only once.
    pub(super) fn refresh(&mut self, instances: &Instances, wait: bool) -> bool {
        if !self.settings.smtpd || !instances.is_known() {
            return false;
        }
        self.start(&instances.current());
        let Some((began, receiver)) = &self.reading else { return false };
        match receiver.recv_timeout(if wait { WAIT } else { Duration::ZERO }) {
            Ok(own) => {
                self.own = own;
                (self.reading, self.hangs) = (None, false);
                true
            }
            // It ended without a result: a bug, which its thread has reported. The next reading is a new one.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                self.reading = None;
                false
            }
            Err(mpsc::RecvTimeoutError::Timeout) if began.elapsed() > HANGS && !self.hangs => {
                self.hangs = true;
                for own in &mut self.own {
                    own.judged = Judged::unreadable("its file system does not answer".into());
                }
                true
            }
            Err(mpsc::RecvTimeoutError::Timeout) => false,
        }
    }

    fn start(&mut self, current: &Arc<Vec<Arc<Instance>>>) {
        let fresh =
            self.read.as_ref().is_some_and(|(when, before)| when.elapsed() < EVERY && Arc::ptr_eq(before, current));
        if fresh || self.reading.is_some() {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let (instances, expiring) = (current.clone(), self.settings.expiring);
        let started = thread::Builder::new().name("probe-smtpd".into()).spawn(move || {
            // Nobody may be waiting any more.
            let _ = sender.send(instances.iter().flat_map(|instance| of_instance(instance, expiring)).collect());
        });
        self.read = Some((Instant::now(), current.clone()));
        match started {
            Ok(_) => self.reading = Some((Instant::now(), receiver)),
            Err(e) => tracing::warn!("cannot start a thread to read certificates: {e}; see ulimit -u and TasksMax"),
        }
    }

    /// Whether a reading goes on that does not hang.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.as_ref().is_some_and(|(began, _)| began.elapsed() < HANGS)
    }

    /// Why it cannot be read.
    pub(super) fn trouble(&self) -> Option<String> {
        self.hangs.then(|| "reading the certificates of the SMTP servers hangs; is their file system well?".into())
    }

    pub(super) fn own(&self) -> &[Own] {
        &self.own
    }
}

fn of_instance(instance: &Instance, expiring: u32) -> Vec<Own> {
    // Of an instance that postmulti has disabled nobody is served.
    let files = if instance.is_disabled() { Vec::new() } else { files(instance) };
    files.iter().flat_map(|named| read(instance, named, expiring)).collect()
}

/// The files an instance's SMTP servers use, each once, main.cf's first.
fn files(instance: &Instance) -> Vec<Named> {
    let main = |parameter: &str| instance.parameter(parameter).unwrap_or_default().to_owned();
    let services = || instance.services.as_deref().unwrap_or_default().iter().filter(|service| !service.tls.is_empty());
    let of = |service: &Service, parameter: &str| match service.tls.get(parameter) {
        Some(value) => value.clone(),
        None => main(parameter),
    };
    let mut found: Vec<Named> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |of: &dyn Fn(&str) -> String, service: &str| {
        for (name, file) in named(of, service) {
            let file = instance.queue_directory.join(file);
            if found.len() < FILES && seen.insert(file.clone()) {
                found.push(Named { name, file });
            }
        }
    };
    // A service that turns TLS on uses what main.cf names, unless it names something else.
    let names_none = |service: &Service| !SINGLE.iter().chain([&CHAINS]).any(|name| service.tls.contains_key(*name));
    let inherits = services().any(|service| names_none(service) && uses_tls(&|parameter| of(service, parameter)));
    if uses_tls(&main) || inherits {
        add(&main, "");
    }
    for service in services() {
        let of = |parameter: &str| of(service, parameter);
        if uses_tls(&of) {
            add(&of, &service.key());
        }
    }
    found
}

/// Whether an SMTP server with these parameters offers TLS (smtpd.c, pre_jail_init).
fn uses_tls(of: &dyn Fn(&str) -> String) -> bool {
    let level = of("smtpd_tls_security_level");
    let yes = |parameter| of(parameter) == "yes";
    let obsolete = level.is_empty() && (yes("smtpd_use_tls") || yes("smtpd_enforce_tls"));
    !matches!(level.as_str(), "" | "none") || obsolete || yes("smtpd_tls_wrappermode")
}

/// Names and files by the rules of postconf(5).
fn named(of: &dyn Fn(&str) -> String, service: &str) -> Vec<(String, String)> {
    let name = |parameter: &str| [service, parameter].join(" ").trim_start().to_owned();
    let chains = of(CHAINS);
    let chains: Vec<&str> = chains.split([',', ' ', '\t']).filter(|file| !file.is_empty()).collect();
    if !chains.is_empty() {
        let numbered = |at: usize| if at == 0 { name(CHAINS) } else { format!("{} {}", name(CHAINS), at + 1) };
        return chains.into_iter().enumerate().map(|(at, file)| (numbered(at), file.to_owned())).collect();
    }
    let single = SINGLE.into_iter().map(|parameter| (name(parameter), of(parameter)));
    single.filter(|(_, file)| !file.is_empty() && file != "none").collect()
}

/// The certificates of one file: mostly one, in a chain file one a key.
fn read(instance: &Instance, named: &Named, expiring: u32) -> Vec<Own> {
    let own = |name: String, judged| Own {
        key: format!("\u{1}{} {name}", instance.index),
        name: format!("{} {name}", instance.name),
        file: named.file.clone(),
        judged,
    };
    let chains = match certificate::read_file(&named.file) {
        Ok(chains) => chains,
        Err(e) => return vec![own(named.name.clone(), Judged::unreadable(e.to_string()))],
    };
    let name = |at: usize| if at == 0 { named.name.clone() } else { format!("{} key {}", named.name, at + 1) };
    let judged =
        |chain: &Vec<_>| judge(chain, None, expiring, None).unwrap_or_else(|e| Judged::unreadable(e.to_string()));
    chains.iter().take(FILES).enumerate().map(|(at, chain)| own(name(at), judged(chain))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::instance::{made_up::instance, services_of};
    use std::path::Path;

    fn shown(parameters: &[(&str, &str)], master_cf: &str) -> Vec<String> {
        let show = |named: Named| format!("{}={}", named.name, named.file.display());
        let services = (!master_cf.is_empty()).then(|| services_of(master_cf).into());
        let instance = Instance { services, ..instance(Path::new("/q"), parameters) };
        files(&instance).into_iter().map(show).collect()
    }

    #[test]
    fn main_cf_names_them_where_tls_is_on() {
        let both = [("smtpd_tls_cert_file", "/c"), ("smtpd_tls_eccert_file", "e"), ("smtpd_tls_dcert_file", "none")];
        let with = |more: &[(&'static str, &'static str)]| [&both, more].concat();
        let seen = ["smtpd_tls_cert_file=/c", "smtpd_tls_eccert_file=/q/e"];
        assert_eq!(shown(&with(&[("smtpd_tls_security_level", "may")]), ""), seen);
        assert_eq!(shown(&with(&[("smtpd_use_tls", "yes")]), ""), seen);
        assert!(shown(&with(&[("smtpd_tls_security_level", "none"), ("smtpd_use_tls", "yes")]), "").is_empty());
        assert!(shown(&with(&[]), "").is_empty());
        let chains = with(&[("smtpd_tls_security_level", "may"), ("smtpd_tls_chain_files", "/a, /b")]);
        assert_eq!(
            shown(&chains, ""),
            ["smtpd_tls_chain_files=/a", "smtpd_tls_chain_files 2=/b"],
            "the others are not used then"
        );
    }

    #[test]
    fn master_cf_turns_tls_on_and_has_its_own() {
        let main = [("smtpd_tls_cert_file", "/c")];
        let wrapper = "smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes";
        assert_eq!(shown(&main, wrapper), ["smtpd_tls_cert_file=/c"]);
        let own = "[::1]:587 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_cert_file=/d\n\
                   smtp inet n - n - - smtpd -o smtpd_tls_cert_file=/unused\n";
        assert_eq!(shown(&main, own), ["[::1]:587/inet smtpd_tls_cert_file=/d"]);
        let may = [("smtpd_tls_cert_file", "/c"), ("smtpd_tls_security_level", "may")];
        let same = "a inet n - n - - smtpd -o smtpd_tls_cert_file=/c\n\
                    b inet n - n - - smtpd -o smtpd_tls_security_level=none\n";
        assert_eq!(shown(&may, same), ["smtpd_tls_cert_file=/c"], "the same file once");
    }

    #[test]
    fn what_cannot_be_read_is_a_state_and_the_index_stays_when_the_instance_is_renamed() {
        let named = Named { name: "smtpd_tls_cert_file".into(), file: "/nonexistent/c".into() };
        let mut instance = instance(Path::new("/q"), &[]);
        let before = read(&instance, &named, 21);
        assert_eq!((before.len(), before[0].judged.status), (1, certificate::Status::Unreadable));
        assert!(before[0].judged.error.contains("/nonexistent/c"), "{}", before[0].judged.error);
        assert_eq!(before[0].name, "postfix smtpd_tls_cert_file");
        instance.name = "mx".into();
        let after = read(&instance, &named, 21);
        assert_eq!((after[0].name.as_str(), &after[0].key), ("mx smtpd_tls_cert_file", &before[0].key));
    }
}
