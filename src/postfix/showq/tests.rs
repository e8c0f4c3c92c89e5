use super::*;
use proptest::prelude::*;
use std::{io::Write, os::unix::net::UnixListener, thread};

#[derive(Default, Debug, PartialEq)]
struct Seen(Vec<String>);

impl Visitor for Seen {
    fn message(&mut self, m: &Message<'_>) {
        let queue = m.queue.map_or("?", QueueKind::name);
        let text = String::from_utf8_lossy;
        let expire = if m.forced_expire { " expire" } else { "" };
        let unreadable = if m.unreadable { " unreadable" } else { "" };
        self.0.push(format!(
            "{queue} {} {:?} {} {}{expire}{unreadable}",
            text(m.id),
            m.arrival,
            m.size,
            text(m.sender)
        ));
    }
    fn recipient(&mut self, address: &[u8], reason: &[u8]) {
        self.0.push(format!("  {} ({})", String::from_utf8_lossy(address), String::from_utf8_lossy(reason)));
    }
}

fn seen(bytes: &[u8]) -> Result<Vec<String>, ShowqError> {
    let mut seen = Seen::default();
    read(bytes, &mut seen)?;
    Ok(seen.0)
}

/// Attributes as `name=value`, `.` for the NUL that ends a record.
fn stream(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, value)) => bytes.extend([name, "\0", value, "\0"].concat().bytes()),
            None => bytes.push(0),
        }
    }
    bytes
}

#[test]
fn the_stream_of_3_1_to_3_11() {
    let old = stream(&[
        "queue_name=deferred",
        "queue_id=45D2B99E04C",
        "time=1795310772",
        "size=258",
        "sender=a@b",
        "recipient=x@one",
        "reason=[127.0.0.1] refused",
        "recipient=y@two",
        "reason=",
        ".",
        "queue_name=hold",
        "queue_id=4g8rJw5Ft4z1wH3",
        "time=7",
        "size=9",
        "sender=MAILER-DAEMON",
        ".",
        ".",
    ]);
    let expected = [
        "deferred 45D2B99E04C Some(1795310772) 258 a@b",
        "  x@one ([127.0.0.1] refused)",
        "  y@two ()",
        "hold 4g8rJw5Ft4z1wH3 Some(7) 9 MAILER-DAEMON",
    ];
    assert_eq!(seen(&old).unwrap(), expected);

    let new = stream(&[
        "protocol=mail_queue_list_protocol",
        ".",
        "queue_name=active",
        "queue_id=AB12",
        "time=1",
        "size=2",
        "forced_expire=1",
        "future=thing",
        "sender=s@s",
        "original_recipient=o@o",
        "recipient=r@r",
        "log_class=defer",
        "reason=why",
        "original_recipient=p@p",
        "recipient=q@q",
        "log_class=bounce",
        "reason=gone",
        "recipient=z@z",
        "reason=",
        ".",
        "queue_name=unheard_of",
        "queue_id=CD34",
        "time=1",
        "size=2",
        "forced_expire=0",
        "sender=s@s",
        ".",
        ".",
    ]);
    let expected = ["active AB12 Some(1) 2 s@s expire", "  r@r (why)", "  z@z ()", "? CD34 Some(1) 2 s@s"];
    assert_eq!(seen(&new).unwrap(), expected);

    assert_eq!(seen(&stream(&["protocol=mail_queue_list_protocol", ".", "."])).unwrap(), [""; 0], "3.6, empty");
    assert_eq!(seen(b"\0").unwrap(), [""; 0], "3.1, empty");
}

/// The same message as each version lists it.
#[test]
fn every_version_says_the_same() {
    let start = ["queue_name=deferred", "queue_id=AB12", "time=1", "size=2"];
    let end = ["sender=s@s", "recipient=r@r", "reason=why", ".", "."];
    let protocol = ["protocol=mail_queue_list_protocol", "."];
    let forced = ["forced_expire=0"];
    let all_of_3_11 = ["sender=s@s", "original_recipient=", "recipient=r@r", "log_class=defer", "reason=why", ".", "."];
    let versions: [(&str, Vec<&str>); 4] = [
        ("3.1", [&start[..], &end].concat()),
        ("3.5", [&start[..], &forced, &end].concat()),
        ("3.6", [&protocol[..], &start, &forced, &end].concat()),
        ("3.11", [&protocol[..], &start, &forced, &all_of_3_11].concat()),
    ];
    for (version, words) in versions {
        assert_eq!(seen(&stream(&words)).unwrap(), ["deferred AB12 Some(1) 2 s@s", "  r@r (why)"], "{version}");
    }
}

