//! Why a probe failed, in words an administrator can act on. What a server said is shown, what a secret is never.

use std::{io, time::Duration};

/// Octets of a server's own words in an error text.
const WORDS: usize = 160;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The deadline of the probe.
    #[error("no answer within {}", seconds(*.0))]
    Deadline(Duration),
    /// The name server.
    #[error("{host}: {source}; is the name right, and does the resolver answer?")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the wanted family.
    #[error("{0} has no {1} address; set ip: any, or add one to DNS")]
    NoAddress(String, &'static str),
    /// No connection.
    #[error("{address}: {source}; does the server run and listen there, and does the firewall let us through?")]
    Connect {
        /// The last address that was tried.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server went away.
    #[error("the server closed the connection{0}")]
    Closed(&'static str),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// A line that does not end.
    #[error("the server sent a line of more than {0} octets; that is no mail server, or a broken one")]
    LongLine(usize),
    /// More than anyone needs.
    #[error("the server sent more than {0} octets; that is no mail server, or a broken one")]
    TooMuch(u64),
    /// A literal that is larger than anything asked for.
    #[error("the server announced a literal of {0} octets; that is broken")]
    Literal(String),
    /// Not the protocol that was expected.
    #[error("`{0}` is no answer of {1}; is the port right, and does TLS begin as configured?")]
    NotTheProtocol(String, &'static str),
    /// The server said no.
    #[error("{command} was answered with: {reply}")]
    Refused {
        /// What was asked.
        command: &'static str,
        /// Its words.
        reply: String,
    },
    /// Another reply code than the configured one.
    #[error("{command} was answered with {reply}; expected was {expected}")]
    Unexpected {
        /// What was asked.
        command: &'static str,
        /// Its words.
        reply: String,
        /// `expect:`
        expected: u16,
    },
    /// No STARTTLS.
    #[error("the server does not offer {0}; enable TLS there, or set tls: none or implicit")]
    NoStarttls(&'static str),
    /// Something was sent before TLS that would count as if it had come through TLS.
    #[error(
        "the server sent more than its answer before TLS began; somebody may be changing the connection (CVE-2011-0411)"
    )]
    Injected,
    /// A server that says it knows us already, where TLS must come first.
    #[error("the server claims we are logged in (PREAUTH) before TLS; somebody may be changing the connection")]
    Preauth,
    /// The handshake.
    #[error("TLS: {0}")]
    Tls(String),
    /// A file of authorities.
    #[error("ca_file {0}")]
    CaFile(String),
    /// The system has no authorities.
    #[error("no trusted authority on this system ({0}); install ca-certificates, or set ca_file or verify: false")]
    NoAuthorities(String),
    /// No way to log in.
    #[error("the server offers no login we know (it has: {0}); PLAIN and LOGIN are known")]
    NoMechanism(String),
    /// A user or password that cannot be written in the protocol.
    #[error("user or password has characters that {0} cannot carry; use a server with PLAIN, or ASCII")]
    Unwritable(&'static str),
    /// The password cannot be read.
    #[error(transparent)]
    Secret(#[from] super::secret::SecretError),
    /// A thread that does something for this probe did not come back last time.
    #[error("{0} of an earlier run still hangs")]
    StillHangs(&'static str),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}; see ulimit -u and TasksMax")]
    Thread(io::Error),
    /// It did not come.
    #[error("accepted{queued}, but not in {place} within {}; look for it in the log and with mailq", seconds(*.within))]
    NotDelivered {
        /// ` as 4XYZ`, where the server said so.
        queued: String,
        /// The mailbox.
        place: String,
        /// The probe's timeout.
        within: Duration,
    },
    /// It came without its text.
    #[error("the message came, but without its text: {0} changed it")]
    Changed(&'static str),
    /// Too many messages.
    #[error("the mailbox has more than {0} messages; give the probe one of its own")]
    Crowded(usize),
    /// A directory or file of a Maildir.
    #[error("{path}: {source}; {}", remedy(source))]
    File {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The submission program.
    #[error("{0}")]
    Sendmail(String),
    /// A certificate that cannot be read.
    #[error("{0}")]
    Certificate(String),
}

/// What to do about a file.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "give the agent's user the right to read it",
        io::ErrorKind::NotFound => "is the path right?",
        _ => "is the file system well?",
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

/// What a server said, as text that fits into a message.
pub fn words(octets: &[u8]) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(octets.get(..octets.len().min(4 * WORDS)).unwrap_or_default()).chars() {
        if out.len() + c.len_utf8() > WORDS {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { '?' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_short_and_harmless() {
        assert_eq!(words(b"535 no\x1b[2J\xff"), "535 no?[2J\u{fffd}");
        assert!(words(&[b'x'; 100_000]).len() < 200);
        assert_eq!(Fault::Deadline(Duration::from_millis(1_500)).to_string(), "no answer within 1500 ms");
        assert_eq!(Fault::Deadline(Duration::from_secs(10)).to_string(), "no answer within 10 s");
    }
}
