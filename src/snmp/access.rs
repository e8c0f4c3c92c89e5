//! How to ask: the command line, then the environment, then a file of secrets, then net-snmp's own snmp.conf.
//!
//! Passphrases are never arguments, which everybody on the host can read in /proc: they come from
//! `POSTFIX_AGENTX_AUTH_PASSPHRASE` and `POSTFIX_AGENTX_PRIV_PASSPHRASE`, from `--secrets FILE` or from snmp.conf(5). The
//! file is written as snmp.conf is; of both, what is simple is understood: defVersion, defCommunity, defSecurityName,
//! defSecurityLevel, defAuthType, defPrivType, defPassphrase, defAuthPassphrase, defPrivPassphrase, defaultPort, timeout,
//! retries. Everything else in it is net-snmp's.

use super::{
    Patience,
    session::Identity,
    usm::{ProtocolError, Sealing, Signing, User, UserError},
};
use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// The largest file of secrets that is read, octets.
const MAX_FILE: u64 = 1 << 20;

/// How to ask, as the command line says it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// SNMPv2c with this community.
    pub community: Option<String>,
    /// SNMPv3 as this user.
    pub security_name: Option<String>,
    /// `None`: what there are passphrases for.
    pub level: Option<Level>,
    /// `None`: SHA.
    pub auth_protocol: Option<Signing>,
    /// `None`: AES.
    pub priv_protocol: Option<Sealing>,
    /// A file of secrets.
    pub secrets: Option<PathBuf>,
    /// For each answer.
    pub timeout: Option<Duration>,
    /// How often to ask again.
    pub retries: Option<u32>,
}

/// securityLevel (RFC 3411 §3.4.3).
// The RFC's own names.
#[allow(clippy::enum_variant_names)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Neither signed nor encrypted.
    NoAuthNoPriv,
    /// Signed.
    AuthNoPriv,
    /// Signed and encrypted.
    AuthPriv,
}

impl FromStr for Level {
    type Err = AccessError;

    /// In any case, and as snmpget(1) lets it be shortened.
    fn from_str(text: &str) -> Result<Self, AccessError> {
        match text.to_ascii_lowercase().as_str() {
            "noauthnopriv" | "noauth" | "nanp" => Ok(Self::NoAuthNoPriv),
            "authnopriv" | "auth" | "anp" => Ok(Self::AuthNoPriv),
            "authpriv" | "priv" | "ap" => Ok(Self::AuthPriv),
            _ => Err(AccessError::Level(text.to_owned())),
        }
    }
}

/// `1`, `0.5`: from 50 ms to 10 minutes.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let within = number.filter(|seconds| (0.05..=600.0).contains(seconds));
    within.map(Duration::from_secs_f64).ok_or_else(|| format!("`{text}` is no time; write seconds from 0.05 to 600"))
}

/// Who asks, and how patiently.
#[derive(Clone)]
pub struct Credentials {
    /// Who.
    pub identity: Identity,
    /// How patiently.
    pub patience: Patience,
    /// Where agents listen unless their address says.
    pub port: u16,
    /// Whether the identity was given, and is not just `public`.
    pub given: bool,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of secrets.
    #[error("{}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{0} holds secrets that everybody can read; first: chmod 600 {0}")]
    Open(String),
    /// A protocol, in a file or argument.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// A user, or a passphrase.
    #[error(transparent)]
    User(#[from] UserError),
    /// No passphrase for the level.
    #[error(
        "user `{user}` is to ask at level {level} and there is no {what} passphrase: put it into the environment's {variable}, or \
         into a file of mode 0600 with a line `{token} …` and give that with --secrets"
    )]
    Passphrase {
        /// Who.
        user: String,
        /// At what level.
        level: &'static str,
        /// Which passphrase.
        what: &'static str,
        /// Where it may be.
        variable: &'static str,
        /// Or how it is called in a file.
        token: &'static str,
    },
    /// defSecurityLevel is no level.
    #[error("`{0}` is no security level; there are noAuthNoPriv, authNoPriv, authPriv")]
    Level(String),
}

