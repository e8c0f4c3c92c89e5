//! Where an agent listens: net-snmp's way to write it, as far as it is UDP.

use std::{fmt, io, net::SocketAddr, str::FromStr};

/// SNMP's port.
const PORT: u16 = 161;

/// A host and its port: `mail.example`, `192.0.2.1:1161`, `[2001:db8::1]:161`, `2001:db8::1`, each with `udp:` or `udp6:`
/// before it if you like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

/// What is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host; write mail.example, 192.0.2.1:161 or [2001:db8::1]:161 (UDP only)")]
pub struct TargetError(String);

impl Target {
    /// The port, where none was written.
    #[must_use]
    pub fn or_port(mut self, port: u16) -> Self {
        if self.port == 0 {
            self.port = port;
        }
        self
    }

    /// Every address of the host, in the resolver's order.
    pub(super) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let port = if self.port == 0 { PORT } else { self.port };
        Ok(tokio::net::lookup_host((self.host.as_str(), port)).await?.collect())
    }
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let rest = ["udp6:", "udpv6:", "udpipv6:", "udp:"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
                (host, if after.is_empty() { "" } else { after.strip_prefix(':').ok_or_else(wrong)? })
            }
            None if rest.matches(':').count() > 1 => (rest, ""),
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = match port {
            "" if rest.ends_with(':') && !host.ends_with(':') => return Err(wrong()),
            "" => 0,
            digits => digits.parse().ok().filter(|&port: &u16| port != 0).ok_or_else(wrong)?,
        };
        // A port alone, as agentAddress has it, names no host.
        if host.is_empty() || host.contains(['/', ' ', '@', ',']) || ["tcp", "unix", "dtlsudp"].contains(&host) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (_, 0) => write!(f, "{}", self.host),
            (false, port) => write!(f, "{}:{port}", self.host),
            (true, port) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_host() {
        for (text, host, port) in [
            ("mail.example", "mail.example", 0),
            ("192.0.2.1:1161", "192.0.2.1", 1161),
            ("udp:127.0.0.1:161", "127.0.0.1", 161),
            ("[2001:db8::1]:1161", "2001:db8::1", 1161),
            ("[::1]", "::1", 0),
            ("::1", "::1", 0),
            ("udp6:[::1]:161", "::1", 161),
        ] {
            assert_eq!(text.parse(), Ok(Target { host: host.into(), port }), "{text}");
        }
        for text in
            ["", ":161", "a:0", "a:x", "a:65536", "tcp:a", "unix:/x", "[::1", "[::1]x", "a b", "me@host", "host:"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!("[::1]".parse::<Target>().unwrap().or_port(9).to_string(), "[::1]:9");
    }
}
