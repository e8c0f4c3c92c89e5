//! The 18 PDUs (RFC 2741 §6): octets to [`Pdu`] and back, in either byte order.
//!
//! Flags that only repeat what the body says are no fields here: a context is there or not, a PDU is an instance
//! registration or not, so a header cannot contradict its body. Unused and reserved bits are ignored on the way in and 0
//! on the way out. Limits are hard: 1 MiB of payload, 128 sub-identifiers, 10,000 items.

mod list;
#[cfg(test)]
mod tests;

use super::wire::{Order, Reader, WireError, Writer};
use crate::smi::Oid;
use bytes::BytesMut;
pub use list::{Data, Item, List, MAX_ITEMS, Ranges, SearchRange, VarBind, VarBinds, write_varbind};
use std::fmt;

/// Octets of a header.
pub const HEADER: usize = 20;
/// The most payload accepted, octets. snmpd reads 64 KiB; other masters may send more.
pub const MAX_PAYLOAD: usize = 1 << 20;

const INSTANCE_REGISTRATION: u8 = 1;
const NEW_INDEX: u8 = 2;
const ANY_INDEX: u8 = 4;
const NON_DEFAULT_CONTEXT: u8 = 8;
const NETWORK_BYTE_ORDER: u8 = 16;

/// Why a stream cannot be cut into PDUs any more; the connection is useless then.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// h.version is not 1.
    #[error("AgentX version {0}; only version 1 exists (is this an AgentX socket?)")]
    Version(u8),
    /// h.payload_length is no multiple of 4.
    #[error("a payload of {0} octets, which is no multiple of 4")]
    Alignment(u32),
    /// h.payload_length is larger than [`MAX_PAYLOAD`].
    #[error("a payload of {0} octets; at most 1 MiB is accepted")]
    TooLarge(u32),
}

/// What every PDU begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Byte order of everything in the PDU.
    pub order: Order,
    /// h.sessionID.
    pub session: u32,
    /// h.transactionID: the same in all PDUs of one SNMP request.
    pub transaction: u32,
    /// h.packetID: the same in a request and its Response.
    pub packet: u32,
}

/// One whole PDU at the beginning of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header's identifiers.
    pub header: Header,
    /// h.type as received.
    pub kind: u8,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first PDU of `stream`, or `None` while it is not complete.
    #[inline]
    pub fn split(stream: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let Some((head, rest)) = stream.split_first_chunk::<HEADER>() else {
            // A wrong version shows in the first octet; waiting for nineteen more would leave a stranger connected.
            return stream.first().filter(|v| **v != 1).map_or(Ok(None), |v| Err(FrameError::Version(*v)));
        };
        let [version, kind, flags, _reserved, ids @ ..] = *head;
        if version != 1 {
            return Err(FrameError::Version(version));
        }
        let order = if flags & NETWORK_BYTE_ORDER == 0 { Order::Little } else { Order::Big };
        let word = |octets| if order == Order::Big { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) };
        // Sixteen octets are four words.
        let &[session, transaction, packet, length] = ids.as_chunks().0 else { return Ok(None) };
        let length = word(length);
        if length % 4 != 0 {
            return Err(FrameError::Alignment(length));
        }
        if length as usize > MAX_PAYLOAD {
            return Err(FrameError::TooLarge(length));
        }
        let header = Header { order, session: word(session), transaction: word(transaction), packet: word(packet) };
        Ok(rest.get(..length as usize).map(|payload| Self { header, kind, flags, payload }))
    }

    /// Octets of the whole PDU.
    pub fn size(&self) -> usize {
        HEADER + self.payload.len()
    }

    /// Reads the body. Lists are checked and read later.
    #[inline]
    pub fn decode(&self) -> Result<Pdu<'a>, WireError> {
        let mut from = Reader::new(self.payload, self.header.order);
        let has_context = self.flags & NON_DEFAULT_CONTEXT != 0 && context_allowed(self.kind);
        let context = if has_context { Some(from.octets()?) } else { None };
        let body = Body::read(self.kind, self.flags, &mut from)?;
        match from.rest().len() {
            0 => Ok(Pdu { header: self.header, context, body }),
            more => Err(WireError::Trailing(more)),
        }
    }
}

/// §6.1.1.
fn context_allowed(kind: u8) -> bool {
    matches!(kind, 3..=8 | 12..=17)
}

/// One PDU.
#[derive(Clone, Debug, PartialEq)]
pub struct Pdu<'a> {
    /// Byte order and identifiers.
    pub header: Header,
    /// The context, if it is not the default one. Open, Close, CommitSet, UndoSet, CleanupSet and Response have none.
    pub context: Option<&'a [u8]>,
    /// Type and fields.
    pub body: Body<'a>,
}

/// What Register and Unregister name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// r.timeout, seconds; 0 for the session's. Not in Unregister.
    pub timeout: u8,
    /// r.priority, 1..=255; smaller wins.
    pub priority: u8,
    /// r.subtree.
    pub subtree: Oid,
    /// r.range_subid (1-based, never 0) and r.upper_bound.
    pub range: Option<(u8, u32)>,
}

