//! The SMTP server's side: smtpd, cleanup, postscreen, dnsblog.

use super::{
    engine::{Instance, Sender},
    ids::Origin,
    reject::RejectReason,
};
use crate::postfix::log::{
    QueueId,
    text::{self, has},
};

impl Instance {
    /// A command was refused.
    fn rejected(&mut self, reason: RejectReason, temporary: bool) {
        let mail = &mut self.state.mail;
        if temporary {
            mail.rejects_temporary += 1;
        } else {
            mail.rejects_permanent += 1;
        }
        self.state.rejects[reason as usize - 1][usize::from(!temporary)] += 1;
    }

    /// smtpd.
    pub(super) fn smtpd(&mut self, by: &Sender, id: Option<QueueId>, rest: &[u8], pid: Option<u32>, now: i64) -> bool {
        match rest.first() {
            Some(b'c') => {
                if let Some(client) = rest.strip_prefix(b"client=") {
                    // Without a queue id it is a before-queue proxy's.
                    if let Some(id) = id {
                        self.accepted(by, id, client, now);
                    }
                    return true;
                }
                if rest.starts_with(b"connect from ") {
                    self.state.smtpd.at(by.service).connects += 1;
                    if let Some(pid) = pid {
                        // One process serves one client at a time; this bounds what a log full of strange pids can do.
                        if self.state.sessions.len() < 65_536 {
                            self.state.sessions.insert(pid, by.service);
                        }
                    }
                    return true;
                }
                if rest.starts_with(b"canceled") {
                    id.into_iter().for_each(|id| self.state.ids.remove(id));
                    return true;
                }
            }
            Some(b'd') if rest.starts_with(b"disconnect from ") => {
                let smtpd = self.state.smtpd.at(by.service);
                smtpd.disconnects += 1;
                for (command, ok, _) in text::command_counts(rest) {
                    match command {
                        b"data" | b"bdat" => smtpd.accepted += ok,
                        b"auth" => smtpd.auth_ok += ok,
                        _ => {}
                    }
                }
                if let Some(pid) = pid {
                    self.state.sessions.remove(&pid);
                }
                return true;
            }
            _ => {}
        }
        if let Some((action, details)) = action(rest) {
            return self.smtpd_action(by, id, action, details);
        }
        let smtpd = self.state.smtpd.at(by.service);
        if rest.starts_with(b"lost connection after ") {
            smtpd.lost_connections += 1;
        } else if rest.starts_with(b"timeout after ") {
            smtpd.timeouts += 1;
        } else if rest.starts_with(b"too many errors after ") {
            smtpd.too_many_errors += 1;
        } else if has(rest, b" TLS connection established from ") || has(rest, b" TLS connection reused from ") {
            smtpd.tls_sessions += 1;
        } else if rest.starts_with(b"SSL_accept error from ") {
            smtpd.tls_errors += 1;
        } else if rest.starts_with(b"improper command pipelining after ")
            || rest.starts_with(b"bare <LF> received after ")
            || rest.starts_with(b"non-SMTP command from ")
        {
            smtpd.protocol_errors += 1;
        } else {
            let known: [&[u8]; 12] = [
                b"setting up TLS connection ",
                b"discarding EHLO keywords",
                b"certificate verification failed ",
                b"initializing the server-side TLS engine",
                b"initializing the ",
                b"idle timeout",
                b"proxy-accept: ",
                b"replacing command ",
                b"permit_",
                b"reject_",
                b"too many ",
                b"milter-",
            ];
            return known.iter().any(|word| rest.starts_with(word))
                || has(rest, b": subject_CN=")
                || has(rest, b": Trusted: ");
        }
        true
    }

    /// `QID: client=host[address], sasl_username=…, orig_queue_id=…`: the first recipient was accepted.
    fn accepted(&mut self, by: &Sender, id: QueueId, client: &[u8], now: i64) {
        let mail = &mut self.state.mail;
        if by.reinjects || has(client, b", orig_queue_id=") {
            mail.received_reinjected += 1;
            return self.state.ids.open(id, Origin::Reinjected, 0);
        }
        mail.received_smtp += 1;
        let sender = match text::between(client, b", sasl_username=", b",") {
            Some(name) => self.state.senders.message(&text::name(name), now).saturating_add(1),
            None => 0,
        };
        self.state.ids.open(id, Origin::Received, sender);
    }

