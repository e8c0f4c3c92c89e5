//! Whom we refused in the last hour, and who failed to log in: addresses, where the configuration asks for them (`log.clients`).
//! Never names, which whoever has the address chooses.

use super::ranked::{Ranked, Ranking};
use crate::collect::registry::{OTHER, OTHER_NAME};
use memchr::memchr;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// The three counts of the hour.
const CONNECTS: usize = 0;
const REJECTS: usize = 1;
const FAILURES: usize = 2;

/// Nothing is kept of a client but its hour.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Nothing {}

impl Ranking for Nothing {
    fn rank([connects, rejects, failures]: [u64; 3]) -> (u64, u64) {
        (rejects + failures, connects)
    }
}

/// All clients of one instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Clients {
    ranked: Ranked<Nothing>,
    #[serde(skip)]
    on: bool,
}

/// One row of postfixClientTable: counts of the last hour.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub(super) struct Client {
    pub index: u32,
    pub name: String,
    pub connects: u64,
    pub rejects: u64,
    pub auth_failures: u64,
}

impl Clients {
    /// So many rows. Without any nothing is kept, and what was is forgotten.
    pub(super) fn arrange(&mut self, places: usize) {
        self.on = places > 0;
        if !self.on {
            self.ranked = Ranked::default();
        }
        self.ranked.arrange(places, []);
    }

    /// `host[address]` connects to smtpd.
    pub(super) fn connect(&mut self, client: &[u8], now: i64, times: u64) {
        self.note(client, now, CONNECTS, times);
    }

    /// smtpd or postscreen refuses it something.
    pub(super) fn reject(&mut self, client: &[u8], now: i64, times: u64) {
        self.note(client, now, REJECTS, times);
    }

    /// It did not get in.
    pub(super) fn auth_failure(&mut self, client: &[u8], now: i64, times: u64) {
        self.note(client, now, FAILURES, times);
    }

    fn note(&mut self, client: &[u8], now: i64, what: usize, times: u64) {
        if !self.on {
            return;
        }
        match network(client) {
            Some(name) => {
                self.ranked.note(&name, now, what, times, true);
            }
            None => self.ranked.note_nameless(now, what, times),
        }
    }

    /// The rows, and `(other)`; none where nobody asked for them.
    pub(super) fn rows(&self, most: usize, now: i64) -> Vec<Client> {
        if !self.on || most == 0 {
            return Vec::new();
        }
        let client = |index, name: &str, [connects, rejects, auth_failures]: [u64; 3]| Client {
            index,
            name: name.to_owned(),
            connects,
            rejects,
            auth_failures,
        };
        let mut rows: Vec<Client> = self
            .ranked
            .busiest(most, now)
            .into_iter()
            .map(|(index, name, row)| client(index, name, row.hour.sums(now)))
            .filter(|row| row.rejects + row.auth_failures > 0)
            .collect();
        let sum = |of: fn(&Client) -> u64| rows.iter().map(of).sum::<u64>();
        let shown = [sum(|r| r.connects), sum(|r| r.rejects), sum(|r| r.auth_failures)];
        let all = self.ranked.all(now);
        rows.insert(0, client(OTHER, OTHER_NAME, [0, 1, 2].map(|n| all[n].saturating_sub(shown[n]))));
        rows
    }
}

/// The address of `host[address]:port`, of IPv6 the network of a site (/64).
fn network(client: &[u8]) -> Option<String> {
    let open = memchr(b'[', client)?;
    let address = &client[open + 1..];
    let address = std::str::from_utf8(&address[..memchr(b']', address)?]).ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) => Some(address.to_string()),
        IpAddr::V6(address) => Some(match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_040;

    #[test]
    fn addresses_only() {
        for (client, name) in [
            ("mx.example[192.0.2.1]", Some("192.0.2.1")),
            ("unknown[192.0.2.1]:4711", Some("192.0.2.1")),
            ("[2001:db8:1:2:3:4:5:6]:25", Some("2001:db8:1:2::/64")),
            ("x[2001:db8:1:2::9]", Some("2001:db8:1:2::/64")),
            ("x[::ffff:192.0.2.1]", Some("192.0.2.1")),
            ("unknown[unknown]", None),
            ("x[alice]", None),
            ("x", None),
        ] {
            assert_eq!(network(client.as_bytes()).as_deref(), name, "{client}");
        }
    }

    #[test]
    fn the_worst_of_the_hour() {
        let mut clients = Clients::default();
        clients.arrange(1);
        for n in 0..9 {
            clients.connect(format!("good[192.0.2.{n}]").as_bytes(), NOW, 1);
        }
        clients.connect(b"bad[198.51.100.1]", NOW, 1);
        clients.reject(b"bad[198.51.100.1]", NOW, 1);
        clients.auth_failure(b"bad[198.51.100.1]", NOW + 1, 1);
        clients.auth_failure(b"unknown[unknown]", NOW, 1);
        let row = |index, name: &str, connects, rejects, auth_failures| Client {
            index,
            name: name.into(),
            connects,
            rejects,
            auth_failures,
        };
        assert_eq!(clients.rows(1, NOW), [row(1, "(other)", 9, 0, 1), row(2, "198.51.100.1", 1, 1, 1)]);
        for _ in 0..3 {
            clients.reject(b"worse[2001:db8::1]", NOW + 60, 1);
        }
        clients.connect(b"x[192.0.2.1]", NOW + 120, 1);
        assert_eq!(clients.rows(1, NOW + 120), [row(1, "(other)", 11, 1, 2), row(3, "2001:db8::/64", 0, 3, 0)]);
        let text = serde_json::to_string(&clients).unwrap();
        let mut again: Clients = serde_json::from_str(&text).unwrap();
        again.arrange(1);
        assert_eq!(again.rows(1, NOW + 120), clients.rows(1, NOW + 120));
        // The hour is over.
        assert_eq!(again.rows(1, NOW + 7_200), [row(1, "(other)", 0, 0, 0)]);
        again.arrange(0);
        again.reject(b"x[192.0.2.1]", NOW, 1);
        assert_eq!((again.rows(0, NOW).len(), again.ranked.all(NOW)), (0, [0; 3]));
    }
}
