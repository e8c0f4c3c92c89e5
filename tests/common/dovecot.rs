//! A private Dovecot: IMAP4 and POP3, plain, with STARTTLS and with TLS at once, and the SASL that Postfix asks; one user.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::certificates::Issued;
use super::{AGENT_UID, Daemon, PATIENCE, Port, Sandbox, alive, wait_for};

/// `@…@` is filled in. Its log goes to standard error, which the [`Daemon`] keeps.
const CONFIG: &str = "\
base_dir = @dir@/run
state_dir = @dir@/state
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <@cert@
ssl_key = <@key@
auth_mechanisms = plain login
disable_plaintext_auth = no
auth_failure_delay = 0
default_login_user = dovenull
default_internal_user = dovecot
mail_location = maildir:@mail@
mail_uid = @uid@
mail_gid = @uid@
first_valid_uid = 1
mail_max_userip_connections = 200
mail_plugins = quota
postmaster_address = postmaster@virtual.test
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=@quota@
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN @dir@/users
}
userdb {
  driver = static
  args = uid=@uid@ gid=@uid@ home=@dir@/home
}
service imap-login {
  inet_listener imap {
    port = @imap@
  }
  inet_listener imaps {
    port = @imaps@
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = @pop3@
  }
  inet_listener pop3s {
    port = @pop3s@
    ssl = yes
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = @sasl@
  }
  unix_listener auth-userdb {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
@more@
";

/// The only user, of IMAP, POP3 and SASL.
pub const USER: &str = "user";
pub const PASSWORD: &str = "Zu8-geheim";

/// What the server is to be, before it runs.
#[derive(Debug)]
pub struct DovecotBuilder {
    certificate: Issued,
    mailbox: PathBuf,
    quota: String,
    more: String,
}

impl DovecotBuilder {
    /// `storage=` of the quota that dovecot-lda minds, e.g. `1G`.
    pub fn quota(mut self, storage: &str) -> Self {
        storage.clone_into(&mut self.quota);
        self
    }

    /// More lines of dovecot.conf.
    pub fn config(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    pub fn start(self) -> TestDovecot {
        let sandbox = Sandbox::new("dovecot");
        sandbox.mkdir("run", 0o755, None);
        sandbox.mkdir("state", 0o755, None);
        sandbox.mkdir("home", 0o755, Some(AGENT_UID));
        sandbox.write("users", &format!("{USER}:{{PLAIN}}{PASSWORD}\n"));
        let [imap, imaps, pop3, pop3s, sasl] = std::array::from_fn(|_| Port::reserve());
        let mut text = CONFIG.to_owned();
        for (name, value) in [
            ("dir", sandbox.dir().display().to_string()),
            ("cert", self.certificate.certificate.display().to_string()),
            ("key", self.certificate.key.display().to_string()),
            ("mail", self.mailbox.display().to_string()),
            ("uid", AGENT_UID.to_string()),
            ("quota", self.quota),
            ("imap", imap.to_string()),
            ("imaps", imaps.to_string()),
            ("pop3", pop3.to_string()),
            ("pop3s", pop3s.to_string()),
            ("sasl", sasl.to_string()),
            ("more", self.more),
        ] {
            text = text.replace(&format!("@{name}@"), &value);
        }
        let config = sandbox.write("dovecot.conf", &text);
        let mut command = sandbox.command("dovecot");
        command.arg("-F").arg("-c").arg(&config);
        let daemon = Daemon::spawn("dovecot", &mut command, sandbox.path("dovecot.log"));
        let dovecot = TestDovecot { daemon, imap, imaps, pop3, pop3s, sasl, sandbox };
        for port in [&dovecot.imap, &dovecot.pop3s, &dovecot.sasl] {
            wait_for("dovecot on its ports", PATIENCE, || {
                assert!(alive(dovecot.daemon.pid()), "dovecot ended: {}", dovecot.daemon.output());
                std::net::TcpStream::connect(("127.0.0.1", port.number())).ok()
            });
        }
        dovecot
    }
}

/// A private server; dropped, it is ended and removed.
#[derive(Debug)]
pub struct TestDovecot {
    daemon: Daemon,
    pub imap: Port,
    pub imaps: Port,
    pub pop3: Port,
    pub pop3s: Port,
    sasl: Port,
    // Last: the sandbox ends what the daemon leaves.
    sandbox: Sandbox,
}

impl TestDovecot {
    /// On this Maildir, which belongs to the agent's user, so that a Maildir probe may read and remove there as well.
    pub fn builder(certificate: &Issued, mailbox: &Path) -> DovecotBuilder {
        DovecotBuilder {
            certificate: certificate.clone(),
            mailbox: mailbox.to_owned(),
            quota: "1G".into(),
            more: String::new(),
        }
    }

    pub fn log(&self) -> String {
        self.daemon.output()
    }

    pub fn config_file(&self) -> PathBuf {
        self.sandbox.path("dovecot.conf")
    }

    /// For main.cf and master.cf of the Postfix that asks it for logins.
    pub fn sasl_path(&self) -> String {
        format!("inet:127.0.0.1:{}", self.sasl)
    }

    /// SIGTERM; the ports stay reserved and closed.
    pub fn stop(&mut self) {
        self.daemon.stop();
        self.sandbox.end_processes();
    }
}

/// Makes a Maildir with new, cur and tmp that belongs to the agent's user.
pub fn make_maildir(path: &Path) {
    for part in ["", "new", "cur", "tmp"] {
        let directory = path.join(part);
        fs::create_dir_all(&directory).unwrap();
        chown(&directory, Some(AGENT_UID), Some(AGENT_UID)).unwrap();
    }
}
