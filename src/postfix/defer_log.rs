//! Defer logs: why the recipients of a deferred message wait (Postfix: bounce_log.c, bounce_append_service.c).
//!
//! One file a message below defer/, named and hashed as the message itself: a block of `name=value` lines a recipient, blank
//! lines between them. Until 2.x a recipient was one line, `<address>: reason`, which oldlog_compat still writes in front.

use super::defer_reason::DeferReason;

/// What is read of one log; thousands of recipients fit.
pub const LONGEST: usize = 4 << 20;

/// Calls `waiting` with the class of every recipient in the log.
pub fn read(log: &[u8], mut waiting: impl FnMut(DeferReason)) {
    let (mut recipient, mut reason, mut old_style) = (false, None, None);
    // The blank line that ends the last block may be missing.
    for line in log.split(|b| *b == b'\n').chain([&b""[..]]) {
        if line.is_empty() {
            let found: Option<&[u8]> = if recipient { Some(reason.unwrap_or_default()) } else { old_style };
            if let Some(reason) = found {
                waiting(DeferReason::of(reason));
            }
            (recipient, reason, old_style) = (false, None, None);
        } else if line.starts_with(b"recipient=") {
            recipient = true;
        } else if let Some(value) = line.strip_prefix(b"reason=") {
            reason = Some(value);
        } else if line.starts_with(b"<")
            && let Some(end) = memchr::memmem::find(line, b">: ")
        {
            old_style = Some(&line[end + 3..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes(log: &[u8]) -> Vec<DeferReason> {
        let mut seen = Vec::new();
        read(log, |reason| seen.push(reason));
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
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            classes(&bytes);
        }
    }
}
