//! What says how Postfix itself is doing: master, and the warnings of all programs that a counter is kept of.

use super::engine::{Instance, Program, Sender};
use crate::postfix::log::{
    Severity,
    text::{self, has},
};
use memchr::memrchr;

impl Instance {
    /// master's informational lines.
    pub(super) fn master(&mut self, rest: &[u8]) -> bool {
        if rest.starts_with(b"daemon started ") {
            self.state.starts += 1;
            // Nobody of the master before is there any more.
            self.state.sessions.clear();
            self.state.pids.clear();
            true
        } else if rest.starts_with(b"reload ") {
            self.state.reloads += 1;
            true
        } else {
            rest.starts_with(b"terminating on signal ")
        }
    }

    /// A line that begins with `warning: `, `error: `, `fatal: ` or `panic: `; `body` is what follows.
    pub(super) fn complaint(&mut self, by: &Sender, severity: Severity, body: &[u8], now: i64) {
        match by.program {
            Program::Master if severity == Severity::Warning => self.master_warning(body),
            Program::Smtpd => self.smtpd_warning(by, body, now),
            // nqmgr's clog warnings come four at a time; the first says it.
            Program::Qmgr if body.starts_with(b"mail for ") && has(body, b" is using up ") => {
                self.state.mail.destinations_saturated += 1;
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
            self.events(entry, &program).abnormal_exits += 1;
            if let Some(pid) = pid {
                self.state.pids.ended(pid);
                self.state.sessions.remove(&pid);
            }
        } else if let Some(path) = body.strip_suffix(b": bad command startup -- throttling") {
            let program = program(path);
            let entry = self.serving("", &program);
            self.events(entry, &program).throttles += 1;
            if self.throttled.len() < 1_024 {
                self.throttled.push(program);
            }
        } else if body.starts_with(b"service \"")
            && has(body, b" has reached its process limit ")
            && let Some(name) = text::between(body, b"service \"", b"\"")
        {
            // The first of three warnings: `service "smtp" (25) has reached …`.
            let name = text::name(name);
            let entry = self.settings.services.iter().position(|service| service.name == name);
            self.events(entry, &name).limit_reached += 1;
        }
    }

    fn smtpd_warning(&mut self, by: &Sender, body: &[u8], now: i64) {
        let smtpd = self.state.smtpd.at(by.service);
        if has(body, b" authentication failed: ") && has(body, b": SASL ") {
            smtpd.auth_failed += 1;
            let name = text::between(body, b", sasl_username=", b",").map(text::name);
            self.state.senders.failure(name.as_deref(), now);
        } else if has(body, b" limit exceeded: ") && has(body, b" for service ") {
            smtpd.limits_exceeded += 1;
        } else if has(body, b"non-SMTP command from ") || body.starts_with(b"Illegal address syntax from ") {
            smtpd.protocol_errors += 1;
        } else if (body.starts_with(b"hostname ") && has(body, b" does not resolve to address "))
            || (has(body, b": hostname ") && has(body, b" verification failed"))
            || (has(body, b": address not listed for hostname "))
        {
            smtpd.unknown_clients += 1;
        }
    }
}

/// The last component of a path.
fn program(path: &[u8]) -> String {
    text::name(memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..]))
}
