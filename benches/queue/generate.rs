//! Valid deferred messages by the million.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, openat, unlinkat, utimensat};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    time::SystemTime,
};

const DOMAINS: usize = 20_000;

/// A deferred queue, the logs of why, and what is in it.
pub struct Generated {
    deferred: PathBuf,
    /// Where the defer logs are.
    defer: PathBuf,
    depth: usize,
    owner: u32,
    next: usize,
    now: i64,
    /// The messages, by directory.
    messages: BTreeMap<String, Vec<Message>>,
}

impl Generated {
    pub fn create(queue: &Path, count: usize, depth: usize) -> Self {
        let owner = crate::common::user_id("postfix").expect("user postfix");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        for name in ["incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce"] {
            let path = queue.join(name);
            fs::create_dir(&path).unwrap();
            chown(&path, Some(owner), None).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let mut generated = Self {
            deferred: queue.join("deferred"),
            defer: queue.join("defer"),
            depth,
            owner,
            next: 0,
            now,
            messages: BTreeMap::new(),
        };
        (0..count).for_each(|_| generated.add(None));
        generated
    }

    pub fn messages(&self) -> usize {
        self.messages.values().map(Vec::len).sum()
    }

    pub fn recipients(&self) -> u64 {
        self.messages.values().flatten().map(|m| recipients(m.microseconds()) as u64).sum()
    }

    /// So many leave one directory (with depth 2, a first-level one), and as many new ones come.
    pub fn change_one(&mut self, count: usize) {
        let directories: Vec<String> = self.messages.keys().filter(|d| d.starts_with("7/")).cloned().collect();
        self.replace(&directories, count);
    }

    /// So many leave all directories, and as many new ones come.
    pub fn change_all(&mut self, count: usize) {
        let directories: Vec<String> = self.messages.keys().cloned().collect();
        self.replace(&directories, count);
    }

    fn replace(&mut self, directories: &[String], count: usize) {
        for i in 0..count {
            let directory = &directories[i % directories.len()];
            let Some(gone) =
                self.messages.get_mut(directory).and_then(|list| (!list.is_empty()).then(|| list.remove(0)))
            else {
                continue;
            };
            let path = self.deferred.join(directory).join(gone.name());
            unlinkat(CWD, path, AtFlags::empty()).unwrap();
            unlinkat(CWD, self.defer.join(directory).join(gone.name()), AtFlags::empty()).unwrap();
            self.add(Some(directory.clone()));
        }
    }

    fn add(&mut self, directory: Option<String>) {
        // Names follow the directory they are wanted in.
        let number = loop {
            let number = self.next;
            self.next += 1;
            if directory.as_deref().is_none_or(|d| hash(microseconds(number), self.depth) == d) {
                break number;
            }
        };
        let directory = hash(microseconds(number), self.depth);
        if !self.messages.contains_key(&directory) {
            self.make(&directory);
        }
        let directory_path = self.deferred.join(&directory);
        let path = directory_path.join("new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(CWD, &path, flags, Mode::from_raw_mode(0o700)).unwrap());
        file.write_all(&message(number, self.now)).unwrap();
        rustix::fs::fchown(&file, Some(rustix::fs::Uid::from_raw(self.owner)), None).unwrap();
        // The next attempt is hours away.
        let retry = Timespec { tv_sec: self.now + 86_400 + number as i64 % 3_600, tv_nsec: 0 };
        utimensat(CWD, &path, &Timestamps { last_access: retry, last_modification: retry }, AtFlags::empty()).unwrap();
        let message = Message(file.metadata().unwrap().ino() << 20 | microseconds(number) as u64);
        fs::rename(&path, directory_path.join(message.name())).unwrap();
        self.log(number, &self.defer.join(&directory).join(message.name()));
        self.messages.entry(directory).or_default().push(message);
    }

    /// What bounce(8) wrote for it.
    fn log(&self, number: usize, path: &Path) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(CWD, path, flags, Mode::from_raw_mode(0o600)).unwrap());
        file.write_all(&defer_log(number)).unwrap();
        rustix::fs::fchown(&file, Some(rustix::fs::Uid::from_raw(self.owner)), None).unwrap();
    }

    fn make(&self, directory: &str) {
        for mut path in [self.deferred.clone(), self.defer.clone()] {
            for part in directory.split('/').filter(|p| !p.is_empty()) {
                path.push(part);
                if fs::create_dir(&path).is_ok() {
                    chown(&path, Some(self.owner), None).unwrap();
                    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
                }
            }
        }
    }
}

/// Inode and microseconds: what a short queue id is made of. `postfix start` would rename anything else.
#[derive(Clone, Copy)]
struct Message(u64);

