//! The SMTP server's side: smtpd, cleanup, postscreen, dnsblog.

use super::{
    engine::{Instance, Sender},
    flow::tls_library,
    ids::Origin,
    reject::RejectReason,
    tls::Direction,
};
use crate::postfix::log::{
    QueueId,
    check::check_text,
    refusal::{blocked_using, peer, proxied, refusal},
    text,
    tls::session,
};

impl Instance {
    /// A command was refused.
    fn rejected(&mut self, reason: RejectReason, temporary: bool) {
        let mail = &mut self.state.mail;
        if temporary {
            mail.rejects_temporary += self.times;
        } else {
            mail.rejects_permanent += self.times;
        }
        self.state.rejects[reason as usize - 1][usize::from(!temporary)] += self.times;
    }

    /// smtpd.
    pub(super) fn smtpd(&mut self, by: &Sender, id: Option<QueueId>, rest: &[u8], pid: Option<u32>, now: i64) -> bool {
        match rest.first() {
            Some(b'c') => {
                if let Some(client) = rest.strip_prefix(b"client=") {
                    // Without a queue id it is a before-queue proxy's.
                    if let Some(id) = id {
                        self.accepted(by, id, client, pid, now);
                    }
                    return true;
                }
                if rest.starts_with(b"connect from ") {
                    self.state.smtpd.at(by.service).connects += self.times;
                    self.state.clients.connect(&rest[13..], now, self.times);
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
                smtpd.disconnects += self.times;
                for (command, ok, _) in text::command_counts(rest) {
                    let more = ok.saturating_mul(self.times);
                    match command {
                        b"data" | b"bdat" => smtpd.accepted = smtpd.accepted.saturating_add(more),
                        b"auth" => smtpd.auth_ok = smtpd.auth_ok.saturating_add(more),
                        _ => {}
                    }
                }
                if let Some(pid) = pid {
                    self.state.sessions.remove(&pid);
                    self.state.ids.abandon(pid, false);
                }
                return true;
            }
            _ => {}
        }
        if let Some((action, details)) = action(rest) {
            return self.smtpd_action(by, id, action, details);
        }
        let smtpd = self.state.smtpd.at(by.service);
        if let Some(stage) = rest.strip_prefix(b"lost connection after ") {
            smtpd.lost_connections += self.times;
            self.broken_off(pid, stage);
        } else if let Some(stage) = rest.strip_prefix(b"timeout after ") {
            smtpd.timeouts += self.times;
            self.broken_off(pid, stage);
        } else if rest.starts_with(b"too many errors after ") {
            smtpd.too_many_errors += self.times;
        } else if let Some(session) = session(rest, b"from ") {
            smtpd.tls_sessions += self.times;
            self.state.tls.session(Direction::Inbound, &session, self.times);
        } else if rest.starts_with(b"SSL_accept error from ") {
            smtpd.tls_errors += self.times;
        } else if rest.starts_with(b"improper command pipelining after ")
            || rest.starts_with(b"bare <LF> received after ")
            || rest.starts_with(b"non-SMTP command from ")
        {
            smtpd.protocol_errors += self.times;
        } else {
            const KNOWN: [&[u8]; 13] = [
                b"abort: TLS from ",
                b"mapping DSN status ",
                b"discarding EHLO keywords",
                b"skipping address family ",
                b"idle timeout",
                b"initializing the ",
                b"replacing command ",
                b"permit_",
                b"reject_",
                b"too many ",
                b"milter-",
                // Verbose logging of a session (-v, debug_peer_list) repeats what the client said.
                b"< ",
                b"> ",
            ];
            // qmqpd: `QID: host[address]: reason while receiving …`.
            let qmqpd = peer(rest).is_some_and(|(_, after)| after.starts_with(b": ") && id.is_some());
            return KNOWN.iter().any(|word| rest.starts_with(word)) || tls_library(rest) || qmqpd;
        }
        true
    }

    /// `DATA (123 bytes) from …`: the client went within the content.
    fn broken_off(&mut self, pid: Option<u32>, stage: &[u8]) {
        let inside = stage.starts_with(b"DATA (") || stage.starts_with(b"BDAT (");
        pid.into_iter().for_each(|pid| self.state.ids.abandon(pid, inside));
    }

    /// `QID: client=host[address], sasl_username=…, orig_queue_id=…`: the first recipient was accepted.
    fn accepted(&mut self, by: &Sender, id: QueueId, client: &[u8], pid: Option<u32>, now: i64) {
        let mail = &mut self.state.mail;
        let (name, forwarded) = origin(client);
        if by.reinjects || forwarded {
            mail.received_reinjected += self.times;
            return self.state.ids.begin(pid, id, Origin::Reinjected, 0);
        }
        mail.received_smtp += self.times;
        let sender = match name {
            Some(name) => self.state.senders.message(&text::name(name), now, self.times),
            None => 0,
        };
        self.state.ids.begin(pid, id, Origin::Received, sender);
    }

    fn smtpd_action(&mut self, by: &Sender, id: Option<QueueId>, action: &[u8], details: &[u8]) -> bool {
        let (mail, ids) = (&mut self.state.mail, &mut self.state.ids);
        match action {
            b"reject" | b"milter-reject" | b"proxy-reject" => {
                let proxy = action == b"proxy-reject";
                // `proxy-reject: END-OF-MESSAGE: 554 …` has no client; an empty reply is a proxy that hung up.
                let refused = if proxy { proxied(details) } else { refusal(details) }.unwrap_or_default();
                self.state.clients.reject(refused.client, self.reading.now, self.times);
                let temporary = refused.temporary.unwrap_or(proxy);
                let end =
                    [b"END-OF-MESSAGE", &b"DATA"[..], b"BDAT"].iter().any(|stage| refused.stage.starts_with(stage));
                if end && !proxy {
                    // The message is refused as a whole, not one of its recipients.
                    id.into_iter().for_each(|id| ids.remove(id));
                }
                mail.proxy_rejects += u64::from(proxy) * self.times;
                mail.milter_rejects += u64::from(action == b"milter-reject") * self.times;
                self.state.codes.count(refused.reply, self.times);
                let smtpd = self.state.smtpd.at(by.service);
                if temporary {
                    smtpd.rejects_temporary += self.times;
                } else {
                    smtpd.rejects_permanent += self.times;
                }
                let reason = match RejectReason::of(&refused) {
                    RejectReason::Greylisted => RejectReason::Greylisted,
                    _ if action == b"milter-reject" => RejectReason::Milter,
                    _ if proxy => RejectReason::Content,
                    reason => reason,
                };
                if reason == RejectReason::Dnsbl {
                    self.blocked(refused.words);
                }
                self.rejected(reason, temporary);
            }
            b"reject_warning" => mail.reject_warnings += self.times,
            b"hold" | b"milter-hold" => mail.held += self.times,
            b"discard" | b"milter-discard" => {
                mail.discarded += self.times;
                id.into_iter().for_each(|id| ids.remove(id));
            }
            b"redirect" => mail.redirected += self.times,
            b"filter" => mail.filtered += self.times,
            b"milter-quarantine" => mail.held += self.times,
            b"prepend" | b"bcc" | b"permit" | b"info" | b"warn" | b"warning" | b"delay" | b"hangup" | b"dunno"
            | b"strip" | b"ignore" | b"replace" | b"milter-accept" | b"proxy-accept" | b"abort" => {}
            other => return other.starts_with(b"milter-"),
        }
        true
    }

    /// `… blocked using zen.example; …`
    fn blocked(&mut self, words: &[u8]) {
        let slot = self.dnsbl_slot(blocked_using(words), false);
        self.state.dnsbl.at(slot).blocked += self.times;
    }

    /// The row of a DNS list. smtpd's lines hold words of strangers, so a list that no configuration names has a row only
    /// where postscreen or dnsblog named it; where nothing is known of the configuration (`count`), the form of a host name
    /// is all that is asked for.
    fn dnsbl_slot(&mut self, list: Option<&[u8]>, trusted: bool) -> usize {
        let Some(list) = list else { return 0 };
        let name = super::reject::list_name(list, &self.settings.dnsbl);
        let configured = self.settings.dnsbl.as_ref().is_none_or(|lists| lists.iter().any(|l| l.shown == name));
        let known = self.settings.dnsbl.is_some() && configured;
        if trusted || configured || self.state.dnsbl.has(&name) { self.state.dnsbl.slot(&name, known) } else { 0 }
    }

    /// cleanup: every message passes here.
    pub(super) fn cleanup(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        let Some(id) = id else { return rest.starts_with(b"milter-") };
        if rest.starts_with(b"message-id=") || rest.starts_with(b"resent-message-id=") {
            self.state.ids.seen_by_cleanup(id);
            return true;
        }
        if let Some(why) = rest.strip_prefix(b"message rejected: ") {
            self.message_rejected(id, why);
            return true;
        }
        // A transaction that was broken off or thrown away (3.10).
        if matches!(rest, b"removed (canceled)" | b"removed (discarded)") {
            self.state.ids.remove(id);
            return true;
        }
        let (mail, ids) = (&mut self.state.mail, &mut self.state.ids);
        let Some((action, details)) = action(rest) else { return rest.ends_with(TRY_AGAIN) };
        // milter_header_checks: the same actions under names of their own (cleanup_milter.c).
        let checked = action.strip_prefix(b"milter-header-").or_else(|| action.strip_prefix(b"milter-body-"));
        match checked.unwrap_or(action) {
            b"reject" => {
                mail.cleanup_rejects += self.times;
                ids.remove(id);
                // A MIME error has no text of an administrator (cleanup_mime_error_callback()).
                let text = if details.starts_with(b"mime-error ") { &[][..] } else { check_text(details) };
                self.rejected(RejectReason::Content, text::temporary(text).unwrap_or(false));
            }
            b"milter-reject" => {
                mail.milter_rejects += self.times;
                ids.remove(id);
                let refused = refusal(details).unwrap_or_default();
                self.state.codes.count(refused.reply, self.times);
                let reason = match RejectReason::of(&refused) {
                    RejectReason::Greylisted => RejectReason::Greylisted,
                    _ => RejectReason::Milter,
                };
                self.rejected(reason, refused.temporary.unwrap_or(false));
            }
            b"discard" | b"milter-discard" => {
                mail.discarded += self.times;
                ids.remove(id);
            }
            b"hold" | b"milter-hold" => mail.held += self.times,
            b"redirect" => mail.redirected += self.times,
            b"filter" => mail.filtered += self.times,
            b"replace" | b"prepend" | b"warning" | b"strip" | b"bcc" | b"info" | b"ignore" | b"delay" | b"pass"
            | b"addheader" | b"milter-accept" => {}
            _ => return checked.is_some(),
        }
        true
    }

    /// cleanup's `message rejected: hopcount exceeded`, which is a warning (cleanup_message.c).
    pub(super) fn message_rejected(&mut self, id: QueueId, why: &[u8]) {
        let mail = &mut self.state.mail;
        mail.cleanup_rejects += self.times;
        mail.loops_detected += u64::from(why.starts_with(b"hopcount exceeded")) * self.times;
        self.state.ids.remove(id);
        self.rejected(RejectReason::Other, false);
    }

    /// postscreen.
    pub(super) fn postscreen(&mut self, rest: &[u8]) -> bool {
        let p = &mut self.state.postscreen;
        if rest.starts_with(b"CONNECT from ") {
            p.connects += self.times;
        } else if rest.starts_with(b"PASS NEW ") {
            p.pass_new += self.times;
        } else if rest.starts_with(b"PASS OLD ") {
            p.pass_old += self.times;
        } else if rest.starts_with(b"ALLOWLISTED ") || rest.starts_with(b"WHITELISTED ") {
            p.allowlisted += self.times;
        } else if rest.starts_with(b"DENYLISTED ") || rest.starts_with(b"BLACKLISTED ") {
            p.denylisted += self.times;
        } else if rest.starts_with(b"PREGREET ") {
            p.pregreet += self.times;
        } else if rest.starts_with(b"DNSBL rank ") {
            p.dnsbl_hits += self.times;
        } else if rest.starts_with(b"HANGUP after ") {
            p.hangups += self.times;
        } else if rest.starts_with(b"BARE NEWLINE ")
            || rest.starts_with(b"NON-SMTP COMMAND ")
            || rest.starts_with(b"COMMAND ")
            || rest.starts_with(b"DATA without valid RCPT")
            || rest.starts_with(b"BDAT without valid RCPT")
        {
            p.protocol_errors += self.times;
        } else if rest.starts_with(b"entering STRESS mode") {
            p.stress_mode += self.times;
        } else if let Some(details) = rest.strip_prefix(b"reject: ") {
            p.rejects += self.times;
            self.state.clients.reject(details, self.reading.now, self.times);
            let reply = screened(details);
            p.ports_busy +=
                u64::from(matches!(reply, b"all server ports busy" | b"all screening ports busy")) * self.times;
            // `550 5.7.1 Service unavailable; client [address] blocked using LIST`, of postscreen's own words.
            let listed = [&b"Service unavailable; client ["[..], b"Service currently unavailable; client ["];
            let words = reply.get(10..).filter(|words| listed.iter().any(|w| words.starts_with(w)));
            let list = words.and_then(|words| {
                blocked_using(&words[..words.iter().position(|b| *b == b'<').unwrap_or(words.len())])
            });
            let reason = match list {
                Some(list) => {
                    let slot = self.dnsbl_slot(Some(list), true);
                    self.state.dnsbl.at(slot).blocked += self.times;
                    RejectReason::Dnsbl
                }
                None => RejectReason::Postscreen,
            };
            self.state.codes.count(reply, self.times);
            // `too many connections` and `all server ports busy` are 421, which is not logged.
            let temporary = text::temporary(reply).unwrap_or(true);
            self.rejected(reason, temporary);
        } else {
            const KNOWN: [&[u8]; 10] = [
                b"DISCONNECT ",
                b"ALLOWLIST VETO ",
                b"WHITELIST VETO ",
                b"leaving STRESS mode",
                b"cache ",
                b"reject_warning: ",
                b"close database",
                b"table ",
                b"< ",
                b"> ",
            ];
            return KNOWN.iter().any(|word| rest.starts_with(word)) || tls_library(rest);
        }
        true
    }

    /// dnsblog: `addr A listed by domain D as 127.0.0.2`.
    pub(super) fn dnsblog(&mut self, rest: &[u8]) -> bool {
        if !rest.starts_with(b"addr ") {
            return false;
        }
        let Some(list) = text::between(rest, b" listed by domain ", b" ") else { return false };
        let slot = self.dnsbl_slot(Some(list).filter(|list| crate::postfix::log::refusal::is_host_name(list)), true);
        self.state.dnsbl.at(slot).listed += self.times;
        true
    }
}

/// `reject: details`: the word of an action, as smtpd_check.c, cleanup_act.c and the milter code log them.
fn action(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.iter().take(24).position(|b| !b.is_ascii_lowercase() && !matches!(b, b'-' | b'_'))?;
    let details = rest[end..].strip_prefix(b": ")?;
    Some((&rest[..end], details))
}

/// What cleanup says of a table it could not ask (cleanup_message.c), in its versions that say it as information.
const TRY_AGAIN: &[u8] = b" map lookup problem -- message not accepted, try again later";

/// `RCPT from [address]:port: reply; from=…`: what follows postscreen's client.
fn screened(details: &[u8]) -> &[u8] {
    let behind = details.iter().position(|b| *b == b'[').and_then(|at| peer(&details[at..]));
    behind.and_then(|(_, rest)| rest.strip_prefix(b": ")).unwrap_or_default()
}

/// Of `host[address], sasl_method=…, sasl_username=…, sasl_sender=…, orig_queue_id=…, orig_client=…` (smtpd.c): the name, and
/// whether a filter gives the message back. A name may hold all that follows it, so nothing is read behind one: XFORWARD
/// comes from filters, which do not log in.
fn origin(client: &[u8]) -> (Option<&[u8]>, bool) {
    let Some((_, mut rest)) = peer(client) else { return (None, false) };
    if let Some(method) = rest.strip_prefix(b", sasl_method=") {
        rest = &method[memchr::memchr(b',', method).unwrap_or(method.len())..];
    }
    if let Some(name) = rest.strip_prefix(b", sasl_username=") {
        const NEXT: [&[u8]; 3] = [b", sasl_sender=", b", orig_queue_id=", b", orig_client="];
        let end = NEXT.iter().filter_map(|next| memchr::memmem::find(name, next)).min().unwrap_or(name.len());
        return (Some(&name[..end]), false);
    }
    if let Some(sender) = rest.strip_prefix(b", sasl_sender=") {
        rest = &sender[memchr::memchr(b',', sender).unwrap_or(sender.len())..];
    }
    (None, rest.starts_with(b", orig_queue_id="))
}
