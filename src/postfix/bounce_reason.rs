//! Why a delivery was given up, as one of twelve classes; what decides is in [`super::reason`].

use super::reason::Cause;

/// postfixBounceReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BounceReason {
    /// There is no such mailbox, or no more.
    UnknownUser = 1,
    /// The mailbox is full.
    OverQuota = 2,
    /// Taken for spam, or refused by a rule over there.
    SpamOrPolicy = 3,
    /// This host is on a list.
    BlockListed = 4,
    /// SPF, DKIM or DMARC of the sender's domain.
    Authentication = 5,
    /// It does not pass mail on for us.
    RelayDenied = 6,
    /// The domain does not exist, or takes no mail.
    HostNotFound = 7,
    /// Too large.
    MessageSize = 8,
    /// It goes round in circles.
    MailLoop = 9,
    /// A virus, an attachment, a form that is not taken.
    Content = 10,
    /// The fault is on this host: an alias, a command, a login.
    Local = 11,
    /// None of these.
    Other = 12,
}

impl BounceReason {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::UnknownUser,
        Self::OverQuota,
        Self::SpamOrPolicy,
        Self::BlockListed,
        Self::Authentication,
        Self::RelayDenied,
        Self::HostNotFound,
        Self::MessageSize,
        Self::MailLoop,
        Self::Content,
        Self::Local,
        Self::Other,
    ];

    /// The enumeration's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknownUser",
            Self::OverQuota => "overQuota",
            Self::SpamOrPolicy => "spamOrPolicy",
            Self::BlockListed => "blockListed",
            Self::Authentication => "authentication",
            Self::RelayDenied => "relayDenied",
            Self::HostNotFound => "hostNotFound",
            Self::MessageSize => "messageSize",
            Self::MailLoop => "mailLoop",
            Self::Content => "content",
            Self::Local => "local",
            Self::Other => "other",
        }
    }
}

impl From<Cause> for BounceReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::UnknownUser => Self::UnknownUser,
            Cause::OverQuota => Self::OverQuota,
            Cause::Policy | Cause::RateLimited | Cause::Greylisted => Self::SpamOrPolicy,
            Cause::BlockListed => Self::BlockListed,
            Cause::SenderAuthentication => Self::Authentication,
            Cause::RelayDenied => Self::RelayDenied,
            Cause::HostNotFound => Self::HostNotFound,
            Cause::MessageSize => Self::MessageSize,
            Cause::MailLoop => Self::MailLoop,
            Cause::Content => Self::Content,
            Cause::Local | Cause::Login => Self::Local,
            Cause::ConnectionRefused
            | Cause::TimedOut
            | Cause::NoRoute
            | Cause::LostConnection
            | Cause::Tls
            | Cause::Other => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_places() {
        assert!(BounceReason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i + 1));
    }
}
