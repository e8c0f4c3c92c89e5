//! Where a master listens, in the syntax of snmpd.conf's `agentXSocket`.

use std::{fmt, path::PathBuf, str::FromStr};

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix stream socket.
    Unix(PathBuf),
    /// TCP: host name or address, and port.
    Tcp {
        /// A name or an address, IPv6 without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Why a text is no address.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Neither a path nor host and port.
    #[error(
        "`{0}` is no AgentX address; write unix:/var/agentx/master, /var/agentx/master, tcp:localhost:705, \
         localhost:705 or tcp6:[::1]:705"
    )]
    Syntax(String),
    /// A transport AgentX does not use.
    #[error("`{0}`: AgentX needs a stream; write unix:/path or tcp:host:port")]
    Transport(String),
    /// A unix path that is not absolute.
    #[error("`{0}`: give the socket's absolute path, for example unix:/var/agentx/master")]
    Relative(String),
    /// Nothing there.
    #[error("no address given; snmpd's default is unix:/var/agentx/master")]
    Empty,
}

impl Address {
    /// Several addresses separated by commas.
    pub fn list(text: &str) -> Result<Vec<Self>, AddressError> {
        let found = text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::parse);
        let list = found.collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() { Err(AddressError::Empty) } else { Ok(list) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let whole = || text.to_owned();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let lower = text.to_ascii_lowercase();
        let after =
            |names: &[&str]| names.iter().find(|name| lower.starts_with(*name)).map(|name| text.split_at(name.len()).1);
        if let Some(path) = after(&["unix:"]) {
            let absolute = path.starts_with('/');
            return if absolute { Ok(Self::Unix(path.into())) } else { Err(AddressError::Relative(whole())) };
        }
        if after(&["udp:", "udp6:", "udpv6:", "ssh:", "tlstcp:", "dtlsudp:", "ipx:", "alias:"]).is_some() {
            return Err(AddressError::Transport(whole()));
        }
        let endpoint = after(&["tcp6:", "tcpv6:", "tcpipv6:", "tcp:"]);
        let (host, port) = match endpoint.unwrap_or(text).rsplit_once(':') {
            Some(parts) => parts,
            // `tcp:705` is this host, as for snmpd.
            None if endpoint.is_some() => ("localhost", endpoint.unwrap_or(text)),
            None => return Err(AddressError::Syntax(whole())),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let plausible = !host.is_empty() && (bare.is_some() || !host.contains([':', '[', ']', '/', ' ']));
        match port.parse::<u16>() {
            Ok(port) if port != 0 && plausible => Ok(Self::Tcp { host: bare.unwrap_or(host).to_owned(), port }),
            _ => Err(AddressError::Syntax(whole())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp6:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Address>().map_or_else(|e| e.to_string(), |a| a.to_string())
    }

    #[test]
    fn every_form_of_snmpd_conf_is_read() {
        assert_eq!(shown("unix:/a b/master"), "unix:/a b/master");
        assert_eq!(shown("/var/agentx/master"), "unix:/var/agentx/master");
        assert_eq!(shown("tcp:localhost:705"), "tcp:localhost:705");
        assert_eq!(shown("TCP:127.0.0.1:705"), "tcp:127.0.0.1:705");
        assert_eq!(shown("snmp.example.org:7050"), "tcp:snmp.example.org:7050");
        assert_eq!(shown("tcp6:[::1]:705"), "tcp6:[::1]:705");
        assert_eq!(shown("[fe80::1]:705"), "tcp6:[fe80::1]:705");
        assert_eq!(shown("tcp:705"), "tcp:localhost:705");
        assert_eq!(shown("udp.example.org:705"), "tcp:udp.example.org:705");
        let list = Address::list("unix:/a, tcp:127.0.0.1:705").unwrap();
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn an_error_says_what_to_write() {
        assert!(shown("master").contains("write unix:/var/agentx/master"));
        assert!(shown("host:70500").contains("tcp:localhost:705"));
        assert!(shown("host:0").contains("tcp:localhost:705"));
        assert!(shown("::1:705").contains("tcp6:[::1]:705"), "IPv6 needs brackets");
        assert!(shown("udp:127.0.0.1:705").contains("needs a stream"));
        assert!(shown("unix:var/agentx").contains("absolute path"));
        assert_eq!(Address::list(" , "), Err(AddressError::Empty));
    }
}
