//! The queues of an instance (Postfix: src/global/mail_queue.h).

/// One of the directories mail waits in. The discriminants are postfixQueueKind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueKind {
    /// Local submissions that pickup(8) has not taken yet.
    Maildrop = 1,
    /// What cleanup(8) writes or has written.
    Incoming = 2,
    /// What qmgr(8) works on.
    Active = 3,
    /// What waits for the next attempt.
    Deferred = 4,
    /// What waits for the postmaster.
    Hold = 5,
    /// What could not be read.
    Corrupt = 6,
    /// What could be neither delivered nor returned.
    Saved = 7,
}

impl QueueKind {
    /// All of them, by number.
    pub const ALL: [Self; 7] =
        [Self::Maildrop, Self::Incoming, Self::Active, Self::Deferred, Self::Hold, Self::Corrupt, Self::Saved];

    /// The directory below queue_directory, and the name showq(8) uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maildrop => "maildrop",
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Corrupt => "corrupt",
            Self::Saved => "saved",
        }
    }

    /// The queue of that name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// Its place in [`ALL`](Self::ALL).
    pub fn position(self) -> usize {
        self as usize - 1
    }

    /// Whether files are written where they are, and become messages by their mode; into the other queues they are moved.
    pub fn is_written_in_place(self) -> bool {
        matches!(self, Self::Maildrop | Self::Incoming)
    }

    /// Whether mailq(1) counts what is in it.
    pub fn is_mail(self) -> bool {
        !matches!(self, Self::Corrupt | Self::Saved)
    }
}
