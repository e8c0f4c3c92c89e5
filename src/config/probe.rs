//! `probes:` and `certificates:` of the configuration.
//!
//! The file has one flat mapping a probe ([`Entry`]); what runs is [`Probe`], in which only what belongs to its kind is
//! left. A password is never here: only where it is read from.

use super::duration;
use serde::Deserialize;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// More probes than this are refused: each may hold a connection and a thread that waits for a name server.
pub const MOST_PROBES: usize = 256;

/// One entry of `probes:`, complete and consistent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
pub struct Probe {
    /// postfixProbeName: its identity, with which its counters are kept.
    pub name: String,
    /// Whether it runs at all.
    pub enabled: bool,
    /// From the start of one run to the start of the next.
    pub every: Duration,
    /// After this time a run is given up.
    pub timeout: Duration,
    /// What it does.
    pub kind: Kind,
}

impl Probe {
    /// The servers it connects to.
    pub fn servers(&self) -> Vec<&Server> {
        match &self.kind {
            Kind::Smtp(smtp) => vec![&smtp.server],
            Kind::Certificate(certificate) => match &certificate.at {
                CertificateAt::File(_) => Vec::new(),
                CertificateAt::Server(server, _) => vec![server],
            },
            Kind::RoundTrip(trip) => {
                let submit = match &trip.submit {
                    Submit::Smtp(server) => Some(server),
                    Submit::Sendmail(_) => None,
                };
                let retrieve = match &trip.retrieve {
                    Retrieve::Imap { server, .. } | Retrieve::Pop3(server) => Some(server),
                    Retrieve::Maildir(_) => None,
                };
                submit.into_iter().chain(retrieve).collect()
            }
        }
    }
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Talks to an SMTP server and leaves no message behind.
    Smtp(Smtp),
    /// Sends a message and waits for it in a mailbox.
    RoundTrip(RoundTrip),
    /// Looks at a certificate.
    Certificate(Certificate),
}

/// `kind: smtp`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// The server.
    pub server: Server,
    /// Envelope sender, empty for the null sender.
    pub from: String,
    /// Go as far as RCPT TO with this address, then RSET.
    pub rcpt: Option<String>,
    /// The reply code that is success: of RCPT TO where there is one, else of the banner.
    pub expect: u16,
}

/// `kind: imap`, `pop3` or `maildir`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Envelope sender and From; empty for the null sender.
    pub from: String,
    /// The one recipient.
    pub to: String,
    /// A message that has not come after this time is lost.
    pub lost_after: Duration,
    /// How the message is sent.
    pub submit: Submit,
    /// Where it is waited for.
    pub retrieve: Retrieve,
}

/// How a message is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submit {
    /// `smtp:`
    Smtp(Server),
    /// `sendmail:` the program, which is given the message on its standard input.
    Sendmail(PathBuf),
}

/// Where a message is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retrieve {
    /// `imap:`
    Imap {
        /// The server.
        server: Server,
        /// The folder, in UTF-8.
        folder: String,
    },
    /// `pop3:`
    Pop3(Server),
    /// `maildir:` the directory with new and cur in it.
    Maildir(PathBuf),
}

/// `kind: certificate`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Where it is.
    pub at: CertificateAt,
    /// Fewer days left than this is expiring(2).
    pub expiring: u32,
    /// Whether one that is not trusted, or not for this name, is down(2).
    pub verify: bool,
    /// PEM file of the trusted authorities instead of the system's store.
    pub ca_file: Option<PathBuf>,
    /// The name it must be for; for a server its host, for a file any.
    pub server_name: Option<String>,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateAt {
    /// A PEM (or DER) file.
    File(PathBuf),
    /// What a server presents.
    Server(Server, Protocol),
}

/// What a server speaks before TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SMTP (RFC 5321, RFC 3207).
    Smtp,
    /// IMAP (RFC 3501).
    Imap,
    /// POP3 (RFC 1939, RFC 2595).
    Pop3,
}

