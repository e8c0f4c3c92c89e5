//! A fake master that plays every part RFC 2741 gives it, and time that passes when told.

mod admin;
mod get;
mod robust;
mod set;

use super::*;
use crate::{
    agentx::{
        Region,
        config::Capabilities,
        pdu::{Data, MAX_ITEMS, Ranges, SearchRange, VarBind},
    },
    smi::{Missing, Oid, Value},
};
use std::{cell::RefCell, collections::BTreeMap};

/// A tree whose instances are listed; their object types are the names without the last sub-identifier.
#[derive(Debug, Default, Clone)]
pub(super) struct Map(BTreeMap<Vec<u32>, Value>);

impl Objects for Map {
    fn get(&self, name: &[u32], _: Instant) -> Result<Value, Missing> {
        let types = |known: &Vec<u32>| name.starts_with(&known[..known.len() - 1]);
        let missing = if self.0.keys().any(types) { Missing::Instance } else { Missing::Object };
        self.0.get(name).cloned().ok_or(missing)
    }

    fn next(&self, after: &[u32], include: bool, before: &[u32], _: Instant, name: &mut Oid) -> Option<Value> {
        let (found, value) = self.0.iter().find(|(n, _)| if include { ***n >= *after } else { ***n > *after })?;
        name.set(found);
        (before.is_empty() || **found < *before).then(|| value.clone())
    }
}

const SESSION: u32 = 77;

struct Master {
    session: Session<Map>,
    now: Instant,
    order: Order,
    /// h.sessionID of what is sent.
    id: u32,
    transaction: u32,
    packet: u32,
    newest: RefCell<Arc<Map>>,
    sent_so_far: Vec<Pdu<'static>>,
}

fn oid(text: &str) -> Oid {
    if text.is_empty() { Oid::new() } else { text.parse().unwrap() }
}

fn range(start: &str, include: bool, end: &str) -> SearchRange {
    SearchRange { start: oid(start), include, end: oid(end) }
}

fn gauge(name: &str, value: u32) -> VarBind {
    VarBind { name: oid(name), data: Data::Value(Value::Gauge32(value)) }
}

fn end(name: &str) -> VarBind {
    VarBind { name: oid(name), data: Data::EndOfMibView }
}

fn config() -> Config {
    Config::new(Vec::new(), oid("1.3.9"), "test")
}

/// 1.3.9.C.R = C * 10 + R for columns 1 to 3 and rows 1 to 3.
fn small() -> Map {
    let cells = (1..=3).flat_map(|c| (1..=3).map(move |r| (vec![1, 3, 9, c, r], Value::Gauge32(c * 10 + r))));
    Map(cells.collect())
}

