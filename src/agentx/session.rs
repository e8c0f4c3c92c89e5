//! One AgentX session over one connection, without I/O and without a clock (RFC 2741 §7).
//!
//! Octets and the time come in, octets and [`Event`]s come out. A session begins when the connection stands (its Open is
//! then already in [`Session::output`]) and ends with it: any error it returns means "drop the connection and begin a new
//! one". Two sessions on one connection would confuse snmpd, which sends every request with the id of the younger.
//!
//! ```text
//! Opening ─► Open: Register each region ─► AddAgentCaps ─► all registered; Ping when it is quiet
//!            refused regions are tried again after 1, 2, 4 … 30 s, the rest goes on meanwhile
//! ```
//!
//! Not here: deciding when to connect (`link`), what is answered (`Objects`), words for people (`remedy`).

mod answer;
mod regions;
#[cfg(test)]
mod tests;
mod views;

use super::{
    config::{Config, Region},
    notify::Notification,
    pdu::{Body, ErrorCode, Frame, FrameError, Header, Pdu, Reply, Target, VarBinds},
    stats::{Stats, count},
    wire::{Order, WireError},
};
use crate::smi::Objects;
pub(super) use answer::Nothing;
use answer::{Answer, Scratch};
use bytes::{Buf, BytesMut};
use regions::Regions;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use views::Views;

/// Own requests that may wait for a Response. More, and a master that blocks while it writes to us could never read them.
pub const MAX_OUTSTANDING: usize = 16;
/// Notifications leave room for Register and Ping.
const MAX_NOTIFICATIONS: usize = 12;
/// No more requests are answered while this much waits to be written, octets.
pub const OUTPUT_PAUSE: usize = 1 << 20;

const OPEN_DEADLINE: Duration = Duration::from_secs(5);
/// snmpd may be busy in a slow module of its own for seconds.
const DEADLINE: Duration = Duration::from_secs(10);
/// Silence after which the master is asked whether it is there.
const IDLE: Duration = Duration::from_secs(15);
/// Unanswered Pings after which it is not.
const MAX_MISSES: u32 = 2;

/// Why the session is over.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SessionError {
    /// What arrives is no AgentX.
    #[error("what the master sends cannot be read: {0}")]
    Frame(#[from] FrameError),
    /// The master refused the session.
    #[error("the master refused to open a session: {0}")]
    OpenRefused(ErrorCode),
    /// The master does not know this session any more.
    #[error("the master has lost this session (notOpen)")]
    NotOpen,
    /// The master closed it.
    #[error(
        "the master closed the session, reason {0} (1 other, 2 parseError, 3 protocolError, 4 timeouts, 5 shutdown, 6 byManager)"
    )]
    Closed(u8),
    /// No answer in time.
    #[error("no answer to {0}: the master hangs, or what listens there is no AgentX master")]
    NoAnswer(&'static str),
}

/// What happened, for logs and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The master opened the session.
    Opened,
    /// Region number `.0` of the config is served, at priority `.1`. Told once.
    Registered(usize, u8),
    /// Region number `.0` was refused. Told once for each error, not for each try.
    Refused(usize, ErrorCode),
    /// sysORTable has no row for us.
    CapsRefused(ErrorCode),
    /// The master has a notification.
    NotificationConfirmed,
    /// The master cannot send a notification; `None`: it did not answer.
    NotificationLost(Option<ErrorCode>),
    /// A PDU could not be read. Told once; the counter has them all.
    Unreadable(WireError),
}

/// Why Close is sent (RFC 2741 §6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "RFC 2741's own names")]
pub enum CloseReason {
    ParseError = 2,
    Shutdown = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closing,
    Closed,
}

/// An own request on its way.
#[derive(Debug)]
struct Own {
    packet: u32,
    sent: Instant,
    deadline: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Open,
    Register(usize, u8),
    Caps,
    Ping,
    Notify(Notification),
    Close,
}

/// See the module.
#[derive(Debug)]
pub struct Session<V> {
    config: Arc<Config>,
    stats: Arc<Stats>,
    phase: Phase,
    id: u32,
    packet: u32,
    own: Vec<Own>,
    regions: Regions,
    /// How many of the capabilities have been told.
    caps_told: usize,
    heard: Instant,
    watch: Instant,
    misses: u32,
    views: Views<V>,
    forget_at: Option<Instant>,
    /// The transaction whose TestSet succeeded.
    tested: Option<u32>,
    /// The last SET family PDU and its result: a retransmission gets the same again.
    last_set: Option<(u32, u32, u8, ErrorCode)>,
    scratch: Scratch,
    events: VecDeque<Event>,
    told_unreadable: bool,
    out: BytesMut,
}

