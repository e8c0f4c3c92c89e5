//! A whole mail site for the probes: Postfix with TLS and logins, Dovecot on the mailbox it delivers to, and an authority.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::{Authority, Issued};
use super::dovecot::{DovecotBuilder, PASSWORD, USER, make_maildir};
use super::{AGENT_UID, Port, PostfixBuilder, Sandbox, TestDovecot, TestPostfix};

/// Whose mail goes where Dovecot reads.
pub const MAILBOX: &str = "user@virtual.test";

/// Postfix, Dovecot and what they share.
#[derive(Debug)]
pub struct TestSite {
    pub postfix: TestPostfix,
    pub dovecot: TestDovecot,
    pub authority: Authority,
    /// STARTTLS required, login offered.
    pub submission: Port,
    /// TLS at once.
    pub submissions: Port,
    /// Files for the probes: password and Maildir.
    pub files: Sandbox,
}

impl TestSite {
    pub fn start() -> Self {
        Self::with(|postfix| postfix, |dovecot| dovecot)
    }

    /// With other settings of both.
    pub fn with(
        postfix: impl FnOnce(PostfixBuilder) -> PostfixBuilder,
        dovecot: impl FnOnce(DovecotBuilder) -> DovecotBuilder,
    ) -> Self {
        let files = Sandbox::new("site");
        let authority = Authority::new(&files.path("ca"));
        let certificate = authority.issue("mx.local.test", "ec", "DNS:mx.local.test,IP:127.0.0.1", 0, 90);
        let mailbox = files.path("mail");
        make_maildir(&mailbox);
        let dovecot = dovecot(TestDovecot::builder(&certificate, &mailbox)).start();
        let (submission, submissions) = (Port::reserve(), Port::reserve());
        let builder = with_tls(TestPostfix::builder(), &certificate, &dovecot)
            .main(&format!("virtual_mailbox_base = {}", files.dir().display()))
            .main("virtual_mailbox_maps = inline:{ user@virtual.test=mail/, held@virtual.test=held/ }")
            .main(&format!("virtual_uid_maps = static:{AGENT_UID}"))
            .main(&format!("virtual_gid_maps = static:{AGENT_UID}"))
            .master(&format!("127.0.0.1:{submission} inet n - n - - smtpd"))
            .master("  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes")
            .master("  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject")
            .master(&format!("127.0.0.1:{submissions} inet n - n - - smtpd"))
            .master("  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes");
        let postfix = postfix(builder).start();
        let site = Self { postfix, dovecot, authority, submission, submissions, files };
        site.password("password", PASSWORD);
        site
    }

    /// The same command where this Postfix is the host's own: its configuration is mounted over /etc/postfix, for this
    /// process and its children alone. sendmail(1) believes no other one from an unprivileged user.
    pub fn as_host(&self, command: &Command) -> Command {
        const MOUNT: &str = r#"mount --bind "$1" /etc/postfix && shift && exec "$@""#;
        let mut outer = self.files.command("unshare");
        outer.args(["-m", "--propagation", "private", "sh", "-c", MOUNT, "sh"]).arg(self.postfix.config_directory());
        outer.arg(command.get_program()).args(command.get_args());
        outer
    }

    pub fn mailbox(&self) -> PathBuf {
        self.files.path("mail")
    }

    /// A password file for the agent's user alone.
    pub fn password(&self, name: &str, password: &str) -> PathBuf {
        let file = self.files.write(name, &format!("{password}\n"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        chown(&file, Some(AGENT_UID), Some(AGENT_UID)).unwrap();
        file
    }

    /// Keys of `smtp:`, `imap:` or `pop3:` for a port of this site that is trusted, with a login.
    pub fn server(&self, port: &Port, tls: &str) -> String {
        let (ca, password) = (self.authority.file(), self.files.path("password"));
        format!(
            "host: 127.0.0.1, port: {port}, tls: {tls}, ca_file: {}, user: {USER}, password_file: {}",
            ca.display(),
            password.display()
        )
    }

    /// Puts mail of somebody else into the mailbox: half of it in new, half of it in cur, none of it read.
    pub fn foreign(&self, count: usize) {
        for number in 0..count {
            let (part, end) = if number % 2 == 0 { ("new", "") } else { ("cur", ":2,") };
            // The same subject as a probe's now and then, and a header that is nearly one's.
            let text = format!(
                "From: <a@example.org>\nSubject: postfix-agentx probe: {number}\nX-Postfix-Agentx-Probe: mailbox@elsewhere;{number};00112233445566778899aabbccddeeff\n\nHello {number}.\n"
            );
            let file = self.mailbox().join(part).join(format!("{}.M{number}P1.elsewhere{end}", 1_700_000_000 + number));
            fs::write(&file, text).unwrap();
            chown(&file, Some(AGENT_UID), Some(AGENT_UID)).unwrap();
        }
    }

    /// Every message of the mailbox by its unique name: flags and content. A session moves messages from new to cur; that
    /// alone is no change.
    pub fn messages(&self) -> BTreeMap<String, (String, Vec<u8>)> {
        messages(&self.mailbox())
    }
}

/// Every message of a Maildir by its unique name: its flags, its content.
pub fn messages(maildir: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(maildir.join(part)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let (unique, flags) = name.split_once(":2,").unwrap_or((&name, ""));
            // Dovecot may note sizes in the name: `,S=123,W=125`.
            let unique = unique.split(',').next().unwrap_or_default();
            found.insert(unique.to_owned(), (flags.to_owned(), fs::read(entry.path()).unwrap()));
        }
    }
    found
}

/// The lines of main.cf that make smtpd offer this certificate and ask this server for logins.
pub fn with_tls(postfix: PostfixBuilder, certificate: &Issued, dovecot: &TestDovecot) -> PostfixBuilder {
    postfix
        .main("smtpd_tls_security_level = may")
        .main(&format!("smtpd_tls_cert_file = {}", certificate.certificate.display()))
        .main(&format!("smtpd_tls_key_file = {}", certificate.key.display()))
        .main("smtpd_sasl_type = dovecot")
        .main(&format!("smtpd_sasl_path = {}", dovecot.sasl_path()))
}
