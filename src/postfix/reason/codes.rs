//! What codes say: enhanced status codes (RFC 3463, the IANA registry behind it, and the numbers of Exchange Online), then
//! codes of replies (RFC 5321, RFC 4954, RFC 7504).

use super::Cause;

/// Of a code that says enough. `remote`: the other server gave it; Postfix's own codes have the meaning smtp(8) and local(8)
/// give them.
pub(super) fn by_dsn([class, subject, detail]: [u32; 3], remote: bool) -> Option<Cause> {
    let permanent = class == 5;
    Some(match (subject, detail) {
        // The sender's address or domain is not liked.
        (1, 7 | 8) => Cause::Policy,
        // Null MX (RFC 7505).
        (1, 2 | 10) => Cause::HostNotFound,
        (1, 1 | 3 | 4 | 6) if permanent => Cause::UnknownUser,
        (2, 1) if permanent => Cause::UnknownUser,
        (2, 2) => Cause::OverQuota,
        (2, 3) | (3, 4) => Cause::MessageSize,
        // Exchange Online says this of a recipient that its directory does not have.
        (4, 1) if permanent && remote => Cause::UnknownUser,
        (4, 3) if !remote => Cause::HostNotFound,
        (4, 4 | 310 | 312) => Cause::HostNotFound,
        (4, 5) => Cause::RateLimited,
        (4, 6 | 14) => Cause::MailLoop,
        (5, 3) => Cause::RateLimited,
        (6, 1..) => Cause::Content,
        (7, 2 | 3 | 17..=19 | 25 | 27) => Cause::Policy,
        (7, 4..=6 | 10 | 30) => Cause::Tls,
        (7, 8 | 9 | 11..=14) => Cause::Login,
        (7, 20..=24 | 26 | 29) => Cause::SenderAuthentication,
        (7, 28) => Cause::RateLimited,
        (7, 64) => Cause::RelayDenied,
        (7, 500..=699) if !permanent => Cause::RateLimited,
        (7, 509 | 515) => Cause::SenderAuthentication,
        (7, 511 | 606..=649) => Cause::BlockListed,
        _ => return None,
    })
}

/// Of a reply's code that says enough.
pub(super) fn by_code(code: Option<u16>) -> Option<Cause> {
    match code? {
        534 | 535 | 538 => Some(Cause::Login),
        556 => Some(Cause::HostNotFound),
        _ => None,
    }
}

/// What a code is about, where its words say nothing.
pub(super) fn by_subject([class, subject, _]: [u32; 3], remote: bool) -> Option<Cause> {
    match subject {
        1 if class == 5 => Some(Cause::UnknownUser),
        3 if !remote => Some(Cause::Local),
        7 => Some(Cause::Policy),
        _ => None,
    }
}

/// What a reply's code is about, where neither its words nor an enhanced code say anything.
pub(super) fn by_general_code(code: Option<u16>) -> Option<Cause> {
    match code? {
        // A server that has enough to do.
        421 => Some(Cause::RateLimited),
        530 => Some(Cause::Login),
        551 | 553 => Some(Cause::UnknownUser),
        552 => Some(Cause::OverQuota),
        _ => None,
    }
}