impl Message {
    fn microseconds(self) -> usize {
        (self.0 & 0xf_ffff) as usize
    }

    fn name(self) -> String {
        format!("{:05X}{:X}", self.microseconds(), self.0 >> 20)
    }
}

/// Scattered as real ones are.
fn microseconds(number: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9) >> 4) % 1_000_000
}

/// The directory of a hashed queue, ending in a slash.
fn hash(microseconds: usize, depth: usize) -> String {
    format!("{microseconds:05X}").chars().take(depth).flat_map(|c| [c, '/']).collect()
}

/// One message in ten has three recipients, the others one.
fn recipients(microseconds: usize) -> usize {
    if microseconds.is_multiple_of(10) { 3 } else { 1 }
}

/// One of its recipients.
fn address(number: usize, i: usize) -> String {
    // A few domains have most of the mail, as it is in life.
    let domain = if number.is_multiple_of(3) { number % 20 } else { (number + i * 7) % DOMAINS };
    format!("user{i}.{number}@domain{domain}.example")
}

/// A block a recipient, as Postfix 3.7 writes it.
fn defer_log(number: usize) -> Vec<u8> {
    let reason = match number % 4 {
        0 => {
            "host mx.example[192.0.2.25] said: 451 4.7.1 Greylisting in action, please come back later (in reply to RCPT TO command)"
        }
        1 => "connect to mx.example[192.0.2.25]:25: Connection timed out",
        _ => "connect to mx.example[192.0.2.25]:25: Connection refused",
    };
    let block = |i| {
        let address = address(number, i);
        format!(
            "\n<{address}>: {reason}\nrecipient={address}\noffset=1234\ndsn_orig_rcpt=rfc822;{address}\nstatus=4.4.1\naction=delayed\nreason={reason}\n\n"
        )
    };
    (0..recipients(microseconds(number))).map(block).collect::<String>().into_bytes()
}

fn record(file: &mut Vec<u8>, kind: u8, data: &[u8]) {
    file.push(kind);
    let mut length = data.len();
    while length > 0x7f {
        file.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    file.push(length as u8);
    file.extend_from_slice(data);
}

/// What cleanup(8) writes for a small message from the network, attribute for attribute.
fn message(number: usize, now: i64) -> Vec<u8> {
    let arrival = now - (number as i64 * 37) % 400_000;
    let mut rest = Vec::with_capacity(1_024);
    record(&mut rest, b'T', format!("{arrival} 123456").as_bytes());
    for attribute in [
        "rewrite_context=remote",
        "sasl_method=PLAIN",
        "log_client_name=client.example.net",
        "log_client_address=192.0.2.17",
        "log_client_port=40000",
        "log_message_origin=client.example.net[192.0.2.17]",
        "log_helo_name=client.example.net",
        "log_protocol_name=ESMTP",
        "client_name=client.example.net",
        "reverse_client_name=client.example.net",
        "client_address=192.0.2.17",
        "client_port=40000",
        "server_address=192.0.2.1",
        "server_port=25",
        "helo_name=client.example.net",
        "protocol_name=ESMTP",
        "client_address_type=2",
    ] {
        record(&mut rest, b'A', attribute.as_bytes());
    }
    let sender = if number.is_multiple_of(7) { String::new() } else { format!("sender{}@example.net", number % 97) };
    record(&mut rest, b'S', sender.as_bytes());
    let count = recipients(microseconds(number));
    for i in 0..count {
        let address = address(number, i);
        record(&mut rest, b'A', format!("dsn_orig_rcpt=rfc822;{address}").as_bytes());
        record(&mut rest, b'O', address.as_bytes());
        record(&mut rest, b'R', address.as_bytes());
    }
    record(&mut rest, b'p', format!("{:>15}", 0).as_bytes());
    record(&mut rest, b'M', b"");
    let offset = 95 + 2 + rest.len();
    let mut content = Vec::with_capacity(512);
    for line in [
        "Received: from client.example.net (client.example.net [192.0.2.17])",
        "\tby mx.local.test (Postfix)",
        "Subject: a deferred message",
        "From: <sender@example.net>",
        "",
        "Some text that nobody reads.",
        "",
    ] {
        record(&mut content, b'N', line.as_bytes());
    }
    let mut file = Vec::with_capacity(2_048);
    let size = format!(
        "{:>15} {:>15} {:>15} {:>15} {:>15} {:>15}",
        content.len(),
        offset,
        recipients(number),
        0,
        content.len(),
        0
    );
    assert_eq!(size.len(), 95);
    record(&mut file, b'C', size.as_bytes());
    file.extend_from_slice(&rest);
    file.extend_from_slice(&content);
    record(&mut file, b'X', b"");
    record(&mut file, b'E', b"");
    file
}
