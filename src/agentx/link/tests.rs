//! What snmpd cannot be made to do: a fake master on a real socket.

use super::*;
use crate::{
    agentx::{
        Notification, Notifier, Rate, notifications,
        pdu::{Body, ErrorCode, Frame, Header, Pdu, Ranges, SearchRange, VarBinds},
        wire::Order,
    },
    mib::{Column, Get, Index, Publisher, Table, column},
    smi::{Oid, Value},
};
use bytes::Buf;
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::atomic::Ordering,
    thread::JoinHandle,
};

const COLUMNS: &[Column<u32>] = &[column(1, "big", Get::Text(|_: &u32| Some([b'x'; 1000].as_slice().into())))];
static TABLE: Table<u32> =
    Table { name: "table", entry: &[1, 1], index: |row| Index::from_slice(&[*row]), columns: COLUMNS };

fn root() -> Oid {
    Oid::from([1, 3, 9])
}

/// The next connection; none for thirty seconds is a failure, not a hanging test.
fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done.and_then(|(stream, _)| stream.set_nonblocking(false).map(|()| stream)),
        }
    }
}

/// A link on its own thread and the listener it connects to.
struct Fixture {
    listener: UnixListener,
    notifier: Notifier,
    stats: Arc<Stats>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::behind(&[])
    }

    /// These addresses are tried before its own.
    fn behind(extra: &[Address]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master");
        let listener = UnixListener::bind(&path).unwrap();
        let stats = Arc::new(Stats::default());
        let (notifier, queue) = notifications(Rate::default(), Arc::clone(&stats));
        let publisher = Publisher::new(root(), &[&TABLE]);
        publisher.publish([TABLE.fragment(&(1..=50).collect::<Vec<u32>>())]);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let addresses = extra.iter().cloned().chain([Address::Unix(path)]).collect();
        let (config, counters) = (Config::new(addresses, root(), "test"), Arc::clone(&stats));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let shutdown = async {
                let _dropped_is_as_good = stopped.await;
            };
            runtime.block_on(run(config, || publisher.view(), queue, counters, shutdown));
        });
        Self { listener, notifier, stats, stop: Some(stop), thread: Some(thread), _directory: directory }
    }

    /// The next connection, opened and registered.
    fn accept(&self) -> Master {
        let stream = accept(&self.listener).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut master = Master { stream, input: BytesMut::new(), packet: 0, seen: Vec::new() };
        for expected in ["Open", "Register"] {
            let (header, kind) = master.read().unwrap();
            assert!(kind.starts_with(expected), "{kind}");
            master.respond(&header, ErrorCode::NO_ERROR);
        }
        master
    }

    fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        began.elapsed()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Master {
    stream: UnixStream,
    input: BytesMut,
    packet: u32,
    seen: Vec<String>,
}

impl Master {
    /// The next PDU's header and its body as text; `None` at the end of the connection.
    fn read(&mut self) -> Option<(Header, String)> {
        loop {
            if let Some(frame) = Frame::split(&self.input).unwrap() {
                let pdu = frame.decode().unwrap();
                let (header, text, size) = (pdu.header, format!("{:?}", pdu.body), frame.size());
                self.input.advance(size);
                self.seen.push(text.clone());
                return Some((header, text));
            }
            let mut buffer = vec![0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                read => self.input.extend_from_slice(&buffer[..read.unwrap()]),
            }
        }
    }

    fn respond(&mut self, to: &Header, error: ErrorCode) {
        let body = Body::Response { sys_up_time: 1, error, index: 0, varbinds: VarBinds::default() };
        self.write(Pdu { header: Header { session: 9, ..*to }, context: None, body }).unwrap();
    }

    fn write(&mut self, pdu: Pdu<'_>) -> io::Result<()> {
        let mut out = BytesMut::new();
        pdu.encode(&mut out);
        self.stream.write_all(&out)
    }

    fn bulk(&mut self, repetitions: u16) -> io::Result<()> {
        self.packet += 1;
        let header = Header { order: Order::Big, session: 9, transaction: 1, packet: self.packet };
        let ranges = [SearchRange { start: root(), ..SearchRange::default() }];
        let ranges = Ranges::from(ranges.as_slice());
        self.write(Pdu {
            header,
            context: None,
            body: Body::GetBulk { non_repeaters: 0, max_repetitions: repetitions, ranges },
        })
    }
}