impl Master {
    /// The session has sent Open and nobody has answered.
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let session = Session::new(Arc::new(config), Arc::default(), now);
        let newest = RefCell::new(Arc::new(small()));
        let (order, sent_so_far) = (Order::Big, Vec::new());
        Self { session, now, order, id: SESSION, transaction: 1000, packet: 5000, newest, sent_so_far }
    }

    /// Opened and all accepted.
    fn ready() -> Self {
        Self::ready_with(config())
    }

    fn ready_with(config: Config) -> Self {
        let mut master = Self::new(config);
        while !master.session.is_settled() {
            let sent = master.sent();
            assert!(!sent.is_empty(), "it waits for something");
            for pdu in sent {
                master.respond(&pdu, ErrorCode::NO_ERROR).unwrap();
            }
        }
        while master.session.event().is_some() {}
        master
    }

    /// All PDUs the session has written since the last call.
    fn sent(&mut self) -> Vec<Pdu<'static>> {
        let octets: &'static [u8] = Box::leak(self.session.output().split().to_vec().into_boxed_slice());
        let mut rest = octets;
        let mut pdus = Vec::new();
        while !rest.is_empty() {
            let frame = Frame::split(rest).unwrap().expect("whole PDUs only");
            assert!(frame.kind != 18 || rest[2] & !16 == 0, "a Response has no flag but its byte order");
            assert_eq!((rest[0], rest[3]), (1, 0));
            pdus.push(frame.decode().unwrap());
            rest = &rest[frame.size()..];
        }
        self.sent_so_far.extend(pdus.iter().cloned());
        pdus
    }

    fn one(&mut self) -> Pdu<'static> {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    fn octets(&mut self, octets: &[u8]) -> Result<(), SessionError> {
        let mut input = BytesMut::from(octets);
        self.session.receive(&mut input, &|| Arc::clone(&self.newest.borrow()), self.now).map(|_| ())
    }

    fn header(&mut self) -> Header {
        self.packet += 1;
        Header { order: self.order, session: self.id, transaction: self.transaction, packet: self.packet }
    }

    fn encoded(&mut self, body: Body<'_>) -> BytesMut {
        let mut out = BytesMut::new();
        Pdu { header: self.header(), context: None, body }.encode(&mut out);
        out
    }

    fn tell(&mut self, body: Body<'_>) -> Result<(), SessionError> {
        let octets = self.encoded(body);
        self.octets(&octets)
    }

    /// Sends a request and takes the one Response; its header must repeat the request's.
    fn ask(&mut self, body: Body<'_>) -> Reply {
        self.tell(body).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let pdu = self.one();
        let sent = Header { order: self.order, session: self.id, transaction: self.transaction, packet: self.packet };
        assert_eq!(pdu.header, sent);
        let Body::Response { sys_up_time: 0, error, index, varbinds } = pdu.body else { panic!("{pdu:?}") };
        Reply { error, index, varbinds: varbinds.iter().collect() }
    }

    fn get(&mut self, names: &[&str]) -> Vec<VarBind> {
        let ranges: Vec<_> = names.iter().map(|name| range(name, false, "")).collect();
        self.ask(Body::Get(Ranges::from(ranges.as_slice()))).fine(names.len())
    }

    fn get_next(&mut self, ranges: &[SearchRange]) -> Vec<VarBind> {
        self.ask(Body::GetNext(Ranges::from(ranges))).fine(ranges.len())
    }

    fn get_bulk(&mut self, non_repeaters: u16, max_repetitions: u16, starts: &[&str]) -> Vec<VarBind> {
        let ranges: Vec<_> = starts.iter().map(|start| range(start, false, "")).collect();
        let ranges = Ranges::from(ranges.as_slice());
        let reply = self.ask(Body::GetBulk { non_repeaters, max_repetitions, ranges });
        assert_eq!((reply.error, reply.index), (ErrorCode::NO_ERROR, 0));
        reply.varbinds
    }

    /// Answers an own request of the session.
    fn respond(&mut self, to: &Pdu<'_>, error: ErrorCode) -> Result<(), SessionError> {
        let body = Body::Response { sys_up_time: 4711, error, index: 0, varbinds: VarBinds::default() };
        let header = Header { session: self.id, order: self.order, ..to.header };
        let mut out = BytesMut::new();
        Pdu { header, context: None, body }.encode(&mut out);
        self.octets(&out)
    }

    /// Lets time pass in the steps the session asks for.
    fn pass(&mut self, time: Duration) -> Result<(), SessionError> {
        let until = self.now + time;
        while self.session.poll_timeout() <= until {
            self.now = self.now.max(self.session.poll_timeout());
            self.session.timeout(self.now)?;
        }
        self.now = until;
        Ok(())
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.event()).collect()
    }
}

#[derive(Debug, PartialEq)]
struct Reply {
    error: ErrorCode,
    index: u16,
    varbinds: Vec<VarBind>,
}

impl Reply {
    fn fine(self, count: usize) -> Vec<VarBind> {
        assert_eq!((self.error, self.index), (ErrorCode::NO_ERROR, 0));
        assert_eq!(self.varbinds.len(), count, "one VarBind for each SearchRange");
        self.varbinds
    }

    /// An error without VarBinds (C4).
    fn failed(self) -> (ErrorCode, u16) {
        assert_eq!(self.varbinds, []);
        (self.error, self.index)
    }
}
