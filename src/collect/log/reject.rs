//! Why a command was refused: postfixRejectReason, from the reply.
//!
//! smtpd_check.c words its own refusals; access tables and policy services put their words behind `… rejected: `. One
//! reply has one class, the first that fits.

use crate::postfix::log::text::has;

/// postfixRejectReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the labels of the enumeration; the MIB describes them")]
pub(super) enum RejectReason {
    UnknownRecipient = 1,
    RelayDenied = 2,
    Dnsbl = 3,
    ClientHost = 4,
    Helo = 5,
    SenderAddress = 6,
    RecipientAddress = 7,
    Policy = 8,
    Content = 9,
    Milter = 10,
    MessageSize = 11,
    RateLimit = 12,
    Protocol = 13,
    Resources = 14,
    ServerConfiguration = 15,
    Postscreen = 16,
    Other = 17,
    Greylisted = 18,
}

/// The labels, in the order of the numbers.
pub(super) const LABELS: [&str; 18] = [
    "unknownRecipient",
    "relayDenied",
    "dnsbl",
    "clientHost",
    "helo",
    "senderAddress",
    "recipientAddress",
    "policy",
    "content",
    "milter",
    "messageSize",
    "rateLimit",
    "protocol",
    "resources",
    "serverConfiguration",
    "postscreen",
    "other",
    "greylisted",
];

impl RejectReason {
    /// The class of a reply of smtpd; the envelope that follows it in the line is not looked at.
    pub(super) fn of(reply: &[u8]) -> Self {
        let reply = memchr::memmem::rfind(reply, b"; from=<").map_or(reply, |end| &reply[..end]);
        const CLASSES: &[(RejectReason, &[&[u8]])] = &[
            (RejectReason::Dnsbl, &[b"blocked using "]),
            (RejectReason::Greylisted, &[b"reylist", b"rey-list"]),
            (RejectReason::RelayDenied, &[b"Relay access denied", b"relay not permitted"]),
            (
                RejectReason::UnknownRecipient,
                &[b"User unknown", b"unknown user", b"undeliverable address", b"No such user"],
            ),
            (
                RejectReason::ServerConfiguration,
                &[b"Server configuration ", b"lookup failure", b"Service unavailable; "],
            ),
            (
                RejectReason::Resources,
                &[b"Insufficient system", b"queue file write error", b"internal error", b"local problem"],
            ),
            (
                RejectReason::MessageSize,
                &[b"essage size exceeds", b"essage file too big", b"essage too big", b"File too big"],
            ),
            (RejectReason::RateLimit, &[b"oo many ", b"rate limit", b"oo much mail", b"throttl"]),
            (RejectReason::Policy, &[b"rejected: Access denied", b"SPF", b"DMARC", b"policy", b"Policy"]),
            (RejectReason::ClientHost, &[b"Client host rejected", b"Client certificate"]),
            (RejectReason::Helo, &[b"Helo command rejected"]),
            (RejectReason::SenderAddress, &[b"Sender address rejected"]),
            (RejectReason::RecipientAddress, &[b"Recipient address rejected", b"unverified address"]),
            (RejectReason::Content, &[b"ontent rejected", b"spam", b"Spam", b"virus", b"Virus"]),
            (
                RejectReason::Protocol,
                &[
                    b"pipelining",
                    b"bare <LF>",
                    b"Protocol error",
                    b"Data command rejected",
                    b"yntax",
                    b"STARTTLS",
                    b"HELO",
                    b"EHLO",
                    b"uthentication",
                    b"oo many hops",
                    b"ommand rejected",
                    b"Bad address",
                    b"nsupported",
                    b"not implemented",
                    b"End-of-data rejected",
                ],
            ),
        ];
        CLASSES
            .iter()
            .find(|(_, words)| words.iter().any(|word| has(reply, word)))
            .map_or(Self::Other, |(class, _)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::RejectReason::{self, *};

    #[test]
    fn real_replies() {
        for (reply, class) in [
            (
                "550 5.1.1 <x@y>: Recipient address rejected: User unknown in virtual mailbox table; from=<a@b>",
                UnknownRecipient,
            ),
            ("454 4.7.1 <aap@henk.com>: Relay access denied; to=<aap@henk.com> proto=SMTP helo=<me>", RelayDenied),
            (
                "554 5.7.1 Service unavailable; Helo command [news] blocked using dbl.spamhaus.org; http://x; from=<a@b>",
                Dnsbl,
            ),
            ("450 4.2.0 <x@y>: Recipient address rejected: Greylisted, see http://postgrey; from=<a@b>", Greylisted),
            ("450 4.7.25 Client host rejected: cannot find your hostname, [1.2.3.4]; from=<a@b>", ClientHost),
            ("450 4.7.1 <ylmf-pc>: Helo command rejected: Host not found; from=<a@b>", Helo),
            (
                "504 5.5.2 <aap@henk>: Sender address rejected: need fully-qualified address; from=<aap@henk>",
                SenderAddress,
            ),
            ("550 5.1.2 <c@x>: Recipient address rejected: Domain not found; from=<a@b>", RecipientAddress),
            ("554 5.7.1 <c@x>: Recipient address rejected: Access denied; from=<a@b>", Policy),
            ("552 5.3.4 Message size exceeds fixed limit; proto=ESMTP helo=<x>", MessageSize),
            ("452 4.3.1 Insufficient system storage; from=<a@b>", Resources),
            ("451 4.3.0 <x@y>: Temporary lookup failure; from=<a@b>", ServerConfiguration),
            ("451 4.3.5 Server configuration problem; from=<a@b>", ServerConfiguration),
            ("452 4.5.3 Error: too many recipients; from=<a@b>", RateLimit),
            ("503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining; from=<a@b>", Protocol),
            ("550 5.5.2 bare <LF> received", Protocol),
            ("530 5.7.0 Must issue a STARTTLS command first; from=<a@b>", Protocol),
            ("550 no; from=<greylisted@spam>", Other),
        ] {
            assert_eq!(RejectReason::of(reply.as_bytes()), class, "{reply}");
        }
    }
}
