//! IMAP (RFC 3501) as a client: login, EXAMINE, wait by IDLE (RFC 2177) or NOOP, BODY.PEEK, and only to remove our own
//! message SELECT. Nothing else of the mailbox changes: no message is marked read, none is expunged that is not ours.
//!
//! Responses are framed here, because what a server announces (a literal of 2^63 octets) must be refused before it is waited
//! for, and parsed by imap-proto ([`event`]). async-imap has no bound on either and does not time a stage.
//!
//! SELECT takes the \Recent flag from messages, which IMAP gives to the first session that selects a folder; it cannot be
//! avoided where something is to be removed, and RFC 9051 has abolished it.

use super::{
    connection::Connection,
    fault::{Fault, words},
    message::{HEADER, Stamp},
    run::{Run, Verdict},
    secret::{self, Secret},
    smtp::LEAVE,
    stage::{MAILBOX, SERVER, Side, Stage},
    tls::Seen,
};
use crate::config::probe::{Login, Server, TlsMode};
use imap_proto::{AttributeValue, Capability, MailboxDatum, Response, ResponseCode, Status};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

/// A SEARCH answer of 9,000 numbers, and the largest literal.
pub(super) const LINE: usize = 64 << 10;
/// A response with its literals.
const RESPONSE: usize = 128 << 10;
/// At most this many messages that a search found are looked at.
const CANDIDATES: usize = 100;
/// IDLE is left, and the folder searched, at least so often: not every server tells of new mail in a folder of EXAMINE.
const IDLE: Duration = Duration::from_secs(10);
/// Between two looks where there is no IDLE.
const POLL: Duration = Duration::from_secs(1);

/// What a response means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The end of a command.
    Done {
        /// Its tag.
        tag: String,
        /// Whether it was OK.
        ok: bool,
        /// Its code.
        code: Code,
    },
    /// An untagged OK, NO, BAD, BYE or PREAUTH.
    Status(Word, Code),
    /// The server waits for more of the command.
    Continue,
    /// What it can do, in upper case.
    Capabilities(Vec<String>),
    /// How many messages there are.
    Exists,
    /// Numbers of a search.
    Search(Vec<u32>),
    /// Something of a message.
    Fetch {
        /// Its UID.
        uid: Option<u32>,
        /// The octets that were asked for.
        body: Option<Vec<u8>>,
    },
    /// Something that does not matter here.
    Other,
}

/// The condition of a status response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Fine.
    Ok,
    /// It failed.
    No,
    /// It was not understood.
    Bad,
    /// Logged in already.
    Preauth,
    /// The end.
    Bye,
}

/// The part of a response code that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// None, or another one.
    None,
    /// The UID that the next message gets.
    UidNext(u32),
    /// The folder cannot be changed.
    ReadOnly,
    /// What the server can do.
    Capabilities(Vec<String>),
}

fn capabilities(list: &[Capability<'_>]) -> Vec<String> {
    let one = |capability: &Capability<'_>| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(name) => format!("AUTH={}", name.to_ascii_uppercase()),
        Capability::Atom(name) => name.to_ascii_uppercase(),
    };
    list.iter().map(one).collect()
}

