//! The connection to the master: all the I/O there is, and nothing but I/O.
//!
//! One task owns the socket. It reads whatever the master sends, always: snmpd writes with blocking calls, and one
//! subagent that does not read stops the whole daemon. It therefore never waits for a write: what the master does not
//! take stays in a bounded buffer, and a master that takes nothing for two seconds is left; an end of file hurts it less.
//!
//! Any end of a connection leads to the next one, 50 ms to 1 s later, for ever. A change is logged once, and what alternates
//! with something else at most once a minute.

mod socket;
#[cfg(test)]
mod tests;

use super::{
    Address, Config, Notifications, Stats, Status,
    pdu::ErrorCode,
    remedy,
    session::{CloseReason, Event, Session, SessionError},
    stats::count,
};
use crate::smi::Objects;
use bytes::BytesMut;
use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    io,
    os::fd::OwnedFd,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, sleep_until, timeout},
};

/// For a TCP master that drops our packets; a unix socket answers at once.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A master that takes nothing for so long is left.
const STALL: Duration = Duration::from_secs(2);
/// What may wait to be answered while the master does not read, octets.
const MAX_INPUT: usize = 4 << 20;
/// A problem that comes and goes is logged again after this.
const QUIET: Duration = Duration::from_secs(60);
/// How long an orderly Close waits for its Response.
const GOODBYE: Duration = Duration::from_millis(200);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("{0}")]
    Session(#[from] SessionError),
    #[error("the master closed the connection (it restarts, or waited too long for an answer)")]
    Eof,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the master has taken no octet for two seconds")]
    Stalled,
    #[error("the master sends requests and does not read the answers")]
    Overrun,
}

/// Serves `source` to the first master that listens on one of `config.addresses` until `shutdown` completes; then closes
/// in an orderly way, for which it takes 200 ms at most.
///
/// `source` gives the newest state and is called once for each SNMP request. `queue` is the receiving end made by
/// [`super::notifications`], `stats` is kept up to date. No error ends it.
pub async fn run<V: Objects>(
    config: Config,
    source: impl Fn() -> Arc<V>,
    queue: Notifications,
    stats: Arc<Stats>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut link = Link { config: Arc::new(config), source, queue, stats, first: 0, told: Told::default() };
    let mut backoff = Backoff::default();
    loop {
        let began = Instant::now();
        let stop = tokio::select! {
            biased;
            connected = link.connect() => match connected {
                Some((number, socket)) => link.serve(number, socket, shutdown.as_mut()).await,
                None => false,
            },
            () = &mut shutdown => true,
        };
        if stop {
            break;
        }
        if began.elapsed() > Duration::from_secs(5) {
            backoff = Backoff::default();
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = &mut shutdown => break,
        }
    }
    link.stats.set(Status::Stopped);
}

/// 50 ms, doubled up to 1 s, less up to a quarter of it at random.
#[derive(Debug, Default)]
struct Backoff {
    tries: u32,
    random: RandomState,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let full = Duration::from_millis((50 << self.tries.min(5)).min(1000));
        self.tries += 1;
        full - full.mul_f64((self.random.hash_one(self.tries) % 1000) as f64 / 4000.0)
    }
}

/// What has been logged, so that nothing is said twice and no restart loop fills the log.
#[derive(Debug, Default)]
struct Told {
    last: String,
    lately: Vec<(String, Instant)>,
}

impl Told {
    /// Whether to log this problem.
    fn problem(&mut self, text: &str, now: Instant) -> bool {
        self.lately.retain(|(_, at)| *at + QUIET > now);
        if self.last == text || self.lately.iter().any(|(told, _)| told == text) {
            return false;
        }
        text.clone_into(&mut self.last);
        self.lately.push((text.to_owned(), now));
        true
    }

    /// Whether to log that all is well: unless this was the last that was logged.
    fn well(&mut self, text: &str) -> bool {
        let news = self.last != text;
        text.clone_into(&mut self.last);
        news
    }
}