#[test]
fn the_text_of_3_0_and_before() {
    let text = "-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------\n\
        45D2B99E04C*     258 Sun Nov 22 15:13:10  a@b.example\n\
        \x20                                        x@one.example\n\
        \n\
        B0A13101F!12345678 Sun Nov  2 05:13:10  MAILER-DAEMON\n\
        (connect to one.example[192.0.2.1]:25: Connection refused)\n\
        \x20                                        y@one.example\n\
        \n\
        4g8rJw5Ft4z1wH3       99 Sat Nov 21 00:00:00 c d\n\
        \x20  (connect to one.example[192.0.2.1]:25: Connection refused)\n\
        \x20                                        y@one.example\n\
        \n\
        C0A13101F        11 ?? (maildrop queue, sender UID 1000)\n\
        \n\
        -- 12058 Kbytes in 4 Requests.\n";
    let mut result = Seen::default();
    let now = "2026-11-23T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    super::text::read(text.as_bytes(), now, &jiff::tz::TimeZone::UTC, &mut result).unwrap();
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    let expected = [
        format!("active 45D2B99E04C Some({}) 258 a@b.example", at("2026-11-22T15:13:10Z")),
        "  x@one.example ()".into(),
        format!("hold B0A13101F Some({}) 12345678 MAILER-DAEMON", at("2026-11-02T05:13:10Z")),
        "  y@one.example (connect to one.example[192.0.2.1]:25: Connection refused)".into(),
        format!("deferred 4g8rJw5Ft4z1wH3 Some({}) 99 c d", at("2026-11-21T00:00:00Z")),
        "  y@one.example (connect to one.example[192.0.2.1]:25: Connection refused)".into(),
        "maildrop C0A13101F None 11 (maildrop queue, sender UID 1000) unreadable".into(),
    ];
    assert_eq!(result.0, expected);
    assert_eq!(seen(b"Mail queue is empty\n").unwrap(), [""; 0]);
}

#[test]
fn a_list_without_its_end_is_none() {
    let whole = stream(&[
        "queue_name=hold",
        "queue_id=AB12",
        "time=1",
        "size=2",
        "sender=s",
        "recipient=r",
        "reason=",
        ".",
        ".",
    ]);
    for end in 0..whole.len() {
        assert!(matches!(seen(&whole[..end]), Err(ShowqError::CutOff)), "{end}");
    }
    assert!(matches!(seen(b"-Queue ID- --Size--\n"), Err(ShowqError::CutOff)));
    assert!(matches!(seen(b"\x01\x02\0\0"), Err(ShowqError::Protocol(_))));
    assert!(matches!(seen(b"protocol\0smtp\0"), Err(ShowqError::Protocol(_))));
}

/// A showq of our own in a queue directory of our own.
fn fake(answer: impl FnOnce(UnixStream) + Send + 'static) -> (tempfile::TempDir, thread::JoinHandle<()>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("public")).unwrap();
    let listener = UnixListener::bind(socket(dir.path())).unwrap();
    let server = thread::spawn(move || answer(listener.accept().unwrap().0));
    (dir, server)
}

const SHORT: Patience = Patience { silence: Duration::from_millis(50), whole: Duration::from_millis(200) };

#[test]
fn a_showq_that_stalls_floods_or_is_not_there() {
    let (dir, server) = fake(|mut stream| {
        stream.write_all(b"protocol\0mail_queue").unwrap();
        // Waits for the client to give up.
        let _ = stream.read(&mut [0]);
    });
    assert!(matches!(list(dir.path(), SHORT, &mut Seen::default()), Err(ShowqError::Stalled(_))));
    server.join().unwrap();

    let (dir, server) = fake(|mut stream| while stream.write_all(&[b'q'; 8_192]).is_ok() {});
    assert!(matches!(list(dir.path(), SHORT, &mut Seen::default()), Err(ShowqError::Endless(_))));
    server.join().unwrap();

    assert!(matches!(list(dir.path(), SHORT, &mut Seen::default()), Err(ShowqError::Stopped(_))), "nobody listens");
    std::fs::remove_file(socket(dir.path())).unwrap();
    assert!(matches!(list(dir.path(), SHORT, &mut Seen::default()), Err(ShowqError::Missing(_))));
}

#[test]
fn a_path_too_long_for_a_socket_address() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(60)).join("e".repeat(60));
    std::fs::create_dir_all(deep.join("public")).unwrap();
    let short = dir.path().join("s");
    let listener = UnixListener::bind(&short).unwrap();
    std::fs::rename(&short, socket(&deep)).unwrap();
    let server = thread::spawn(move || listener.accept().unwrap().0.write_all(b"\0").unwrap());
    assert_eq!(list(&deep, SHORT, &mut Seen::default()).unwrap(), Format::Attributes);
    server.join().unwrap();
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = seen(&bytes);
    }

    #[test]
    fn never_panics_on_text(text in "(-- |[0-9A-F]{2,12}[*!#]? +[0-9]{1,9} (Sun|X) (Nov|Feb) [0-9]{1,3} [0-9:]{1,9} .{0,9}\n| .{0,20}\n|\\(.*\\)\n){0,6}") {
        let _ = seen(format!("-Queue ID-\n{text}").as_bytes());
    }
}
