//! Real mail in every fate that Postfix knows.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use super::{Daemon, PATIENCE, Port, Reply, Sandbox, Smtp, TestPostfix, alive, tool, wait_for};

/// Mailboxes of virtual(8) belong to nobody.
const MAILBOX_OWNER: u32 = 65_534;

/// The sender of mail that ends well; bounces and delay notices to it are delivered as well.
pub const SENDER: &str = "sender@virtual.test";

/// How one mail ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Into a maildir, by virtual(8).
    Delivered,
    /// Into a mailbox file of a system user, by local(8).
    DeliveredLocal,
    /// To an alias of local(8) that points elsewhere; the forwarded copy is then delivered to a maildir, which logs one more `status=sent`.
    Forwarded,
    /// To the next mail server, which takes it.
    Relayed,
    /// As [`Fate::Relayed`], by the service `relay`, whose lines Debian labels `postfix/relay/smtp` in every instance, whatever its name.
    RelayedByRelay,
    /// The next mail server does not answer. After the first failure qmgr suspends deliveries there for the others.
    Deferred,
    /// The next mail server answers 4xx to each recipient.
    DeferredSoft,
    /// Accepted, and then local(8) finds no such user. The null sender keeps it to one event: there is nobody to notify.
    Bounced,
    /// As [`Fate::Bounced`], from a sender who gets a notice into a maildir.
    BouncedWithNotice,
    /// By an access rule.
    Held,
    /// By an access rule.
    Discarded,
    /// By the discard(8) transport.
    DiscardedByTransport,
    /// 550 by an access rule, at RCPT.
    Rejected,
    /// 450 by an access rule, at RCPT.
    RejectedTemporarily,
    /// 554, neither ours nor a domain we relay to.
    RelayDenied,
    /// 550, no such mailbox.
    UnknownUser,
    /// 550 by header_checks after DATA: cleanup refuses, not smtpd.
    HeaderRejected,
}

impl Fate {
    pub const ALL: [Self; 17] = [
        Self::Delivered,
        Self::DeliveredLocal,
        Self::Forwarded,
        Self::Relayed,
        Self::RelayedByRelay,
        Self::Deferred,
        Self::DeferredSoft,
        Self::Bounced,
        Self::BouncedWithNotice,
        Self::Held,
        Self::Discarded,
        Self::DiscardedByTransport,
        Self::Rejected,
        Self::RejectedTemporarily,
        Self::RelayDenied,
        Self::UnknownUser,
        Self::HeaderRejected,
    ];

    pub fn sender(self) -> &'static str {
        match self {
            Self::Bounced => "",
            _ => SENDER,
        }
    }

    pub fn recipient(self) -> &'static str {
        match self {
            Self::Delivered | Self::HeaderRejected => "user@virtual.test",
            Self::DeliveredLocal => "nobody@local.test",
            Self::Forwarded => "forward@local.test",
            Self::Relayed => "user@relay.test",
            Self::RelayedByRelay => "user@relay2.test",
            Self::Deferred => "user@deferred.test",
            Self::DeferredSoft => "user@soft.test",
            Self::Bounced | Self::BouncedWithNotice => "nobody-by-this-name@local.test",
            Self::Held => "held@virtual.test",
            Self::Discarded => "discarded@virtual.test",
            Self::DiscardedByTransport => "user@discarded.test",
            Self::Rejected => "refused@virtual.test",
            Self::RejectedTemporarily => "later@virtual.test",
            Self::RelayDenied => "user@elsewhere.test",
            Self::UnknownUser => "unknown@virtual.test",
        }
    }

    /// The code of the last reply that the client sees.
    pub fn code(self) -> u16 {
        match self {
            Self::Rejected | Self::UnknownUser | Self::HeaderRejected => 550,
            Self::RelayDenied => 554,
            Self::RejectedTemporarily => 450,
            _ => 250,
        }
    }

    /// What the log says, once a mail, when the fate is settled. No other fate writes a line with these words, except where the words are the same
    /// because the fates are the same kind.
    pub fn log_pattern(self) -> &'static str {
        match self {
            Self::Delivered => "to=<user@virtual.test>, relay=virtual",
            Self::DeliveredLocal => "status=sent (delivered to mailbox)",
            Self::Forwarded => "status=sent (forwarded as ",
            Self::Relayed => "to=<user@relay.test>",
            Self::RelayedByRelay => "to=<user@relay2.test>",
            Self::Deferred => "to=<user@deferred.test>",
            Self::DeferredSoft => "to=<user@soft.test>",
            Self::Bounced | Self::BouncedWithNotice => "to=<nobody-by-this-name@local.test>",
            Self::Held => ": hold: RCPT",
            Self::Discarded => ": discard: RCPT",
            Self::DiscardedByTransport => "to=<user@discarded.test>",
            Self::Rejected => "550 5.7.1 <refused@virtual.test>",
            Self::RejectedTemporarily => "450 4.7.1 <later@virtual.test>",
            Self::RelayDenied => "554 5.7.1 <user@elsewhere.test>",
            Self::UnknownUser => "550 5.1.1 <unknown@virtual.test>",
            Self::HeaderRejected => ": reject: header ",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::HeaderRejected => "X-Fate: refused\n",
            _ => "",
        }
    }
}

