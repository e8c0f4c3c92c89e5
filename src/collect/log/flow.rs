//! The way of mail: pickup, qmgr, the delivery agents, bounce, postsuper.

use super::{
    counters::{DELAY_LIMITS, Mail, STAGES},
    destinations::{Event, Moved},
    engine::{Instance, Program, Reading, Sender},
    ids::Origin,
    tls::Direction,
};
use crate::postfix::{
    defer_reason::DeferReason,
    log::{
        QueueId,
        address::bracketed,
        delivery::{Delivery, delivery},
        refusal::peer,
        text::{self, has},
        tls::session,
    },
    reason::Cause,
};

/// A way into a content filter: `transport`, or `transport:nexthop` as in content_filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    transport: Vec<u8>,
    /// Host, address or socket as `relay=` begins with; empty where only the transport is given.
    host: Vec<u8>,
    /// Port or socket path as `relay=` ends with.
    end: Vec<u8>,
}

impl Filter {
    /// Understands `smtp-amavis:[127.0.0.1]:10024`, `lmtp:unix:/run/x`, `filter:dummy`, `smtp:[::1]:10025`, `scan`.
    pub fn new(setting: &str) -> Option<Self> {
        let (transport, hop) = setting.trim().split_once(':').unwrap_or((setting.trim(), ""));
        if transport.is_empty() {
            return None;
        }
        let transport = transport.as_bytes().to_vec();
        if let Some(socket) = hop.strip_prefix("unix:") {
            return Some(Self { transport, host: Vec::new(), end: format!("[{socket}]").into_bytes() });
        }
        let hop = hop.strip_prefix("inet:").unwrap_or(hop);
        let (host, port) = match hop.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
            None => hop.split_once(':').unwrap_or((hop, "")),
        };
        let host = host.strip_prefix("IPv6:").or_else(|| host.strip_prefix("ipv6:")).unwrap_or(host);
        let number = match port {
            "smtp" => "25",
            "submission" => "587",
            "lmtp" => "24",
            port => port,
        };
        let end = if number.is_empty() { Vec::new() } else { format!(":{number}").into_bytes() };
        Some(Self { transport, host: host.to_ascii_lowercase().into_bytes(), end })
    }

    /// Without a next hop the service label alone tells.
    pub(super) fn is_label(&self, label: &[u8]) -> bool {
        self.host.is_empty() && self.end.is_empty() && self.transport == label
    }

    /// Whether it is this transport's.
    pub(super) fn is_through(&self, transport: &[u8]) -> bool {
        self.transport == transport
    }

    fn takes(&self, program: Program, relay: &[u8]) -> bool {
        match program {
            // pipe(8) logs its service as the relay.
            Program::Pipe => relay == self.transport,
            Program::Client if self.host.is_empty() && self.end.is_empty() => false,
            Program::Client => {
                let host = relay.split(|&b| b == b'[').next().unwrap_or_default();
                (self.host.is_empty() || host.eq_ignore_ascii_case(&self.host)) && relay.ends_with(&self.end)
            }
            _ => false,
        }
    }
}

impl Instance {
    /// qmgr: what becomes active, expires, is removed.
    pub(super) fn qmgr(&mut self, id: Option<QueueId>, rest: &[u8], now: i64) -> bool {
        let Some(id) = id else { return rest.starts_with(b"qmgr_") };
        let state = &mut self.state;
        let mail = &mut state.mail;
        if rest == b"removed" {
            mail.removed += self.times;
            state.ids.remove(id);
        } else if let Some((size, recipients)) = text::activation(rest) {
            match state.ids.activate(id, size, recipients) {
                Some((Origin::Received, sender)) => {
                    mail.received_messages += self.times;
                    mail.received_octets = mail.received_octets.saturating_add(size);
                    mail.received_recipients = mail.received_recipients.saturating_add(recipients);
                    state.sizes.count(size, recipients, self.times);
                    if sender != 0 {
                        state.senders.recipients(sender, recipients, now);
                    }
                }
                Some((Origin::Internal, _)) => mail.internal_messages += self.times,
                Some((Origin::Reinjected | Origin::Requeued | Origin::Retry, _)) | None => {}
            }
            if rest.starts_with(b"from=<>,") {
                state.ids.has_null_sender(id);
            }
        } else if let Some(status) = returned(rest) {
            match status {
                b"expired" => mail.expired += self.times,
                b"force-expired" => mail.force_expired += self.times,
                _ => mail.other_status += self.times,
            }
        } else {
            return rest == b"skipped, still being delivered" || rest.starts_with(b"canceled");
        }
        true
    }