/// A server and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Which addresses of the name are tried.
    pub ip: Family,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Whether a certificate that is not trusted, or not for this name, fails the probe.
    pub verify: bool,
    /// The name to ask for (SNI) and to find in the certificate, where it is not `host`.
    pub server_name: Option<String>,
    /// PEM file of the trusted authorities instead of the system's store.
    pub ca_file: Option<PathBuf>,
    /// Who logs in.
    pub login: Option<Login>,
    /// The name given with EHLO; by default this host's, or an address literal.
    pub ehlo: Option<String>,
}

impl Server {
    /// The name in the certificate.
    pub fn expected_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }

    /// `host:port`, with brackets where the host is an IPv6 address.
    pub fn target(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Which addresses of a name are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Family {
    /// All, in the resolver's order.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// IPv4 only.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6 only.
    #[serde(rename = "ipv6")]
    V6,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Never.
    None,
    /// After the STARTTLS (POP3: STLS) command, without which the probe fails.
    Starttls,
    /// At once.
    Implicit,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// Where the password is.
    pub password: PasswordAt,
}

/// Where a password is. It is read for every run, so that it can be changed without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordAt {
    /// `password_file:` which others must not be able to read.
    File(PathBuf),
    /// `password_credential:` a name in systemd's credentials directory (LoadCredential=).
    Credential(String),
}

/// `certificates:` the files that postconf names; they need no probe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// Watch the certificates of each instance's SMTP server.
    pub smtpd: bool,
    /// Fewer days left than this is expiring(2).
    pub expiring: u32,
}

impl Default for Certificates {
    fn default() -> Self {
        Self { smtpd: true, expiring: EXPIRING }
    }
}

/// Days before the end that are a warning; certificates of 90 days are renewed 30 days before theirs.
const EXPIRING: u32 = 21;

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    Smtp,
    Imap,
    Pop3,
    Maildir,
    Certificate,
}

/// One entry as it is in the file: the keys of all kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: KindName,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default, deserialize_with = "some_duration")]
    every: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    timeout: Option<Duration>,
    from: Option<String>,
    to: Option<String>,
    rcpt: Option<String>,
    expect: Option<u16>,
    #[serde(default, deserialize_with = "some_duration")]
    lost_after: Option<Duration>,
    smtp: Option<ServerEntry>,
    sendmail: Option<PathBuf>,
    imap: Option<ServerEntry>,
    pop3: Option<ServerEntry>,
    maildir: Option<PathBuf>,
    file: Option<PathBuf>,
    host: Option<String>,
    port: Option<u16>,
    ip: Option<Family>,
    tls: Option<TlsMode>,
    protocol: Option<Protocol>,
    server_name: Option<String>,
    verify: Option<bool>,
    ca_file: Option<PathBuf>,
    expiring: Option<u32>,
}

/// `smtp:`, `imap:` or `pop3:` of an entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerEntry {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    ip: Family,
    tls: Option<TlsMode>,
    #[serde(default = "yes")]
    verify: bool,
    server_name: Option<String>,
    ca_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_credential: Option<String>,
    ehlo: Option<String>,
    folder: Option<String>,
}

fn yes() -> bool {
    true
}

fn some_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("probe `{0}`: a name has 1 to 48 characters and no control character")]
    Name(String),
    #[error("probe `{probe}`: kind {kind} needs `{key}`")]
    Missing { probe: String, kind: &'static str, key: &'static str },
    #[error("probe `{probe}`: `{key}` has no meaning with kind {kind}; remove it")]
    Foreign { probe: String, kind: &'static str, key: &'static str },
    #[error("probe `{probe}`: give either `{one}` or `{other}`, not both")]
    Both { probe: String, one: &'static str, other: &'static str },
    #[error("probe `{probe}`: timeout must not be longer than every")]
    Timeout { probe: String },
    #[error("probe `{probe}`: lost_after must be longer than timeout")]
    LostAfter { probe: String },
    #[error("probe `{probe}`: `{value}` is no mail address; write local@domain in ASCII")]
    Address { probe: String, value: String },
    #[error("probe `{probe}`: {key} `{value}` must be an absolute path")]
    Path { probe: String, key: &'static str, value: String },
    #[error("probe `{probe}`: {key} `{value}` must not be empty nor contain spaces or control characters")]
    Word { probe: String, key: &'static str, value: String },
    #[error("probe `{probe}`: a user needs either `password_file` or `password_credential`, and these need a user")]
    Password { probe: String },
    #[error("probe `{probe}`: a password without TLS goes to this host only; set tls: starttls or implicit for {host}")]
    Plaintext { probe: String, host: String },
    #[error("probe `{probe}`: expect {code} is no reply code; write 200 to 599")]
    Expect { probe: String, code: u16 },
}

impl TryFrom<Entry> for Probe {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        complete(entry).map_err(|e| e.to_string())
    }
}

