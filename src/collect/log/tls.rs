//! How safe the transport is: postfixTlsTable, postfixCipherTable, postfixTlsPolicyTable.
//!
//! A session counts when it is set up, by the line of the program that did it; where a cached connection is taken again it
//! does not. Names of ciphers are OpenSSL's, and few.

use super::{
    counters::Named,
    engine::Instance,
    tables::{NamedRow, Of},
};
use crate::{
    collect::instance::Owner,
    mib::{
        Fragment,
        Get::{Counter32, Text},
        Index, Table, column,
    },
    postfix::log::tls::{Policy, Session},
    smi::Octets,
};
use serde::{Deserialize, Serialize};

/// postfixTlsDirection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// A client came to us.
    Inbound = 1,
    /// We went to a server.
    Outbound = 2,
}

/// The labels of postfixTlsDirection.
const DIRECTIONS: [(Direction, &str); 2] = [(Direction::Inbound, "inbound"), (Direction::Outbound, "outbound")];
/// OpenSSL's names of the protocols, in the order of postfixTlsProtocol; what is none of them comes last.
const PROTOCOLS: [&[u8]; 5] = [b"SSLv3", b"TLSv1", b"TLSv1.1", b"TLSv1.2", b"TLSv1.3"];
/// What they are called in a row's name.
const PROTOCOL_NAMES: [&str; 6] = ["SSL 3", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3", "(other)"];
/// OpenSSL knows some hundred, and a host uses a handful.
const CIPHERS: usize = 128;
/// No cipher has a longer name.
const LONGEST: usize = 64;

/// What was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// By postfixTlsDirection - 1, postfixTlsProtocol - 1, then trust.
    pub sessions: [[[u64; 4]; PROTOCOLS.len() + 1]; 2],
    /// By name.
    pub ciphers: Named<Cipher>,
    /// By postfixTlsPolicyResult - 1.
    pub policies: [u64; Policy::ALL.len()],
}

/// One cipher: sessions by postfixTlsDirection - 1.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cipher(pub [u64; 2]);

impl Tls {
    /// So many sessions were set up.
    pub(super) fn session(&mut self, direction: Direction, session: &Session<'_>, times: u64) {
        if !session.new {
            return;
        }
        let direction = direction as usize - 1;
        let protocol = PROTOCOLS.iter().position(|name| *name == session.protocol).unwrap_or(PROTOCOLS.len());
        self.sessions[direction][protocol][session.trust as usize] += times;
        let slot = self.cipher(session.cipher);
        self.ciphers.at(slot).0[direction] += times;
    }

    fn cipher(&mut self, name: &[u8]) -> usize {
        let form = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if name.is_empty() || name.len() > LONGEST || !name.iter().all(form) {
            return 0;
        }
        match std::str::from_utf8(name) {
            Ok(name) if self.ciphers.has(name) || self.ciphers.slots() < CIPHERS => self.ciphers.slot(name, true),
            _ => 0,
        }
    }

    /// So many deliveries had this value of `tls=`.
    pub(super) fn delivery(&mut self, value: &[u8], times: u64) {
        if !value.is_empty() {
            self.policies[Policy::of(value) as usize - 1] += times;
        }
    }
}

impl Instance {
    /// Whether its sessions in this direction are known: it is told to log them, or one was seen.
    pub(super) fn logs_tls(&self, direction: Direction) -> bool {
        let at = direction as usize - 1;
        self.settings.logs_tls[at] || self.state.tls.sessions[at].iter().flatten().any(|sessions| *sessions > 0)
    }
}

/// A protocol in a direction.
pub(super) struct SessionRow {
    owner: Owner,
    direction: u32,
    protocol: u32,
    name: String,
    trust: [u64; 4],
}

pub(super) static TLS: Table<SessionRow> = Table {
    name: "postfixTlsTable",
    entry: &[1, 5, 7, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.direction, r.protocol]),
    columns: &[
        column(3, "postfixTlsName", Text(|r| Some(r.owner.row(&r.name)))),
        column(4, "postfixTlsSessions", Counter32(|r| Some(r.trust.iter().sum()))),
        column(5, "postfixTlsAnonymous", Counter32(|r| Some(r.trust[0]))),
        column(6, "postfixTlsUntrusted", Counter32(|r| Some(r.trust[1]))),
        column(7, "postfixTlsTrusted", Counter32(|r| Some(r.trust[2]))),
        column(8, "postfixTlsVerified", Counter32(|r| Some(r.trust[3]))),
    ],
};

/// Of one result: its number and label, and how many deliveries.
type PolicyRow = Of<(u32, &'static str, u64)>;

pub(super) static POLICIES: Table<PolicyRow> = Table {
    name: "postfixTlsPolicyTable",
    entry: &[1, 5, 8, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.value.0]),
    columns: &[
        column(2, "postfixTlsPolicyName", Text(|r| Some(r.owner.row(r.value.1)))),
        column(3, "postfixTlsPolicyDeliveries", Counter32(|r| Some(r.value.2))),
    ],
};