    /// pickup: mail of local users, and what postsuper -r put back.
    pub(super) fn pickup(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        let Some(id) = id else { return false };
        if !rest.starts_with(b"uid=") && !rest.starts_with(b"sender=") {
            return false;
        }
        let origin = if let Some(old) = requeued(rest) {
            self.state.mail.requeued += self.times;
            self.state.ids.requeue(QueueId::new(old), id);
            return true;
        } else if from_filter(rest, &self.settings.reinject_users) {
            self.state.mail.received_reinjected += self.times;
            Origin::Reinjected
        } else {
            self.state.mail.received_local += self.times;
            Origin::Received
        };
        self.state.ids.open(id, origin, 0);
        true
    }

    /// A delivery line of any program.
    pub(super) fn delivery(&mut self, sender: &Sender, id: QueueId, rest: &[u8]) -> bool {
        let Some(delivery) = delivery(rest, self.settings.addresses) else { return false };
        let state = &mut self.state;
        let mail = &mut state.mail;
        let (mut aside, mut known, before) = (Default::default(), Default::default(), Moved::of(mail));
        let transport = if sender.program.delivers() { state.transports.at(sender.service) } else { &mut aside };
        transport.connections_reused += u64::from(delivery.reused) * self.times;
        match delivery.status {
            b"sent" => {
                known = state.ids.delivery(id, false, self.times);
                transport.sent += self.times;
                let filter =
                    sender.filter || self.settings.filters.iter().any(|f| f.takes(sender.program, delivery.relay));
                if delivery.reason.starts_with(b"forwarded as") {
                    mail.forwarded += self.times;
                } else if sender.program == Program::Discard {
                    mail.discarded += self.times;
                } else if filter {
                    mail.sent_to_filter += self.times;
                } else {
                    mail.sent += self.times;
                    mail.sent_octets = mail.sent_octets.saturating_add(known.size.saturating_mul(self.times));
                }
                transport.retried += u64::from(known.retried) * self.times;
                let stages = timing(&delivery, known.first);
                for (stage, ms) in stages.into_iter().enumerate() {
                    let Some(ms) = ms else { continue };
                    let sum = &mut transport.stages[stage].sum;
                    *sum = sum.saturating_add(ms.saturating_mul(self.times));
                    transport.stages[stage].count += self.times;
                    state.delays[stage][DELAY_LIMITS.partition_point(|limit| *limit < ms)] += self.times;
                }
            }
            b"deferred" | b"SOFTBOUNCE" => {
                known = state.ids.delivery(id, true, self.times);
                transport.deferrals += self.times;
                mail.deferrals += self.times;
                mail.deferred_messages += u64::from(known.newly_deferred) * self.times;
                mail.soft_bounced += u64::from(delivery.status == b"SOFTBOUNCE") * self.times;
                let reason = delivery.reason;
                let untried = reason.starts_with(b"delivery temporarily suspended") || reason == b"deferred transport";
                mail.suspended += u64::from(untried || sender.program == Program::Error) * self.times;
                let cause = Cause::of(delivery.dsn, reason, delivery.recipient);
                state.defers[DeferReason::from(cause) as usize - 1] += self.times;
            }
            b"bounced" => {
                known = state.ids.delivery(id, false, self.times);
                transport.bounced += self.times;
                mail.bounced += self.times;
                state.bounces.count(&delivery, self.times);
                looped(mail, delivery.reason, self.times);
            }
            // Address probes are no mail.
            status if status.starts_with(b"deliverable") => {
                mail.deliverable += self.times;
                return true;
            }
            status if status.starts_with(b"undeliverable") => {
                mail.undeliverable += self.times;
                return true;
            }
            _ => mail.other_status += self.times,
        }
        state.tls.delivery(delivery.tls, self.times);
        if let Some(code) = delivery.dsn {
            state.dsn.count(code, self.times);
        }
        let delivers = sender.program.delivers();
        state.destinations.delivery(&Event {
            delivery: &delivery,
            id,
            pid: self.reading.pid,
            speaks: matches!(sender.program, Program::Client | Program::Error),
            transport: label(state.transports.name(sender.service).filter(|_| delivers).unwrap_or_default()),
            known,
            delay: timing(&delivery, known.first)[4],
            moved: Moved::of(&state.mail).since(before),
            now: self.reading.now,
        });
        true
    }

