use super::*;
use proptest::prelude::*;

/// Writes queue files as cleanup(8) and postdrop(1) do.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn record(&mut self, kind: u8, data: &[u8]) -> &mut Self {
        self.0.push(kind);
        let mut length = data.len();
        loop {
            let more = length > 0x7f;
            self.0.push((length & 0x7f) as u8 | if more { 0x80 } else { 0 });
            length >>= 7;
            if !more {
                break;
            }
        }
        self.0.extend_from_slice(data);
        self
    }

    fn size(&mut self, size: u64, offset: u64, recipients: u64) -> &mut Self {
        self.record(
            b'C',
            format!("{size:>15} {offset:>15} {recipients:>15} {:>15} {:>15} {:>15}", 0, size, 0).as_bytes(),
        )
    }

    fn overwrite_size(&mut self, size: u64, offset: u64, recipients: u64) {
        let mut head = Writer::default();
        head.size(size, offset, recipients);
        self.0[..head.0.len()].copy_from_slice(&head.0);
    }
}

/// A complete file: recipients before the content, and behind it.
fn file(recipients: &[&str], done: &[&str], extracted: &[&str], content: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.size(0, 0, 0)
        .record(b'T', b"1795310772 123456")
        .record(b'A', b"create_time=1795310772")
        .record(b'S', b"a@b.example");
    for address in recipients {
        w.record(b'A', b"dsn_orig_rcpt=rfc822;x").record(b'O', address.as_bytes()).record(b'R', address.as_bytes());
    }
    for address in done {
        w.record(b'D', address.as_bytes());
    }
    w.record(b'p', b"              0").record(b'M', b"");
    let offset = w.0.len() as u64;
    for line in content.chunks(60) {
        w.record(b'N', line);
    }
    let size = w.0.len() as u64 - offset;
    w.record(b'X', b"");
    for address in extracted {
        w.record(b'R', address.as_bytes());
    }
    w.record(b'E', b"");
    w.overwrite_size(size, offset, (recipients.len() + done.len() + extracted.len()) as u64);
    w.0
}

/// The recipients it tells of.
fn recipients(seen: &mut Vec<String>) -> impl FnMut(Address<'_>) {
    |address| {
        if let Address::Recipient(recipient) = address {
            seen.push(String::from_utf8_lossy(recipient).into_owned());
        }
    }
}

fn read(bytes: &[u8]) -> Result<(Envelope, Vec<String>), QueueFileError> {
    let mut seen = Vec::new();
    let envelope = Reader::default().read(bytes, recipients(&mut seen))?;
    assert_eq!(envelope.recipients, seen.len() as u64);
    Ok((envelope, seen))
}

#[test]
fn what_cleanup_wrote() {
    let bytes = file(&["x@one.example", "y@two.example"], &["gone@one.example"], &[], &[b'R'; 5_000]);
    let (envelope, recipients) = read(&bytes).unwrap();
    assert_eq!(recipients, ["x@one.example", "y@two.example"]);
    assert_eq!(envelope.arrival, Some(1_795_310_772));
    assert!(envelope.complete && !envelope.null_sender);
    assert_eq!(envelope.size, Some(5_000 + 2 * 84), "84 lines with two octets of head each");
}

#[test]
fn recipients_behind_the_content_are_found_without_reading_it() {
    struct Counting<'a>(&'a [u8], std::cell::Cell<u64>);
    impl Bytes for Counting<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let count = self.0.read_at(buffer, offset)?;
            self.1.set(self.1.get() + count as u64);
            Ok(count)
        }
    }
    let bytes = file(&["x@one.example"], &[], &["bcc@two.example"], &vec![b'R'; 1_000_000]);
    let counting = Counting(&bytes, Default::default());
    let mut seen = Vec::new();
    let envelope = Reader::default().read(&counting, recipients(&mut seen)).unwrap();
    assert_eq!((seen.len(), envelope.recipients, envelope.complete), (2, 2, true));
    assert!(counting.1.get() < 20_000, "{} octets read", counting.1.get());
}

#[test]
fn what_postdrop_wrote_is_walked() {
    let mut w = Writer::default();
    w.record(b'F', b"Somebody").record(b'S', b"").record(b'A', b"rewrite_context=local").record(b'R', b"one@x.example");
    w.record(b'M', b"");
    for _ in 0..5_000 {
        w.record(b'N', b"Rcontent is no recipient").record(b'L', &[b'R'; 2_000]);
    }
    w.record(b'X', b"").record(b'R', b"two@x.example").record(b'E', b"");
    let (envelope, recipients) = read(&w.0).unwrap();
    assert_eq!(recipients, ["one@x.example", "two@x.example"]);
    let expected = Envelope { arrival: None, size: None, null_sender: true, recipients: 2, complete: true };
    assert_eq!(envelope, expected);
}