/// What snmp.conf and the file of secrets say: the last of each token, in lower case.
#[derive(Default)]
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.trim_start();
            let Some((token, value)) = line.split_once(char::is_whitespace) else { continue };
            if line.starts_with('#') || line.starts_with('[') {
                continue;
            }
            self.0.insert(token.to_ascii_lowercase(), unquoted(value.trim()));
        }
    }

    fn get(&self, token: &str) -> Option<&str> {
        self.0.get(&token.to_ascii_lowercase()).map(String::as_str)
    }

    fn text(&self, token: &str) -> Option<String> {
        self.get(token).map(str::to_owned)
    }

    /// net-snmp's own files, the later ones over the earlier (snmp_config(5)); those that cannot be read are not ours.
    fn net_snmp(&mut self) {
        let directories = match env::var_os("SNMPCONFPATH") {
            Some(path) => env::split_paths(&path).collect(),
            None => {
                let home = env::var_os("HOME").map(|home| Path::new(&home).join(".snmp"));
                let system = ["/etc/snmp", "/usr/share/snmp"].map(PathBuf::from);
                system.into_iter().chain(home).collect::<Vec<_>>()
            }
        };
        for file in directories.iter().flat_map(|d| ["snmp.conf", "snmp.local.conf"].map(|name| d.join(name))) {
            let small = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
            if let (true, Ok(text)) = (small, fs::read_to_string(&file)) {
                self.read(&text);
            }
        }
    }

    fn secrets(&mut self, path: &Path) -> Result<(), AccessError> {
        let failed = |source| AccessError::Read { path: path.to_owned(), source };
        let meta = path.metadata().map_err(failed)?;
        if meta.mode() & 0o004 != 0 {
            return Err(AccessError::Open(path.display().to_string()));
        }
        if meta.len() > MAX_FILE {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        self.read(&fs::read_to_string(path).map_err(failed)?);
        Ok(())
    }
}

/// net-snmp's quoting: everything between two of the same quotation marks, `\` before any of them.
fn unquoted(value: &str) -> String {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return value.to_owned() };
    let mut out = String::new();
    let mut characters = value.chars().skip(1);
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.extend(characters.next()),
            c if c == quote => break,
            c => out.push(c),
        }
    }
    out
}

impl Access {
    /// Whether the command line says who asks.
    pub fn is_given(&self) -> bool {
        self.community.is_some() || self.security_name.is_some() || self.secrets.is_some()
    }

    /// Everything together.
    pub fn credentials(&self) -> Result<Credentials, AccessError> {
        let mut settings = Settings::default();
        settings.net_snmp();
        if let Some(file) = &self.secrets {
            settings.secrets(file)?;
        }
        self.with(&settings, |variable| env::var(variable).ok().filter(|value| !value.is_empty()))
    }

