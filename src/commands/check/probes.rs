//! What keeps a probe from working, as far as it is seen without running it: passwords, certificates, programs and directories
//! that the daemon's user cannot use. Nothing is sent, and no server is asked.

use super::report::Finding;
use crate::{
    collect::probe::{certificate, secret::Secret},
    config::{
        Config,
        probe::{CertificateAt, Kind, Probe, Retrieve, Server, Submit},
    },
};
use rustix::fs::{Access, access};
use std::path::{Path, PathBuf};

const ID: &str = "probe";

/// A finding for each thing that is wrong with a probe; one for each probe with which nothing is.
pub(super) fn probes(config: &Config, findings: &mut Vec<Finding>) {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    for probe in &config.probes {
        let subject = format!("probe {}", probe.name);
        if !probe.enabled {
            findings.push(Finding::ok(ID, subject, "disabled by the configuration"));
            continue;
        }
        let wrong = wrong_with(probe, credentials.as_deref());
        if wrong.is_empty() {
            let text =
                format!("every {} s; `postfix-agentx probe '{}'` runs it now", probe.every.as_secs(), probe.name);
            findings.push(Finding::ok(ID, subject.clone(), &text));
        }
        findings.extend(wrong.iter().map(|text| Finding::wrong(ID, subject.clone(), text)));
        findings.extend(blind(probe).map(|text| Finding::note(ID, subject.clone(), &text)));
    }
}

fn wrong_with(probe: &Probe, credentials: Option<&Path>) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    for server in probe.servers() {
        let secret = server.login.as_ref().map(|login| Secret::read(&login.password, credentials));
        wrong.extend(secret.and_then(Result::err).map(|e| e.to_string()));
        wrong.extend(server.ca_file.as_deref().and_then(unreadable));
    }
    match &probe.kind {
        Kind::Smtp(_) => {}
        Kind::Certificate(kind) => {
            if let CertificateAt::File(file) = &kind.at {
                wrong.extend(unreadable(file));
                wrong.extend(kind.ca_file.as_deref().and_then(unreadable));
            }
        }
        Kind::RoundTrip(trip) => {
            if let Submit::Sendmail(program) = &trip.submit {
                wrong.extend(refused(program, Access::EXEC_OK, "is it installed, and may the agent's user run it?"));
            }
            if let Retrieve::Maildir(maildir) = &trip.retrieve {
                let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
                let remedy = "the agent's user must be able to read it and to remove its own messages there";
                wrong.extend(["new", "cur"].iter().filter_map(|part| refused(&maildir.join(part), all, remedy)));
            }
        }
    }
    wrong
}

/// A server that anybody could pass for.
fn blind(probe: &Probe) -> impl Iterator<Item = String> + '_ {
    let is_blind = |server: &&Server| server.login.is_some() && !server.verify;
    probe.servers().into_iter().filter(is_blind).map(|server| {
        format!("{} is not verified (verify: false), and gets the password all the same", server.target())
    })
}

fn unreadable(file: &Path) -> Option<String> {
    certificate::read_file(file).err().map(|e| e.to_string())
}

/// Why this user may not use a path as wanted.
fn refused(path: &Path, wanted: Access, remedy: &str) -> Option<String> {
    let error = std::io::Error::from(access(path, wanted).err()?);
    Some(format!("{}: {error}; {remedy}", path.display()))
}
