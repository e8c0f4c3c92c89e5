//! Why a command was refused: postfixRejectReason, from the words behind what was refused.
//!
//! smtpd_check.c words its own refusals, and each has fixed words at a fixed place. Access tables and policy services put
//! their own behind `… rejected: `; those are an administrator's, who may have put names and addresses of a client between
//! them, so of that text only plain words are looked at: nothing with `@`, brackets, slashes or a dot inside.

use crate::postfix::log::{
    refusal::{Refusal, blocked_using},
    text,
};

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

/// smtpd's own words behind `Recipient address rejected: ` and its siblings, by how they begin.
const OWN: &[(&[u8], Option<RejectReason>)] = &[
    (b"User unknown", Some(RejectReason::UnknownRecipient)),
    (b"undeliverable address: ", Some(RejectReason::UnknownRecipient)),
    (b"unverified address: ", None),
    (b"Access denied", Some(RejectReason::Policy)),
    (b"Domain not found", None),
    (b"Domain ", None),
    (b"Host not found", None),
    (b"Malformed DNS server reply", None),
    (b"need fully-qualified ", None),
    (b"not owned by user ", None),
    (b"not logged in", None),
    (b"Invalid name", None),
    (b"invalid ip address", None),
    (b"cannot find your ", None),
    (b"Server configuration ", Some(RejectReason::ServerConfiguration)),
    (b"Temporary lookup ", Some(RejectReason::ServerConfiguration)),
    (b"Improper use of SMTP command pipelining", Some(RejectReason::Protocol)),
    (b"Multi-recipient bounce", Some(RejectReason::Protocol)),
    (b"Session encryption is required", Some(RejectReason::Protocol)),
];

/// What was refused, in smtpd's words, and the class it has where the text behind it has none.
const KINDS: &[(&[u8], RejectReason)] = &[
    (b"Client host rejected: ", RejectReason::ClientHost),
    (b"Unverified Client host rejected: ", RejectReason::ClientHost),
    (b"Helo command rejected: ", RejectReason::Helo),
    (b"Sender address rejected: ", RejectReason::SenderAddress),
    (b"Recipient address rejected: ", RejectReason::RecipientAddress),
    (b"Data command rejected: ", RejectReason::Protocol),
    (b"End-of-data rejected: ", RejectReason::Protocol),
    (b"Etrn command rejected: ", RejectReason::Protocol),
];

/// Plain words of texts that are not smtpd's own, in lower case.
const CLASSES: &[(RejectReason, &[&str])] = &[
    (RejectReason::Greylisted, &["greylist", "graylist", "grey-list", "gray-list"]),
    (RejectReason::RelayDenied, &["relay access denied", "relay not permitted"]),
    (RejectReason::UnknownRecipient, &["user unknown", "unknown user", "undeliverable address", "no such user"]),
    (
        RejectReason::ServerConfiguration,
        &["server configuration ", "lookup failure", "lookup error", "service unavailable", "server local "],
    ),
    (RejectReason::Resources, &["insufficient system", "queue file write error", "internal error", "local problem"]),
    (
        RejectReason::MessageSize,
        &[
            "message size exceeds",
            "message file too big",
            "message too big",
            "file too big",
            "chunk exceeds message size",
        ],
    ),
    (RejectReason::Protocol, &["too many hops"]),
    (RejectReason::RateLimit, &["too many ", "rate limit", "too much mail", "throttl"]),
    (RejectReason::Policy, &["rejected: access denied", "spf", "dmarc", "policy"]),
    (RejectReason::ClientHost, &["client host rejected", "client certificate"]),
    (RejectReason::Helo, &["helo command rejected"]),
    (RejectReason::SenderAddress, &["sender address rejected"]),
    (RejectReason::RecipientAddress, &["recipient address rejected", "unverified address"]),
    (RejectReason::Content, &["content rejected", "spam", "virus"]),
    (
        RejectReason::Protocol,
        &[
            "pipelining",
            "bare <lf>",
            "protocol error",
            "data command rejected",
            "syntax",
            "starttls",
            "helo",
            "ehlo",
            "authentication",
            "command rejected",
            "bad address",
            "unsupported",
            "not implemented",
            "end-of-data rejected",
            "synchronization",
            "must declare smtputf8",
        ],
    ),
];

impl RejectReason {
    /// The class of a refusal of smtpd.
    pub(super) fn of(refusal: &Refusal<'_>) -> Self {
        let words = refusal.words;
        if !refusal.subject && blocked_using(words).is_some() {
            return Self::Dnsbl;
        }
        if words.starts_with(b"Relay access denied") {
            return Self::RelayDenied;
        }
        let Some((kind, said)) = KINDS.iter().find_map(|(word, kind)| Some((*kind, words.strip_prefix(*word)?))) else {
            return Self::in_text(words).unwrap_or(Self::Other);
        };
        match OWN.iter().find(|(word, _)| said.starts_with(word)) {
            Some((_, class)) => class.unwrap_or(kind),
            None => Self::in_text(said).unwrap_or(kind),
        }
    }

    /// By the plain words of a text.
    fn in_text(text: &[u8]) -> Option<Self> {
        let plain = plain_words(text);
        CLASSES.iter().find(|(_, words)| words.iter().any(|word| plain.contains(word))).map(|(class, _)| *class)
    }
}

