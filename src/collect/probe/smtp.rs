//! SMTP (RFC 5321) as a client, one command at a time so that every stage can be timed, which no crate allows: lettre and
//! async-smtp open a connection in one call. Pipelining is not used for the same reason.
//!
//! A reply is bounded in lines and octets. STARTTLS (RFC 3207) throws away what was learned before; octets that came early
//! fail the probe. AUTH (RFC 4954) knows PLAIN and LOGIN.

use super::{
    connection::Connection,
    fault::{Fault, words},
    run::Run,
    secret::{self, Secret},
    stage::{SERVER, Stage},
    tls::Seen,
};
use crate::config::probe::{Login, Server, TlsMode};
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// RFC 5321 §4.5.3.1.5 allows 512 octets; some servers write more.
pub(super) const LINE: usize = 4_096;
/// How long the answer to a farewell is waited for.
pub(super) const LEAVE: Duration = Duration::from_secs(2);
/// A reply of more lines is no reply.
const LINES: usize = 100;

/// A server's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The texts of its lines.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// The class of success: 2yz, or 3yz for more.
    fn is(&self, class: u16) -> bool {
        self.code / 100 == class
    }

    /// Code and last text, for people.
    pub fn words(&self) -> String {
        words(format!("{} {}", self.code, String::from_utf8_lossy(self.lines.last().map_or(&[], |l| l))).as_bytes())
    }
}

/// One line of a reply (RFC 5321 §4.2): its code, whether it is the last, its text.
pub fn reply_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    if !(200..=599).contains(&code) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// A connection that has said EHLO.
pub struct Smtp {
    connection: Connection,
    server: Server,
    /// Keywords of the EHLO reply, in upper case, with their parameters.
    extensions: Vec<String>,
    /// What the server presented, where there is TLS.
    pub seen: Option<Seen>,
    hidden: Option<(String, Secret)>,
}

impl Smtp {
    /// Everything up to the login, where the configuration has one.
    pub async fn open(run: &mut Run, server: &Server, banner: u16) -> Result<Self, Fault> {
        let connection = Connection::open(run, server, SERVER, LINE).await?;
        Self::over(run, server, connection, banner).await
    }

    /// The same on a connection that is there.
    pub async fn over(run: &mut Run, server: &Server, connection: Connection, banner: u16) -> Result<Self, Fault> {
        let (mut connection, mut seen) = (connection, None);
        if server.tls == TlsMode::Implicit {
            run.trace.begin(SERVER.tls);
            let (over, what) = connection.start_tls(run, server).await?;
            (connection, seen) = (over, Some(what));
        }
        let mut smtp = Self { connection, server: server.clone(), extensions: Vec::new(), seen, hidden: None };
        run.trace.begin(SERVER.banner);
        let greeting = smtp.reply(run).await?;
        if greeting.code != banner {
            return Err(Fault::Unexpected { command: "the connection", reply: greeting.words(), expected: banner });
        }
        if !greeting.is(2) {
            // A refusal that was expected: there is nothing more to say.
            return Ok(smtp);
        }
        run.trace.begin(SERVER.hello);
        smtp.ehlo(run).await?;
        if server.tls == TlsMode::Starttls {
            smtp = smtp.starttls(run).await?;
        }
        if let Some(login) = server.login.clone() {
            run.trace.begin(SERVER.auth);
            smtp.login(run, &login).await?;
        }
        Ok(smtp)
    }