    fn smtpd_action(&mut self, by: &Sender, id: Option<QueueId>, action: &[u8], details: &[u8]) -> bool {
        let (mail, ids) = (&mut self.state.mail, &mut self.state.ids);
        match action {
            b"reject" | b"milter-reject" | b"proxy-reject" => {
                let proxy = action == b"proxy-reject";
                // `proxy-reject: END-OF-MESSAGE: 554 …` has no client; an empty reply is a proxy that hung up.
                let reply = if proxy { details.get(16..).unwrap_or_default() } else { text::reply(details) };
                let temporary = text::temporary(reply).unwrap_or(proxy);
                let end = [b"END-OF-MESSAGE", &b"DATA"[..], b"BDAT"].iter().any(|stage| details.starts_with(stage));
                if end && !proxy {
                    // The message is refused as a whole, not one of its recipients.
                    id.into_iter().for_each(|id| ids.remove(id));
                }
                mail.proxy_rejects += u64::from(proxy);
                mail.milter_rejects += u64::from(action == b"milter-reject");
                let smtpd = self.state.smtpd.at(by.service);
                if temporary {
                    smtpd.rejects_temporary += 1;
                } else {
                    smtpd.rejects_permanent += 1;
                }
                let reason = match RejectReason::of(reply) {
                    RejectReason::Greylisted => RejectReason::Greylisted,
                    _ if action == b"milter-reject" => RejectReason::Milter,
                    _ if proxy => RejectReason::Content,
                    reason => reason,
                };
                if reason == RejectReason::Dnsbl {
                    self.blocked(reply);
                }
                self.rejected(reason, temporary);
            }
            b"reject_warning" => mail.reject_warnings += 1,
            b"hold" | b"milter-hold" => mail.held += 1,
            b"discard" | b"milter-discard" => {
                mail.discarded += 1;
                id.into_iter().for_each(|id| ids.remove(id));
            }
            b"redirect" => mail.redirected += 1,
            b"filter" => mail.filtered += 1,
            b"milter-quarantine" => mail.held += 1,
            b"prepend" | b"bcc" | b"permit" | b"info" | b"warn" | b"warning" | b"delay" | b"hangup" | b"dunno"
            | b"strip" | b"ignore" | b"replace" | b"milter-accept" | b"proxy-accept" => {}
            other => return other.starts_with(b"milter-"),
        }
        true
    }

    /// `… blocked using zen.example; …`
    fn blocked(&mut self, reply: &[u8]) {
        if let Some(list) = text::between(reply, b"blocked using ", b"; ,") {
            let slot = self.state.dnsbl_slot(list);
            self.state.dnsbl.at(slot).blocked += 1;
        }
    }

    /// cleanup: every message passes here.
    pub(super) fn cleanup(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        let Some(id) = id else { return rest.starts_with(b"milter-") };
        if rest.starts_with(b"message-id=") || rest.starts_with(b"resent-message-id=") {
            self.state.ids.seen_by_cleanup(id);
            return true;
        }
        let (mail, ids) = (&mut self.state.mail, &mut self.state.ids);
        if let Some(why) = rest.strip_prefix(b"message rejected: ") {
            mail.cleanup_rejects += 1;
            mail.loops_detected += u64::from(why.starts_with(b"hopcount exceeded"));
            ids.remove(id);
            self.rejected(RejectReason::Other, false);
            return true;
        }
        let Some((action, details)) = action(rest) else { return rest.starts_with(b"canceled") };
        match action {
            b"reject" => {
                mail.cleanup_rejects += 1;
                ids.remove(id);
                let temporary = text::temporary(text::check_reply(details)).unwrap_or(false);
                self.rejected(RejectReason::Content, temporary);
            }
            b"milter-reject" => {
                mail.milter_rejects += 1;
                ids.remove(id);
                let reply = text::reply(details);
                let reason = match RejectReason::of(reply) {
                    RejectReason::Greylisted => RejectReason::Greylisted,
                    _ => RejectReason::Milter,
                };
                self.rejected(reason, text::temporary(reply).unwrap_or(false));
            }
            b"discard" | b"milter-discard" => {
                mail.discarded += 1;
                ids.remove(id);
            }
            b"hold" | b"milter-hold" => mail.held += 1,
            b"redirect" => mail.redirected += 1,
            b"filter" => mail.filtered += 1,
            b"replace" | b"prepend" | b"warning" | b"strip" | b"bcc" | b"info" | b"ignore" | b"delay" | b"pass"
            | b"addheader" => {}
            other => return other.starts_with(b"milter-"),
        }
        true
    }

