//! What says how Postfix itself is doing: master, and the warnings of all programs that a counter is kept of.

use super::engine::{Instance, Program, Sender};
use crate::postfix::log::{
    Severity,
    refusal::peer,
    text::{self, has},
};
use memchr::memrchr;

impl Instance {
    /// master's informational lines.
    pub(super) fn master(&mut self, rest: &[u8]) -> bool {
        if rest.starts_with(b"daemon started ") {
            self.state.starts += self.times;
            // Nobody of the master before is there any more.
            self.state.sessions.clear();
            self.state.pids.clear();
            true
        } else if rest.starts_with(b"reload ") {
            self.state.reloads += self.times;
            true
        } else {
            [&b"terminating on signal "[..], b"master exit time has arrived", b"ignoring status update from child "]
                .iter()
                .any(|word| rest.starts_with(word))
        }
    }

    /// A line that begins with `warning: `, `error: `, `fatal: ` or `panic: `; `body` is what follows.
    pub(super) fn complaint(&mut self, by: &Sender, severity: Severity, body: &[u8], now: i64) {
        match by.program {
            Program::Master if severity == Severity::Warning => self.master_warning(body),
            Program::Smtpd => self.smtpd_warning(by, body, now),
            Program::Cleanup if severity == Severity::Warning => {
                if let Some((id, rest)) = text::queue_id(body)
                    && let Some(why) = rest.strip_prefix(b"message rejected: ")
                {
                    self.message_rejected(id, why);
                }
            }
            // nqmgr's clog warnings come four at a time; the first says it.
            Program::Qmgr if body.starts_with(b"mail for ") && body.ends_with(b" active queue entries") => {
                self.state.mail.destinations_saturated += self.times;
            }
            _ => {}
        }
    }

    fn master_warning(&mut self, body: &[u8]) {
        if let Some(process) = body.strip_prefix(b"process ") {
            // `process /usr/lib/postfix/sbin/smtpd pid 7 exit status 1`, `… killed by signal 9`
            let Some(end) = memchr::memmem::find(process, b" pid ") else { return };
            if !has(process, b" exit status ") && !has(process, b" killed by signal ") {
                return;
            }
            let program = program(&process[..end]);
            let pid = text::between(process, b" pid ", b" ").and_then(text::number).and_then(|n| u32::try_from(n).ok());
            let told = pid.and_then(|pid| self.state.pids.get(pid)).map(usize::from);
            let entry = told.or_else(|| self.serving("", &program));
            self.events(entry, &program).abnormal_exits += self.times;
            self.lost = Some((program, told));
            if let Some(pid) = pid {
                self.state.pids.ended(pid);
                self.state.sessions.remove(&pid);
            }
        } else if let Some(path) = body.strip_suffix(b": bad command startup -- throttling") {
            let program = program(path);
            // master says it right after the end of the process that it could not start.
            let told = self.lost.take().filter(|(lost, _)| *lost == program).and_then(|(_, entry)| entry);
            let entry = told.or_else(|| self.serving("", &program));
            self.events(entry, &program).throttles += self.times;
            let key = told.and_then(|n| self.settings.services.get(n)).map(|service| service.key.clone());
            if self.throttled.len() < 1_024 {
                self.throttled.push((program, key));
            }
        } else if body.starts_with(b"service \"")
            && has(body, b" has reached its process limit ")
            && let Some(name) = text::between(body, b"service \"", b"\"")
        {
            // The first of three warnings: `service "smtp" (25) has reached …`.
            let name = text::name(name);
            let entry = self.settings.services.iter().position(|service| service.name == name);
            self.events(entry, &name).limit_reached += self.times;
        }
    }

    /// Postfix's own words come first in each of them (smtpd.c, smtpd_sasl_glue.c, smtpd_peer.c); what a client said is behind
    /// and not looked at.
    fn smtpd_warning(&mut self, by: &Sender, body: &[u8], now: i64) {
        const LIMITS: [&[u8]; 6] = [
            b"Connection concurrency limit exceeded: ",
            b"Connection rate limit exceeded: ",
            b"Message delivery request rate limit exceeded: ",
            b"Recipient address rate limit exceeded: ",
            b"New TLS session rate limit exceeded: ",
            b"AUTH command rate limit exceeded: ",
        ];
        let smtpd = self.state.smtpd.at(by.service);
        let body = text::queue_id(body).map_or(body, |(_, rest)| rest);
        if let Some(name) = login_failed(body) {
            smtpd.auth_failed += self.times;
            self.state.senders.failure(name.map(text::name).as_deref(), now, self.times);
            self.state.clients.auth_failure(body, now, self.times);
        } else if LIMITS.iter().any(|limit| body.starts_with(limit)) {
            smtpd.limits_exceeded += self.times;
        } else if body.starts_with(b"non-SMTP command from ") || body.starts_with(b"Illegal address syntax from ") {
            smtpd.protocol_errors += self.times;
        } else if unknown_client(body) {
            smtpd.unknown_clients += self.times;
        }
    }
}

/// `host[address]: SASL PLAIN authentication failed: reason, sasl_username=name` (smtpd_sasl_glue.c): the name, where it is
/// logged (3.9). The reason may be empty. A name may hold anything and is the last field.
fn login_failed(body: &[u8]) -> Option<Option<&[u8]>> {
    const NAME: &[u8] = b", sasl_username=";
    let (_, rest) = peer(body)?;
    let rest = rest.strip_prefix(b": SASL ")?;
    // A mechanism is one word.
    let rest = &rest[memchr::memchr(b' ', rest)?..];
    let reason = rest.strip_prefix(b" authentication failed:")?;
    Some(memchr::memmem::find(reason, NAME).map(|at| &reason[at + NAME.len()..]))
}

/// The name of a client that does not lead back to it (smtpd_peer.c, and the words of 2.9 to 3.1).
fn unknown_client(body: &[u8]) -> bool {
    let words: [&[u8]; 2] = [b"hostname ", b"address not listed for hostname "];
    if let Some(rest) = body.strip_prefix(words[0]) {
        let name = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        return rest[name..].starts_with(b" does not resolve to address ");
    }
    // `192.0.2.1: hostname x verification failed: …`: an address is one word, and may have colons.
    let Some(at) = memchr::memmem::find(body, b": ") else { return false };
    if memchr::memchr(b' ', &body[..at]).is_some() {
        return false;
    }
    let rest = &body[at + 2..];
    let verified = rest.strip_prefix(words[0]).is_some_and(|rest| {
        rest[memchr::memchr(b' ', rest).unwrap_or(rest.len())..].starts_with(b" verification failed")
    });
    verified || rest.starts_with(words[1])
}

/// The last component of a path.
fn program(path: &[u8]) -> String {
    text::name(memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..]))
}
