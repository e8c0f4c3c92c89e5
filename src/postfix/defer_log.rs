//! Defer logs: why the recipients of a deferred message wait (Postfix: bounce_log.c, bounce_append_service.c).
//!
//! One file a message below defer/, named and hashed as the message itself: a block of `name=value` lines a recipient, blank
//! lines between them. Until 2.x a recipient was one line, `<address>: reason`, which oldlog_compat still writes in front.

use super::{defer_reason::DeferReason, log::text::dsn_code, reason::Cause};

/// So much of a line is looked at; reasons are shorter.
const LINE: usize = 16 << 10;

/// A log as it is read, piece by piece: one block is in memory at a time.
#[derive(Debug, Default)]
pub struct DeferLog {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    new: Block,
    old: Block,
}

/// A recipient that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// Its address.
    pub recipient: &'a [u8],
    /// `status=`, where there is one.
    pub dsn: Option<[u32; 3]>,
    /// The text; empty where none was written.
    pub reason: &'a [u8],
}

impl Waiting<'_> {
    /// The class of the reason.
    pub fn class(&self) -> DeferReason {
        Cause::of(self.dsn, self.reason, self.recipient).into()
    }
}

/// What is known of one recipient.
#[derive(Debug, Default)]
struct Block {
    address: Vec<u8>,
    dsn: Option<[u32; 3]>,
    reason: Vec<u8>,
    has_address: bool,
    has_reason: bool,
}

impl Block {
    fn set_address(&mut self, address: &[u8]) {
        set(&mut self.address, address);
        self.has_address = true;
    }

    fn set_reason(&mut self, reason: &[u8]) {
        set(&mut self.reason, reason);
        self.has_reason = true;
    }

    fn clear(&mut self) {
        self.address.clear();
        self.reason.clear();
        (self.dsn, self.has_address, self.has_reason) = (None, false, false);
    }
}

fn set(to: &mut Vec<u8>, from: &[u8]) {
    to.clear();
    to.extend_from_slice(from);
}

impl DeferLog {
    /// Forgets what came, for the next log.
    pub fn clear(&mut self) {
        self.line.clear();
        self.new.clear();
        self.old.clear();
    }

    /// Takes the next piece in; calls `waiting` with every recipient whose block has ended.
    pub fn feed(&mut self, piece: &[u8], waiting: &mut impl FnMut(Waiting<'_>)) {
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if self.line.is_empty() {
                self.whole_line(&rest[..end], waiting);
            } else {
                self.keep(&rest[..end]);
                let line = std::mem::take(&mut self.line);
                self.whole_line(&line, waiting);
                self.line = line;
                self.line.clear();
            }
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    /// The end of the file. The blank line that ends the last block may be missing; a block without a reason was cut off,
    /// and of what nobody can read no reason is made up.
    pub fn finish(&mut self, waiting: &mut impl FnMut(Waiting<'_>)) {
        let line = std::mem::take(&mut self.line);
        self.whole_line(&line, waiting);
        if self.new.has_reason || !self.new.has_address {
            self.end_of_block(waiting);
        }
        self.clear();
    }

    fn keep(&mut self, piece: &[u8]) {
        self.line.extend_from_slice(&piece[..piece.len().min(LINE.saturating_sub(self.line.len()))]);
    }

    fn whole_line(&mut self, line: &[u8], waiting: &mut impl FnMut(Waiting<'_>)) {
        if line.is_empty() {
            self.end_of_block(waiting);
        } else if let Some(address) = line.strip_prefix(b"recipient=") {
            self.new.set_address(address);
        } else if let Some(dsn) = line.strip_prefix(b"status=") {
            self.new.dsn = dsn_code(dsn);
        } else if let Some(reason) = line.strip_prefix(b"reason=") {
            self.new.set_reason(reason);
        } else if let Some(rest) = line.strip_prefix(b"<")
            && let Some(end) = memchr::memmem::find(rest, b">: ")
        {
            self.old.set_address(&rest[..end]);
            self.old.set_reason(&rest[end + 3..]);
        }
    }

    fn end_of_block(&mut self, waiting: &mut impl FnMut(Waiting<'_>)) {
        let block = if self.new.has_address { &self.new } else { &self.old };
        if block.has_address {
            waiting(Waiting { recipient: &block.address, dsn: block.dsn, reason: &block.reason });
        }
        self.new.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(log: &[u8]) -> Vec<(String, Option<[u32; 3]>, String)> {
        in_pieces(log, log.len().max(1))
    }

    fn in_pieces(log: &[u8], size: usize) -> Vec<(String, Option<[u32; 3]>, String)> {
        let (mut seen, mut reader) = (Vec::new(), DeferLog::default());
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let mut waiting = |w: Waiting<'_>| seen.push((text(w.recipient), w.dsn, text(w.reason)));
        log.chunks(size).for_each(|piece| reader.feed(piece, &mut waiting));
        reader.finish(&mut waiting);
        seen
    }

    #[test]
    fn a_recipient_counts_once_in_both_styles() {
        let log = b"\n<a@x>: connect to x[192.0.2.1]:25: Connection refused\nrecipient=a@x\noffset=1\n\
            status=4.4.1\naction=delayed\nreason=connect to x[192.0.2.1]:25: Connection refused\n\n\
            recipient=b@x\nstatus=4.0.0\n\n<c@x>: mail transport unavailable\n\nrecipient=d@x\nreason=timed out";
        let expected = [
            ("a@x", Some([4, 4, 1]), "connect to x[192.0.2.1]:25: Connection refused"),
            ("b@x", Some([4, 0, 0]), ""),
            ("c@x", None, "mail transport unavailable"),
            ("d@x", None, "timed out"),
        ]
        .map(|(address, dsn, reason)| (address.to_owned(), dsn, reason.to_owned()));
        assert_eq!(all(log), expected);
        assert_eq!(all(b""), []);
        for size in 1..log.len() {
            assert_eq!(in_pieces(log, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_block_that_is_cut_off_has_no_reason() {
        let log = b"recipient=a@x\nreason=timed out\n\nrecipient=b@x\nstatus=4.4.1\nreas";
        assert_eq!(all(log), [("a@x".to_owned(), None, "timed out".to_owned())]);
    }

    #[test]
    fn what_a_line_takes_is_bounded() {
        let mut reader = DeferLog::default();
        for _ in 0..100 {
            reader.feed(&[b'x'; 4_096], &mut |_| {});
        }
        assert!(reader.line.len() <= LINE);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(all(&bytes), in_pieces(&bytes, 7));
        }
    }
}
