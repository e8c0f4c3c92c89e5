//! showq(8): the queue as Postfix itself lists it, over the socket public/showq. Group postdrop suffices to connect.
//!
//! Nothing is sent; showq writes its list and closes. Until Postfix 3.0 that is the text of mailq(1) ([`text`]), since 3.1 a
//! stream of attributes ([`binary`]). Both are read as they come: one field or line is in memory at a time. A list counts
//! only with its end: showq says when it is through, and one that was cut off would show mail as gone.
//!
//! The list is no snapshot: a message that moves meanwhile can appear twice or not at all. showq lists neither corrupt nor
//! saved mail, and nothing while Postfix is stopped.

mod binary;
mod text;

use super::queue::QueueKind;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::{
    io::{self, BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// Longest field or line kept; the rest of a longer one is dropped. showq's own limit is 4 × line_length_limit.
const LONGEST: usize = 64 << 10;
/// No list is longer, in octets: some ten million recipients. One that has no end must not cost a CPU for minutes.
const LONGEST_LIST: u64 = 4 << 30;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ShowqError {
    /// Not allowed to connect.
    #[error("{}: permission denied; {}", .0.display(), super::access::WAYS)]
    Denied(PathBuf),
    /// Nobody listens: the sockets outlive their Postfix.
    #[error("{}: Postfix is stopped, and only the spool tells of the queue then; start it, or give the agent CAP_DAC_READ_SEARCH", .0.display())]
    Stopped(PathBuf),
    /// Nobody listens, and yet Postfix runs.
    #[error("{}: Postfix runs, and nobody listens there; has master.cf the service, and is it public: `showq unix n - n - - showq`?", .0.display())]
    NotServed(PathBuf),
    /// No such socket.
    #[error("{}: no such socket; was Postfix ever started here, and has master.cf the showq service?", .0.display())]
    Missing(PathBuf),
    /// Another refusal.
    #[error("{path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It went silent.
    #[error("showq said nothing for {0:?}; is the disk overloaded, or are all processes of the service busy?")]
    Stalled(Duration),
    /// It does not come to an end.
    #[error("showq was not through after {0:?}; read the spool instead (CAP_DAC_READ_SEARCH, or run as mail_owner)")]
    Endless(Duration),
    /// It does not come to an end either.
    #[error(
        "showq's list was not through after {0} octets; read the spool instead (CAP_DAC_READ_SEARCH, or run as mail_owner)"
    )]
    TooLong(u64),
    /// The list has no end.
    #[error("showq's list was cut off; see Postfix's log for what ended showq")]
    CutOff,
    /// What came is no list.
    #[error("what came from showq is no queue listing ({0})")]
    Protocol(&'static str),
    /// The connection broke.
    #[error("reading from showq: {0}")]
    Io(#[from] io::Error),
}

/// How long showq may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a byte.
    pub silence: Duration,
    /// In all.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // A million messages take showq seconds from memory and minutes from a slow disk.
        Self { silence: Duration::from_secs(30), whole: Duration::from_secs(600) }
    }
}

/// How the list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Postfix 3.0 and older. Incoming, readable maildrop and deferred mail cannot be told apart in it.
    Text,
    /// Postfix 3.1 and newer.
    Attributes,
}

/// One message of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where it is; `None` for a queue this program does not know.
    pub queue: Option<QueueKind>,
    /// Its id.
    pub id: &'a [u8],
    /// When it arrived, in seconds since 1970.
    pub arrival: Option<i64>,
    /// Octets of content; of the whole file in maildrop.
    pub size: u64,
    /// Returned at the next attempt (3.5 and newer say so).
    pub forced_expire: bool,
    /// As RFC 822 writes it; MAILER-DAEMON where it is empty.
    pub sender: &'a [u8],
    /// showq itself could not open the file: its recipients are unknown.
    pub unreadable: bool,
}

/// Takes the list: a message, then its recipients, one by one.
pub trait Visitor {
    /// The next message.
    fn message(&mut self, message: &Message<'_>);
    /// A recipient of it that still waits, with the reason of the last attempt (empty: none is known).
    fn recipient(&mut self, address: &[u8], reason: &[u8]);
}

/// Reads a list to its end.
pub fn read(stream: impl Read, visitor: &mut impl Visitor) -> Result<Format, ShowqError> {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    // An attribute's name is lower case; the text begins with `-Queue ID-` or `Mail queue is empty`.
    match stream.fill_buf()?.first() {
        None => Err(ShowqError::CutOff),
        Some(b'-' | b'M' | b' ' | b'\n') => {
            text::read(stream, unix_time(), &jiff::tz::TimeZone::system(), visitor)?;
            Ok(Format::Text)
        }
        Some(_) => {
            binary::read(stream, visitor)?;
            Ok(Format::Attributes)
        }
    }
}

/// What stands for the sender of a maildrop file that showq, at its own low privilege, may not open.
fn unreadable(sender: &[u8]) -> bool {
    sender.starts_with(b"(maildrop queue")
}

fn unix_time() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed())
}

/// Reads up to `end`, which is not kept, and keeps at most [`LONGEST`] octets. `false`: the stream ended before.
fn read_until(stream: &mut impl BufRead, end: u8, field: &mut Vec<u8>) -> io::Result<bool> {
    field.clear();
    loop {
        let available = match stream.fill_buf() {
            Ok([]) => return Ok(false),
            Ok(available) => available,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let found = memchr::memchr(end, available);
        let piece = &available[..found.unwrap_or(available.len())];
        field.extend_from_slice(&piece[..piece.len().min(LONGEST - field.len())]);
        let used = piece.len() + usize::from(found.is_some());
        stream.consume(used);
        if found.is_some() {
            return Ok(true);
        }
    }
}

/// Where the instance's showq listens.
pub fn socket(queue_directory: &Path) -> PathBuf {
    queue_directory.join("public/showq")
}

/// Connects and lists.
pub fn list(queue_directory: &Path, patience: Patience, visitor: &mut impl Visitor) -> Result<Format, ShowqError> {
    let path = socket(queue_directory);
    let stream = connect(&path, patience.silence).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ShowqError::Denied(path),
        io::ErrorKind::ConnectionRefused => ShowqError::Stopped(path),
        io::ErrorKind::NotFound => ShowqError::Missing(path),
        io::ErrorKind::WouldBlock => ShowqError::Stalled(patience.silence),
        _ => ShowqError::Connect { path, source },
    })?;
    stream.set_read_timeout(Some(patience.silence))?;
    let until = Instant::now() + patience.whole;
    read(Patient { stream, until, left: LONGEST_LIST }, visitor).map_err(|e| match e {
        ShowqError::Io(e) if e.kind() == io::ErrorKind::WouldBlock => ShowqError::Stalled(patience.silence),
        ShowqError::Io(e) if e.kind() == io::ErrorKind::TimedOut => ShowqError::Endless(patience.whole),
        ShowqError::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => ShowqError::TooLong(LONGEST_LIST),
        other => other,
    })
}

/// connect(2) that does not wait for ever where showq's backlog is full.
fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let to = super::socket::address(path)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    rustix::net::connect(&socket, &to.address)?;
    Ok(socket.into())
}

/// A stream that ends in time even where bytes keep coming.
struct Patient {
    stream: UnixStream,
    until: Instant,
    /// Octets that may still come.
    left: u64,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.stream.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
