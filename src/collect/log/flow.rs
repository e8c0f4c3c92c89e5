//! The way of mail: pickup, qmgr, the delivery agents, bounce, postsuper.

use super::{
    counters::{DELAY_LIMITS, Mail, STAGES},
    engine::{Instance, Program, Sender},
    ids::Origin,
};
use crate::postfix::{
    defer_reason::DeferReason,
    log::{
        QueueId,
        text::{self, Delivery, has},
    },
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
            mail.removed += 1;
            state.ids.remove(id);
        } else if let Some((size, recipients)) = text::activation(rest) {
            match state.ids.activate(id, size, recipients) {
                Some((Origin::Received, sender)) => {
                    mail.received_messages += 1;
                    mail.received_octets += size;
                    mail.received_recipients += recipients;
                    if sender != 0 {
                        state.senders.recipients(sender - 1, recipients, now);
                    }
                }
                Some((Origin::Internal, _)) => mail.internal_messages += 1,
                Some((Origin::Reinjected | Origin::Requeued | Origin::Retry, _)) | None => {}
            }
        } else if rest.starts_with(b"from=<") && has(rest, b", status=force-expired") {
            mail.force_expired += 1;
        } else if rest.starts_with(b"from=<") && has(rest, b", status=expired") {
            mail.expired += 1;
        } else if rest.starts_with(b"from=<") && has(rest, b", status=") {
            mail.other_status += 1;
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
        let origin = if has(rest, b" orig_id=") {
            self.state.mail.requeued += 1;
            Origin::Requeued
        } else {
            self.state.mail.received_local += 1;
            Origin::Received
        };
        self.state.ids.open(id, origin, 0);
        true
    }

    /// A delivery line of any program.
    pub(super) fn delivery(&mut self, sender: &Sender, id: QueueId, rest: &[u8]) -> bool {
        let Some(delivery) = text::delivery(rest) else { return false };
        let state = &mut self.state;
        let mail = &mut state.mail;
        let mut aside = Default::default();
        let transport = if sender.program.delivers() { state.transports.at(sender.service) } else { &mut aside };
        transport.connections_reused += u64::from(delivery.reused);
        match delivery.status {
            b"sent" => {
                let known = state.ids.delivery(id, false);
                transport.sent += 1;
                let filter =
                    sender.filter || self.settings.filters.iter().any(|f| f.takes(sender.program, delivery.relay));
                if delivery.reason.starts_with(b"forwarded as") {
                    mail.forwarded += 1;
                } else if sender.program == Program::Discard {
                    mail.discarded += 1;
                } else if filter {
                    mail.sent_to_filter += 1;
                } else {
                    mail.sent += 1;
                    mail.sent_octets += known.size;
                }
                transport.retried += u64::from(known.retried);
                let stages = timing(&delivery, known.first);
                for (stage, ms) in stages.into_iter().enumerate() {
                    let Some(ms) = ms else { continue };
                    transport.stages[stage].sum += ms;
                    transport.stages[stage].count += 1;
                    state.delays[stage][DELAY_LIMITS.partition_point(|limit| *limit < ms)] += 1;
                }
            }
            b"deferred" | b"SOFTBOUNCE" => {
                let known = state.ids.delivery(id, true);
                transport.deferrals += 1;
                mail.deferrals += 1;
                mail.deferred_messages += u64::from(known.newly_deferred);
                mail.soft_bounced += u64::from(delivery.status == b"SOFTBOUNCE");
                let reason = delivery.reason;
                let untried = reason.starts_with(b"delivery temporarily suspended") || reason == b"deferred transport";
                mail.suspended += u64::from(untried || sender.program == Program::Error);
                state.defers[DeferReason::of(reason) as usize - 1] += 1;
            }
            b"bounced" => {
                state.ids.delivery(id, false);
                transport.bounced += 1;
                mail.bounced += 1;
                looped(mail, delivery.reason);
            }
            // Address probes are no mail.
            status if status.starts_with(b"deliverable") => {
                mail.deliverable += 1;
                return true;
            }
            status if status.starts_with(b"undeliverable") => {
                mail.undeliverable += 1;
                return true;
            }
            _ => mail.other_status += 1,
        }
        if let Some(code) = delivery.dsn {
            state.dsn.count(code);
        }
        true
    }

    /// smtp, lmtp beside their delivery lines.
    pub(super) fn client(&mut self, sender: &Sender, rest: &[u8]) -> bool {
        let transport = self.state.transports.at(sender.service);
        if rest.starts_with(b"connect to ") || greeting_failed(rest) {
            transport.connect_failures += 1;
        } else if has(rest, b" TLS connection established to ") {
            transport.tls_connections += 1;
        } else {
            let known: [&[u8]; 13] = [
                b"host ",
                b"lost connection with ",
                b"conversation with ",
                b"SSL_connect error to ",
                b"certificate verification failed ",
                b"certificate peer name verification failed ",
                b"enabling PIX workarounds",
                b"SASL authentication failed",
                b"warning: ",
                b"discarding EHLO keywords",
                b"server certificate ",
                b"using ",
                b"Cannot start TLS",
            ];
            return has(rest, b" TLS connection reused to ")
                || known.iter().any(|word| rest.starts_with(word))
                || has(rest, b": subject_CN=")
                || has(rest, b" offered \"STARTTLS\"")
                || has(rest, b"TLS policy ")
                || has(rest, b"sender address");
        }
        true
    }

    /// bounce: notices to senders.
    pub(super) fn bounce(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        if id.is_none() || !has(rest, b" notification: ") {
            return false;
        }
        if has(rest, b"non-delivery notification: ") {
            self.state.mail.non_delivery_notices += 1;
        } else if has(rest, b"delay notification: ") {
            self.state.mail.delay_notices += 1;
        }
        true
    }

    /// postsuper: what an administrator does to queued mail. Its `removed` is not qmgr's.
    pub(super) fn postsuper(&mut self, id: Option<QueueId>, rest: &[u8]) -> bool {
        match (id, rest) {
            (Some(_), b"placed on hold") => self.state.mail.held += 1,
            // postsuper -r: pickup tells of the new id.
            (Some(id), b"removed" | b"requeued") => self.state.ids.remove(id),
            (Some(_), rest) => {
                return rest.starts_with(b"released from hold")
                    || rest.starts_with(b"expired")
                    || rest.starts_with(b"released");
            }
            (None, rest) => {
                let known: [&[u8]; 8] = [
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

/// The server was there and did not let us begin.
fn greeting_failed(rest: &[u8]) -> bool {
    (rest.starts_with(b"host ") && has(rest, b" refused to talk to me: "))
        || ((rest.starts_with(b"lost connection with ") || rest.starts_with(b"conversation with "))
            && has(rest, b" while receiving the initial server greeting"))
}

/// `mail forwarding loop for x`, `mail for x loops back to myself`.
fn looped(mail: &mut Mail, reason: &[u8]) {
    let loops = reason.starts_with(b"mail forwarding loop")
        || (reason.starts_with(b"mail for ") && has(reason, b" loops back to myself"))
        || reason.starts_with(b"too many hops");
    mail.loops_detected += u64::from(loops);
}

/// beforeQueue, inQueue, connect, transmit, total in milliseconds. A retry logs its whole waiting time as time before the
/// queue, so that stage and the total are a first activation's alone.
fn timing(delivery: &Delivery<'_>, first: bool) -> [Option<u64>; STAGES] {
    let stage = |n: usize| delivery.delays.map(|d| d[n]);
    [stage(0).filter(|_| first), stage(1), stage(2), stage(3), delivery.delay.filter(|_| first)]
}
