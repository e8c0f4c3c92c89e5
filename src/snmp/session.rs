//! One manager and one agent, without I/O: makes the datagrams and judges those that come back (RFC 3412 §7, RFC 3414 §3).
//!
//! An agent of SNMPv3 has to be discovered first: its engine's name goes into the keys, its clock into every message. Both
//! arrive as Reports, after which the same question is sent again. A datagram that cannot be ours is no error but a
//! [`Reply::Stray`]: anybody may send to a UDP port, and late answers arrive late.

use super::{
    ber,
    message::{Incoming, Request, Response},
    usm::{Keys, User},
};
use crate::smi::Oid;
use std::{
    hash::{BuildHasher, RandomState},
    time::Instant,
};

/// RFC 3414 §2.2.3: seconds by which an answer's clock may be behind what was heard before.
const WINDOW: u32 = 150;
/// msgMaxSize: the largest UDP datagram.
const MAX_SIZE: i64 = 65_507;
/// snmpEngineID has 5 to 32 octets (RFC 3411).
const MAX_ENGINE_ID: usize = 32;
/// How often an agent may say in answer to one question that its engine or its clock is another one.
const MAX_SYNCHRONISED: u8 = 2;
/// usmStats: .1.3.6.1.6.3.15.1.1; each counter's scalar stands for one reason not to accept a message.
const USM_STATS: [u32; 10] = [1, 3, 6, 1, 6, 3, 15, 1, 1, 0];
const REPORTABLE: u8 = 4;

/// How the agent knows us.
#[derive(Clone)]
pub enum Identity {
    /// SNMPv2c.
    Community(Vec<u8>),
    /// SNMPv3.
    User(User),
}

/// Why the agent does not accept our messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// usmStatsUnknownUserNames.
    #[error("the agent knows no user `{0}`")]
    UnknownUser(String),
    /// usmStatsUnsupportedSecLevels.
    #[error("the agent does not know the user `{0}` at level {1}")]
    Level(String, &'static str),
    /// usmStatsWrongDigests.
    #[error("wrong authentication passphrase or protocol for the user `{0}`")]
    Signature(String),
    /// usmStatsDecryptionErrors.
    #[error("wrong privacy passphrase or protocol for the user `{0}`")]
    Sealing(String),
    /// usmStatsNotInTimeWindows, although the agent's own clock was used.
    #[error("the agent says that our clock is wrong although it is its own; is there something between us?")]
    Time,
    /// Another counter: unknown context, no such security model …
    #[error("the agent reports {0} and nothing else")]
    Other(Oid),
}

/// What a datagram is.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// Not an answer to this question.
    Stray,
    /// The agent's engine became known: ask again.
    Again,
    /// The answer.
    Answer(Response),
    /// It will never be answered.
    Refused(Refusal),
}

/// The identifiers of one datagram that was sent; an answer has to repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    request: i32,
    message: i32,
}

/// What is known of an agent's engine.
struct Engine {
    id: Vec<u8>,
    keys: Keys,
    boots: u32,
    time: u32,
    /// When `time` was heard.
    at: Instant,
    /// Whether boots and time were in a message whose signature was right.
    trusted: bool,
}

impl Engine {
    fn now(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.at).as_secs();
        u32::try_from(u64::from(self.time) + passed).unwrap_or(u32::MAX).min(i32::MAX as u32)
    }
}

/// One agent's side of the conversation.
pub struct Session {
    identity: Identity,
    engine: Option<Engine>,
    random: RandomState,
    counter: u64,
    /// How often the engine or its clock was taken over for one question.
    synchronised: u8,
}

impl Session {
    /// Nothing is known of the agent yet.
    pub fn new(identity: Identity) -> Self {
        Self { identity, engine: None, random: RandomState::new(), counter: 0, synchronised: 0 }
    }

    /// Who asks.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether an agent of SNMPv3 has answered at all.
    pub fn is_discovered(&self) -> bool {
        self.engine.is_some()
    }

    /// Forgets the agent's engine: it may have become another one.
    pub(super) fn forget(&mut self) {
        self.engine = None;
    }

    /// The same agent asked without encryption; to tell a wrong privacy passphrase from silence.
    pub(super) fn without_privacy(&self) -> Option<Self> {
        let Identity::User(user) = &self.identity else { return None };
        if user.level() != "authPriv" {
            return None;
        }
        Some(Self::new(Identity::User(user.without_privacy())))
    }

    /// Nobody can guess it, and it does not repeat for long.
    fn draw(&mut self) -> u64 {
        self.counter += 1;
        self.random.hash_one(self.counter)
    }

    /// Identifiers for the next question. What is sent again after a time-out is sent with the same ones.
    pub fn begin(&mut self) -> Ids {
        self.synchronised = 0;
        let drawn = self.draw();
        Ids { request: (drawn & 0x7fff_ffff) as i32, message: (drawn >> 32 & 0x7fff_ffff) as i32 }
    }

