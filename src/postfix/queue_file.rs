//! The envelope of a queue file: arrival, size, sender, recipients still to be delivered.
//!
//! A queue file is a sequence of records: one byte of type, a length in groups of 7 bits (least significant first, the high
//! bit says that more follow), the data (Postfix: src/global/record.c, rec_type.h). What cleanup(8) writes begins with a size
//! record that tells where the content ends, so the content is never read; what postdrop(1) leaves in maildrop has none and
//! has to be walked. Pointer records lead to what was added later. showq(8) decides what counts as a message: a file in which
//! a sender was found.
//!
//! Nothing here trusts the file: lengths, offsets and pointers are checked, loops end at Postfix's own limit, and the work a
//! file can cause is bounded. Message content is never looked at.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Postfix gives up after so many pointers that lead backwards (record.c); one is made for each recipient added later.
const REVERSE_JUMPS: u32 = 10_000;
/// What may be read of one file. Only a maildrop file with a body of that size comes near it.
const BUDGET: u64 = 64 << 20;
/// No queue file is larger; a pointer beyond leads nowhere.
const LARGEST: u64 = 1 << 44;
/// Data of records longer than this is not looked at: Postfix's own lines are shorter (line_length_limit).
const LONGEST: usize = 32 << 10;
/// The envelope of nearly every message fits into the first read.
const FIRST_READ: usize = 4 << 10;
const BUFFER: usize = 64 << 10;

/// Where records are read from.
pub trait Bytes {
    /// Reads what there is at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl Bytes for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|o| self.get(o..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Why a file is no message.
#[derive(Debug, thiserror::Error)]
pub enum QueueFileError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Nothing in it yet, or nothing left.
    #[error("empty")]
    Empty,
    /// It does not begin like a queue file.
    #[error("not a queue file")]
    Foreign,
    /// Damaged, or still being written, before its sender.
    #[error("no sender")]
    NoSender,
}

/// An address of the envelope, as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// Of the sender; comes first.
    Sender(&'a [u8]),
    /// Of a recipient still to be delivered.
    Recipient(&'a [u8]),
}

/// What the envelope says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// When the message arrived, in seconds since 1970; maildrop files do not say.
    pub arrival: Option<i64>,
    /// Octets of content; maildrop files do not say.
    pub size: Option<u64>,
    /// Whether the sender is empty: a bounce, or backscatter.
    pub null_sender: bool,
    /// Recipients still to be delivered.
    pub recipients: u64,
    /// Whether it could be read to its end. A file cut off after the sender is a message to showq, and to us.
    pub complete: bool,
}

/// Reads one file after the other with one buffer.
pub struct Reader {
    buffer: Box<[u8]>,
    /// Offset in the file of the buffer's first octet.
    start: u64,
    filled: usize,
    next_read: usize,
    /// Whether the file ends with the buffer.
    at_end: bool,
    spent: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            filled: 0,
            next_read: FIRST_READ,
            at_end: false,
            spent: 0,
        }
    }
}

enum Step {
    Record { kind: u8, data: u64, length: u64 },
    End,
    Damaged,
}

