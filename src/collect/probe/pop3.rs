//! POP3 (RFC 1939) as a client: CAPA and STLS (RFC 2449, 2595), USER and PASS or AUTH PLAIN, UIDL, TOP, RETR, DELE. There is
//! no crate for it that is kept.
//!
//! A session sees the mailbox as it was when it began, so waiting is logging in again and again. A message is looked at by
//! TOP, which marks nothing read; RETR only for the one that is ours. Which of the messages there were before are ours is
//! found out a hundred at a time, the newest first, and remembered by their unique ids.

use super::{
    connection::Connection,
    fault::{Fault, words},
    message::Stamp,
    run::{Run, Verdict},
    secret::{self, Secret},
    smtp::LEAVE,
    stage::{MAILBOX, SERVER, Side, Stage},
    tls::Seen,
};
use crate::config::probe::{Login, Server, TlsMode};
use rustc_hash::{FxHashSet, FxHasher};
use std::{
    hash::{Hash, Hasher},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

/// A header line may be long.
pub(super) const LINE: usize = 16 << 10;
/// More messages than this are not looked through.
const MESSAGES: usize = 20_000;
/// At most this many messages are looked at in one session.
const LOOKS: usize = 100;
/// Octets of one message that are kept: ours has 2 KiB, with the headers of its way 8.
const MESSAGE: usize = 64 << 10;
/// Between two sessions, at first and at last.
const POLL: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// Messages that are known not to be ours, and those that were refused once, by a hash of their unique id. Kept by the probe
/// from run to run.
#[derive(Debug, Default)]
pub struct Foreign(FxHashSet<u64>, FxHashSet<u64>);

/// The status of a response line: `+OK`, `-ERR`, or the `+` that asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// `+OK` and its text.
    Ok(&'a [u8]),
    /// `-ERR` and its text.
    Err(&'a [u8]),
    /// `+ `: the server waits for more.
    More,
}

/// Reads a status line.
pub fn said(line: &[u8]) -> Option<Said<'_>> {
    let after = |word: &[u8]| {
        let rest = line.strip_prefix(word)?;
        rest.is_empty().then_some(rest).or_else(|| rest.strip_prefix(b" "))
    };
    if let Some(text) = after(b"+OK") {
        return Some(Said::Ok(text));
    }
    if let Some(text) = after(b"-ERR") {
        return Some(Said::Err(text));
    }
    after(b"+").map(|_| Said::More)
}

/// `1 whqtswO00WBw418f9t5JxYwZ`: number and unique id.
pub fn unique_id(line: &[u8]) -> Option<(u32, &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    let (number, id) = line.split_at_checked(space)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    let id = id.trim_ascii();
    (number > 0 && !id.is_empty() && id.len() <= 255).then_some((number, id))
}

fn hash(id: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    id.hash(&mut hasher);
    hasher.finish()
}

/// What the header of a message says.
enum Header {
    /// It was sent by a probe.
    Stamped(Stamp),
    /// It is somebody's.
    Other,
    /// It is not there any more.
    Gone,
}

/// A session.
pub struct Pop3 {
    connection: Connection,
    capabilities: Vec<String>,
    /// What the server presented, where there is TLS.
    pub seen: Option<Seen>,
    hidden: Option<(String, Secret)>,
}

impl Pop3 {
    /// Up to greeting and STLS.
    pub async fn greet(run: &mut Run, server: &Server, side: Side) -> Result<Self, Fault> {
        let connection = Connection::open(run, server, side, LINE).await?;
        Self::over(run, server, connection, side).await
    }

    /// The same on a connection that is there.
    pub async fn over(run: &mut Run, server: &Server, connection: Connection, side: Side) -> Result<Self, Fault> {
        let (mut connection, mut seen) = (connection, None);
        if server.tls == TlsMode::Implicit {
            run.trace.begin(side.tls);
            let (over, what) = connection.start_tls(run, server).await?;
            (connection, seen) = (over, Some(what));
        }
        let mut pop3 = Self { connection, capabilities: Vec::new(), seen, hidden: None };
        run.trace.begin(side.banner);
        pop3.status("the connection").await?;
        if server.tls == TlsMode::Starttls {
            run.trace.begin(side.hello);
            pop3.learn().await?;
            run.trace.begin(side.tls);
            // A server without CAPA may know STLS all the same.
            if !pop3.capabilities.is_empty() && !pop3.can("STLS") {
                return Err(Fault::NoStarttls("STLS"));
            }
            pop3.ask(b"STLS\r\n", "STLS").await?;
            let (over, what) = pop3.connection.start_tls(run, server).await?;
            pop3 = Self { connection: over, seen: Some(what), capabilities: Vec::new(), hidden: None };
        }
        Ok(pop3)
    }

    /// Logged in, left-overs gone.
    pub async fn open(run: &mut Run, server: &Server, foreign: &mut Foreign) -> Result<(), Fault> {
        let pop3 = Self::greet(run, server, MAILBOX).await?;
        pop3.first(run, server, foreign).await
    }

    /// Login and left-overs. Everything that is there now is not the message that is to be sent.
    pub async fn first(mut self, run: &mut Run, server: &Server, foreign: &mut Foreign) -> Result<(), Fault> {
        run.trace.begin(Stage::MailboxAuth);
        self.login(run, server).await?;
        run.trace.begin(Stage::MailboxFolder);
        let here = self.list().await?;
        let still: FxHashSet<u64> = here.iter().map(|(_, id)| *id).collect();
        foreign.0.retain(|id| still.contains(id));
        foreign.1.retain(|id| still.contains(id));
        let unknown: Vec<_> =
            here.iter().rev().filter(|(_, id)| !foreign.0.contains(id)).take(LOOKS).copied().collect();
        let mut removed = false;
        for (number, id) in unknown {
            let stamp = match self.stamp(number, id, foreign).await? {
                Header::Gone => continue,
                Header::Other => {
                    foreign.0.insert(id);
                    continue;
                }
                Header::Stamped(stamp) => stamp,
            };
            match run.verdict(&stamp) {
                Verdict::Foreign => {
                    foreign.0.insert(id);
                }
                Verdict::Late | Verdict::LeftOver => {
                    if run.verdict(&stamp) == Verdict::Late {
                        run.mail.late.push(stamp);
                    }
                    run.trace.begin(Stage::Remove);
                    self.ask(format!("DELE {number}\r\n").as_bytes(), "DELE").await?;
                    run.trace.begin(Stage::MailboxFolder);
                    removed = true;
                }
                Verdict::Current | Verdict::Keep => {}
            }
        }
        // What DELE marked goes with QUIT, and only then.
        match self.quit().await {
            Err(e) if removed => Err(e),
            _ => Ok(()),
        }
    }

    /// Logs in again and again until the message is there, which is then found, read and removed in one session.
    pub async fn fetch(run: &mut Run, server: &Server, foreign: &mut Foreign) -> Result<(), Fault> {
        let [mut pause, longest] = POLL;
        loop {
            if Self::look(run, server, foreign).await? {
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// One session.
    async fn look(run: &mut Run, server: &Server, foreign: &mut Foreign) -> Result<bool, Fault> {
        // The stages of logging in were timed the first time; this is waiting.
        let trace = std::mem::take(&mut run.trace);
        let opened = Self::again(run, server).await;
        let failed = std::mem::replace(&mut run.trace, trace).current();
        let mut pop3 = match opened {
            Ok(pop3) => pop3,
            // One session a mailbox (RFC 1939 §8, RFC 2449 IN-USE): somebody else is in it, or our last one not yet out.
            Err(Fault::Refused { reply, .. }) if reply.contains("IN-USE") || reply.contains("LOGIN-DELAY") => {
                return Ok(false);
            }
            Err(e) => {
                run.trace.begin(failed.unwrap_or(Stage::Deliver));
                return Err(e);
            }
        };
        pop3.pick(run, foreign).await
    }

    async fn again(run: &mut Run, server: &Server) -> Result<Self, Fault> {
        let mut pop3 = Self::greet(run, server, MAILBOX).await?;
        run.trace.begin(Stage::MailboxAuth);
        pop3.login(run, server).await?;
        Ok(pop3)
    }

    async fn pick(&mut self, run: &mut Run, foreign: &mut Foreign) -> Result<bool, Fault> {
        let here = self.list().await?;
        let unknown: Vec<_> =
            here.iter().rev().filter(|(_, id)| !foreign.0.contains(id)).take(LOOKS).copied().collect();
        for (number, id) in unknown {
            match self.stamp(number, id, foreign).await? {
                Header::Stamped(stamp) if run.mail.stamp.as_ref() == Some(&stamp) => {}
                Header::Gone | Header::Stamped(_) => continue,
                Header::Other => {
                    foreign.0.insert(id);
                    continue;
                }
            }
            run.arrived();
            run.trace.begin(Stage::Retrieve);
            let message = self.message(format!("RETR {number}\r\n").as_bytes(), "RETR").await?;
            let text = run.has_text(&message);
            if text.is_ok() {
                run.trace.begin(Stage::Remove);
            }
            self.ask(format!("DELE {number}\r\n").as_bytes(), "DELE").await?;
            self.quit().await?;
            return text.map(|()| true);
        }
        self.quit().await?;
        Ok(false)
    }

    fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|have| have == capability)
    }

    /// CAPA; a server that does not know it has none.
    async fn learn(&mut self) -> Result<(), Fault> {
        self.connection.send(b"CAPA\r\n").await?;
        let line = self.connection.line().await?;
        match said(&line) {
            Some(Said::Ok(_)) => {
                self.capabilities.clear();
                loop {
                    let line = self.connection.line().await?;
                    if line == b"." {
                        return Ok(());
                    }
                    if self.capabilities.len() >= 100 {
                        return Err(Fault::NotTheProtocol(words(&line), "POP3"));
                    }
                    self.capabilities.push(words(&line).to_ascii_uppercase());
                }
            }
            Some(Said::Err(_)) => Ok(()),
            _ => Err(Fault::NotTheProtocol(words(&line), "POP3")),
        }
    }

    async fn login(&mut self, run: &mut Run, server: &Server) -> Result<(), Fault> {
        let Some(login) = &server.login else { return Ok(()) };
        let secret = run.secret(login).await?;
        self.learn().await?;
        let sasl = self.capabilities.iter().find_map(|c| c.strip_prefix("SASL "));
        if sasl.is_some_and(|mechanisms| mechanisms.split_ascii_whitespace().any(|m| m == "PLAIN")) {
            let line = secret::base64(&secret::plain(&login.user, &secret));
            self.hidden = Some((login.user.clone(), secret));
            self.connection.send(b"AUTH PLAIN\r\n").await?;
            let asked = self.connection.line().await?;
            if said(&asked) != Some(Said::More) {
                return Err(Fault::Refused { command: "AUTH", reply: self.words(&asked) });
            }
            self.ask(&with_end(b"", &line), "AUTH").await?;
            return Ok(());
        }
        self.user_and_password(login, secret).await
    }

    async fn user_and_password(&mut self, login: &Login, secret: Secret) -> Result<(), Fault> {
        if login.user.contains(char::is_whitespace) {
            return Err(Fault::Unwritable("POP3 USER"));
        }
        let password = with_end(b"PASS ", secret.octets());
        self.hidden = Some((login.user.clone(), secret));
        self.ask(format!("USER {}\r\n", login.user).as_bytes(), "USER").await?;
        self.ask(&password, "PASS").await
    }

    /// Numbers and hashed unique ids, in the server's order.
    async fn list(&mut self) -> Result<Vec<(u32, u64)>, Fault> {
        self.ask(b"UIDL\r\n", "UIDL").await?;
        let mut here = Vec::new();
        loop {
            let line = self.connection.line().await?;
            if line == b"." {
                return Ok(here);
            }
            if here.len() >= MESSAGES {
                return Err(Fault::Crowded(MESSAGES));
            }
            let (number, id) = unique_id(&line).ok_or_else(|| Fault::NotTheProtocol(words(&line), "POP3"))?;
            here.push((number, hash(id)));
        }
    }

    /// The stamp of a message; its header alone is read. One that somebody else has removed since the session began is
    /// refused, and not in the next one: only a message that is refused in two is a fault of the server's.
    async fn stamp(&mut self, number: u32, id: u64, foreign: &mut Foreign) -> Result<Header, Fault> {
        match self.message(format!("TOP {number} 0\r\n").as_bytes(), "TOP").await {
            Ok(header) => Ok(Stamp::of(&header).map_or(Header::Other, Header::Stamped)),
            Err(Fault::Refused { .. }) if foreign.1.insert(id) => Ok(Header::Gone),
            Err(e) => Err(e),
        }
    }

    /// A multi-line answer: its first octets, all of it read.
    async fn message(&mut self, command: &[u8], name: &'static str) -> Result<Vec<u8>, Fault> {
        self.ask(command, name).await?;
        let mut message = Vec::new();
        loop {
            let line = self.connection.line().await?;
            if line == b"." {
                return Ok(message);
            }
            // RFC 1939 §3: a dot at the beginning is doubled.
            let line = line.strip_prefix(b".").unwrap_or(&line);
            if message.len() + line.len() < MESSAGE {
                message.extend_from_slice(line);
                message.extend_from_slice(b"\r\n");
            }
        }
    }

    async fn quit(&mut self) -> Result<(), Fault> {
        self.ask(b"QUIT\r\n", "QUIT").await
    }

    async fn ask(&mut self, command: &[u8], name: &'static str) -> Result<(), Fault> {
        self.connection.send(command).await?;
        self.status(name).await
    }

    async fn status(&mut self, command: &'static str) -> Result<(), Fault> {
        let line = self.connection.line().await?;
        match said(&line) {
            Some(Said::Ok(_)) => Ok(()),
            Some(Said::Err(_)) => Err(Fault::Refused { command, reply: self.words(&line) }),
            _ => Err(Fault::NotTheProtocol(self.words(&line), "POP3")),
        }
    }

    fn words(&self, line: &[u8]) -> String {
        match &self.hidden {
            Some((user, secret)) => words(&secret.hide(user, line)),
            None => words(line),
        }
    }
}

fn with_end(verb: &[u8], argument: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(verb.len() + argument.len() + 2));
    line.extend_from_slice(verb);
    line.extend_from_slice(argument);
    line.extend_from_slice(b"\r\n");
    line
}

/// The certificate of a POP3 server.
pub async fn certificate(run: &mut Run, server: &Server) -> Result<Option<Seen>, Fault> {
    let mut pop3 = Pop3::greet(run, server, SERVER).await?;
    let seen = pop3.seen.take();
    // What was wanted is there.
    let _ = timeout(LEAVE, pop3.quit()).await;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_the_rfc_says() {
        assert_eq!(said(b"+OK"), Some(Said::Ok(b"")));
        assert_eq!(said(b"+OK 2 messages"), Some(Said::Ok(b"2 messages")));
        assert_eq!(said(b"-ERR [IN-USE] no"), Some(Said::Err(b"[IN-USE] no")));
        assert_eq!(said(b"+ "), Some(Said::More));
        for wrong in [&b""[..], b"+OKAY", b"220 x", b"* OK", b"ok"] {
            assert_eq!(said(wrong), None);
        }
        assert_eq!(unique_id(b"12 abc"), Some((12, &b"abc"[..])));
        for wrong in [&b""[..], b"12", b"0 a", b"x a", b"12 ", b"99999999999 a"] {
            assert_eq!(unique_id(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_no_panic(octets: Vec<u8>) {
            let _ = (said(&octets), unique_id(&octets));
        }
    }
}
