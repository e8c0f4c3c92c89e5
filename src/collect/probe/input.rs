//! Bounded input of a line protocol, without any I/O of its own: octets go in, lines and counted octets come out.
//!
//! A server is a stranger. No line is longer than [`Input::new`] allows, no connection brings more than [`TOTAL`] octets, and
//! what is kept in between is never more than one line or one literal.

use super::fault::Fault;

/// More octets than this from one connection are given up; 20,000 lines of UIDL and LIST are 2 MiB.
pub const TOTAL: u64 = 16 << 20;

/// What has come and is not used yet.
#[derive(Debug)]
pub struct Input {
    buffer: Vec<u8>,
    used: usize,
    /// How far the buffer was searched for an end of line.
    searched: usize,
    total: u64,
    longest: usize,
}

impl Input {
    /// No line, and no piece of counted octets, is longer than `longest`.
    pub fn new(longest: usize) -> Self {
        Self { buffer: Vec::new(), used: 0, searched: 0, total: 0, longest }
    }

    /// Takes octets from the network.
    pub fn feed(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.total += octets.len() as u64;
        if self.total > TOTAL {
            return Err(Fault::TooMuch(TOTAL));
        }
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.searched -= self.used;
            self.used = 0;
        }
        self.buffer.extend_from_slice(octets);
        Ok(())
    }

    /// The next whole line without its end; `None`: more octets are needed.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let from = self.searched.max(self.used);
        let unsearched = self.buffer.get(from..).unwrap_or_default();
        match memchr::memchr(b'\n', unsearched) {
            Some(at) => {
                let end = from + at;
                let line = self.buffer.get(self.used..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.len() > self.longest {
                    return Err(Fault::LongLine(self.longest));
                }
                let line = line.to_vec();
                self.used = end + 1;
                self.searched = self.used;
                Ok(Some(line))
            }
            None => {
                self.searched = self.buffer.len();
                if self.buffer.len() - self.used > self.longest + 1 {
                    return Err(Fault::LongLine(self.longest));
                }
                Ok(None)
            }
        }
    }

    /// Exactly `count` octets; `None`: more are needed. The caller has compared `count` with its limit.
    pub fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let octets = self.buffer.get(self.used..self.used.checked_add(count)?)?.to_vec();
        self.used += count;
        self.searched = self.used;
        Some(octets)
    }

    /// Whether nothing is left over: before TLS begins nothing may be, or a stranger between could put words into the
    /// server's mouth (CVE-2011-0411).
    pub fn is_empty(&self) -> bool {
        self.used == self.buffer.len()
    }

    /// The longest line.
    pub fn longest(&self) -> usize {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let mut input = Input::new(100);
        assert!(input.line().unwrap().is_none());
        for octet in b"220 a\r\n250-b\n" {
            input.feed(&[*octet]).unwrap();
        }
        assert_eq!(input.line().unwrap().unwrap(), b"220 a");
        assert!(!input.is_empty());
        assert_eq!(input.line().unwrap().unwrap(), b"250-b");
        assert!(input.is_empty());
        input.feed(b"12345x\n").unwrap();
        assert_eq!(input.exactly(5).unwrap(), b"12345");
        assert!(input.exactly(usize::MAX).is_none());
        assert_eq!(input.line().unwrap().unwrap(), b"x");
    }

    #[test]
    fn a_line_without_end_and_a_flood_are_given_up() {
        let mut input = Input::new(100);
        input.feed(&[b'a'; 101]).unwrap();
        assert!(input.line().unwrap().is_none(), "a CR may be the last of them");
        input.feed(b"a").unwrap();
        assert!(matches!(input.line(), Err(Fault::LongLine(100))));
        let mut input = Input::new(100);
        let most = TOTAL / 64;
        for _ in 0..most {
            input.feed(&[b'\n'; 64]).unwrap();
            while input.line().unwrap().is_some() {}
        }
        assert!(input.buffer.capacity() < 10_000);
        assert!(matches!(input.feed(b"x"), Err(Fault::TooMuch(_))));
    }

    proptest! {
        #[test]
        fn any_octets_in_any_pieces_give_the_same_lines(octets: Vec<u8>, cuts: Vec<usize>) {
            let mut whole = Input::new(1 << 20);
            whole.feed(&octets).unwrap();
            let mut expected = Vec::new();
            while let Some(line) = whole.line().unwrap() {
                expected.push(line);
            }
            let (mut pieces, mut seen, mut at) = (Input::new(1 << 20), Vec::new(), 0);
            for cut in cuts {
                let end = (at + cut % 7).min(octets.len());
                pieces.feed(&octets[at..end]).unwrap();
                at = end;
                while let Some(line) = pieces.line().unwrap() {
                    seen.push(line);
                }
            }
            pieces.feed(&octets[at..]).unwrap();
            while let Some(line) = pieces.line().unwrap() {
                seen.push(line);
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
