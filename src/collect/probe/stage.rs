//! The stages of a probe, and how long each took.

use std::time::{Duration, Instant};

/// postfixProbeStage: a step of a probe that can fail by itself. Numbers 1 to 6, 10 to 12 are the SMTP side, 13 to 18 the
/// mailbox's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// TCP connection of the SMTP server, or of the server whose certificate is looked at.
    Connect = 1,
    /// Its greeting.
    Banner = 2,
    /// EHLO and its answer; the capabilities of an IMAP or POP3 server.
    Ehlo = 3,
    /// STARTTLS and the TLS handshake, or the handshake of implicit TLS.
    Starttls = 4,
    /// The password file and the login.
    Auth = 5,
    /// DATA, the message and its acceptance, or the run of sendmail.
    Submit = 6,
    /// From the acceptance to the sight of the message in the mailbox.
    Deliver = 7,
    /// Reading the message.
    Retrieve = 8,
    /// Removing it.
    Remove = 9,
    /// Host name to addresses.
    Resolve = 10,
    /// MAIL FROM and RCPT TO.
    Recipient = 11,
    /// RSET and QUIT; its failure does not fail the probe.
    Quit = 12,
    /// Host name of the mailbox server to addresses.
    MailboxResolve = 13,
    /// TCP connection of the mailbox server.
    MailboxConnect = 14,
    /// Its greeting.
    MailboxBanner = 15,
    /// STARTTLS (STLS) and handshake there.
    MailboxStarttls = 16,
    /// Login there.
    MailboxAuth = 17,
    /// Opening the folder or directory and looking for left-overs.
    MailboxFolder = 18,
    /// Reading and judging a certificate.
    Certificate = 19,
}

impl Stage {
    /// The enumeration's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::Starttls => "starttls",
            Self::Auth => "auth",
            Self::Submit => "submit",
            Self::Deliver => "deliver",
            Self::Retrieve => "retrieve",
            Self::Remove => "remove",
            Self::Resolve => "resolve",
            Self::Recipient => "recipient",
            Self::Quit => "quit",
            Self::MailboxResolve => "mailboxResolve",
            Self::MailboxConnect => "mailboxConnect",
            Self::MailboxBanner => "mailboxBanner",
            Self::MailboxStarttls => "mailboxStarttls",
            Self::MailboxAuth => "mailboxAuth",
            Self::MailboxFolder => "mailboxFolder",
            Self::Certificate => "certificate",
        }
    }
}

/// Which stages the steps of opening a connection are.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    pub(super) resolve: Stage,
    pub(super) connect: Stage,
    pub(super) banner: Stage,
    pub(super) hello: Stage,
    pub(super) tls: Stage,
    pub(super) auth: Stage,
}

/// The SMTP server, or the only server there is.
pub const SERVER: Side = Side {
    resolve: Stage::Resolve,
    connect: Stage::Connect,
    banner: Stage::Banner,
    hello: Stage::Ehlo,
    tls: Stage::Starttls,
    auth: Stage::Auth,
};

/// The mailbox's server in a round trip.
pub const MAILBOX: Side = Side {
    resolve: Stage::MailboxResolve,
    connect: Stage::MailboxConnect,
    banner: Stage::MailboxBanner,
    hello: Stage::MailboxBanner,
    tls: Stage::MailboxStarttls,
    auth: Stage::MailboxAuth,
};

/// How a stage of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Which one.
    pub stage: Stage,
    /// How long it took, all its pieces together.
    pub took: Duration,
    /// Whether it was passed.
    pub passed: bool,
}

/// What a run went through, in the order in which it was first there. It outlives a run that is given up.
#[derive(Clone, Debug)]
pub struct Trace {
    stages: Vec<Timed>,
    current: Option<(Stage, Instant)>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { stages: Vec::with_capacity(19), current: None }
    }
}

impl Trace {
    /// The stage before is passed, this one begins or goes on.
    pub fn begin(&mut self, stage: Stage) {
        self.end(true);
        self.current = Some((stage, Instant::now()));
    }

    /// As [`begin`](Self::begin), for a stage that began a little earlier.
    pub fn begin_at(&mut self, stage: Stage, began: Instant) {
        self.end(true);
        self.current = Some((stage, began));
    }

    /// The current stage is over.
    pub fn end(&mut self, passed: bool) {
        let Some((stage, began)) = self.current.take() else { return };
        let took = began.elapsed();
        match self.stages.iter_mut().find(|timed| timed.stage == stage) {
            Some(timed) => {
                timed.took += took;
                timed.passed = passed;
            }
            None => self.stages.push(Timed { stage, took, passed }),
        }
    }

    /// The stage that goes on.
    pub fn current(&self) -> Option<Stage> {
        self.current.map(|(stage, _)| stage)
    }

    /// All stages that were reached.
    pub fn stages(&self) -> &[Timed] {
        &self.stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_comes_back_is_one_and_the_last_one_can_fail() {
        let mut trace = Trace::default();
        trace.begin(Stage::Ehlo);
        trace.begin(Stage::Starttls);
        trace.begin(Stage::Ehlo);
        assert_eq!(trace.current(), Some(Stage::Ehlo));
        trace.begin(Stage::Auth);
        trace.end(false);
        let seen: Vec<_> = trace.stages().iter().map(|t| (t.stage, t.passed)).collect();
        assert_eq!(seen, [(Stage::Ehlo, true), (Stage::Starttls, true), (Stage::Auth, false)]);
        assert_eq!(trace.current(), None);
    }
}
