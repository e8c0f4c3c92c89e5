//! Why a delivery was put off or given up, from the enhanced status code and the text that Postfix writes of it into the log
//! line, the bounce and defer logs and showq's `reason`.
//!
//! One classifier for all of them: [`Cause::of`]. postfixDeferReason and postfixBounceReason are its causes by other names.
//! The enhanced code decides where it says enough, else the code of the reply, else known words: Postfix's own (smtp_connect.c,
//! smtp_trouble.c, smtp_addr.c, local(8), pipe(8)) or, behind `host … said: `, those of the other server. What is left is
//! taken from the class of the enhanced code. Servers say what they like: a cause is a sign, not a proof.
//!
//! Addresses and names in the text decide nothing, whoever chose them: see [`words`]. What is left open: a server that repeats
//! a sender's address with spaces, and neither brackets nor quotes around it.

mod codes;
mod words;

#[cfg(test)]
mod tests;

use super::log::{refusal::peer, text::dsn_code};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody listens there.
    ConnectionRefused,
    /// No answer in time.
    TimedOut,
    /// The network does not reach it.
    NoRoute,
    /// DNS has no answer, or says that the domain takes no mail.
    HostNotFound,
    /// It broke off.
    LostConnection,
    /// No agreement on TLS.
    Tls,
    /// Asked to come back later.
    Greylisted,
    /// The mailbox is full.
    OverQuota,
    /// Too much at once.
    RateLimited,
    /// We could not log in.
    Login,
    /// The fault is on this host.
    Local,
    /// Spam, or a rule over there.
    Policy,
    /// This host is on a list.
    BlockListed,
    /// SPF, DKIM, DMARC.
    SenderAuthentication,
    /// It does not pass mail on for us.
    RelayDenied,
    /// There is no such mailbox, or no more.
    UnknownUser,
    /// Too large.
    MessageSize,
    /// It goes round in circles.
    MailLoop,
    /// A virus, an attachment, a form that is not taken.
    Content,
    /// None of these.
    Other,
}

impl Cause {
    /// Of a delivery that failed with `dsn` (where it is known) and `text`, to `recipient` (where it is known): a server may
    /// repeat the address, and no word of it counts.
    pub fn of(dsn: Option<[u32; 3]>, text: &[u8], recipient: &[u8]) -> Self {
        // Longer texts say nothing new, and what they cost is bounded.
        let said = Said::parse(&text[..text.len().min(1_024)]);
        // Postfix puts the general code of a class where the server gave none.
        let dsn = dsn.filter(|[_, subject, detail]| (*subject, *detail) != (0, 0)).or(said.dsn).or(dsn);
        if let Some(cause) = dsn.and_then(|dsn| codes::by_dsn(dsn, said.remote)) {
            return cause;
        }
        if let Some(cause) = said.login.then_some(Self::Login).or_else(|| codes::by_code(said.code)) {
            return cause;
        }
        let class = dsn.map(|dsn| dsn[0]).or(said.code.map(|code| u32::from(code / 100)));
        let found = words::find(said.text, recipient, said.remote);
        // A server that had no time to answer says so with a temporary code, else it speaks of something else.
        let found = found.filter(|cause| *cause != Self::TimedOut || !said.remote || class == Some(4));
        found
            .or_else(|| dsn.and_then(|dsn| codes::by_subject(dsn, said.remote)))
            .or_else(|| codes::by_general_code(said.code))
            .unwrap_or(Self::Other)
    }
}

/// Whose words they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said<'a> {
    /// The other server's; else Postfix's own.
    remote: bool,
    /// We could not log in.
    login: bool,
    /// Of its reply.
    code: Option<u16>,
    /// Of its reply.
    dsn: Option<[u32; 3]>,
    text: &'a [u8],
}

impl<'a> Said<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"delivery temporarily suspended: ").unwrap_or(text);
        if let Some(rest) = text.strip_prefix(b"SASL authentication failed") {
            return Self { login: true, text: rest, ..Self::default() };
        }
        let reply = text.strip_prefix(b"host ").and_then(peer).and_then(|(_, rest)| {
            rest.strip_prefix(b" said: ").or_else(|| rest.strip_prefix(b" refused to talk to me: "))
        });
        let Some(reply) = reply else { return Self { text, ..Self::default() } };
        let (code, rest) = match reply {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] if !matches!(rest, [b'0'..=b'9', ..]) => {
                let digit = |digit: &u8| u16::from(digit - b'0');
                (Some(digit(a) * 100 + digit(b) * 10 + digit(c)), rest.get(1..).unwrap_or_default())
            }
            _ => (None, reply),
        };
        // `(in reply to RCPT TO command)` is Postfix's.
        let end = memchr::memmem::rfind(rest, b" (in reply to ").unwrap_or(rest.len());
        let rest = &rest[..end];
        let word = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        match dsn_code(&rest[..word]) {
            Some(dsn) => Self { remote: true, login: false, code, dsn: Some(dsn), text: &rest[word..] },
            None => Self { remote: true, login: false, code, dsn: None, text: rest },
        }
    }
}