/// Parses one whole response. `literal`: whether it has one. What cannot be parsed and is no status is [`Event::Other`], as
/// RFC 3501 §2.2.2 asks of a client; `None`: not IMAP.
pub fn event(response: &[u8], literal: bool) -> Option<Event> {
    let is_data = response.starts_with(b"* ");
    if literal && !is_data {
        return None;
    }
    // The parser is recursive and tries alternatives: depth is bounded before it sees anything. It also cuts the text that
    // follows a response code at its second octet, which must then be a character (imap-proto 0.17, Outcome::parse).
    let nested = response.iter().filter(|octet| **octet == b'(').count() > 16;
    let ascii: Vec<u8>;
    let octets = if literal {
        if !response.get(..64.min(response.len())).is_some_and(|head| memchr::memmem::find(head, b" FETCH ").is_some())
        {
            return Some(Event::Other);
        }
        response
    } else {
        ascii = response.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }).collect();
        if nested {
            return is_data.then_some(Event::Other);
        }
        &ascii
    };
    let parsed = match Response::parse(octets) {
        Ok((_, parsed)) => parsed,
        Err(_) if is_data => return Some(Event::Other),
        // `+` alone, and a challenge that is no text.
        Err(_) if response.starts_with(b"+") => return Some(Event::Continue),
        Err(_) => return None,
    };
    let code = |code: Option<ResponseCode<'_>>| match code {
        Some(ResponseCode::UidNext(uid)) => Code::UidNext(uid),
        Some(ResponseCode::ReadOnly) => Code::ReadOnly,
        Some(ResponseCode::Capabilities(list)) => Code::Capabilities(capabilities(&list)),
        _ => Code::None,
    };
    Some(match parsed {
        Response::Done { tag, status, outcome } => {
            Event::Done { tag: tag.0, ok: status == Status::Ok, code: code(outcome.code) }
        }
        Response::Data { status, outcome } => {
            let word = match status {
                Status::Ok => Word::Ok,
                Status::No => Word::No,
                Status::Bad => Word::Bad,
                Status::PreAuth => Word::Preauth,
                Status::Bye => Word::Bye,
            };
            Event::Status(word, code(outcome.code))
        }
        Response::Continue(_) => Event::Continue,
        Response::Capabilities(list) => Event::Capabilities(capabilities(&list)),
        Response::MailboxData(MailboxDatum::Exists(_)) => Event::Exists,
        Response::MailboxData(MailboxDatum::Search(numbers)) => Event::Search(numbers),
        Response::Fetch(_, attributes) => {
            let (mut uid, mut body) = (None, None);
            for attribute in attributes {
                match attribute {
                    AttributeValue::Uid(number) => uid = Some(number),
                    AttributeValue::BodySection { data: Some(data), .. } => body = Some(data.into_owned()),
                    _ => {}
                }
            }
            Event::Fetch { uid, body }
        }
        _ => Event::Other,
    })
}

/// The length of the literal that a line announces at its end.
pub fn literal_length(line: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(inner) = line.strip_suffix(b"}") else { return Ok(None) };
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let Some(open) = memchr::memrchr(b'{', inner) else { return Ok(None) };
    let digits = inner.get(open + 1..).unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    let number = String::from_utf8_lossy(digits);
    match number.parse::<usize>() {
        Ok(length) if length <= LINE => Ok(Some(length)),
        _ => Err(Fault::Literal(words(number.as_bytes()))),
    }
}

/// A folder's name as IMAP writes it: quoted, modified UTF-7 (RFC 3501 §5.1.3).
pub fn folder_name(folder: &str) -> String {
    let mut out = String::from("\"");
    let mut other: Vec<u8> = Vec::new();
    let flush = |other: &mut Vec<u8>, out: &mut String| {
        if !other.is_empty() {
            out.push('&');
            out.push_str(&data_encoding::BASE64_NOPAD.encode(other).replace('/', ","));
            out.push('-');
            other.clear();
        }
    };
    for c in folder.chars() {
        if c.is_ascii() {
            flush(&mut other, &mut out);
            match c {
                '&' => out.push_str("&-"),
                '"' | '\\' => out.extend(['\\', c]),
                _ => out.push(c),
            }
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| other.extend(unit.to_be_bytes()));
        }
    }
    flush(&mut other, &mut out);
    out.push('"');
    out
}

/// A logged-in session.
pub struct Imap {
    connection: Connection,
    server: Server,
    folder: String,
    capabilities: Vec<String>,
    tags: u32,
    next: u32,
    /// What the server presented, where there is TLS.
    pub seen: Option<Seen>,
    hidden: Option<(String, Secret)>,
}