/// Connects, without blocking and without a name of our own (bind): snmpd would try to unlink it.
async fn open(address: &Address) -> io::Result<OwnedFd> {
    let connecting = async {
        match address {
            Address::Unix(path) => UnixStream::connect(path).await?.into_std().map(OwnedFd::from),
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                stream.into_std().map(OwnedFd::from)
            }
        }
    };
    timeout(CONNECT_DEADLINE, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

struct Link<F> {
    config: Arc<Config>,
    source: F,
    queue: Notifications,
    stats: Arc<Stats>,
    /// The address tried first: the one behind an address where something listens that opens no session for us.
    first: usize,
    told: Told,
}

impl<V: Objects, F: Fn() -> Arc<V>> Link<F> {
    fn tell(&mut self, problem: &str) {
        if self.told.problem(problem, Instant::now()) {
            tracing::warn!("{problem}");
        }
    }

    /// A connection to the first address that takes one, and its number.
    async fn connect(&mut self) -> Option<((usize, Address), OwnedFd)> {
        let config = Arc::clone(&self.config);
        let count = config.addresses.len();
        let mut problems = Vec::with_capacity(count);
        let in_turn = config.addresses.iter().enumerate().cycle().skip(self.first % count.max(1)).take(count);
        for (number, address) in in_turn {
            match open(address).await {
                Ok(socket) => return Some(((number, address.clone()), socket)),
                Err(error) => problems.push(remedy::connect(address, &error)),
            }
        }
        // The same text whichever was tried first.
        problems.rotate_right(self.first % count.max(1));
        let why = remedy::unconnected(&config.addresses, &problems);
        self.tell(&why);
        self.stats.set(Status::Disconnected(why));
        None
    }

    /// Serves one connection to its end. True: `shutdown` is complete.
    async fn serve(
        &mut self,
        (number, address): (usize, Address),
        socket: OwnedFd,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> bool {
        let mut session = Session::new(Arc::clone(&self.config), Arc::clone(&self.stats), Instant::now());
        // Until a session opens.
        self.first = number + 1;
        let mut goodbye = None;
        let end = self.converse(&mut session, &address, socket, shutdown, &mut goodbye).await;
        self.queue.put_back(session.into_unconfirmed());
        let (Err(error), None) = (end, goodbye) else { return true };
        let why = format!("{address}: {error}");
        self.tell(&why);
        self.stats.set(Status::Disconnected(why));
        false
    }

    /// Serves until the connection ends. `goodbye` is set once `shutdown` is complete: how long that may still take.
    async fn converse(
        &mut self,
        session: &mut Session<V>,
        address: &Address,
        socket: OwnedFd,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
        goodbye: &mut Option<Instant>,
    ) -> Result<(), LinkError> {
        let (mut reader, mut writer) = socket::split(socket)?;
        let mut input = BytesMut::with_capacity(64 * 1024);
        let mut stalled: Option<Instant> = None;
        let mut armed = session.poll_timeout();
        let mut alarm = pin!(sleep_until(armed.into()));
        loop {
            let now = Instant::now();
            let received = session.receive(&mut input, &self.source, now);
            let received = received.and_then(|more| {
                if session.poll_timeout() <= now {
                    session.timeout(now)?;
                }
                Ok(more)
            });
            while let Some(event) = session.event() {
                self.happened(&event, session, address);
            }
            let more = match received {
                Ok(more) => more,
                Err(error) => {
                    // Perhaps the master still takes our Close; it is not worth waiting for.
                    let _ = writer.write(session.output());
                    return Err(error.into());
                }
            };
            if goodbye.is_some_and(|at| session.is_closed() || at <= now) {
                return Ok(());
            }
            while session.wants_notification()
                && let Some(notification) = self.queue.take(now)
            {
                session.notify(notification, now);
            }
            let progress = writer.write(session.output())?;
            let writing = !session.output().is_empty();
            stalled = if writing { stalled.filter(|_| !progress).or(Some(now)) } else { None };
            if stalled.is_some_and(|since| since + STALL <= now) {
                return Err(LinkError::Stalled);
            }
            if more && progress {
                continue;
            }
            if input.len() > MAX_INPUT {
                return Err(LinkError::Overrun);
            }
            let notify_at = if session.wants_notification() { self.queue.ready_at(now) } else { None };
            let due = [*goodbye, stalled.map(|since| since + STALL), notify_at];
            let due = due.into_iter().flatten().fold(session.poll_timeout(), Instant::min);
            // An alarm that rings too early costs one turn; setting it anew for each request would cost more.
            if due < armed || armed <= now {
                armed = due;
                alarm.as_mut().reset(armed.into());
            }
            tokio::select! {
                biased;
                () = &mut shutdown, if goodbye.is_none() => {
                    let now = Instant::now();
                    *goodbye = Some(now + GOODBYE);
                    session.close(CloseReason::Shutdown, now);
                }
                writable = writer.writable() => writable?,
                read = reader.read(&mut input) => {
                    if read? == 0 {
                        return Err(LinkError::Eof);
                    }
                }
                () = &mut alarm => {}
                () = self.queue.arrived() => {}
            }
        }
    }

    fn happened(&mut self, event: &Event, session: &Session<V>, address: &Address) {
        match event {
            Event::Opened => {
                self.first = 0;
                count(&self.stats.connects);
                self.stats.set(Status::Open(address.to_string()));
            }
            Event::Registered(number, priority) => {
                let Some(region) = self.config.regions.get(*number) else { return };
                let subtree = &region.subtree;
                tracing::debug!(%subtree, priority, "registered");
                if session.is_registered() {
                    if self.told.well(&format!("serving at {address}, priority {priority}")) {
                        tracing::info!(%address, %subtree, priority, "serving through snmpd");
                    }
                    self.stats.set(Status::Registered(address.to_string()));
                }
            }
            Event::Refused(number, error) => {
                let Some(region) = self.config.regions.get(*number) else { return };
                let why = remedy::refused(address, region, *error);
                let duplicate = *error == ErrorCode::DUPLICATE_REGISTRATION;
                self.tell(&why);
                self.stats.set(Status::Refused { duplicate, why });
            }
            Event::CapsRefused(error) => {
                self.tell(&format!("{address}: no row in sysORTable ({error}); all else works"));
            }
            Event::NotificationConfirmed => {}
            Event::NotificationLost(Some(error)) => {
                self.tell(&format!("{address}: a notification was refused: {error}"));
            }
            Event::NotificationLost(None) => self.tell(&format!("{address}: a notification was not answered")),
            Event::Unreadable(error) => self.tell(&format!("{address}: a PDU from the master cannot be read: {error}")),
        }
    }
}