    /// The datagram that asks `request`, or first who the agent is.
    pub fn datagram(&mut self, ids: Ids, request: &Request<'_>, now: Instant) -> Vec<u8> {
        let salt = self.draw();
        match &self.identity {
            Identity::Community(community) => {
                ber::sequence(&[&ber::integer(1), &ber::octets(community), &request.encode(ids.request)])
            }
            Identity::User(user) => match &self.engine {
                Some(engine) => protected(user, engine, ids, request, salt, now),
                None => discovery(ids),
            },
        }
    }

    /// What this datagram says about the question with these identifiers.
    pub fn receive(&mut self, datagram: &[u8], ids: Ids, now: Instant) -> Reply {
        let read = match &self.identity {
            Identity::Community(community) => plain(datagram, community, ids),
            Identity::User(_) => self.protected_reply(datagram, ids, now),
        };
        read.unwrap_or(Reply::Stray)
    }

    /// RFC 3412 §7.2, RFC 3414 §3.2.
    fn protected_reply(&mut self, datagram: &[u8], ids: Ids, now: Instant) -> Option<Reply> {
        let message = V3::split(datagram)?;
        let Identity::User(user) = &self.identity else { return None };
        if message.id != i64::from(ids.message) || message.engine.is_empty() || message.engine.len() > MAX_ENGINE_ID {
            return None;
        }
        let signed = message.flags & 1 != 0;
        // Who we talk to stays who it is: only a Report that nobody could sign introduces an engine.
        let Some(engine) = &mut self.engine else {
            let Incoming::Report(_) = message.pdu(None)? else { return None };
            self.engine = Some(Engine {
                id: message.engine.to_vec(),
                keys: user.keys(message.engine),
                boots: message.boots,
                time: message.time,
                at: now,
                trusted: false,
            });
            return Some(Reply::Again);
        };
        if message.engine != engine.id {
            // Another engine lives there now, and says that it does not know the one we ask; at worst we ask once more.
            let Incoming::Report(counter) = message.pdu(None)? else { return None };
            if signed || usm_counter(&counter) != Some(4) || self.synchronised >= MAX_SYNCHRONISED {
                return None;
            }
            self.synchronised += 1;
            self.engine = None;
            return Some(Reply::Again);
        }
        if signed {
            if message.user != user.name || !message.is_signed_by(&engine.keys) {
                return None;
            }
            let (boots, time) = (engine.boots, engine.now(now));
            let late = message.boots < boots || message.boots == boots && message.time.saturating_add(WINDOW) < time;
            if engine.trusted && late {
                return None;
            }
        }
        let pdu = message.pdu(Some(&engine.keys))?;
        match pdu {
            Incoming::Response { id, response } => {
                // At the level we asked at, no lower.
                let level = message.flags & 3;
                if level != user.flags() || id != ids.request {
                    return None;
                }
                if signed {
                    (engine.boots, engine.time, engine.at, engine.trusted) = (message.boots, message.time, now, true);
                }
                Some(Reply::Answer(response))
            }
            Incoming::Report(counter) => {
                let name = || String::from_utf8_lossy(&user.name).into_owned();
                Some(match usm_counter(&counter) {
                    Some(1) => Reply::Refused(Refusal::Level(name(), user.level())),
                    // Signed, or else anybody could set our clock.
                    Some(2) if signed && self.synchronised < MAX_SYNCHRONISED => {
                        self.synchronised += 1;
                        (engine.boots, engine.time, engine.at, engine.trusted) =
                            (message.boots, message.time, now, true);
                        Reply::Again
                    }
                    Some(2) if signed => Reply::Refused(Refusal::Time),
                    Some(2) => return None,
                    Some(3) => Reply::Refused(Refusal::UnknownUser(name())),
                    Some(5) => Reply::Refused(Refusal::Signature(name())),
                    Some(6) => Reply::Refused(Refusal::Sealing(name())),
                    _ => Reply::Refused(Refusal::Other(counter)),
                })
            }
        }
    }
}

/// Which of usmStats this is: 1 unsupportedSecLevels, 2 notInTimeWindows, 3 unknownUserNames, 4 unknownEngineIDs,
/// 5 wrongDigests, 6 decryptionErrors.
fn usm_counter(name: &Oid) -> Option<u32> {
    let (_, group) = USM_STATS.split_last()?;
    let number = *name.get(group.len())?;
    name.starts_with(group).then_some(number)
}

fn plain(datagram: &[u8], community: &[u8], ids: Ids) -> Option<Reply> {
    let (message, _) = ber::expect(datagram, ber::SEQUENCE)?;
    let (version, rest) = ber::expect_integer(message)?;
    let (echoed, pdu) = ber::expect(rest, ber::OCTETS)?;
    if version != 1 || echoed != community {
        return None;
    }
    match Incoming::decode(pdu)? {
        Incoming::Response { id, response } if id == ids.request => Some(Reply::Answer(response)),
        _ => None,
    }
}

fn header(ids: Ids, flags: u8) -> Vec<u8> {
    ber::sequence(&[
        &ber::integer(ids.message.into()),
        &ber::integer(MAX_SIZE),
        &ber::octets(&[flags | REPORTABLE]),
        // securityModel: USM.
        &ber::integer(3),
    ])
}