fn complete(entry: Entry) -> Result<Probe, EntryError> {
    let probe = entry.name.clone();
    if probe.trim().is_empty() || probe.chars().count() > 48 || probe.chars().any(char::is_control) {
        return Err(EntryError::Name(probe.chars().take(60).collect()));
    }
    let check = Check { probe: &probe, kind: entry.kind.label() };
    check.belongs(&entry)?;
    let (every, timeout) = match entry.kind {
        KindName::Smtp => (60, 10),
        KindName::Imap | KindName::Pop3 | KindName::Maildir => (300, 120),
        KindName::Certificate => (3_600, 10),
    };
    let every = entry.every.unwrap_or(Duration::from_secs(every));
    let timeout = entry.timeout.unwrap_or(Duration::from_secs(timeout).min(every));
    if timeout > every {
        return Err(EntryError::Timeout { probe });
    }
    let (name, enabled) = (probe.clone(), entry.enabled);
    let kind = match entry.kind {
        KindName::Smtp => Kind::Smtp(check.smtp(entry)?),
        KindName::Certificate => Kind::Certificate(check.certificate(entry)?),
        _ => Kind::RoundTrip(check.round_trip(entry, timeout)?),
    };
    Ok(Probe { name, enabled, every, timeout, kind })
}

impl KindName {
    fn label(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Maildir => "maildir",
            Self::Certificate => "certificate",
        }
    }
}

/// The entry that is looked at, for messages.
struct Check<'a> {
    probe: &'a str,
    kind: &'static str,
}

