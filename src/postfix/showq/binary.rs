//! The attribute stream of Postfix 3.1 and newer: `name NUL value NUL …`, an empty name ends a message, another one the
//! list (attr_print0).
//!
//! Read by name, so that attributes of later versions do no harm: 3.5 added forced_expire, 3.6 a first record
//! `protocol`, 3.11 original_recipient and log_class.

use super::{Message, ShowqError, Visitor, read_until};
use crate::postfix::queue::QueueKind;
use std::io::BufRead;

#[derive(Default)]
struct Head {
    queue: Vec<u8>,
    id: Vec<u8>,
    sender: Option<Vec<u8>>,
    arrival: Option<i64>,
    size: u64,
    forced_expire: bool,
    /// Whether anything but `protocol` was in this record.
    any: bool,
    announced: bool,
}

#[derive(Default)]
struct Recipient {
    address: Vec<u8>,
    reason: Vec<u8>,
    /// 3.11 lists recipients that bounced; those do not wait.
    bounced: bool,
    present: bool,
}

pub(super) fn read(mut stream: impl BufRead, visitor: &mut impl Visitor) -> Result<(), ShowqError> {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let (mut head, mut recipient) = (Head::default(), Recipient::default());
    let mut begun = false;
    loop {
        if !read_until(&mut stream, 0, &mut name)? {
            return Err(ShowqError::CutOff);
        }
        if name.is_empty() {
            if !begun {
                return Ok(());
            }
            recipient.hand_over(&mut head, visitor);
            head.announce(visitor);
            head.clear();
            begun = false;
            continue;
        }
        if !name.iter().all(|b| b.is_ascii_graphic()) {
            return Err(ShowqError::Protocol("no attribute name where one must be"));
        }
        if !read_until(&mut stream, 0, &mut value)? {
            return Err(ShowqError::CutOff);
        }
        begun = true;
        match name.as_slice() {
            b"protocol" if value != b"mail_queue_list_protocol" => {
                return Err(ShowqError::Protocol("another protocol"));
            }
            b"queue_name" => head.take(|h| h.queue.clone_from(&value)),
            b"queue_id" => head.take(|h| h.id.clone_from(&value)),
            b"time" => head.take(|h| h.arrival = number(&value).filter(|t| *t > 0)),
            b"size" => head.take(|h| h.size = number(&value).unwrap_or(0)),
            b"forced_expire" => head.take(|h| h.forced_expire = number::<u64>(&value).is_some_and(|n| n != 0)),
            b"sender" => head.take(|h| h.sender = Some(value.clone())),
            b"recipient" => {
                recipient.hand_over(&mut head, visitor);
                recipient.present = true;
                recipient.address.clone_from(&value);
            }
            b"log_class" => recipient.bounced = value == b"bounce",
            b"reason" => recipient.reason.clone_from(&value),
            _ => {}
        }
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

impl Head {
    fn take(&mut self, set: impl FnOnce(&mut Self)) {
        self.any = true;
        set(self);
    }

    /// Tells of the message, once, as soon as all its own attributes are known.
    fn announce(&mut self, visitor: &mut impl Visitor) {
        if self.announced || !self.any || self.id.is_empty() {
            return;
        }
        self.announced = true;
        let sender = self.sender.as_deref().unwrap_or_default();
        visitor.message(&Message {
            queue: QueueKind::from_name(&self.queue),
            id: &self.id,
            arrival: self.arrival,
            size: self.size,
            forced_expire: self.forced_expire,
            sender,
            unreadable: self.sender.is_none() || super::unreadable(sender),
        });
    }

    fn clear(&mut self) {
        let (mut queue, mut id) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.id));
        queue.clear();
        id.clear();
        *self = Self { queue, id, ..Self::default() };
    }
}

impl Recipient {
    fn hand_over(&mut self, head: &mut Head, visitor: &mut impl Visitor) {
        if self.present {
            head.announce(visitor);
            if head.announced && !self.bounced {
                visitor.recipient(&self.address, &self.reason);
            }
        }
        self.present = false;
        self.bounced = false;
        self.reason.clear();
    }
}
