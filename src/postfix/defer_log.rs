//! Defer logs: why the recipients of a deferred message wait (Postfix: bounce_log.c, bounce_append_service.c).
//!
//! One file a message below defer/, named and hashed as the message itself: a block of `name=value` lines a recipient, blank
//! lines between them. Until 2.x a recipient was one line, `<address>: reason`, which oldlog_compat still writes in front.

use super::{defer_reason::DeferReason, log::text::dsn_code, reason::Cause};

/// So much of a line is looked at; reasons are shorter.
const LINE: usize = 16 << 10;

/// A log as it is read, piece by piece: one line is in memory at a time.
#[derive(Debug, Default)]
pub struct DeferLog {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The address of the block, where it has one.
    recipient: Option<Vec<u8>>,
    /// `status=`.
    dsn: Option<[u32; 3]>,
    reason: Option<DeferReason>,
    old_style: Option<DeferReason>,
}

impl DeferLog {
    /// Forgets what came, for the next log.
    pub fn clear(&mut self) {
        self.line.clear();
        (self.recipient, self.dsn, self.reason, self.old_style) = (None, None, None, None);
    }

    /// Takes the next piece in; calls `waiting` with the class of every recipient whose block has ended.
    pub fn feed(&mut self, piece: &[u8], waiting: &mut impl FnMut(DeferReason)) {
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
    /// and of what nobody can read no class is made up.
    pub fn finish(&mut self, waiting: &mut impl FnMut(DeferReason)) {
        let line = std::mem::take(&mut self.line);
        self.whole_line(&line, waiting);
        if self.reason.is_some() || self.recipient.is_none() {
            self.end_of_block(waiting);
        }
        self.clear();
    }

    fn keep(&mut self, piece: &[u8]) {
        self.line.extend_from_slice(&piece[..piece.len().min(LINE.saturating_sub(self.line.len()))]);
    }

    fn whole_line(&mut self, line: &[u8], waiting: &mut impl FnMut(DeferReason)) {
        if line.is_empty() {
            self.end_of_block(waiting);
        } else if let Some(address) = line.strip_prefix(b"recipient=") {
            self.recipient = Some(address.to_vec());
        } else if let Some(dsn) = line.strip_prefix(b"status=") {
            self.dsn = dsn_code(dsn);
        } else if let Some(value) = line.strip_prefix(b"reason=") {
            self.reason = Some(Cause::of(self.dsn, value, self.recipient.as_deref().unwrap_or_default()).into());
        } else if line.starts_with(b"<")
            && let Some(end) = memchr::memmem::find(line, b">: ")
        {
            self.old_style = Some(DeferReason::of(&line[end + 3..]));
        }
    }

    fn end_of_block(&mut self, waiting: &mut impl FnMut(DeferReason)) {
        let (recipient, reason, old_style) = (self.recipient.take(), self.reason.take(), self.old_style.take());
        self.dsn = None;
        match recipient.is_some() {
            true => waiting(reason.unwrap_or_else(|| DeferReason::of(b""))),
            false => old_style.into_iter().for_each(waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes(log: &[u8]) -> Vec<DeferReason> {
        in_pieces(log, log.len().max(1))
    }

    fn in_pieces(log: &[u8], size: usize) -> Vec<DeferReason> {
        let (mut seen, mut reader) = (Vec::new(), DeferLog::default());
        let mut waiting = |reason| seen.push(reason);
        log.chunks(size).for_each(|piece| reader.feed(piece, &mut waiting));
        reader.finish(&mut waiting);
        seen
    }

    #[test]
    fn a_recipient_counts_once_in_both_styles() {
        let log = b"\n<a@x>: connect to x[192.0.2.1]:25: Connection refused\nrecipient=a@x\noffset=1\n\
            status=4.4.1\naction=delayed\nreason=connect to x[192.0.2.1]:25: Connection refused\n\n\
            recipient=b@x\nstatus=4.0.0\n\n<c@x>: mail transport unavailable\n\nrecipient=d@x\nreason=timed out";
        let expected = [DeferReason::ConnectionRefused, DeferReason::Other, DeferReason::Local, DeferReason::TimedOut];
        assert_eq!(classes(log), expected);
        assert_eq!(classes(b""), []);
        for size in 1..log.len() {
            assert_eq!(in_pieces(log, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_block_that_is_cut_off_has_no_class() {
        let log = b"recipient=a@x\nreason=timed out\n\nrecipient=b@x\nstatus=4.4.1\nreas";
        assert_eq!(classes(log), [DeferReason::TimedOut]);
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
            prop_assert_eq!(classes(&bytes), in_pieces(&bytes, 7));
        }
    }
}