/// RFC 3414 §4: an empty question to nobody in particular.
fn discovery(ids: Ids) -> Vec<u8> {
    let nothing = ber::octets(&[]);
    let zero = ber::integer(0);
    let security = ber::sequence(&[&nothing, &zero, &zero, &nothing, &nothing, &nothing]);
    let pdu = Request { kind: super::Kind::Get, names: &[] }.encode(ids.request);
    let scoped = ber::sequence(&[&nothing, &nothing, &pdu]);
    ber::sequence(&[&ber::integer(3), &header(ids, 0), &ber::octets(&security), &scoped])
}

fn protected(user: &User, engine: &Engine, ids: Ids, request: &Request<'_>, salt: u64, now: Instant) -> Vec<u8> {
    let time = engine.now(now);
    let mut scoped = ber::sequence(&[&ber::octets(&engine.id), &ber::octets(&[]), &request.encode(ids.request)]);
    let privacy = match engine.keys.seal(&mut scoped, engine.boots, time, salt) {
        Some(parameters) => {
            scoped = ber::octets(&scoped);
            parameters
        }
        None => Vec::new(),
    };
    let length = engine.keys.signature_length();
    let privacy = ber::octets(&privacy);
    let security = ber::sequence(&[
        &ber::octets(&engine.id),
        &ber::integer(engine.boots.into()),
        &ber::integer(time.into()),
        &ber::octets(&user.name),
        &ber::octets(&vec![0; length]),
        &privacy,
    ]);
    let mut message = ber::sequence(&[&ber::integer(3), &header(ids, user.flags()), &ber::octets(&security), &scoped]);
    // The signature is the last but one of what stands before the data.
    let end = message.len() - scoped.len() - privacy.len();
    let signature = engine.keys.sign(&message);
    if let Some(place) = message.get_mut(end - length..end) {
        place.copy_from_slice(&signature);
    }
    message
}

/// A message of SNMPv3, taken apart.
struct V3<'a> {
    whole: &'a [u8],
    id: i64,
    flags: u8,
    engine: &'a [u8],
    boots: u32,
    time: u32,
    user: &'a [u8],
    signature: &'a [u8],
    privacy: &'a [u8],
    /// A scoped PDU, or an octet string that is one encrypted.
    data: &'a [u8],
}

impl<'a> V3<'a> {
    fn split(whole: &'a [u8]) -> Option<Self> {
        let (message, _) = ber::expect(whole, ber::SEQUENCE)?;
        let (version, rest) = ber::expect_integer(message)?;
        let (header, rest) = ber::expect(rest, ber::SEQUENCE)?;
        let (security, data) = ber::expect(rest, ber::OCTETS)?;
        let (id, header) = ber::expect_integer(header)?;
        let (_, header) = ber::expect_integer(header)?;
        let (flags, header) = ber::expect(header, ber::OCTETS)?;
        let (model, _) = ber::expect_integer(header)?;
        let &[flags] = flags else { return None };
        // Encrypted and not signed is forbidden.
        if version != 3 || model != 3 || flags & 3 == 2 {
            return None;
        }
        let (security, _) = ber::expect(security, ber::SEQUENCE)?;
        let (engine, rest) = ber::expect(security, ber::OCTETS)?;
        let (boots, rest) = ber::expect_integer(rest)?;
        let (time, rest) = ber::expect_integer(rest)?;
        let (user, rest) = ber::expect(rest, ber::OCTETS)?;
        let (signature, rest) = ber::expect(rest, ber::OCTETS)?;
        let (privacy, _) = ber::expect(rest, ber::OCTETS)?;
        let clock = |value: i64| i32::try_from(value).ok().and_then(|value| u32::try_from(value).ok());
        let (boots, time) = (clock(boots)?, clock(time)?);
        Some(Self { whole, id, flags, engine, boots, time, user, signature, privacy, data })
    }

    fn is_signed_by(&self, keys: &Keys) -> bool {
        // Where it stands: all of it is within the datagram.
        let start = self.signature.as_ptr().addr().wrapping_sub(self.whole.as_ptr().addr());
        let mut message = self.whole.to_vec();
        match message.get_mut(start..start + self.signature.len()) {
            Some(place) if !self.signature.is_empty() => place.fill(0),
            _ => return false,
        }
        keys.verify(&message, self.signature)
    }

    fn pdu(&self, keys: Option<&Keys>) -> Option<Incoming> {
        let opened;
        let scoped = if self.flags & 2 != 0 {
            let (sealed, _) = ber::expect(self.data, ber::OCTETS)?;
            opened = keys?.open(sealed, self.boots, self.time, self.privacy)?;
            ber::expect(&opened, ber::SEQUENCE)?.0
        } else {
            ber::expect(self.data, ber::SEQUENCE)?.0
        };
        let (_, rest) = ber::expect(scoped, ber::OCTETS)?;
        let (_, pdu) = ber::expect(rest, ber::OCTETS)?;
        Incoming::decode(pdu)
    }
}

#[cfg(test)]
mod tests;