    async fn ehlo(&mut self, run: &mut Run) -> Result<(), Fault> {
        let name = match (&self.server.ehlo, self.connection.local()) {
            (Some(name), _) => name.clone(),
            (None, _) if run.environment.hostname.contains('.') => run.environment.hostname.clone(),
            // RFC 5321 §4.1.3: who has no name gives the address.
            (None, Some(std::net::IpAddr::V6(address))) => format!("[IPv6:{address}]"),
            (None, Some(std::net::IpAddr::V4(address))) => format!("[{address}]"),
            (None, None) => "[127.0.0.1]".into(),
        };
        let mut reply = self.ask(run, format!("EHLO {name}\r\n").as_bytes()).await?;
        if reply.is(5) && self.server.tls != TlsMode::Starttls && self.server.login.is_none() {
            reply = self.ask(run, format!("HELO {name}\r\n").as_bytes()).await?;
        }
        if !reply.is(2) {
            return Err(Fault::Refused { command: "EHLO", reply: reply.words() });
        }
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).trim().to_ascii_uppercase();
        self.extensions = reply.lines.iter().skip(1).map(text).collect();
        Ok(())
    }

    async fn starttls(mut self, run: &mut Run) -> Result<Self, Fault> {
        run.trace.begin(SERVER.tls);
        if !self.extensions.iter().any(|e| e == "STARTTLS") {
            return Err(Fault::NoStarttls("STARTTLS"));
        }
        let reply = self.ask(run, b"STARTTLS\r\n").await?;
        if reply.code != 220 {
            return Err(Fault::Refused { command: "STARTTLS", reply: reply.words() });
        }
        let (connection, seen) = self.connection.start_tls(run, &self.server).await?;
        let mut secure =
            Self { connection, server: self.server, extensions: Vec::new(), seen: Some(seen), hidden: None };
        run.trace.begin(SERVER.hello);
        secure.ehlo(run).await?;
        Ok(secure)
    }

    async fn login(&mut self, run: &mut Run, login: &Login) -> Result<(), Fault> {
        let secret = run.secret(login).await?;
        let offered: Vec<&str> = self
            .extensions
            .iter()
            // `AUTH=` is how Microsoft's servers of old wrote it, and what Postfix says to them (broken_sasl_auth_clients).
            .filter_map(|e| e.strip_prefix("AUTH ").or_else(|| e.strip_prefix("AUTH=")))
            .flat_map(str::split_ascii_whitespace)
            .collect();
        let (plain, by_login) = (offered.contains(&"PLAIN"), offered.contains(&"LOGIN"));
        let offer = if offered.is_empty() { "none".into() } else { words(offered.join(" ").as_bytes()) };
        let plain_octets = secret::base64(&secret::plain(&login.user, &secret));
        let password = secret::base64(secret.octets());
        self.hidden = Some((login.user.clone(), secret));
        let reply = if plain {
            self.ask(run, &command(b"AUTH PLAIN ", &plain_octets)).await?
        } else if by_login {
            let mut reply = self.ask(run, b"AUTH LOGIN\r\n").await?;
            for answer in [&*secret::base64(login.user.as_bytes()), &*password] {
                if reply.code != 334 {
                    break;
                }
                reply = self.ask(run, &command(b"", answer)).await?;
            }
            reply
        } else {
            return Err(Fault::NoMechanism(offer));
        };
        if reply.code != 235 {
            return Err(Fault::Refused { command: "AUTH", reply: reply.words() });
        }
        Ok(())
    }

    /// MAIL FROM and RCPT TO; the reply to the latter.
    pub async fn recipient(&mut self, run: &mut Run, from: &str, to: &str) -> Result<Reply, Fault> {
        run.trace.begin(Stage::Recipient);
        let reply = self.ask(run, format!("MAIL FROM:<{from}>\r\n").as_bytes()).await?;
        if !reply.is(2) {
            return Err(Fault::Refused { command: "MAIL FROM", reply: reply.words() });
        }
        self.ask(run, format!("RCPT TO:<{to}>\r\n").as_bytes()).await
    }

    /// A message; the reply to its end. The `mail.sent` of the run is set before that end is sent: from then on it may be on its way.
    pub async fn message(&mut self, run: &mut Run, message: &[u8]) -> Result<Reply, Fault> {
        run.trace.begin(Stage::Submit);
        let reply = self.ask(run, b"DATA\r\n").await?;
        if reply.code != 354 {
            return Err(Fault::Refused { command: "DATA", reply: reply.words() });
        }
        self.connection.send(&stuffed(message)).await?;
        run.mail.sent = true;
        let reply = self.ask(run, b".\r\n").await?;
        if !reply.is(2) {
            // Refused in so many words: it is not on its way.
            run.mail.sent = false;
            return Err(Fault::Refused { command: "the message", reply: reply.words() });
        }
        Ok(reply)
    }

    /// Leaves. A server that does not answer this has done its work all the same, so it is not waited for long, and its
    /// answers are not the reply code that is shown.
    pub async fn quit(mut self, run: &mut Run, transaction: bool) {
        run.trace.begin(Stage::Quit);
        let code = run.reply_code;
        let leave = async {
            let reset = !transaction || self.ask(run, b"RSET\r\n").await.is_ok();
            reset && self.ask(run, b"QUIT\r\n").await.is_ok_and(|reply| reply.is(2))
        };
        let passed = timeout(LEAVE, leave).await.unwrap_or(false);
        run.reply_code = code;
        run.trace.end(passed);
    }

    async fn ask(&mut self, run: &mut Run, command: &[u8]) -> Result<Reply, Fault> {
        self.connection.send(command).await?;
        self.reply(run).await
    }

    /// A whole reply. Its code is postfixProbeReplyCode until the next one.
    async fn reply(&mut self, run: &mut Run) -> Result<Reply, Fault> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = self.connection.line().await?;
            let Some((code, last, text)) = reply_line(&line) else {
                return Err(Fault::NotTheProtocol(words(&line), "SMTP"));
            };
            if (reply.code != 0 && reply.code != code) || reply.lines.len() >= LINES {
                return Err(Fault::NotTheProtocol(words(&line), "SMTP"));
            }
            reply.code = code;
            let text = match &self.hidden {
                Some((user, secret)) => secret.hide(user, text),
                None => text.to_vec(),
            };
            reply.lines.push(text);
            if last {
                run.reply_code = Some(code);
                // 421 can answer anything (RFC 5321 §3.8).
                return Ok(reply);
            }
        }
    }
}