    /// smtp, lmtp beside their delivery lines. What a server said stands in lines of a queue id behind Postfix's own words:
    /// smtp_trouble.c logs any reason there while another server is left to try.
    pub(super) fn client(&mut self, sender: &Sender, id: Option<QueueId>, rest: &[u8]) -> bool {
        let transport = self.state.transports.at(sender.service);
        if greeting_failed(rest) || id.is_none() && rest.starts_with(b"connect to ") {
            transport.connect_failures += self.times;
            let Reading { now, .. } = self.reading;
            let transport = label(self.state.transports.name(sender.service).unwrap_or_default());
            self.state.destinations.unreachable(rest, transport, now, self.times);
            return true;
        }
        if id.is_some() {
            // A delivery line that was cut off is none.
            return !rest.starts_with(b"to=");
        }
        if let Some(session) = session(rest, b"to ") {
            self.state.destinations.session(self.reading.pid, rest);
            transport.tls_connections += u64::from(session.new) * self.times;
            self.state.tls.session(Direction::Outbound, &session, self.times);
        } else {
            return CLIENT.iter().any(|word| rest.starts_with(word)) || tls_library(rest);
        }
        true
    }

    /// tlsproxy: postscreen's clients, and servers where smtp keeps connections with TLS for others.
    pub(super) fn tls_proxy(&mut self, rest: &[u8]) -> bool {
        let Some(session) = session(rest, b"from ") else { return false };
        self.state.tls.session(Direction::Inbound, &session, self.times);
        true
    }

    /// bounce: notices to senders (bounce_notify_service.c and its siblings).
    pub(super) fn bounce(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        if id.is_none() {
            return false;
        }
        let notice = rest.strip_prefix(b"sender ").or_else(|| rest.strip_prefix(b"postmaster "));
        let Some(notice) = notice else {
            return rest.starts_with(b"not sending trace/success notification ");
        };
        if notice.starts_with(b"non-delivery notification: ") {
            self.state.mail.non_delivery_notices += self.times;
        } else if notice.starts_with(b"delay notification: ") {
            self.state.mail.delay_notices += self.times;
        } else {
            // `delivery status notification: `, and `notification failed to` of 3.11.
            return has(&notice[..notice.len().min(32)], b"notification");
        }
        true
    }

    /// postsuper: what an administrator does to queued mail. Its `removed` is not qmgr's.
    pub(super) fn postsuper(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        match (id, rest) {
            (Some(_), b"placed on hold") => self.state.mail.held += self.times,
            // postsuper -r: pickup tells of the new id.
            (Some(id), b"removed" | b"requeued") => self.state.ids.remove(id),
            (Some(_), rest) => {
                return rest.starts_with(b"released from hold")
                    || rest.starts_with(b"expired")
                    || rest.starts_with(b"released");
            }
            (None, rest) => {
                let known: [&[u8]; 12] = [
                    b"renamed file ",
                    b"removed file ",
                    b"remove subdirectory ",
                    b"remove directory ",
                    b"Deleted: ",
                    b"Requeued: ",
                    b"Placed on hold: ",
                    b"Released from hold: ",
                    b"Force-expired: ",
                    b"Renamed ",
                    b"Super: ",
                    b"Expired: ",
                ];
                return known.iter().any(|word| rest.starts_with(word));
            }
        }
        true
    }
}

/// What the smtp and lmtp clients say without a queue id (smtp_connect.c, smtp_proto.c, smtp_addr.c).
const CLIENT: [&[u8]; 14] = [
    b"host ",
    b"Host offered STARTTLS: ",
    b"lost connection with ",
    b"conversation with ",
    b"SASL authentication failed",
    b"discarding EHLO keywords",
    b"SMTPS wrappermode ",
    b"skipping ",
    b"ignoring DNS RR: ",
    b"trying... ",
    b"enabling PIX workarounds",
    b"warning: ",
    b"Using ",
    b"using ",
];