impl<V: Objects> Session<V> {
    /// Begins a session on a connection that stands since `now`.
    pub fn new(config: Arc<Config>, stats: Arc<Stats>, now: Instant) -> Self {
        let regions = Regions::new(config.regions.len());
        let mut session = Self {
            config,
            stats,
            phase: Phase::Opening,
            id: 0,
            packet: 0,
            own: Vec::with_capacity(MAX_OUTSTANDING),
            regions,
            caps_told: 0,
            heard: now,
            watch: now + IDLE,
            misses: 0,
            views: Views::default(),
            forget_at: None,
            tested: None,
            last_set: None,
            scratch: Scratch::default(),
            events: VecDeque::new(),
            told_unreadable: false,
            out: BytesMut::with_capacity(64 * 1024),
        };
        let config = Arc::clone(&session.config);
        // o.timeout 0: the master's own. snmpd ignores any other.
        let open = Body::Open { timeout: 0, id: Box::new(config.id.clone()), descr: config.description.as_bytes() };
        session.request(What::Open, open, now);
        session
    }

    /// What is to be written; the caller takes from the front what it has written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// What happened since the last call.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether the master opened the session and nobody closed it.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether nothing more will come: the connection can go.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether every region is served.
    pub fn is_registered(&self) -> bool {
        self.is_open() && self.regions.all_served()
    }

    /// Whether every region has got an answer and AddAgentCaps is done.
    pub fn is_settled(&self) -> bool {
        self.is_open()
            && self.caps_told == self.config.capabilities.len()
            && self.regions.all_decided()
            && !self.own.iter().any(|own| matches!(own.what, What::Caps))
    }

    /// Whether [`notify`](Self::notify) may be called.
    pub fn wants_notification(&self) -> bool {
        let notifications = self.own.iter().filter(|own| matches!(own.what, What::Notify(_))).count();
        self.is_open() && notifications < MAX_NOTIFICATIONS && self.own.len() < MAX_OUTSTANDING
    }

    /// Sends a notification; the master's Response becomes an event.
    pub fn notify(&mut self, notification: Notification, now: Instant) {
        let sent = notification.clone();
        self.request(What::Notify(sent), Body::Notify(VarBinds::from(notification.varbinds())), now);
    }

    /// What has been sent and not been confirmed, oldest first: to be sent again in the next session.
    pub fn into_unconfirmed(self) -> impl DoubleEndedIterator<Item = Notification> {
        self.own.into_iter().filter_map(|own| if let What::Notify(n) = own.what { Some(n) } else { None })
    }

    /// Sends Close; [`is_closed`](Self::is_closed) follows.
    pub fn close(&mut self, reason: CloseReason, now: Instant) {
        match self.phase {
            // There is no session to close yet; the end of the connection says it all.
            Phase::Opening => self.phase = Phase::Closed,
            Phase::Open => {
                self.phase = Phase::Closing;
                self.request(What::Close, Body::Close { reason: reason as u8 }, now);
            }
            Phase::Closing | Phase::Closed => {}
        }
    }