#[test]
fn a_master_that_takes_no_answers_never_blocks_and_is_left() {
    let fixture = Fixture::new();
    let mut master = fixture.accept();
    master.stream.set_write_timeout(Some(Duration::from_millis(1500))).unwrap();
    let began = Instant::now();
    // snmpd writes like this: blocking. Each of its writes must get through, until the link lets go.
    let end = loop {
        if let Err(error) = master.bulk(50) {
            break error;
        }
    };
    assert!(matches!(end.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{end}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut next = fixture.accept();
    next.bulk(1).unwrap();
    assert!(next.read().unwrap().1.starts_with("Response"));
    assert_eq!(fixture.stats.connects.load(Ordering::Relaxed), 2);
}

#[test]
fn a_master_that_takes_nothing_for_two_seconds_is_left() {
    let fixture = Fixture::new();
    let mut master = fixture.accept();
    let began = Instant::now();
    (0..40).for_each(|_| master.bulk(50).unwrap());
    let second = fixture.accept();
    assert!((STALL..STALL * 3).contains(&began.elapsed()), "{:?}", began.elapsed());
    drop(second);
}

#[test]
fn a_master_that_asks_faster_than_it_reads_costs_no_memory_without_end() {
    let fixture = Fixture::new();
    let mut master = fixture.accept();
    let mut slow = master.stream.try_clone().unwrap();
    // Enough to be no stall, far less than is asked for.
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while slow.read(&mut buffer).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let most = 64 << 20;
    let written = (0..most).step_by(44).find(|_| master.bulk(1).is_err() || master.bulk(50).is_err());
    assert!(written.is_some(), "{most} octets were taken");
    reader.join().unwrap();
}

#[test]
fn a_master_that_is_slow_for_a_second_gets_every_answer() {
    let fixture = Fixture::new();
    let mut master = fixture.accept();
    (0..100).for_each(|_| master.bulk(50).unwrap());
    for _ in 0..100 {
        assert!(master.read().unwrap().1.starts_with("Response"));
    }
    assert_eq!(fixture.stats.connects.load(Ordering::Relaxed), 1);
}

#[test]
fn a_lost_session_gets_a_new_connection_not_a_second_session() {
    let fixture = Fixture::new();
    fixture.notifier.send(Notification::new(Oid::from([1, 3, 9, 0, 1]), [(root(), Value::Integer(5))]).unwrap());
    let mut master = fixture.accept();
    let (header, notify) = master.read().unwrap();
    assert!(notify.starts_with("Notify"), "{notify}");
    master.respond(&header, ErrorCode::NOT_OPEN);
    assert!(master.read().is_none(), "no second Open here");
    let mut master = fixture.accept();
    let (header, again) = master.read().unwrap();
    assert_eq!(again, notify, "and what was not confirmed is sent again");
    master.respond(&header, ErrorCode::NO_ERROR);
}

#[test]
fn a_stream_that_is_no_agentx_is_closed_with_a_reason_and_begun_anew() {
    let fixture = Fixture::new();
    let mut master = fixture.accept();
    master.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    assert_eq!(master.read().unwrap().1, "Close { reason: 2 }");
    assert!(master.read().is_none());
    let mut master = fixture.accept();
    master.bulk(1).unwrap();
    assert!(master.read().unwrap().1.starts_with("Response"));
    assert_eq!(fixture.stats.decode_errors.load(Ordering::Relaxed), 1);
}

#[test]
fn an_orderly_end_is_close_with_shutdown_and_never_unregister() {
    let mut fixture = Fixture::new();
    let mut master = fixture.accept();
    let thread = std::thread::spawn(move || {
        let (header, close) = master.read().unwrap();
        assert_eq!(close, "Close { reason: 5 }");
        master.respond(&header, ErrorCode::NO_ERROR);
        assert!(master.read().is_none());
        assert!(!master.seen.iter().any(|pdu| pdu.starts_with("Unregister")), "{:?}", master.seen);
    });
    fixture.stop();
    thread.join().unwrap();
    assert_eq!(fixture.stats.status(), Status::Stopped);
}

#[test]
fn a_master_that_does_not_confirm_close_delays_us_200_ms_at_most() {
    let mut fixture = Fixture::new();
    let master = fixture.accept();
    let took = fixture.stop();
    assert!((GOODBYE..GOODBYE * 5).contains(&took), "{took:?}");
    drop(master);
}

#[test]
fn the_pause_between_two_tries_grows_from_50_ms_to_1_s() {
    let mut backoff = Backoff::default();
    for longest in [50, 100, 200, 400, 800, 1000, 1000, 1000] {
        let pause = backoff.next();
        assert!((longest * 3 / 4..=longest).contains(&(pause.as_millis() as u64)), "{pause:?} of {longest} ms");
    }
}

#[test]
fn an_address_where_no_master_speaks_does_not_keep_us_from_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other");
    let other = UnixListener::bind(&path).unwrap();
    let closing = std::thread::spawn(move || {
        let mut first = accept(&other).unwrap();
        first.write_all(b"220 no master\r\n").unwrap();
        other
    });
    let fixture = Fixture::behind(&[Address::Unix(path)]);
    let mut master = fixture.accept();
    let other = closing.join().unwrap();
    master.bulk(1).unwrap();
    assert!(master.read().unwrap().1.starts_with("Response"));
    drop(master);
    accept(&other).expect("after a session that was open the first address has its turn again");
}

#[test]
fn a_problem_is_logged_once_and_one_that_comes_and_goes_once_a_minute() {
    let (mut told, start) = (Told::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(told.problem("closed", at(0)) && told.problem("refused", at(1)));
    assert!(!told.problem("refused", at(1000)), "for as long as it lasts");
    assert!(told.well("serving"));
    assert!(told.problem("closed", at(1001)) && told.well("serving"));
    for second in 1002..1060 {
        assert!(!told.problem("closed", at(second)) && !told.well("serving"), "snmpd in a restart loop");
    }
    assert!(told.problem("closed", at(1061)) && told.problem("refused", at(1062)) && told.well("serving"));
    assert!(!told.well("serving"));
}