/// What Postfix's TLS library says in smtp, lmtp, smtpd and tlsproxy (src/tls), some of it with loglevels above 1 only. Lines
/// about one peer begin with its name.
pub(super) fn tls_library(rest: &[u8]) -> bool {
    const WORDS: [&[u8]; 30] = [
        b"TLSRPT: ",
        b"TLS SNI ",
        b"TLS handshake failed for ",
        b"TLS support is not compiled in",
        b"SSL_accept error ",
        b"SSL_connect error ",
        b"SSL_set_fd error ",
        b"SSL_accept:",
        b"SSL_connect:",
        b"SSL3 alert ",
        b"certificate verification failed ",
        b"certificate peer name verification failed ",
        b"client certificate verification failed ",
        b"server certificate verification failed ",
        b"client certificate ",
        b"server certificate ",
        b"setting up TLS connection ",
        b"initializing the server-side TLS engine",
        b"initializing the client-side TLS engine",
        b"looking for session ",
        b"reloaded session ",
        b"save session ",
        b"remove session ",
        b"subject=",
        b"issuer=",
        b"cannot load Certification Authority ",
        b"cannot set default OpenSSL certificate ",
        b"read from ",
        b"write to ",
        b"open ",
    ];
    const OF_A_PEER: [&[u8]; 20] = [
        b"subject_CN=",
        b"Trusted: ",
        b"Matched ",
        b"matched peername: ",
        b"re-using session with ",
        b"Reusing old session",
        b"raw public key fingerprint=",
        b"SNI hostname: ",
        b"TLS cipher list ",
        b"looking up session ",
        b"reloaded session ",
        b"remove session ",
        b"save session ",
        b"Issuing session ticket",
        b"Decrypting session ticket",
        b"depth=",
        b"verify=",
        b"replacing command ",
        b"replacing server reply ",
        b"discarding EHLO keywords: ",
    ];
    if WORDS.iter().any(|word| rest.starts_with(word)) || is_dump(rest) {
        return true;
    }
    let Some((_, after)) = peer(rest) else { return false };
    // postscreen writes `[address]port` at one place.
    let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
    let said = after[digits..].strip_prefix(b": ");
    said.is_some_and(|said| OF_A_PEER.iter().any(|word| said.starts_with(word)))
}

/// `0000 16 03 01 …` of loglevel 4.
fn is_dump(rest: &[u8]) -> bool {
    let Some((offset, [b' ', ..])) = rest.split_at_checked(4) else { return false };
    offset.iter().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

/// The server was there and did not let us begin. What it said comes behind these words.
fn greeting_failed(rest: &[u8]) -> bool {
    const GREETING: &[u8] = b" while receiving the initial server greeting";
    if let Some((_, said)) = rest.strip_prefix(b"host ").and_then(peer) {
        return said.starts_with(b" refused to talk to me: ");
    }
    let rest = match rest.strip_prefix(b"lost connection with ") {
        Some(rest) => peer(rest).map(|(_, after)| after),
        None => rest
            .strip_prefix(b"conversation with ")
            .and_then(peer)
            .and_then(|(_, after)| after.strip_prefix(b" timed out")),
    };
    rest.is_some_and(|rest| rest.starts_with(GREETING))
}

/// `from=<…>, status=expired, returned to sender` (qmgr_active.c): the status. An address in internal form may hold
/// anything, so the end counts where the beginning does not fit.
fn returned(rest: &[u8]) -> Option<&[u8]> {
    let inner = rest.strip_prefix(b"from=")?;
    let behind = bracketed(inner).and_then(|(_, rest)| rest.strip_prefix(b", status="));
    let status = match behind {
        Some(status) => status,
        None => &inner[memchr::memmem::rfind(inner, b">, status=")? + 10..],
    };
    Some(&status[..memchr::memchr(b',', status).unwrap_or(status.len())])
}

/// Whether pickup's `uid=` is of a user that filters run as.
fn from_filter(rest: &[u8], users: &[u32]) -> bool {
    let digits = rest.strip_prefix(b"uid=").unwrap_or_default();
    let digits = &digits[..digits.iter().take_while(|b| b.is_ascii_digit()).count()];
    !users.is_empty() && text::number(digits).is_some_and(|uid| users.iter().any(|user| u64::from(*user) == uid))
}

/// pickup's `uid=0 from=<…> orig_id=…` (pickup.c): the last field, if it is there, behind the address.
fn requeued(rest: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(&rest[..rest.len().min(32)], b"from=<")?;
    bracketed(&rest[at + 5..])?.1.strip_prefix(b" orig_id=")
}

/// `mail forwarding loop for x`, `mail for x loops back to myself`.
fn looped(mail: &mut Mail, reason: &[u8], times: u64) {
    let loops = reason.starts_with(b"mail forwarding loop")
        || (reason.starts_with(b"mail for ") && has(reason, b" loops back to myself"))
        || reason.starts_with(b"too many hops");
    mail.loops_detected += u64::from(loops) * times;
}

/// What a service is called: the label where it logs under one, else the program.
fn label(service: &str) -> &str {
    service.rsplit_once('/').map_or(service, |(label, _)| label)
}

/// beforeQueue, inQueue, connect, transmit, total in milliseconds. A retry logs its whole waiting time as time before the
/// queue, so that stage and the total are a first activation's alone.
fn timing(delivery: &Delivery<'_>, first: bool) -> [Option<u64>; STAGES] {
    let stage = |n: usize| delivery.delays.map(|d| d[n]);
    [stage(0).filter(|_| first), stage(1), stage(2), stage(3), delivery.delay.filter(|_| first)]
}