/// What one command brought.
#[derive(Default)]
struct Answer {
    capabilities: Vec<String>,
    found: Vec<u32>,
    fetched: Vec<(u32, Vec<u8>)>,
    uid_next: Option<u32>,
    read_only: bool,
    exists: bool,
}

impl Imap {
    /// Up to the greeting and STARTTLS, for the certificate.
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
        let mut imap = Self {
            connection,
            server: server.clone(),
            folder: String::new(),
            capabilities: Vec::new(),
            tags: 0,
            next: 1,
            seen,
            hidden: None,
        };
        run.trace.begin(side.banner);
        let (line, event) = imap.response().await?;
        match event {
            Some(Event::Status(Word::Ok, Code::Capabilities(list))) => imap.capabilities = list,
            Some(Event::Status(Word::Ok, _)) => {}
            // RFC 3501 §7.1.4: no STARTTLS is possible any more.
            Some(Event::Status(Word::Preauth, _)) if server.tls == TlsMode::Starttls => return Err(Fault::Preauth),
            Some(Event::Status(Word::Preauth, _)) => {}
            Some(Event::Status(..)) => return Err(Fault::Refused { command: "the connection", reply: line }),
            _ => return Err(Fault::NotTheProtocol(line, "IMAP")),
        }
        if server.tls == TlsMode::Starttls {
            run.trace.begin(side.hello);
            imap.learn().await?;
            run.trace.begin(side.tls);
            if !imap.can("STARTTLS") {
                return Err(Fault::NoStarttls("STARTTLS"));
            }
            imap.command("STARTTLS", "STARTTLS").await?;
            let (over, what) = imap.connection.start_tls(run, server).await?;
            imap = Self { connection: over, seen: Some(what), capabilities: Vec::new(), ..imap };
        }
        Ok(imap)
    }

    /// Logged in, the folder open for reading, left-overs gone.
    pub async fn open(run: &mut Run, server: &Server, folder: &str) -> Result<Self, Fault> {
        let imap = Self::greet(run, server, MAILBOX).await?;
        imap.enter(run, folder).await
    }

    /// Login and folder.
    pub async fn enter(mut self, run: &mut Run, folder: &str) -> Result<Self, Fault> {
        run.trace.begin(Stage::MailboxAuth);
        if let Some(login) = self.server.login.clone() {
            self.login(run, &login).await?;
        }
        run.trace.begin(Stage::MailboxFolder);
        self.folder = folder_name(folder);
        self.examine().await?;
        self.sweep(run).await?;
        Ok(self)
    }

    fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|have| have == capability)
    }

    async fn learn(&mut self) -> Result<(), Fault> {
        if self.capabilities.is_empty() {
            self.capabilities = self.command("CAPABILITY", "CAPABILITY").await?.capabilities;
        }
        Ok(())
    }

    async fn login(&mut self, run: &mut Run, login: &Login) -> Result<(), Fault> {
        self.learn().await?;
        let secret = run.secret(login).await?;
        let plain = self.can("AUTH=PLAIN");
        if !plain && self.can("LOGINDISABLED") {
            return Err(Fault::NoMechanism("none (LOGINDISABLED); set tls: starttls".into()));
        }
        let line = if plain {
            secret::base64(&secret::plain(&login.user, &secret))
        } else {
            login_line(&login.user, &secret)?
        };
        self.hidden = Some((login.user.clone(), secret));
        let answer = if plain {
            let tag = self.tag();
            self.connection.send(format!("{tag} AUTHENTICATE PLAIN\r\n").as_bytes()).await?;
            self.until_continue(&tag, "AUTHENTICATE").await?;
            self.connection.send(&with_end(&line)).await?;
            self.answer(&tag, "AUTHENTICATE").await?
        } else {
            let tag = self.tag();
            let mut command = Zeroizing::new(Vec::with_capacity(line.len() + tag.len() + 3));
            command.extend_from_slice(tag.as_bytes());
            command.push(b' ');
            command.extend_from_slice(&line);
            self.connection.send(&with_end(&command)).await?;
            self.answer(&tag, "LOGIN").await?
        };
        // What was said before the login does not count any more.
        self.capabilities = answer.capabilities;
        self.learn().await
    }

    async fn examine(&mut self) -> Result<(), Fault> {
        let answer = self.command(&format!("EXAMINE {}", self.folder), "EXAMINE").await?;
        self.next = answer.uid_next.unwrap_or(1);
        Ok(())
    }

    /// Removes what earlier runs left behind, and notes what came late.
    async fn sweep(&mut self, run: &mut Run) -> Result<(), Fault> {
        let wanted = format!("UID SEARCH UNDELETED HEADER {HEADER} \"{};\"", run.owner());
        let found = self.command(&wanted, "SEARCH").await?.found;
        let mut ours = Vec::new();
        for (uid, stamp) in self.stamps(&found).await? {
            match run.verdict(&stamp) {
                Verdict::Late => {
                    run.mail.late.push(stamp);
                    ours.push(uid);
                }
                Verdict::LeftOver => ours.push(uid),
                Verdict::Current | Verdict::Keep | Verdict::Foreign => {}
            }
        }
        if !ours.is_empty() {
            run.trace.begin(Stage::Remove);
            self.remove_all(&ours).await?;
            run.trace.begin(Stage::MailboxFolder);
            self.examine().await?;
        }
        Ok(())
    }

    /// The stamps of these messages, as far as they have one.
    async fn stamps(&mut self, uids: &[u32]) -> Result<Vec<(u32, Stamp)>, Fault> {
        let newest: Vec<u32> = uids.iter().rev().take(CANDIDATES).copied().collect();
        if newest.is_empty() {
            return Ok(Vec::new());
        }
        let fetch = format!("UID FETCH {} (UID BODY.PEEK[HEADER.FIELDS ({HEADER})])", set(&newest));
        let fetched = self.command(&fetch, "FETCH").await?.fetched;
        let ours = |(uid, header): (u32, Vec<u8>)| newest.contains(&uid).then_some((uid, Stamp::of(&header)?));
        Ok(fetched.into_iter().filter_map(ours).collect())
    }

    /// Waits until the message is there; the deadline is around it.
    pub async fn wait(&mut self, run: &mut Run) -> Result<u32, Fault> {
        loop {
            let Some(stamp) = run.mail.stamp.clone() else { return Err(Fault::Changed("this program")) };
            let search = format!("UID SEARCH UID {}:* HEADER {HEADER} \"{}\"", self.next, stamp.token);
            let found = self.command(&search, "SEARCH").await?.found;
            if let Some((uid, _)) = self.stamps(&found).await?.into_iter().find(|(_, have)| *have == stamp) {
                return Ok(uid);
            }
            self.idle().await?;
        }
    }

    /// Until something came, or it is time to look.
    async fn idle(&mut self) -> Result<(), Fault> {
        if !self.can("IDLE") {
            sleep(POLL).await;
            self.command("NOOP", "NOOP").await?;
            return Ok(());
        }
        let tag = self.tag();
        self.connection.send(format!("{tag} IDLE\r\n").as_bytes()).await?;
        if self.until_continue(&tag, "IDLE").await? {
            return self.connection.send(b"DONE\r\n").await.and(Ok(())).and(self.answer(&tag, "IDLE").await.map(drop));
        }
        let until_exists = async {
            loop {
                let (line, event) = self.response().await?;
                match event {
                    Some(Event::Exists) => return Ok(()),
                    Some(Event::Status(Word::Bye, _)) => return Err(Fault::Refused { command: "IDLE", reply: line }),
                    Some(Event::Done { .. }) | None => return Err(Fault::NotTheProtocol(line, "IMAP")),
                    Some(_) => {}
                }
            }
        };
        // Reading is taken up where it was left: a line is kept until it is whole, and nothing with a literal comes here.
        if let Ok(result) = timeout(IDLE, until_exists).await {
            result?;
        }
        self.connection.send(b"DONE\r\n").await?;
        self.answer(&tag, "IDLE").await.map(drop)
    }

    /// Reads the message and looks whether its text came through.
    pub async fn retrieve(&mut self, run: &mut Run, uid: u32) -> Result<(), Fault> {
        let fetch = format!("UID FETCH {uid} (UID BODY.PEEK[]<0.{LINE}>)");
        let fetched = self.command(&fetch, "FETCH").await?.fetched;
        let body = fetched.into_iter().find(|(of, _)| *of == uid).map(|(_, body)| body);
        run.has_text(&body.unwrap_or_default())
    }

    /// Removes our message.
    pub async fn remove(&mut self, uid: u32) -> Result<(), Fault> {
        self.remove_all(&[uid]).await
    }

    async fn remove_all(&mut self, uids: &[u32]) -> Result<(), Fault> {
        let answer = self.command(&format!("SELECT {}", self.folder), "SELECT").await?;
        if answer.read_only {
            return Err(Fault::Refused { command: "SELECT", reply: "the folder can only be read".into() });
        }
        let ours = set(uids);
        self.command(&format!("UID STORE {ours} +FLAGS.SILENT (\\Deleted)"), "STORE").await?;
        if self.can("UIDPLUS") {
            self.command(&format!("UID EXPUNGE {ours}"), "EXPUNGE").await?;
            return Ok(());
        }
        // EXPUNGE takes all that is marked: only where nobody else has marked something. Otherwise ours stays marked, is not
        // found again (UNDELETED), and goes with the next EXPUNGE of whoever reads this mailbox.
        let marked = self.command("UID SEARCH DELETED", "SEARCH").await?.found;
        if marked.iter().all(|uid| uids.contains(uid)) {
            self.command("EXPUNGE", "EXPUNGE").await?;
        }
        Ok(())
    }

    /// Leaves politely; the work is done.
    pub async fn close(mut self) {
        let _ = timeout(LEAVE, self.command("LOGOUT", "LOGOUT")).await;
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("p{}", self.tags)
    }

    async fn command(&mut self, text: &str, name: &'static str) -> Result<Answer, Fault> {
        let tag = self.tag();
        self.connection.send(format!("{tag} {text}\r\n").as_bytes()).await?;
        self.answer(&tag, name).await
    }

    /// Waits for the continuation; says whether a message came meanwhile.
    async fn until_continue(&mut self, tag: &str, name: &'static str) -> Result<bool, Fault> {
        let mut exists = false;
        loop {
            let (line, event) = self.response().await?;
            match event {
                Some(Event::Continue) => return Ok(exists),
                Some(Event::Exists) => exists = true,
                Some(Event::Done { tag: of, .. }) if of == tag => {
                    return Err(Fault::Refused { command: name, reply: line });
                }
                Some(Event::Done { .. }) | None => return Err(Fault::NotTheProtocol(line, "IMAP")),
                Some(_) => {}
            }
        }
    }

    /// Everything up to the tagged response.
    async fn answer(&mut self, tag: &str, name: &'static str) -> Result<Answer, Fault> {
        let mut answer = Answer::default();
        loop {
            let (line, event) = self.response().await?;
            match event {
                Some(Event::Done { tag: of, ok: true, code }) if of == tag => {
                    answer.learn(code);
                    return Ok(answer);
                }
                Some(Event::Done { tag: of, .. }) if of == tag => {
                    // The tag says nothing to people.
                    let reply = line.split_once(' ').map_or(line.as_str(), |(_, words)| words).to_owned();
                    return Err(Fault::Refused { command: name, reply });
                }
                Some(Event::Status(Word::Bye, _)) if name != "LOGOUT" => {
                    return Err(Fault::Refused { command: name, reply: line });
                }
                Some(Event::Status(_, code)) => answer.learn(code),
                Some(Event::Capabilities(list)) => answer.capabilities = list,
                Some(Event::Search(numbers)) => {
                    answer.found.extend(numbers.into_iter().take(LINE));
                    answer.found.truncate(LINE);
                }
                Some(Event::Fetch { uid: Some(uid), body: Some(body) }) if answer.fetched.len() < CANDIDATES => {
                    answer.fetched.push((uid, body));
                }
                Some(Event::Exists) => answer.exists = true,
                Some(Event::Fetch { .. } | Event::Other | Event::Continue) => {}
                Some(Event::Done { .. }) | None => return Err(Fault::NotTheProtocol(line, "IMAP")),
            }
        }
    }

    /// One response: its first line for people, and what it means.
    async fn response(&mut self) -> Result<(String, Option<Event>), Fault> {
        let mut line = self.connection.line().await?;
        let shown = match &self.hidden {
            Some((user, secret)) => words(&secret.hide(user, &line)),
            None => words(&line),
        };
        let mut whole = Vec::new();
        let mut literal = false;
        while let Some(length) = literal_length(&line)? {
            literal = true;
            if whole.len() + line.len() + length > RESPONSE {
                return Err(Fault::Literal(length.to_string()));
            }
            whole.append(&mut line);
            whole.extend_from_slice(b"\r\n");
            whole.append(&mut self.connection.exactly(length).await?);
            line = self.connection.line().await?;
        }
        if whole.len() + line.len() > RESPONSE {
            return Err(Fault::LongLine(RESPONSE));
        }
        whole.append(&mut line);
        whole.extend_from_slice(b"\r\n");
        Ok((shown, event(&whole, literal)))
    }
}