    /// postscreen.
    pub(super) fn postscreen(&mut self, rest: &[u8]) -> bool {
        let p = &mut self.state.postscreen;
        if rest.starts_with(b"CONNECT from ") {
            p.connects += 1;
        } else if rest.starts_with(b"PASS NEW ") {
            p.pass_new += 1;
        } else if rest.starts_with(b"PASS OLD ") {
            p.pass_old += 1;
        } else if rest.starts_with(b"ALLOWLISTED ") || rest.starts_with(b"WHITELISTED ") {
            p.allowlisted += 1;
        } else if rest.starts_with(b"DENYLISTED ") || rest.starts_with(b"BLACKLISTED ") {
            p.denylisted += 1;
        } else if rest.starts_with(b"PREGREET ") {
            p.pregreet += 1;
        } else if rest.starts_with(b"DNSBL rank ") {
            p.dnsbl_hits += 1;
        } else if rest.starts_with(b"HANGUP after ") {
            p.hangups += 1;
        } else if rest.starts_with(b"BARE NEWLINE ")
            || rest.starts_with(b"NON-SMTP COMMAND ")
            || rest.starts_with(b"COMMAND ")
            || rest.starts_with(b"DATA without valid RCPT")
            || rest.starts_with(b"BDAT without valid RCPT")
        {
            p.protocol_errors += 1;
        } else if rest.starts_with(b"entering STRESS mode") {
            p.stress_mode += 1;
        } else if let Some(details) = rest.strip_prefix(b"reject: ") {
            p.rejects += 1;
            let busy = has(details, b" ports busy");
            p.ports_busy += u64::from(busy);
            let reply = text::reply(details);
            let reason = match RejectReason::of(reply) {
                RejectReason::Dnsbl => {
                    self.blocked(reply);
                    RejectReason::Dnsbl
                }
                _ => RejectReason::Postscreen,
            };
            // `too many connections` and `all server ports busy` are 421, which is not logged.
            let temporary = text::temporary(reply).unwrap_or(true);
            self.rejected(reason, temporary);
        } else {
            let known: [&[u8]; 7] = [
                b"DISCONNECT ",
                b"ALLOWLIST VETO ",
                b"WHITELIST VETO ",
                b"leaving STRESS mode",
                b"cache ",
                b"reject_warning: ",
                b"close database",
            ];
            return known.iter().any(|word| rest.starts_with(word));
        }
        true
    }

    /// dnsblog: `addr A listed by domain D as 127.0.0.2`.
    pub(super) fn dnsblog(&mut self, rest: &[u8]) -> bool {
        if !rest.starts_with(b"addr ") {
            return false;
        }
        let Some(list) = text::between(rest, b" listed by domain ", b" ") else { return false };
        let slot = self.state.dnsbl_slot(list);
        self.state.dnsbl.at(slot).listed += 1;
        true
    }
}

/// `reject: details`: the word of an action, as smtpd_check.c, cleanup_act.c and the milter code log them.
fn action(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.iter().take(24).position(|b| !b.is_ascii_lowercase() && !matches!(b, b'-' | b'_'))?;
    let details = rest[end..].strip_prefix(b": ")?;
    Some((&rest[..end], details))
}