pub(super) static CIPHERS_TABLE: Table<NamedRow<Cipher>> = Table {
    name: "postfixCipherTable",
    entry: &[1, 5, 9, 1],
    index: NamedRow::index,
    columns: &[
        column(2, "postfixCipherName", Text(|r| Some(cipher_name(r)))),
        column(3, "postfixCipherInbound", Counter32(|r| Some(r.value.0[0]))),
        column(4, "postfixCipherOutbound", Counter32(|r| Some(r.value.0[1]))),
    ],
};

fn cipher_name(row: &NamedRow<Cipher>) -> Octets {
    row.owner.row(&row.name)
}

/// A row for each protocol in each direction that is known.
fn session_rows(owner: &Owner, instance: &Instance) -> Vec<SessionRow> {
    let mut rows = Vec::new();
    for ((direction, label), protocols) in DIRECTIONS.into_iter().zip(&instance.state.tls.sessions) {
        // What is not logged is not 0.
        if !instance.logs_tls(direction) {
            continue;
        }
        for ((protocol, name), trust) in (1..).zip(PROTOCOL_NAMES).zip(protocols) {
            let name = format!("{label} {name}");
            rows.push(SessionRow { owner: owner.clone(), direction: direction as u32, protocol, name, trust: *trust });
        }
    }
    rows
}

/// The rows of all.
pub(super) fn fragments(instances: &[(Owner, &Instance)]) -> Vec<Fragment> {
    let sessions: Vec<_> = instances.iter().flat_map(|(owner, instance)| session_rows(owner, instance)).collect();
    let mut policies = Vec::new();
    for (owner, instance) in instances {
        let tls = &instance.state.tls;
        // Postfix before 3.11 does not say it, and what is not said is not 0.
        if tls.policies.iter().any(|deliveries| *deliveries > 0) {
            policies.extend(Policy::ALL.iter().zip(&tls.policies).map(|((policy, label), deliveries)| Of {
                owner: owner.clone(),
                value: (*policy as u32, *label, *deliveries),
            }));
        }
    }
    let ciphers: Vec<_> = instances
        .iter()
        .flat_map(|(owner, instance)| {
            instance.state.tls.ciphers.iter().map(|(index, name, value)| NamedRow {
                owner: owner.clone(),
                index,
                name: name.to_owned(),
                value: *value,
            })
        })
        .collect();
    vec![TLS.fragment(&sessions), POLICIES.fragment(&policies), CIPHERS_TABLE.fragment(&ciphers)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        collect::log::{
            counters::State,
            engine::{Engine, Options, Settings},
        },
        postfix::log::tls::session,
    };

    /// smtpd_tls_loglevel and smtp_tls_loglevel are 0 unless somebody sets them.
    #[test]
    fn a_direction_that_is_not_logged_has_no_rows() {
        let directions = |logs_tls, seen: bool| {
            let mut state = State::default();
            state.tls.sessions[1][4][0] = u64::from(seen);
            let mut engine = Engine::new(Options::default());
            engine.add(Settings { name: "postfix".into(), index: 1, logs_tls, ..Settings::default() }, state);
            let instance = &engine.instances[0];
            let rows = session_rows(&instance.settings.owner(), instance);
            [1, 2].map(|direction| rows.iter().filter(|row| row.direction == direction).count())
        };
        let all = PROTOCOL_NAMES.len();
        assert_eq!(directions([false, false], false), [0, 0]);
        assert_eq!(directions([true, false], false), [all, 0]);
        assert_eq!(directions([false, false], true), [0, all]);
        assert_eq!(directions([true, true], false), [all, all]);
    }

    #[test]
    fn names_that_are_no_ciphers_have_no_row() {
        let mut tls = Tls::default();
        let mut line = |cipher: &str| {
            let text = format!(
                "Anonymous TLS connection established from x[192.0.2.1]: TLSv1.3 with cipher {cipher} (1/1 bits)"
            );
            tls.session(Direction::Inbound, &session(text.as_bytes(), b"from ").unwrap(), 1);
        };
        ["a(b", "a.b", &"x".repeat(65)].into_iter().for_each(&mut line);
        (0..200).for_each(|n| line(&format!("C{n}")));
        line("C0");
        let rows: Vec<_> = tls.ciphers.iter().collect();
        assert_eq!(rows.len(), CIPHERS);
        assert_eq!(rows[1].2.0, [2, 0]);
        assert_eq!(rows.iter().map(|(.., c)| c.0[0]).sum::<u64>(), 204);
        assert_eq!(tls.sessions[0][4], [204, 0, 0, 0]);
    }
}