impl Reader {
    /// The envelope of `file`; `address` is called with the sender and every recipient. No address is longer than anything
    /// Postfix writes; of a longer one nothing is told but that it is there.
    pub fn read<F: Bytes + ?Sized>(
        &mut self,
        file: &F,
        mut address: impl FnMut(Address<'_>),
    ) -> Result<Envelope, QueueFileError> {
        (self.start, self.filled, self.at_end, self.next_read, self.spent) = (0, 0, false, FIRST_READ, 0);
        let mut envelope = Envelope::default();
        let mut sender_seen = false;
        // End of the content, and how many recipients cleanup wrote.
        let mut layout: Option<(u64, u64)> = None;
        let mut recipients_seen = 0_u64;
        let (mut offset, mut last_jump, mut reverse_jumps) = (0_u64, 0_u64, 0_u32);
        loop {
            let (kind, data, length) = match self.step(file, offset)? {
                Step::Record { kind, data, length } => (kind, data, length),
                Step::End if offset == 0 => return Err(QueueFileError::Empty),
                Step::End | Step::Damaged => break,
            };
            if offset == 0 && !b"CTFSA".contains(&kind) {
                return Err(QueueFileError::Foreign);
            }
            offset = data.saturating_add(length);
            match kind {
                b'C' if layout.is_none() => {
                    let Some(text) = self.data(file, data, length)? else { break };
                    let mut numbers = numbers(text);
                    let (size, at, count) = (numbers.next(), numbers.next(), numbers.next());
                    if let (Some(size @ 1..), Some(at @ 1..)) = (size, at) {
                        envelope.size = Some(size);
                        layout = Some((at.saturating_add(size), count.unwrap_or(0)));
                    }
                }
                b'T' => {
                    let Some(text) = self.data(file, data, length)? else { break };
                    envelope.arrival = numbers(text).next().and_then(|t| i64::try_from(t).ok()).filter(|t| *t > 0);
                }
                b'S' if !sender_seen => {
                    sender_seen = true;
                    envelope.null_sender = length == 0;
                    if let Some(sender) = self.data(file, data, length)?.filter(|s| s.is_empty() == (length == 0)) {
                        address(Address::Sender(sender));
                    }
                }
                // A recipient before the sender is damage, and showq leaves it out.
                b'R' if sender_seen => {
                    let Some(recipient) = self.data(file, data, length)? else { break };
                    address(Address::Recipient(recipient));
                    envelope.recipients += 1;
                    recipients_seen += 1;
                }
                b'D' => recipients_seen += 1,
                b'M' => match layout {
                    // Recipients from message headers, bcc maps and milters stand behind the content.
                    Some((_, count)) if sender_seen && count > 0 && recipients_seen >= count => {
                        envelope.complete = true;
                        break;
                    }
                    // Content ends behind its beginning, or the size record is damaged and leads in circles.
                    Some((end, _)) if end >= offset => offset = end,
                    Some(_) => break,
                    None => {}
                },
                b'p' => {
                    let Some(text) = self.data(file, data, length)? else { break };
                    match numbers(text).next() {
                        // A pointer not used yet.
                        Some(0) => {}
                        Some(target) => {
                            if target <= last_jump {
                                reverse_jumps += 1;
                            }
                            if reverse_jumps > REVERSE_JUMPS {
                                break;
                            }
                            last_jump = target;
                            offset = target;
                        }
                        None => break,
                    }
                }
                b'E' => {
                    envelope.complete = true;
                    break;
                }
                _ => {}
            }
        }
        if sender_seen { Ok(envelope) } else { Err(QueueFileError::NoSender) }
    }

    /// The record at `offset`.
    fn step<F: Bytes + ?Sized>(&mut self, file: &F, offset: u64) -> io::Result<Step> {
        if offset > LARGEST {
            return Ok(Step::Damaged);
        }
        // Each record costs at least its head: a loop of empty records is bounded as well.
        self.spent += 2;
        if self.spent >= BUDGET {
            return Ok(Step::Damaged);
        }
        let head = self.window(file, offset, 6)?;
        let Some((&kind, rest)) = head.split_first() else { return Ok(Step::End) };
        let mut length = 0_u64;
        for (i, &byte) in rest.iter().enumerate() {
            length |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(Step::Record { kind, data: offset + 2 + i as u64, length });
            }
        }
        Ok(Step::Damaged)
    }

    /// The data of a record; empty where it is longer than anything Postfix writes, `None` where the file ends before.
    fn data<F: Bytes + ?Sized>(&mut self, file: &F, offset: u64, length: u64) -> io::Result<Option<&[u8]>> {
        match usize::try_from(length) {
            Ok(length @ ..=LONGEST) => {
                let data = self.window(file, offset, length)?;
                Ok((data.len() == length).then_some(data))
            }
            _ => Ok(Some(&[])),
        }
    }

    /// Up to `wanted` octets at `offset`; fewer at the end of the file or of the budget.
    fn window<F: Bytes + ?Sized>(&mut self, file: &F, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(self.buffer.len());
        let inside = |start: u64| offset.checked_sub(start).and_then(|o| usize::try_from(o).ok());
        let have = inside(self.start).filter(|&o| o + wanted <= self.filled || (self.at_end && o <= self.filled));
        let from = match have {
            Some(from) => from,
            None => {
                self.fill(file, offset, wanted)?;
                0
            }
        };
        let to = (from + wanted).min(self.filled);
        Ok(&self.buffer[from..to])
    }

    fn fill<F: Bytes + ?Sized>(&mut self, file: &F, offset: u64, wanted: usize) -> io::Result<()> {
        (self.start, self.filled, self.at_end) = (offset, 0, false);
        let read = self.next_read.max(wanted).min(self.buffer.len());
        // Whoever reads on reads much: the next piece is larger.
        self.next_read = (self.next_read * 2).min(self.buffer.len());
        while self.filled < wanted.max(1) && self.spent < BUDGET {
            match file.read_at(&mut self.buffer[self.filled..read], offset + self.filled as u64) {
                Ok(count) => {
                    let asked = read - self.filled;
                    self.filled += count;
                    self.spent += count as u64;
                    // A regular file gives less than asked for only at its end.
                    if count < asked {
                        self.at_end = true;
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// The numbers in a record's text. What does not fit 64 bits or is none ends them.
fn numbers(text: &[u8]) -> impl Iterator<Item = u64> + '_ {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map_while(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

#[cfg(test)]
mod tests;