impl Answer {
    fn learn(&mut self, code: Code) {
        match code {
            Code::UidNext(uid) => self.uid_next = Some(uid),
            Code::ReadOnly => self.read_only = true,
            Code::Capabilities(list) => self.capabilities = list,
            Code::None => {}
        }
    }
}

/// A set of message numbers.
fn set(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn with_end(line: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(line.len() + 2));
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
    out
}

/// `LOGIN "user" "password"`, quoted: no literal, no octet above 127.
fn login_line(user: &str, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut line = Zeroizing::new(Vec::with_capacity(2 * (user.len() + secret.octets().len()) + 16));
    line.extend_from_slice(b"LOGIN");
    for part in [user.as_bytes(), secret.octets()] {
        line.extend_from_slice(b" \"");
        for octet in part {
            if !octet.is_ascii() || octet.is_ascii_control() {
                return Err(Fault::Unwritable("IMAP LOGIN"));
            }
            if matches!(octet, b'"' | b'\\') {
                line.push(b'\\');
            }
            line.push(*octet);
        }
        line.push(b'"');
    }
    Ok(line)
}

/// The certificate of an IMAP server.
pub async fn certificate(run: &mut Run, server: &Server) -> Result<Option<Seen>, Fault> {
    let mut imap = Imap::greet(run, server, SERVER).await?;
    let seen = imap.seen.take();
    imap.close().await;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn responses_mean_what_the_rfc_says() {
        let plain = |text: &str| event(format!("{text}\r\n").as_bytes(), false);
        assert_eq!(plain("* 23 EXISTS"), Some(Event::Exists));
        assert_eq!(plain("* SEARCH 2 84 882"), Some(Event::Search(vec![2, 84, 882])));
        assert_eq!(plain("* SEARCH"), Some(Event::Search(vec![])));
        assert_eq!(plain("* OK [UIDNEXT 4392] next"), Some(Event::Status(Word::Ok, Code::UidNext(4392))));
        assert_eq!(plain("* BYE gone"), Some(Event::Status(Word::Bye, Code::None)));
        assert_eq!(
            plain("p1 OK [READ-ONLY] done"),
            Some(Event::Done { tag: "p1".into(), ok: true, code: Code::ReadOnly })
        );
        assert_eq!(plain("p1 NO [TRYCREATE] no"), Some(Event::Done { tag: "p1".into(), ok: false, code: Code::None }));
        assert_eq!(plain("+ "), Some(Event::Continue));
        assert_eq!(plain("+"), Some(Event::Continue));
        assert_eq!(plain("* XEXTENSION (1 2 \"x"), Some(Event::Other));
        assert_eq!(plain("220 mx ESMTP"), None);
        assert_eq!(plain("+OK POP3 ready"), Some(Event::Continue));
        let caps = plain("* CAPABILITY IMAP4rev1 auth=plain IDLE uidplus");
        assert_eq!(
            caps,
            Some(Event::Capabilities(["IMAP4REV1", "AUTH=PLAIN", "IDLE", "UIDPLUS"].map(String::from).into()))
        );
        let fetch = b"* 3 FETCH (UID 7 BODY[HEADER.FIELDS (X-POSTFIX-AGENTX-PROBE)] {6}\r\nA: \xff\r\n)\r\n";
        assert_eq!(event(fetch, true), Some(Event::Fetch { uid: Some(7), body: Some(b"A: \xff\r\n".to_vec()) }));
    }

    #[test]
    fn what_a_parser_could_fall_over_does_not_reach_it() {
        // Cut at the second octet of a letter of two.
        assert_eq!(event("* OK [ALERT]é\r\n".as_bytes(), false), Some(Event::Status(Word::Ok, Code::None)));
        assert_eq!(event("p1 OK [ALERT]é\r\n".as_bytes(), false).is_some(), true);
        let deep = format!("* 1 FETCH (BODYSTRUCTURE {}\r\n", "(".repeat(60_000));
        assert_eq!(event(deep.as_bytes(), false), Some(Event::Other));
        assert_eq!(event(format!("p1 OK {}\r\n", "(".repeat(60_000)).as_bytes(), false), None);
    }

    #[test]
    fn a_literal_larger_than_anything_is_refused() {
        assert_eq!(literal_length(b"* 1 FETCH (BODY[] {65536}").unwrap(), Some(65_536));
        assert_eq!(literal_length(b"x {0}").unwrap(), Some(0));
        assert_eq!(literal_length(b"x {12+}").unwrap(), Some(12));
        for none in [&b"x"[..], b"x}", b"{}", b"{-1}", b"{1x}", b"x {12} "] {
            assert_eq!(literal_length(none).unwrap(), None);
        }
        for huge in ["65537", "9223372036854775808", "18446744073709551616", &"9".repeat(5_000)] {
            let refused = literal_length(format!("* 1 FETCH (BODY[] {{{huge}}}").as_bytes()).unwrap_err();
            assert!(matches!(refused, Fault::Literal(_)) && refused.to_string().len() < 300, "{refused}");
        }
    }

    #[test]
    fn folders_are_written_in_modified_utf_7() {
        assert_eq!(folder_name("INBOX"), "\"INBOX\"");
        assert_eq!(folder_name("Entwürfe & \"x\\"), "\"Entw&APw-rfe &- \\\"x\\\\\"");
        assert_eq!(folder_name("~peter/mail/台北/日本語"), "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\"");
    }

    proptest! {
        #[test]
        fn any_response_is_no_panic(octets: Vec<u8>, literal: bool) {
            let _ = event(&octets, literal);
            let _ = literal_length(&octets);
        }

        #[test]
        fn anything_after_a_known_beginning_is_no_panic(
            head in prop::sample::select(vec!["* OK [", "p1 NO [", "* 1 FETCH (", "* SEARCH ", "* CAPABILITY ", "* LIST (", "+ "]),
            tail in "[ -~é\u{fffd}]{0,80}",
            literal: bool,
        ) {
            let _ = event(format!("{head}{tail}\r\n").as_bytes(), literal);
        }
    }
}
