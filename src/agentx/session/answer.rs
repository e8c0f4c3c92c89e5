//! Answers to the Get and SET families (RFC 2741 §7.2.3, §7.2.4).
//!
//! Each SearchRange produces exactly one VarBind: a function that reads one range writes one VarBind, and nothing else
//! writes any. A master that gets fewer never completes its request and, after the next SET, answers nobody any more.

use crate::{
    agentx::pdu::{Data, ErrorCode, Header, Ranges, Reply, SearchRange, VarBinds},
    smi::{Missing, Objects, Oid, Value},
};
use bytes::BytesMut;
use std::time::Instant;

/// The largest Response, octets with header. snmpd drops what is longer than 64 KiB without a word, and then us.
pub(super) const MAX_RESPONSE: usize = 60 * 1024;

/// Serves nothing: what stands in a context that is not the default one.
pub(in crate::agentx) struct Nothing;

impl Objects for Nothing {
    fn get(&self, _: &[u32], _: Instant) -> Result<Value, Missing> {
        Err(Missing::Object)
    }
    fn next(&self, _: &[u32], _: bool, _: &[u32], _: Instant, _: &mut Oid) -> Option<Value> {
        None
    }
}

/// Memory that is used again for each request.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    range: SearchRange,
    name: Oid,
    repeaters: Vec<SearchRange>,
}

/// Writes the first successor within `range`, or endOfMibView with the starting OID; leaves its name in `name`.
fn next_varbind(view: &impl Objects, range: &SearchRange, now: Instant, name: &mut Oid, reply: &mut Reply<'_>) -> bool {
    let found = view.next(&range.start, range.include, &range.end, now, name);
    let ended = found.is_none();
    if ended {
        name.set(&range.start);
    }
    reply.varbind(name, &found.map_or(Data::EndOfMibView, Data::Value));
    !ended
}

fn get_varbind(view: &impl Objects, name: &[u32], now: Instant, reply: &mut Reply<'_>) {
    let data = match view.get(name, now) {
        Ok(value) => Data::Value(value),
        Err(Missing::Object) => Data::NoSuchObject,
        Err(Missing::Instance) => Data::NoSuchInstance,
    };
    reply.varbind(name, &data);
}

/// A request to answer, and where to.
pub(super) struct Answer<'a, V> {
    pub(super) view: &'a V,
    pub(super) now: Instant,
    pub(super) header: &'a Header,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut BytesMut,
}

impl<V: Objects> Answer<'_, V> {
    /// §7.2.3.1
    pub(super) fn get(self, ranges: &Ranges<'_>) {
        let mut reply = Reply::to(self.header, self.out);
        ranges.visit(&mut self.scratch.range, |_, range| {
            get_varbind(self.view, &range.start, self.now, &mut reply);
            reply.size() <= MAX_RESPONSE
        });
        finish(reply);
    }

    /// §7.2.3.2
    pub(super) fn get_next(self, ranges: &Ranges<'_>) {
        let mut reply = Reply::to(self.header, self.out);
        let Scratch { range, name, .. } = self.scratch;
        ranges.visit(range, |_, range| {
            next_varbind(self.view, range, self.now, name, &mut reply);
            reply.size() <= MAX_RESPONSE
        });
        finish(reply);
    }

    /// §7.2.3.3. Cut at a row boundary when the Response is full.
    pub(super) fn get_bulk(self, non_repeaters: u16, max_repetitions: u16, ranges: &Ranges<'_>) {
        let mut reply = Reply::to(self.header, self.out);
        let Scratch { range, name, repeaters } = self.scratch;
        repeaters.clear();
        ranges.visit(range, |position, range| {
            if position < usize::from(non_repeaters) {
                next_varbind(self.view, range, self.now, name, &mut reply);
            } else {
                repeaters.push(range.clone());
            }
            reply.size() <= MAX_RESPONSE
        });
        if reply.size() > MAX_RESPONSE || repeaters.is_empty() {
            return finish(reply);
        }
        for row in 0..max_repetitions {
            let row_start = reply.size();
            let mut alive = false;
            for range in repeaters.iter_mut() {
                alive |= next_varbind(self.view, range, self.now, name, &mut reply);
                if reply.size() > MAX_RESPONSE {
                    // Without its first row the manager would ask the same for ever.
                    if row > 0 {
                        reply.shrink(row_start);
                    }
                    return finish(reply);
                }
                range.start.set(name);
                range.include = false;
            }
            if !alive {
                break;
            }
        }
        finish(reply);
    }

    /// §7.2.4.1. Nothing here can be written (RFC 3416 §4.2.5): the first name decides. `true` if nothing was asked for.
    pub(super) fn test_set(self, varbinds: &VarBinds<'_>) -> Option<ErrorCode> {
        let first = varbinds.iter().next()?;
        Some(match self.view.get(&first.name, self.now) {
            Ok(_) | Err(Missing::Instance) => ErrorCode::NOT_WRITABLE,
            Err(Missing::Object) => ErrorCode::NO_CREATION,
        })
    }
}

/// Too large a Response becomes tooBig at item 1, which managers understand and ask for less.
fn finish(reply: Reply<'_>) {
    if reply.size() > MAX_RESPONSE { reply.fail(ErrorCode::TOO_BIG, 1) } else { reply.done() }
}