fn command(verb: &[u8], argument: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(verb.len() + argument.len() + 2));
    line.extend_from_slice(verb);
    line.extend_from_slice(argument);
    line.extend_from_slice(b"\r\n");
    line
}

/// The queue id in a reply of Postfix's (`2.0.0 Ok: queued as 4XYZ`), with what to say before it.
pub fn queued(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(reply.lines.last().map_or(&[], |l| l)).into_owned();
    let id = text.split_once("queued as ").map(|(_, id)| id.split_ascii_whitespace().next().unwrap_or_default());
    match id.filter(|id| !id.is_empty() && id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric())) {
        Some(id) => format!(" as {id}"),
        None => String::new(),
    }
}

/// RFC 5321 §4.5.2, and an end of line at the end.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_the_rfc_says() {
        assert_eq!(reply_line(b"250-PIPELINING"), Some((250, false, &b"PIPELINING"[..])));
        assert_eq!(reply_line(b"250 x"), Some((250, true, &b"x"[..])));
        assert_eq!(reply_line(b"354"), Some((354, true, &b""[..])));
        for wrong in [&b""[..], b"25", b"2500", b"+OK", b"* OK", b"600 x", b"\xb2\xb2\xb2 x", b"199 x"] {
            assert_eq!(reply_line(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_a_line_of_its_own() {
        assert_eq!(stuffed(b".a\r\nb\r\n..\r\n"), b"..a\r\nb\r\n...\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n");
    }

    #[test]
    fn the_queue_id_is_taken_from_postfixs_words_only() {
        let reply = |text: &str| Reply { code: 250, lines: vec![text.into()] };
        assert_eq!(queued(&reply("2.0.0 Ok: queued as 4XYZab1")), " as 4XYZab1");
        assert_eq!(queued(&reply("2.0.0 accepted")), "");
        assert_eq!(queued(&reply("queued as <script>")), "");
    }
}