/// The body of a PDU. What only a session's first moments need is boxed: moving a Body about was most of the cost of
/// decoding a GetNext.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "RFC 2741's own names")]
pub enum Body<'a> {
    Open { timeout: u8, id: Box<Oid>, descr: &'a [u8] },
    Close { reason: u8 },
    Register { instance: bool, target: Box<Target> },
    Unregister { target: Box<Target> },
    Get(Ranges<'a>),
    GetNext(Ranges<'a>),
    GetBulk { non_repeaters: u16, max_repetitions: u16, ranges: Ranges<'a> },
    TestSet(VarBinds<'a>),
    CommitSet,
    UndoSet,
    CleanupSet,
    Notify(VarBinds<'a>),
    Ping,
    IndexAllocate { new: bool, any: bool, varbinds: VarBinds<'a> },
    IndexDeallocate { new: bool, any: bool, varbinds: VarBinds<'a> },
    AddAgentCaps { id: Box<Oid>, descr: &'a [u8] },
    RemoveAgentCaps { id: Box<Oid> },
    Response { sys_up_time: u32, error: ErrorCode, index: u16, varbinds: VarBinds<'a> },
}

impl<'a> Body<'a> {
    fn read(kind: u8, flags: u8, from: &mut Reader<'a>) -> Result<Self, WireError> {
        let (new, any) = (flags & NEW_INDEX != 0, flags & ANY_INDEX != 0);
        Ok(match kind {
            1 => {
                let [timeout, _, _, _] = from.array()?;
                Self::Open { timeout, id: Box::new(from.oid()?), descr: from.octets()? }
            }
            2 => Self::Close { reason: from.array::<4>()?[0] },
            3 => Self::Register { instance: flags & INSTANCE_REGISTRATION != 0, target: Box::new(Target::read(from)?) },
            4 => Self::Unregister { target: Box::new(Target { timeout: 0, ..Target::read(from)? }) },
            5 => Self::Get(Ranges::check(from)?),
            6 => Self::GetNext(Ranges::check(from)?),
            7 => {
                Self::GetBulk { non_repeaters: from.u16()?, max_repetitions: from.u16()?, ranges: Ranges::check(from)? }
            }
            8 => Self::TestSet(VarBinds::check(from)?),
            9 => Self::CommitSet,
            10 => Self::UndoSet,
            11 => Self::CleanupSet,
            12 => Self::Notify(VarBinds::check(from)?),
            13 => Self::Ping,
            14 => Self::IndexAllocate { new, any, varbinds: VarBinds::check(from)? },
            15 => Self::IndexDeallocate { new, any, varbinds: VarBinds::check(from)? },
            16 => Self::AddAgentCaps { id: Box::new(from.oid()?), descr: from.octets()? },
            17 => Self::RemoveAgentCaps { id: Box::new(from.oid()?) },
            18 => Self::Response {
                sys_up_time: from.u32()?,
                error: ErrorCode(from.u16()?),
                index: from.u16()?,
                varbinds: VarBinds::check(from)?,
            },
            other => return Err(WireError::PduType(other)),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => 1,
            Self::Close { .. } => 2,
            Self::Register { .. } => 3,
            Self::Unregister { .. } => 4,
            Self::Get(_) => 5,
            Self::GetNext(_) => 6,
            Self::GetBulk { .. } => 7,
            Self::TestSet(_) => 8,
            Self::CommitSet => 9,
            Self::UndoSet => 10,
            Self::CleanupSet => 11,
            Self::Notify(_) => 12,
            Self::Ping => 13,
            Self::IndexAllocate { .. } => 14,
            Self::IndexDeallocate { .. } => 15,
            Self::AddAgentCaps { .. } => 16,
            Self::RemoveAgentCaps { .. } => 17,
            Self::Response { .. } => 18,
        }
    }

    fn flags(&self) -> u8 {
        match *self {
            Self::Register { instance: true, .. } => INSTANCE_REGISTRATION,
            Self::IndexAllocate { new, any, .. } | Self::IndexDeallocate { new, any, .. } => {
                (u8::from(new) * NEW_INDEX) | (u8::from(any) * ANY_INDEX)
            }
            _ => 0,
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Open { timeout, id, descr } => {
                to.raw(&[*timeout, 0, 0, 0]);
                to.oid(id, false);
                to.octets(descr);
            }
            Self::Close { reason } => to.raw(&[*reason, 0, 0, 0]),
            Self::Register { target, .. } => target.write(to, target.timeout),
            Self::Unregister { target } => target.write(to, 0),
            Self::Get(ranges) | Self::GetNext(ranges) => ranges.write(to),
            Self::GetBulk { non_repeaters, max_repetitions, ranges } => {
                to.u16(*non_repeaters);
                to.u16(*max_repetitions);
                ranges.write(to);
            }
            Self::TestSet(varbinds)
            | Self::Notify(varbinds)
            | Self::IndexAllocate { varbinds, .. }
            | Self::IndexDeallocate { varbinds, .. } => varbinds.write(to),
            Self::CommitSet | Self::UndoSet | Self::CleanupSet | Self::Ping => {}
            Self::AddAgentCaps { id, descr } => {
                to.oid(id, false);
                to.octets(descr);
            }
            Self::RemoveAgentCaps { id } => to.oid(id, false),
            Self::Response { sys_up_time, error, index, varbinds } => {
                to.u32(*sys_up_time);
                to.u16(error.0);
                to.u16(*index);
                varbinds.write(to);
            }
        }
    }
}

impl Target {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let [timeout, priority, range, _] = from.array()?;
        let subtree = from.oid()?;
        let range = if range == 0 { None } else { Some((range, from.u32()?)) };
        Ok(Self { timeout, priority, subtree, range })
    }

    fn write(&self, to: &mut Writer<'_>, timeout: u8) {
        to.raw(&[timeout, self.priority, self.range.map_or(0, |r| r.0), 0]);
        to.oid(&self.subtree, false);
        if let Some((_, upper)) = self.range.filter(|r| r.0 != 0) {
            to.u32(upper);
        }
    }
}

/// Appends a header whose length is filled in later; returns where it stands.
fn begin(to: &mut Writer<'_>, header: &Header, kind: u8, flags: u8) -> usize {
    let start = to.position();
    let order = if header.order == Order::Big { NETWORK_BYTE_ORDER } else { 0 };
    to.raw(&[1, kind, flags | order, 0]);
    to.u32(header.session);
    to.u32(header.transaction);
    to.u32(header.packet);
    to.u32(0);
    start
}

fn finish(to: &mut Writer<'_>, start: usize) {
    let payload = to.position() - start - HEADER;
    to.patch_u32(start + 16, u32::try_from(payload).unwrap_or(u32::MAX));
}

impl Pdu<'_> {
    /// Appends the PDU to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut to = Writer::new(out, self.header.order);
        let kind = self.body.kind();
        let context = self.context.filter(|_| context_allowed(kind));
        let flags = self.body.flags() | if context.is_some() { NON_DEFAULT_CONTEXT } else { 0 };
        let start = begin(&mut to, &self.header, kind, flags);
        if let Some(context) = context {
            to.octets(context);
        }
        self.body.write(&mut to);
        finish(&mut to, start);
    }
}

/// A Response in the making: header fields are those of the request (§7.2.2), without its context.
pub struct Reply<'a> {
    to: Writer<'a>,
    start: usize,
}

impl<'a> Reply<'a> {
    /// Begins a Response to `request` at the end of `out`.
    pub fn to(request: &Header, out: &'a mut BytesMut) -> Self {
        let mut to = Writer::new(out, request.order);
        let start = begin(&mut to, request, 18, 0);
        // sysUpTime, error and index; a master ignores a subagent's sysUpTime (§7.2.2).
        to.raw(&[0; 8]);
        Self { to, start }
    }

    /// Adds a VarBind.
    pub fn varbind(&mut self, name: &[u32], data: &Data) {
        write_varbind(&mut self.to, name, data);
    }

    /// Octets so far, header included.
    pub fn size(&self) -> usize {
        self.to.position() - self.start
    }

    /// Takes back what stands behind `size`.
    pub fn shrink(&mut self, size: usize) {
        self.to.truncate(self.start + size);
    }

    /// Finishes it as success.
    pub fn done(mut self) {
        finish(&mut self.to, self.start);
    }

    /// Finishes it as an error at the item numbered `index` (from 1), without VarBinds (§7.2.3).
    pub fn fail(mut self, error: ErrorCode, index: u16) {
        self.to.truncate(self.start + HEADER + 4);
        self.to.u16(error.0);
        self.to.u16(index);
        finish(&mut self.to, self.start);
    }
}

/// res.error (§6.2.16); below 256 those of SNMPv2 (RFC 3416).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub u16);

macro_rules! error_codes {
    ($($number:literal $name:ident $text:literal,)*) => {
        impl ErrorCode {
            $(#[doc = $text] pub const $name: Self = Self($number);)*

            fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

error_codes! {
    0 NO_ERROR "noAgentXError",
    1 TOO_BIG "tooBig",
    5 GEN_ERR "genErr",
    11 NO_CREATION "noCreation",
    14 COMMIT_FAILED "commitFailed",
    15 UNDO_FAILED "undoFailed",
    17 NOT_WRITABLE "notWritable",
    256 OPEN_FAILED "openFailed",
    257 NOT_OPEN "notOpen",
    258 INDEX_WRONG_TYPE "indexWrongType",
    259 INDEX_ALREADY_ALLOCATED "indexAlreadyAllocated",
    260 INDEX_NONE_AVAILABLE "indexNoneAvailable",
    261 INDEX_NOT_ALLOCATED "indexNotAllocated",
    262 UNSUPPORTED_CONTEXT "unsupportedContext",
    263 DUPLICATE_REGISTRATION "duplicateRegistration",
    264 UNKNOWN_REGISTRATION "unknownRegistration",
    265 UNKNOWN_AGENT_CAPS "unknownAgentCaps",
    266 PARSE_ERROR "parseError",
    267 REQUEST_DENIED "requestDenied",
    268 PROCESSING_ERROR "processingError",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name().unwrap_or("unknown error"), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