/// The words of a text that are no names and no addresses, in lower case.
fn plain_words(text: &[u8]) -> String {
    let mut plain = String::new();
    for word in text[..text.len().min(1_024)].split(|b| matches!(b, b' ' | b'\t')) {
        let core = word.trim_ascii_end();
        let core = core.strip_suffix(b".").unwrap_or(core);
        let strange = core != b"<LF>"
            && core.iter().enumerate().any(|(at, b)| match b {
                b'@' | b'<' | b'>' | b'[' | b']' | b'/' | b'=' | b'"' => true,
                b'.' => true,
                b':' => at + 1 < core.len(),
                _ => false,
            });
        if !strange {
            plain.extend(word.iter().map(|b| char::from(b.to_ascii_lowercase())));
            plain.push(' ');
        }
    }
    plain
}

/// A list the administrator configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsList {
    /// As it is asked, in lower case.
    pub asked: String,
    /// As it is shown: without the key of a paid list.
    pub shown: String,
}

impl DnsList {
    /// Of a domain as smtpd_*_restrictions and postscreen_dnsbl_sites have it.
    pub fn new(domain: &str) -> Self {
        let asked = domain.trim_end_matches('.').to_ascii_lowercase();
        Self { shown: without_key(&asked), asked }
    }
}

/// What a list is called in the table.
pub(super) fn list_name(list: &[u8], configured: &Option<Vec<DnsList>>) -> String {
    let name = text::name(list.strip_suffix(b".").unwrap_or(list)).to_ascii_lowercase();
    match configured.iter().flatten().find(|known| known.asked == name) {
        Some(known) => known.shown.clone(),
        None => without_key(&name),
    }
}

/// Paid lists have a customer's key as their first label (`KEY.zen.dq.spamhaus.net`): 20 letters and digits or more, some of
/// each. The log may be read by few, SNMP by many.
fn without_key(name: &str) -> String {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let secret = first.len() >= 20
        && first.bytes().all(|b| b.is_ascii_alphanumeric())
        && first.bytes().any(|b| b.is_ascii_digit())
        && first.bytes().any(|b| b.is_ascii_alphabetic());
    let bought = rest.ends_with(".dq.spamhaus.net") || rest == "dq.spamhaus.net";
    if (secret || bought && !matches!(first, "zen" | "sbl" | "xbl" | "pbl" | "dbl" | "zrd")) && !rest.is_empty() {
        return rest.to_owned();
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::RejectReason::{self, *};
    use super::{DnsList, list_name};
    use crate::postfix::log::refusal::refusal;

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
            let details = format!("RCPT from x[192.0.2.1]: {reply}");
            assert_eq!(RejectReason::of(&refusal(details.as_bytes()).unwrap()), class, "{reply}");
        }
    }

    #[test]
    fn names_of_clients_are_no_reasons() {
        for (reply, class) in [
            (
                "450 4.1.8 <newsletter@policy.example>: Sender address rejected: Domain not found; from=<newsletter@policy.example>",
                SenderAddress,
            ),
            ("554 5.7.1 <throttle.example[192.0.2.1]>: Client host rejected: no; from=<a@b>", ClientHost),
            (
                "550 5.1.1 <blocked using evil1@x>: Recipient address rejected: User unknown; from=<a@b>",
                UnknownRecipient,
            ),
            ("454 4.7.1 <x blocked using evil-list; y@z.example>: Relay access denied; from=<a@b>", RelayDenied),
            (
                "450 4.1.1 <a@b>: Recipient address rejected: unverified address: host mx[1.2.3.4] said: 450 Greylisted; from=<x@y> to=<a@b> proto=SMTP",
                RecipientAddress,
            ),
            (
                "550 5.7.1 <a@b>: Recipient address rejected: no mail from greylist-report@lists.example; from=<a@b>",
                RecipientAddress,
            ),
            (
                "550 5.7.1 <a@b>: Recipient address rejected: Please see http://spf.example/policy?id=x; from=<a@b>",
                RecipientAddress,
            ),
            ("550 5.1.1 <a@b>: Sender address rejected: Access denied; from=<a@b>", Policy),
            (
                "550 5.7.23 <a@b>: Recipient address rejected: Message rejected due to: SPF fail - not authorized. Please see http://x; from=<a@b>",
                Policy,
            ),
        ] {
            let details = format!("RCPT from x[192.0.2.1]: {reply}");
            assert_eq!(RejectReason::of(&refusal(details.as_bytes()).unwrap()), class, "{reply}");
        }
    }

    #[test]
    fn keys_of_paid_lists_are_not_shown() {
        let name = |list: &str| list_name(list.as_bytes(), &None);
        assert_eq!(name("abcdefghijklmnop1234567890.zen.dq.spamhaus.net"), "zen.dq.spamhaus.net");
        assert_eq!(name("shortkey.zen.dq.spamhaus.net"), "zen.dq.spamhaus.net");
        assert_eq!(name("zen.dq.spamhaus.net"), "zen.dq.spamhaus.net");
        assert_eq!(name("a1b2c3d4e5f6a7b8c9d0e1f2.rbl.example.com."), "rbl.example.com");
        assert_eq!(name("B.Barracudacentral.ORG"), "b.barracudacentral.org");
        assert_eq!(DnsList::new("Zen.Spamhaus.org.").shown, "zen.spamhaus.org");
    }
}