impl TestPostfix {
    /// Sends so many mails of one fate over one SMTP connection, checks each reply, and waits until the log has settled every one.
    #[track_caller]
    pub fn send(&self, fate: Fate, count: usize) -> Vec<Reply> {
        let before = self.log_count(fate.log_pattern());
        let replies = self.inject(fate, count);
        self.wait_log_count(fate.log_pattern(), before + count);
        replies
    }

    /// As [`send`](Self::send), without waiting for what becomes of the mail.
    #[track_caller]
    pub fn inject(&self, fate: Fate, count: usize) -> Vec<Reply> {
        let mut smtp = self.smtp();
        let replies: Vec<Reply> =
            (0..count).map(|_| smtp.mail(fate.sender(), &[fate.recipient()], fate.head())).collect();
        smtp.quit();
        for reply in &replies {
            assert_eq!(reply.code, fate.code(), "{fate:?}: {reply:?}");
        }
        replies
    }

    /// A connection to this instance's smtpd, for dialogues of one's own.
    pub fn smtp(&self) -> Smtp {
        Smtp::connect(self.smtp_port())
    }

    /// One mail through sendmail(1), maildrop and pickup.
    #[track_caller]
    pub fn sendmail(&self, from: &str, recipients: &[&str], message: &str) {
        let mut command = tool("sendmail");
        command.arg("-C").arg(self.config_directory()).args(["-i", "-f", from, "--"]).args(recipients);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("start sendmail");
        child.stdin.take().unwrap().write_all(message.as_bytes()).expect("sendmail reads the message");
        assert!(child.wait().unwrap().success(), "sendmail to {recipients:?}");
    }
}

/// The servers beyond: one takes all mail, one says 4xx, one port is closed.
#[derive(Debug)]
pub struct Sinks {
    takes: Port,
    defers: Port,
    closed: Port,
    running: Vec<Daemon>,
}

impl Sinks {
    pub fn reserve() -> Self {
        Self { takes: Port::reserve(), defers: Port::reserve(), closed: Port::reserve(), running: Vec::new() }
    }

    /// Writes the tables that lead mail to its fate, and returns main.cf's part.
    pub fn write(&self, sandbox: &Sandbox) -> String {
        let Self { takes, defers, closed, .. } = self;
        sandbox.write(
            "etc/transport",
            &format!(
                "relay.test smtp:[127.0.0.1]:{takes}\nrelay2.test relay:[127.0.0.1]:{takes}\n\
                 soft.test smtp:[127.0.0.1]:{defers}\ndeferred.test smtp:[127.0.0.1]:{closed}\n\
                 discarded.test discard:silently\n"
            ),
        );
        sandbox.write("etc/aliases", "forward user@virtual.test\n");
        sandbox.write(
            "etc/mailboxes",
            "user@virtual.test u/\nsender@virtual.test s/\nheld@virtual.test h/\ndiscarded@virtual.test d/\n",
        );
        sandbox.write(
            "etc/access",
            "held@virtual.test HOLD\ndiscarded@virtual.test DISCARD\nrefused@virtual.test 550 5.7.1 refused by a rule\n\
             later@virtual.test 450 4.7.1 come back later\n",
        );
        sandbox.write("etc/header_checks", "/^X-Fate: refused/ REJECT 5.7.1 header refused by a rule\n");
        let mailboxes = sandbox.mkdir("vmail", 0o755, Some(MAILBOX_OWNER));
        let etc = sandbox.path("etc");
        let (etc, mailboxes) = (etc.display(), mailboxes.display());
        format!(
            "relay_domains = relay.test relay2.test soft.test deferred.test discarded.test\n\
             transport_maps = texthash:{etc}/transport\n\
             virtual_mailbox_domains = virtual.test\n\
             virtual_mailbox_base = {mailboxes}\n\
             virtual_mailbox_maps = texthash:{etc}/mailboxes\n\
             virtual_uid_maps = static:{MAILBOX_OWNER}\n\
             virtual_gid_maps = static:{MAILBOX_OWNER}\n\
             smtpd_relay_restrictions = reject_unauth_destination\n\
             smtpd_recipient_restrictions = check_recipient_access texthash:{etc}/access\n\
             header_checks = regexp:{etc}/header_checks\n"
        )
    }

    /// Starts those that do not run yet.
    pub fn start(&mut self, sandbox: &Sandbox) {
        if !self.running.is_empty() {
            return;
        }
        self.running = vec![sink(sandbox, &self.takes, &[]), sink(sandbox, &self.defers, &["-r", "RCPT"])];
        for (daemon, port) in self.running.iter().zip([&self.takes, &self.defers]) {
            wait_for("smtp-sink", PATIENCE, || {
                assert!(alive(daemon.pid()), "smtp-sink ended: {}", daemon.output());
                std::net::TcpStream::connect(("127.0.0.1", port.number())).ok()
            });
        }
    }
}

fn sink(sandbox: &Sandbox, port: &Port, options: &[&str]) -> Daemon {
    let mut command = sandbox.command(Path::new("smtp-sink"));
    command.args(["-u", "postfix"]).args(options).arg(format!("127.0.0.1:{port}")).arg("100");
    Daemon::spawn("smtp-sink", &mut command, sandbox.path(&format!("sink-{port}")))
}