    /// Takes every complete PDU off the front of `input` and answers it. Stops early, and returns true, while more than
    /// [`OUTPUT_PAUSE`] octets wait to be written: call again when they are.
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
        source: &impl Fn() -> Arc<V>,
        now: Instant,
    ) -> Result<bool, SessionError> {
        while self.phase != Phase::Closed {
            if self.out.len() >= OUTPUT_PAUSE {
                return Ok(true);
            }
            let size = match Frame::split(input) {
                Ok(Some(frame)) => {
                    self.handle(&frame, source, now)?;
                    frame.size()
                }
                Ok(None) => break,
                Err(error) => {
                    count(&self.stats.decode_errors);
                    self.close(CloseReason::ParseError, now);
                    return Err(error.into());
                }
            };
            input.advance(size);
        }
        Ok(false)
    }

    /// When [`timeout`](Self::timeout) has something to do.
    pub fn poll_timeout(&self) -> Instant {
        let own = self.own.iter().map(|own| own.deadline);
        own.chain(self.regions.next_try()).chain(self.forget_at).fold(self.watch, Instant::min)
    }

    /// Does what is due at `now`.
    pub fn timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        while let Some(late) = self.own.iter().position(|own| own.deadline <= now) {
            let own = self.own.remove(late);
            match own.what {
                What::Open => return Err(SessionError::NoAnswer("Open")),
                What::Register(..) => return Err(SessionError::NoAnswer("Register")),
                What::Close => return Err(SessionError::NoAnswer("Close")),
                // snmpd drops what it cannot parse without a word; the session is none the worse for it.
                What::Caps => self.events.push_back(Event::CapsRefused(ErrorCode::PARSE_ERROR)),
                What::Notify(lost) => {
                    lost.settle(false);
                    count(&self.stats.notifications_dropped);
                    self.events.push_back(Event::NotificationLost(None));
                    self.watch = now;
                }
                What::Ping if self.heard > own.sent => {}
                What::Ping => {
                    self.misses += 1;
                    if self.misses >= MAX_MISSES {
                        return Err(SessionError::NoAnswer("Ping"));
                    }
                    self.watch = now;
                }
            }
        }
        if self.forget_at.is_some_and(|at| at <= now) {
            self.views.expire(now);
            self.forget_at = if self.views.is_empty() { None } else { Some(now + views::LIFETIME) };
        }
        if self.watch <= now {
            let quiet_until = self.heard + IDLE;
            let due = self.is_open() && (quiet_until <= now || self.misses > 0);
            if due && self.own.len() < MAX_OUTSTANDING && !self.own.iter().any(|own| matches!(own.what, What::Ping)) {
                self.request(What::Ping, Body::Ping, now);
            }
            // Moved here and not at each PDU, so that a busy session never touches its timer.
            self.watch = if due { now + IDLE } else { quiet_until.max(now + Duration::from_secs(1)) };
        }
        self.pump(now);
        Ok(())
    }

    /// Sends an own request.
    fn request(&mut self, what: What, body: Body<'_>, now: Instant) {
        self.packet = self.packet.wrapping_add(1);
        let header = Header { order: Order::NATIVE, session: self.id, transaction: 0, packet: self.packet };
        Pdu { header, context: None, body }.encode(&mut self.out);
        let patience = if matches!(what, What::Open) { OPEN_DEADLINE } else { DEADLINE };
        self.own.push(Own { packet: self.packet, sent: now, deadline: now + patience, what });
    }

    /// Sends the registrations that are due, and the capabilities behind them.
    fn pump(&mut self, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        let config = Arc::clone(&self.config);
        while self.own.len() < MAX_OUTSTANDING
            && let Some((number, priority, region)) = self.regions.take_due(&config.regions, now)
        {
            let Region { subtree, instance, .. } = region;
            let target = Box::new(Target { timeout: 0, priority, subtree: subtree.clone(), range: None });
            self.request(What::Register(number, priority), Body::Register { instance: *instance, target }, now);
        }
        while self.regions.all_decided()
            && self.own.len() < MAX_OUTSTANDING
            && let Some(caps) = config.capabilities.get(self.caps_told)
        {
            self.caps_told += 1;
            let body = Body::AddAgentCaps { id: Box::new(caps.id.clone()), descr: caps.description.as_bytes() };
            self.request(What::Caps, body, now);
        }
    }

    fn handle(&mut self, frame: &Frame<'_>, source: &impl Fn() -> Arc<V>, now: Instant) -> Result<(), SessionError> {
        self.heard = now;
        self.misses = 0;
        let header = &frame.header;
        let pdu = match frame.decode() {
            Ok(pdu) => pdu,
            Err(error) => {
                count(&self.stats.decode_errors);
                if !std::mem::replace(&mut self.told_unreadable, true) {
                    self.events.push_back(Event::Unreadable(error));
                }
                // A Response that cannot be read is dropped (§7.2.5); CleanupSet never gets one (§7.2.4.4).
                if !matches!(frame.kind, 11 | 18) {
                    self.reply(header, ErrorCode::PARSE_ERROR, 0);
                }
                return Ok(());
            }
        };
        if let Body::Response { sys_up_time, error, .. } = pdu.body {
            return self.response(header, (sys_up_time, error), now);
        }
        if header.session != self.id || self.phase == Phase::Opening {
            if pdu.body != Body::CleanupSet {
                self.reply(header, ErrorCode::NOT_OPEN, 0);
            }
            return Ok(());
        }
        match pdu.body {
            Body::Close { reason } => {
                self.reply(header, ErrorCode::NO_ERROR, 0);
                self.phase = Phase::Closed;
                return Err(SessionError::Closed(reason));
            }
            Body::Get(_)
            | Body::GetNext(_)
            | Body::GetBulk { .. }
            | Body::TestSet(_)
            | Body::CommitSet
            | Body::UndoSet
            | Body::CleanupSet => {
                count(&self.stats.requests);
                // We register in the default context only; an empty name is that one.
                if pdu.context.is_none_or(<[u8]>::is_empty) {
                    if self.forget_at.is_none() {
                        self.forget_at = Some(now + views::LIFETIME);
                    }
                    let view = self.views.of(header.transaction, now, source);
                    self.answer(&pdu, &*view, now);
                } else {
                    self.answer(&pdu, &Nothing, now);
                }
            }
            // What only a subagent sends.
            _ => self.reply(header, ErrorCode::PROCESSING_ERROR, 0),
        }
        Ok(())
    }

    fn answer(&mut self, pdu: &Pdu<'_>, view: &impl Objects, now: Instant) {
        let header = &pdu.header;
        let answer = Answer { view, now, header, scratch: &mut self.scratch, out: &mut self.out };
        let (kind, error) = match &pdu.body {
            Body::Get(ranges) => return answer.get(ranges),
            Body::GetNext(ranges) => return answer.get_next(ranges),
            Body::GetBulk { non_repeaters, max_repetitions, ranges } => {
                return answer.get_bulk(*non_repeaters, *max_repetitions, ranges);
            }
            Body::TestSet(varbinds) => {
                let error = answer.test_set(varbinds);
                self.tested = if error.is_none() { Some(header.transaction) } else { None };
                (8, error.unwrap_or(ErrorCode::NO_ERROR))
            }
            Body::CommitSet => (9, self.end_set(header, 9, ErrorCode::COMMIT_FAILED)),
            Body::UndoSet => (10, self.end_set(header, 10, ErrorCode::UNDO_FAILED)),
            _ => {
                self.tested = None;
                return;
            }
        };
        self.last_set = Some((header.transaction, header.packet, kind, error));
        self.reply(header, error, u16::from(error != ErrorCode::NO_ERROR));
    }

    /// CommitSet and UndoSet succeed only behind a TestSet that did; a retransmission gets what the first one got.
    fn end_set(&mut self, header: &Header, kind: u8, failure: ErrorCode) -> ErrorCode {
        match self.last_set {
            Some((transaction, packet, last, error))
                if (transaction, packet, last) == (header.transaction, header.packet, kind) =>
            {
                error
            }
            _ if self.tested == Some(header.transaction) => {
                if kind == 10 {
                    self.tested = None;
                }
                ErrorCode::NO_ERROR
            }
            _ => failure,
        }
    }

    /// A Response without VarBinds.
    fn reply(&mut self, header: &Header, error: ErrorCode, index: u16) {
        Reply::to(header, &mut self.out).fail(error, index);
    }

    fn response(
        &mut self,
        header: &Header,
        (sys_up_time, error): (u32, ErrorCode),
        now: Instant,
    ) -> Result<(), SessionError> {
        let Some((position, own)) = self.own.iter().enumerate().find(|(_, own)| own.packet == header.packet) else {
            return Ok(());
        };
        // It stays among the unconfirmed: a notification then goes out again in the next session.
        if error == ErrorCode::NOT_OPEN && !matches!(own.what, What::Open | What::Close) {
            return Err(SessionError::NotOpen);
        }
        let own = self.own.remove(position);
        let fine = error == ErrorCode::NO_ERROR;
        match own.what {
            What::Open if fine => {
                self.id = header.session;
                self.phase = Phase::Open;
                self.stats.epoch.learn(sys_up_time, now);
                self.events.push_back(Event::Opened);
            }
            What::Open => return Err(SessionError::OpenRefused(error)),
            What::Register(number, priority) if fine => {
                if self.regions.accepted(number, &self.config.regions, priority, now) {
                    self.events.push_back(Event::Registered(number, priority));
                }
            }
            What::Register(number, _) => {
                if self.regions.refused(number, &self.config.regions, error, now) {
                    self.events.push_back(Event::Refused(number, error));
                }
            }
            What::Caps if fine => {}
            What::Caps => self.events.push_back(Event::CapsRefused(error)),
            What::Ping => {}
            What::Notify(taken) if fine => {
                taken.settle(true);
                count(&self.stats.notifications_sent);
                self.events.push_back(Event::NotificationConfirmed);
            }
            What::Notify(lost) => {
                lost.settle(false);
                count(&self.stats.notifications_dropped);
                self.events.push_back(Event::NotificationLost(Some(error)));
            }
            What::Close => self.phase = Phase::Closed,
        }
        self.pump(now);
        Ok(())
    }
}