impl Check<'_> {
    /// Refuses keys of other kinds, which would otherwise be without effect and without a word.
    fn belongs(&self, e: &Entry) -> Result<(), EntryError> {
        use KindName::{Certificate as Cert, Imap, Maildir, Pop3, Smtp};
        let trips = [Imap, Pop3, Maildir].as_slice();
        let keys: [(&'static str, bool, &[KindName]); 19] = [
            ("from", e.from.is_some(), &[Smtp, Imap, Pop3, Maildir]),
            ("to", e.to.is_some(), trips),
            ("rcpt", e.rcpt.is_some(), &[Smtp]),
            ("expect", e.expect.is_some(), &[Smtp]),
            ("lost_after", e.lost_after.is_some(), trips),
            ("smtp", e.smtp.is_some(), &[Smtp, Imap, Pop3, Maildir]),
            ("sendmail", e.sendmail.is_some(), trips),
            ("imap", e.imap.is_some(), &[Imap]),
            ("pop3", e.pop3.is_some(), &[Pop3]),
            ("maildir", e.maildir.is_some(), &[Maildir]),
            ("file", e.file.is_some(), &[Cert]),
            ("host", e.host.is_some(), &[Cert]),
            ("port", e.port.is_some(), &[Cert]),
            ("ip", e.ip.is_some(), &[Cert]),
            ("tls", e.tls.is_some(), &[Cert]),
            ("protocol", e.protocol.is_some(), &[Cert]),
            ("server_name", e.server_name.is_some(), &[Cert]),
            ("verify", e.verify.is_some(), &[Cert]),
            ("ca_file", e.ca_file.is_some(), &[Cert]),
        ];
        let foreign = keys.into_iter().find(|(_, given, kinds)| *given && !kinds.contains(&e.kind));
        let foreign = foreign.map(|(key, _, _)| key);
        match foreign.or_else(|| (e.expiring.is_some() && e.kind != Cert).then_some("expiring")) {
            Some(key) => Err(EntryError::Foreign { probe: self.probe(), kind: self.kind, key }),
            None => Ok(()),
        }
    }

    fn probe(&self) -> String {
        self.probe.to_owned()
    }

    fn need<T>(&self, key: &'static str, value: Option<T>) -> Result<T, EntryError> {
        value.ok_or_else(|| EntryError::Missing { probe: self.probe(), kind: self.kind, key })
    }

    fn smtp(&self, entry: Entry) -> Result<Smtp, EntryError> {
        let server = self.server(self.need("smtp", entry.smtp)?, Protocol::Smtp)?;
        let rcpt = entry.rcpt.map(|rcpt| self.address(rcpt)).transpose()?;
        let expect = entry.expect.unwrap_or(if rcpt.is_some() { 250 } else { 220 });
        if !(200..=599).contains(&expect) {
            return Err(EntryError::Expect { probe: self.probe(), code: expect });
        }
        Ok(Smtp { server, from: self.sender(entry.from)?, rcpt, expect })
    }

    fn round_trip(&self, entry: Entry, timeout: Duration) -> Result<RoundTrip, EntryError> {
        let lost_after = entry.lost_after.unwrap_or(Duration::from_secs(3_600).max(timeout * 2));
        if lost_after <= timeout {
            return Err(EntryError::LostAfter { probe: self.probe() });
        }
        let submit = match (entry.smtp, entry.sendmail) {
            (Some(_), Some(_)) => {
                return Err(EntryError::Both { probe: self.probe(), one: "smtp", other: "sendmail" });
            }
            (None, Some(program)) => Submit::Sendmail(self.path("sendmail", program)?),
            (smtp, None) => Submit::Smtp(self.server(self.need("smtp", smtp)?, Protocol::Smtp)?),
        };
        let retrieve = match entry.kind {
            KindName::Imap => {
                let mut imap = self.need("imap", entry.imap)?;
                let folder = imap.folder.take().unwrap_or_else(|| "INBOX".into());
                if folder.is_empty() || folder.chars().any(char::is_control) {
                    return Err(EntryError::Word { probe: self.probe(), key: "folder", value: folder });
                }
                let server = self.server(imap, Protocol::Imap)?;
                self.need("user", server.login.as_ref())?;
                Retrieve::Imap { server, folder }
            }
            KindName::Pop3 => {
                let server = self.server(self.need("pop3", entry.pop3)?, Protocol::Pop3)?;
                self.need("user", server.login.as_ref())?;
                Retrieve::Pop3(server)
            }
            _ => Retrieve::Maildir(self.path("maildir", self.need("maildir", entry.maildir)?)?),
        };
        let from = self.need("from", entry.from)?;
        let to = self.address(self.need("to", entry.to)?)?;
        Ok(RoundTrip { from: self.sender(Some(from))?, to, lost_after, submit, retrieve })
    }

    fn certificate(&self, entry: Entry) -> Result<Certificate, EntryError> {
        let verify = entry.verify.unwrap_or(true);
        let ca_file = entry.ca_file.map(|file| self.path("ca_file", file)).transpose()?;
        let server_name = entry.server_name.map(|name| self.word("server_name", name)).transpose()?;
        let expiring = entry.expiring.unwrap_or(EXPIRING);
        let at = match (entry.file, entry.host) {
            (Some(_), Some(_)) => return Err(EntryError::Both { probe: self.probe(), one: "file", other: "host" }),
            (Some(file), None) => CertificateAt::File(self.path("file", file)?),
            (None, host) => {
                let host = self.word("host", self.need("host` or `file", host)?)?;
                let port = self.need("port", entry.port)?;
                let protocol = entry.protocol.unwrap_or(match port {
                    143 | 993 => Protocol::Imap,
                    110 | 995 => Protocol::Pop3,
                    _ => Protocol::Smtp,
                });
                let tls = entry.tls.unwrap_or(match port {
                    25 | 587 | 143 | 110 => TlsMode::Starttls,
                    _ => TlsMode::Implicit,
                });
                if tls == TlsMode::None {
                    return Err(EntryError::Missing { probe: self.probe(), kind: self.kind, key: "tls: starttls" });
                }
                // What is presented is recorded in any case, and judged afterwards.
                let server = Server {
                    host,
                    port,
                    ip: entry.ip.unwrap_or_default(),
                    tls,
                    verify: false,
                    server_name: server_name.clone(),
                    ca_file: ca_file.clone(),
                    login: None,
                    ehlo: None,
                };
                CertificateAt::Server(server, protocol)
            }
        };
        Ok(Certificate { at, expiring, verify, ca_file, server_name })
    }

    fn server(&self, entry: ServerEntry, protocol: Protocol) -> Result<Server, EntryError> {
        let foreign = |key| EntryError::Foreign { probe: self.probe(), kind: self.kind, key };
        if entry.folder.is_some() {
            return Err(foreign("folder"));
        }
        if entry.ehlo.is_some() && protocol != Protocol::Smtp {
            return Err(foreign("ehlo"));
        }
        let login = match (entry.user, entry.password_file, entry.password_credential) {
            (None, None, None) => None,
            (Some(user), Some(file), None) => {
                Some(Login { user, password: PasswordAt::File(self.path("password_file", file)?) })
            }
            (Some(user), None, Some(name)) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
                Some(Login { user, password: PasswordAt::Credential(name) })
            }
            _ => return Err(EntryError::Password { probe: self.probe() }),
        };
        if login.as_ref().is_some_and(|login| login.user.is_empty() || login.user.chars().any(char::is_control)) {
            return Err(EntryError::Word { probe: self.probe(), key: "user", value: String::new() });
        }
        let [plain, implicit] = match protocol {
            Protocol::Smtp => [25, 465],
            Protocol::Imap => [143, 993],
            Protocol::Pop3 => [110, 995],
        };
        let host = self.word("host", entry.host)?;
        let tls = entry.tls.unwrap_or(match entry.port {
            Some(465 | 993 | 995) => TlsMode::Implicit,
            Some(587) => TlsMode::Starttls,
            _ if login.is_some() => TlsMode::Starttls,
            _ => TlsMode::None,
        });
        if tls == TlsMode::None && login.is_some() && !is_this_host(&host) {
            return Err(EntryError::Plaintext { probe: self.probe(), host });
        }
        Ok(Server {
            port: entry.port.unwrap_or(if tls == TlsMode::Implicit { implicit } else { plain }),
            host,
            ip: entry.ip,
            tls,
            verify: entry.verify,
            server_name: entry.server_name.map(|name| self.word("server_name", name)).transpose()?,
            ca_file: entry.ca_file.map(|file| self.path("ca_file", file)).transpose()?,
            login,
            ehlo: entry.ehlo.map(|name| self.word("ehlo", name)).transpose()?,
        })
    }

    fn sender(&self, from: Option<String>) -> Result<String, EntryError> {
        match from.as_deref() {
            None | Some("" | "<>") => Ok(String::new()),
            Some(from) => self.address(from.to_owned()),
        }
    }

    fn address(&self, value: String) -> Result<String, EntryError> {
        let plain = value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\' | b','));
        let parts = value.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if plain && parts && value.len() <= 254 {
            Ok(value)
        } else {
            Err(EntryError::Address { probe: self.probe(), value: value.chars().take(80).collect() })
        }
    }

    fn path(&self, key: &'static str, path: PathBuf) -> Result<PathBuf, EntryError> {
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(EntryError::Path { probe: self.probe(), key, value: path.display().to_string() })
        }
    }

    fn word(&self, key: &'static str, value: String) -> Result<String, EntryError> {
        if value.is_empty() || value.len() > 253 || value.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(EntryError::Word { probe: self.probe(), key, value: value.chars().take(80).collect() });
        }
        Ok(value)
    }
}

fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What is wrong with all together: which one, and why.
pub(super) fn contradiction(probes: &[Probe]) -> Option<(Option<usize>, String)> {
    if probes.len() > MOST_PROBES {
        return Some((None, format!("{} probes; at most {MOST_PROBES} can be run", probes.len())));
    }
    let (at, name) = super::second(probes.iter().map(|probe| Some(probe.name.as_str())))?;
    Some((Some(at), format!("two probes are called `{name}`; give each its own name")))
}

#[cfg(test)]
mod tests;
