use super::{
    Cause::{self, *},
    words,
};
use crate::postfix::log::text::dsn_code;
use proptest::prelude::*;

fn cause(dsn: &str, text: &str, recipient: &str) -> Cause {
    Cause::of(dsn_code(dsn.as_bytes()), text.as_bytes(), recipient.as_bytes())
}

/// What a server said, behind Postfix's words.
fn said(dsn: &str, reply: &str) -> Cause {
    cause(dsn, &format!("host mx.example[192.0.2.1] said: {reply} (in reply to RCPT TO command)"), "joe@example.org")
}

#[test]
fn codes_decide_before_words() {
    for (dsn, reply, class) in [
        ("5.1.1", "550 5.1.1 <joe@example.org>: Recipient address rejected: mailbox is over quota", UnknownUser),
        (
            "5.7.26",
            "550-5.7.26 This mail has been blocked because the sender is unauthenticated.",
            SenderAuthentication,
        ),
        ("5.7.1", "550 5.7.1 <joe@example.org>: Relay access denied", RelayDenied),
        ("5.7.1", "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org", BlockListed),
        ("5.7.1", "550 5.7.1 Message rejected due to SPF policy", SenderAuthentication),
        ("5.7.1", "550 5.7.1 no", Policy),
        ("5.2.2", "552 5.2.2 no", OverQuota),
        ("5.3.4", "552 5.3.4 no", MessageSize),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied. [x.prod.outlook.com]", UnknownUser),
        ("5.4.14", "554 5.4.14 Hop count exceeded", MailLoop),
        ("5.6.0", "550 5.6.0 something about it", Other),
        ("5.6.2", "550 5.6.2 no", Content),
        ("5.7.606", "550 5.7.606 Access denied, banned sending IP [192.0.2.7]", BlockListed),
        ("4.2.2", "452 4.2.2 The email account that you tried to reach is over quota", OverQuota),
        (
            "4.7.0",
            "421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume",
            RateLimited,
        ),
        ("4.7.500", "451 4.7.500 no", RateLimited),
        ("4.7.1", "450 4.7.1 no", Policy),
        ("4.5.3", "452 4.5.3 no", RateLimited),
        // Postfix makes 5.0.0 of a reply without one, and the words or the reply's code are left.
        ("5.0.0", "550 user unknown", UnknownUser),
        ("5.0.0", "552 no", OverQuota),
        ("5.0.0", "550 no", Other),
        ("5.0.0", "554 delivery error: dd This user doesn't have a example.com account", UnknownUser),
        ("5.0.0", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", RelayDenied),
        ("5.0.0", "550 Message contains a virus", Content),
        ("5.0.0", "535 no", Login),
        ("4.0.0", "421 no", RateLimited),
        ("4.0.0", "421 Service unavailable; account is unavailable", UnknownUser),
        ("4.0.0", "451 timeout", TimedOut),
        ("5.0.0", "550 timeout", Other),
        ("5.0.0", "556 no", HostNotFound),
        // Only the text, as showq has it.
        ("", "452 4.2.2 no", OverQuota),
        ("", "550-5.1.1 no", UnknownUser),
    ] {
        assert_eq!(said(dsn, reply), class, "{dsn} {reply}");
    }
}

#[test]
fn postfix_says_it_itself() {
    for (dsn, text, class) in [
        ("5.1.1", "unknown user: \"x\"", UnknownUser),
        ("5.4.6", "mail for x.example loops back to myself", MailLoop),
        ("", "mail forwarding loop for x@y", MailLoop),
        (
            "5.4.4",
            "Host or domain name not found. Name service error for name=x.example type=AAAA: Host not found",
            HostNotFound,
        ),
        (
            "4.4.3",
            "Host or domain name not found. Name service error for name=x type=MX: Host not found, try again",
            HostNotFound,
        ),
        ("5.1.0", "Domain x.example does not accept mail (nullMX)", HostNotFound),
        ("5.3.4", "message size 2048 exceeds size limit 1000 of server mx.example[192.0.2.1]", MessageSize),
        ("5.3.0", "Command died with status 127: \"/bin/x\". Command output: x: not found", Local),
        ("4.3.0", "temporary failure. Command output: maildrop: maildir over quota.", OverQuota),
        ("4.4.1", "connect to mx.example[192.0.2.1]:25: Connection refused", ConnectionRefused),
        ("4.4.1", "connect to mx.example[192.0.2.1]:25: Connection timed out", TimedOut),
        ("4.4.2", "lost connection with mx.example[192.0.2.1] while sending RCPT TO", LostConnection),
        ("4.7.5", "Server certificate not trusted", Tls),
        ("4.7.4", "TLS is required, but was not offered by host mx.example[192.0.2.1]", Tls),
        ("4.7.8", "SASL authentication failed; server mx.example[192.0.2.1] said: 535 5.7.8 Error", Login),
        ("", "SASL authentication failed; server mx.example[192.0.2.1] said: 454 4.7.0 over quota", Login),
        ("4.2.2", "maildir delivery failed: create maildir file /home/x/Maildir/tmp/1: Disk quota exceeded", OverQuota),
        ("5.7.1", "no mail today", Policy),
        ("4.3.0", "simulated", Local),
        ("", "simulated", Other),
    ] {
        assert_eq!(cause(dsn, text, "x@y"), class, "{dsn} {text}");
    }
}

/// Addresses and names are words that others chose.
#[test]
fn addresses_and_names_decide_nothing() {
    let host = "host quota.spam.example[192.0.2.1] said: ";
    for (recipient, reply) in [
        ("x@y", "550 <\"over quota\"@x>: go away"),
        ("x@y", "550 <over quota@x>: go away"),
        ("x@y", "550 <a> over quota <b@x>: go away"),
        ("x@y", "550 <a@b> over quota <c@d>... go away"),
        ("x@y", "550 \"over quota\"@x go away"),
        ("x@y", "550 user-unknown@x go away"),
        ("x@y", "550 go away, see http://blacklist/virus/quota"),
        ("x@y", "550 go away virus.example"),
        ("\"over quota\"@y", "550 over quota@y go away"),
        ("\"over quota\"@y", "550 OVER quota@Y go away"),
        ("\"over \\\"quota\"@y", "550 over \"quota@y go away"),
        ("\"a> over quota <b\"@y", "550 <a> over quota <b@y> go away"),
    ] {
        assert_eq!(cause("5.0.0", &format!("{host}{reply}"), recipient), Other, "{recipient} {reply}");
    }
    assert_eq!(cause("4.4.1", "connect to timeout.example[192.0.2.1]:25: Connection refused", ""), ConnectionRefused);
    assert_eq!(cause("5.4.6", "mail for quota loops back to myself", ""), MailLoop);
    assert_eq!(cause("", "unable to look up host connection refused.example: x", ""), HostNotFound);
}

/// A table of ours does not hide a row below: what stands further up is not part of it.
#[test]
fn every_word_can_be_found() {
    for remote in [true, false] {
        words::check(remote);
    }
}

proptest! {
    /// A recipient's local part changes no cause, however it is quoted by the server.
    #[test]
    fn no_recipient_decides(
        local in "[a-z ]{0,8}(over quota|user unknown|too many|greylisted|spam|virus|blocked using|relay access denied)[a-z <>,:]{0,8}",
        bare in any::<bool>(),
        reply in "(go away|mailbox unavailable|no such thing)",
    ) {
        let external = format!("\"{local}\"@y.example");
        let shown = if bare { format!("{local}@y.example") } else { format!("<{local}@y.example>:") };
        let plain = said("5.0.0", &format!("550 <x@y.example>: {reply}"));
        let text = format!("host mx.example[192.0.2.1] said: 550 {shown} {reply} (in reply to RCPT TO command)");
        prop_assert_eq!(cause("5.0.0", &text, &external), plain);
    }

    #[test]
    fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..2000), recipient in proptest::collection::vec(any::<u8>(), 0..40)) {
        Cause::of(None, &text, &recipient);
        let said = [b"host a[1.2.3.4] said: 550 ", &text[..]].concat();
        Cause::of(Some([5, 0, 0]), &said, &recipient);
    }
}
