//! IMAP (RFC 3501) as a client: login, EXAMINE, wait by IDLE (RFC 2177) or NOOP, BODY.PEEK, and only to remove our own
//! message SELECT. Nothing else of the mailbox changes: no message is marked read, none is expunged that is not ours.
//!
//! Responses are framed here, because what a server announces (a literal of 2^63 octets) must be refused before it is waited
//! for, and parsed by imap-proto ([`event`]). async-imap has no bound on either and does not time a stage.
//!
//! SELECT takes the \Recent flag from messages, which IMAP gives to the first session that selects a folder; it cannot be
//! avoided where something is to be removed, and RFC 9051 has abolished it.

mod response;

pub use response::{Code, Event, Word, event, folder_name, literal_length};

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
/// Before IDLE the folder is looked at so often, the time between two looks growing: a server may take half a second to tell
/// of what has come (Dovecot does), which would be taken for the time the mail took.
const FIRST_LOOKS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(15);

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
    coming: Coming,
}

/// The response that has not come whole yet. It is here, and not with whoever reads, because IDLE may be left in the middle
/// of one.
#[derive(Default)]
struct Coming {
    octets: Vec<u8>,
    /// Its first line, for people.
    shown: Option<String>,
    /// Octets of the literal that comes now.
    literal: Option<usize>,
    has_literal: bool,
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
        let mut imap = Self { seen, ..Self::on(connection, server.clone()) };
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

    /// Nothing was said yet.
    fn on(connection: Connection, server: Server) -> Self {
        Self {
            connection,
            server,
            folder: String::new(),
            capabilities: Vec::new(),
            tags: 0,
            next: 1,
            seen: None,
            hidden: None,
            coming: Coming::default(),
        }
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
        let mut looks = 0;
        loop {
            let Some(stamp) = run.mail.stamp.clone() else { return Err(Fault::Changed("this program")) };
            let search = format!("UID SEARCH UID {}:* HEADER {HEADER} \"{}\"", self.next, stamp.token);
            let found = self.command(&search, "SEARCH").await?.found;
            if let Some((uid, _)) = self.stamps(&found).await?.into_iter().find(|(_, have)| *have == stamp) {
                return Ok(uid);
            }
            if looks < FIRST_LOOKS {
                sleep(FIRST_PAUSE * (1 << looks)).await;
                looks += 1;
                self.command("NOOP", "NOOP").await?;
            } else {
                self.idle().await?;
            }
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
        // Reading is taken up where it was left: what has not come whole is kept.
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

    /// One response: its first line for people, and what it means. Given up in the middle, the next call goes on there.
    async fn response(&mut self) -> Result<(String, Option<Event>), Fault> {
        loop {
            if let Some(length) = self.coming.literal {
                let mut literal = self.connection.exactly(length).await?;
                self.coming.octets.append(&mut literal);
                self.coming.literal = None;
            }
            let mut line = self.connection.line().await?;
            if self.coming.shown.is_none() {
                self.coming.shown = Some(match &self.hidden {
                    Some((user, secret)) => words(&secret.hide(user, &line)),
                    None => words(&line),
                });
            }
            let literal = literal_length(&line)?;
            if self.coming.octets.len() + line.len() + literal.unwrap_or(0) > RESPONSE {
                return Err(literal.map_or(Fault::LongLine(RESPONSE), |length| Fault::Literal(length.to_string())));
            }
            self.coming.octets.append(&mut line);
            self.coming.octets.extend_from_slice(b"\r\n");
            self.coming.literal = literal;
            self.coming.has_literal |= literal.is_some();
            if literal.is_none() {
                let Coming { octets, shown, has_literal, .. } = std::mem::take(&mut self.coming);
                return Ok((shown.unwrap_or_default(), event(&octets, has_literal)));
            }
        }
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
    use crate::config::probe::Family;

    fn any_server() -> Server {
        let (host, ip, tls) = ("127.0.0.1".into(), Family::Any, TlsMode::None);
        Server { host, port: 143, ip, tls, verify: true, server_name: None, ca_file: None, login: None, ehlo: None }
    }

    #[tokio::test]
    async fn a_response_that_is_given_up_in_the_middle_is_not_lost() {
        use tokio::io::AsyncWriteExt;
        let (ours, mut server) = tokio::io::duplex(1_024);
        let mut imap = Imap::on(Connection::new(Box::new(ours), LINE), any_server());
        let whole = b"* 3 FETCH (UID 7 BODY[] {6}\r\n1234\r\n)\r\n* 4 EXISTS\r\n";
        // Cut everywhere: in the line, in the literal, at its end.
        for cut in 1..whole.len() {
            server.write_all(&whole[..cut]).await.unwrap();
            let mut seen = Vec::new();
            while let Ok(response) = timeout(Duration::from_millis(1), imap.response()).await {
                seen.push(response.unwrap().1.unwrap());
            }
            server.write_all(&whole[cut..]).await.unwrap();
            while seen.len() < 2 {
                seen.push(imap.response().await.unwrap().1.unwrap());
            }
            let fetched = Event::Fetch { uid: Some(7), body: Some(b"1234\r\n".to_vec()) };
            assert_eq!(seen, [fetched, Event::Exists], "cut at {cut}");
        }
    }
}