    fn with(&self, settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, AccessError> {
        let standard = Patience::default();
        let number = |token| settings.get(token).and_then(|value| value.parse::<u32>().ok());
        let timeout = self.timeout.or_else(|| settings.get("timeout").and_then(|value| seconds(value).ok()));
        let patience = Patience {
            timeout: timeout.unwrap_or(standard.timeout),
            retries: self.retries.or_else(|| number("retries")).unwrap_or(standard.retries).min(100),
        };
        let community = self.community.clone().or_else(|| variable("POSTFIX_AGENTX_COMMUNITY"));
        let name = self.security_name.clone().or_else(|| {
            let wanted = community.is_none() && settings.get("defVersion").is_none_or(|version| version == "3");
            wanted.then(|| settings.text("defSecurityName")).flatten()
        });
        let (identity, given) = match (name, community) {
            (Some(name), _) => (Identity::User(self.user(&name, settings, variable)?), true),
            (None, Some(community)) => (Identity::Community(community.into_bytes()), true),
            (None, None) => {
                let known = settings.text("defCommunity");
                let given = known.is_some();
                (Identity::Community(known.unwrap_or_else(|| "public".into()).into_bytes()), given)
            }
        };
        let port = settings.get("defaultPort").and_then(|port| port.parse().ok()).unwrap_or(161);
        Ok(Credentials { identity, patience, port, given })
    }

    fn user(
        &self,
        name: &str,
        settings: &Settings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<User, AccessError> {
        let passphrase = |name: &str, token: &str| {
            variable(name).or_else(|| settings.text(token)).or_else(|| settings.text("defPassphrase"))
        };
        let auth = passphrase("POSTFIX_AGENTX_AUTH_PASSPHRASE", "defAuthPassphrase");
        let privacy = passphrase("POSTFIX_AGENTX_PRIV_PASSPHRASE", "defPrivPassphrase");
        let level = match (self.level, settings.get("defSecurityLevel")) {
            (Some(level), _) => level,
            (None, Some(word)) => word.parse()?,
            (None, None) => match (&auth, &privacy) {
                (None, _) => Level::NoAuthNoPriv,
                (_, None) => Level::AuthNoPriv,
                _ => Level::AuthPriv,
            },
        };
        let missing = |level, what, variable, token| AccessError::Passphrase {
            user: name.to_owned(),
            level,
            what,
            variable,
            token,
        };
        let mut user = User::new(name)?;
        if level != Level::NoAuthNoPriv {
            let protocol = match (self.auth_protocol, settings.get("defAuthType")) {
                (Some(protocol), _) => protocol,
                (None, word) => word.unwrap_or("SHA").parse()?,
            };
            let level = if level == Level::AuthPriv { "authPriv" } else { "authNoPriv" };
            let missing = missing(level, "authentication", "POSTFIX_AGENTX_AUTH_PASSPHRASE", "defAuthPassphrase");
            user = user.signed(protocol, auth.ok_or(missing)?.as_bytes())?;
        }
        if level == Level::AuthPriv {
            let protocol = match (self.priv_protocol, settings.get("defPrivType")) {
                (Some(protocol), _) => protocol,
                (None, word) => word.unwrap_or("AES").parse()?,
            };
            let missing = missing("authPriv", "privacy", "POSTFIX_AGENTX_PRIV_PASSPHRASE", "defPrivPassphrase");
            user = user.sealed(protocol, privacy.ok_or(missing)?.as_bytes())?;
        }
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn settings(text: &str) -> Settings {
        let mut settings = Settings::default();
        settings.read(text);
        settings
    }

    fn who(credentials: &Credentials) -> String {
        match &credentials.identity {
            Identity::Community(community) => String::from_utf8_lossy(community).into_owned(),
            Identity::User(user) => format!("{} {}", String::from_utf8_lossy(&user.name), user.level()),
        }
    }

    #[test]
    fn snmp_conf_is_honoured_where_it_is_simple() {
        let text = "# defCommunity wrong\ndefVersion 2c\nDEFCOMMUNITY \"a \\\"b\\\"\" rest\ntimeout 2.5\nretries 1\ndefaultPort 1161\n";
        let found = Access::default().with(&settings(text), nothing).unwrap();
        assert_eq!((who(&found).as_str(), found.port, found.given), ("a \"b\"", 1161, true));
        assert_eq!(found.patience, Patience { timeout: Duration::from_millis(2500), retries: 1 });
        let v3 =
            "defVersion 3\ndefSecurityName me\ndefPassphrase maplesyrup\ndefAuthType SHA-256\ndefPrivType AES-256\n";
        assert_eq!(who(&Access::default().with(&settings(v3), nothing).unwrap()), "me authPriv");
        let lower = format!("{v3}defSecurityLevel authNoPriv\n");
        assert_eq!(who(&Access::default().with(&settings(&lower), nothing).unwrap()), "me authNoPriv");
        let found = Access::default().with(&settings(""), nothing).unwrap();
        assert_eq!((who(&found).as_str(), found.given), ("public", false));
    }

    #[test]
    fn the_command_line_is_before_the_environment_is_before_files() {
        let conf = settings("defCommunity file\ndefVersion 2c\ndefSecurityName you\n");
        let environment = |name: &str| (name == "POSTFIX_AGENTX_COMMUNITY").then(|| "environment".to_owned());
        assert_eq!(who(&Access::default().with(&conf, nothing).unwrap()), "file");
        assert_eq!(who(&Access::default().with(&conf, environment).unwrap()), "environment");
        let line = Access { community: Some("line".into()), ..Access::default() };
        assert_eq!(who(&line.with(&conf, environment).unwrap()), "line");
        let line = Access { security_name: Some("me".into()), ..Access::default() };
        assert_eq!(who(&line.with(&conf, environment).unwrap()), "me noAuthNoPriv");
    }

    #[test]
    fn what_is_missing_is_said_with_where_it_goes() {
        let ask = |level| Access { security_name: Some("me".into()), level: Some(level), ..Access::default() };
        let auth = |name: &str| (name == "POSTFIX_AGENTX_AUTH_PASSPHRASE").then(|| "maplesyrup".to_owned());
        let told = |found: Result<Credentials, AccessError>| found.err().map(|e| e.to_string()).unwrap_or_default();
        let text = told(ask(Level::AuthPriv).with(&Settings::default(), auth));
        assert!(text.contains("POSTFIX_AGENTX_PRIV_PASSPHRASE") && text.contains("defPrivPassphrase"), "{text}");
        let text = told(ask(Level::AuthNoPriv).with(&settings("defAuthType ROT13"), auth));
        assert!(text.contains("`ROT13`") && text.contains("SHA-256"), "{text}");
        let text = told(ask(Level::AuthNoPriv).with(&settings("defPassphrase short"), nothing));
        assert!(text.contains("fewer than 8"), "{text}");
        assert!(
            told(
                Access { security_name: Some("me".into()), ..Access::default() }
                    .with(&settings("defSecurityLevel x"), nothing)
            )
            .contains("`x`")
        );
    }

    #[test]
    fn secrets_that_everybody_can_read_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "defCommunity secret\n").unwrap();
        let access = Access { secrets: Some(file.path().to_owned()), ..Access::default() };
        assert_eq!(who(&access.credentials().unwrap()), "secret");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(access.credentials(), Err(AccessError::Open(_))));
    }
}