#[test]
fn pointers_are_followed_and_loops_end() {
    let mut w = Writer::default();
    w.record(b'S', b"a@b");
    let at = w.0.len();
    w.record(b'p', b"              0").record(b'R', b"one@x").record(b'E', b"");
    let added = w.0.len();
    w.record(b'R', b"added@x").record(b'E', b"");
    let mut pointer = Writer::default();
    pointer.record(b'p', format!("{added:>15}").as_bytes());
    w.0[at..at + pointer.0.len()].copy_from_slice(&pointer.0);
    assert_eq!(read(&w.0).unwrap().1, ["added@x"]);

    // One that leads to itself.
    let mut pointer = Writer::default();
    pointer.record(b'p', format!("{at:>15}").as_bytes());
    w.0[at..at + pointer.0.len()].copy_from_slice(&pointer.0);
    assert!(!read(&w.0).unwrap().0.complete);
}

/// Found by fuzzing: a size record that has the content end before it begins made the reader go round for ever.
#[test]
fn content_that_ends_before_it_begins_is_damage() {
    for (size, offset, recipients) in [(96, 1, 9), (1, 96, 9), (1, 1, 0)] {
        let mut w = Writer::default();
        w.size(size, offset, recipients);
        w.record(b'S', b"a@b").record(b'R', b"one@x").record(b'M', b"").record(b'E', b"");
        let (envelope, seen) = read(&w.0).unwrap();
        assert_eq!((envelope.complete, seen), (false, vec!["one@x".to_owned()]), "{size} {offset}");
    }
}

/// Ten thousand rounds are allowed; what happens in one is in the buffer and still costs.
#[test]
fn a_long_loop_is_bounded_as_a_whole() {
    let mut w = Writer::default();
    w.record(b'S', b"a@b");
    let start = w.0.len();
    (0..20_000).for_each(|_| {
        w.record(b'R', b"");
    });
    w.record(b'p', format!("{start:>15}").as_bytes());
    let envelope = Reader::default().read(w.0.as_slice(), |_| {}).unwrap();
    assert!(!envelope.complete);
    assert!(envelope.recipients <= BUDGET / 2, "{}", envelope.recipients);
}

#[test]
fn damage_is_an_error_or_an_incomplete_message() {
    assert!(matches!(read(b""), Err(QueueFileError::Empty)));
    assert!(matches!(read(b"From someone\n"), Err(QueueFileError::NoSender)));
    assert!(matches!(read(b"\x7fELF"), Err(QueueFileError::Foreign)));
    assert!(matches!(read(b"C\xff\xff\xff\xff\xff\xff"), Err(QueueFileError::NoSender)), "a length without end");
    let whole = file(&["\u{fffd}@x"], &[], &[], b"text");
    let sender = whole.windows(5).position(|w| w == b"a@b.e").unwrap();
    for end in 0..whole.len() {
        match read(&whole[..end]) {
            Ok((envelope, _)) => assert!(end >= sender - 2 && (!envelope.complete || end > whole.len() - 20), "{end}"),
            Err(_) => assert!(end < sender, "{end}"),
        }
    }
    // A size record that points to nowhere.
    for offset in [999_999_999_999_999, 1 << 44, 1 << 40, 3] {
        let mut bytes = file(&["x@y"], &[], &["z@y"], b"text");
        let mut head = Writer::default();
        head.size(7, offset, 9);
        let length = head.0.len().min(bytes.len());
        bytes[..length].copy_from_slice(&head.0[..length]);
        assert!(read(&bytes).unwrap().0.recipients >= 1);
    }
}

#[test]
fn non_utf8_addresses_are_octets() {
    let mut w = Writer::default();
    w.record(b'S', b"\xff").record(b'R', b"\xc3\x28@x").record(b'E', b"");
    let mut seen = Vec::new();
    let address = |address: Address<'_>| match address {
        Address::Sender(octets) => seen.push((true, octets.to_vec())),
        Address::Recipient(octets) => seen.push((false, octets.to_vec())),
    };
    Reader::default().read(w.0.as_slice(), address).unwrap();
    assert_eq!(seen, [(true, b"\xff".to_vec()), (false, b"\xc3\x28@x".to_vec())]);
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Reader::default().read(bytes.as_slice(), |_| {});
    }

    #[test]
    fn never_panics_on_nearly_real_files(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = file(&["x@one.example", "y@two.example"], &["d@x"], &["e@x"], b"some content");
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Reader::default().read(bytes.as_slice(), |_| {});
    }
}
