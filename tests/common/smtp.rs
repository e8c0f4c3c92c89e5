//! A plain SMTP dialogue: what a mail client says, and every answer with its code.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What the server answered, all lines of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Reply {
    pub fn accepted(&self) -> bool {
        self.code < 400
    }
}

/// One connection, greeted and ready for MAIL.
#[derive(Debug)]
pub struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    pub fn connect(port: u16) -> Self {
        let (mut smtp, banner) = Self::connect_silent(port);
        assert!(banner.code == 220, "banner {banner:?}");
        let greeted = smtp.command("EHLO client.test");
        assert!(greeted.code == 250, "EHLO {greeted:?}");
        smtp
    }

    /// Connects and reads the banner, without greeting.
    pub fn connect_silent(port: u16) -> (Self, Reply) {
        let stream =
            TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("SMTP port {port}: {error}"));
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut smtp = Self { stream: BufReader::new(stream) };
        let banner = smtp.reply();
        (smtp, banner)
    }

    /// Sends a line and reads the reply.
    pub fn command(&mut self, line: &str) -> Reply {
        self.send(&format!("{line}\r\n"));
        self.reply()
    }

    /// One message to several recipients, as far as the server lets it get: the first refusal, or the reply to the message itself.
    ///
    /// `head` is more header lines, each ended by a line feed. A refused dialogue is reset, so that the connection serves the next message too.
    pub fn mail(&mut self, from: &str, recipients: &[&str], head: &str) -> Reply {
        let mut reply = self.command(&format!("MAIL FROM:<{from}>"));
        for recipient in recipients {
            if reply.accepted() {
                reply = self.command(&format!("RCPT TO:<{recipient}>"));
            }
        }
        if reply.accepted() {
            reply = self.command("DATA");
        }
        if reply.code == 354 {
            let head = head.replace('\n', "\r\n");
            self.send(&format!(
                "From: <{from}>\r\nTo: <{}>\r\nSubject: test\r\n{head}\r\nHello.\r\n.\r\n",
                recipients.first().copied().unwrap_or_default()
            ));
            return self.reply();
        }
        self.command("RSET");
        reply
    }

    pub fn quit(mut self) {
        self.command("QUIT");
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("SMTP connection");
    }

    fn reply(&mut self) -> Reply {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).expect("SMTP reply");
            assert!(read > 3, "connection closed in a reply; so far: {text}{line}");
            text.push_str(&line);
            if line.as_bytes()[3] != b'-' {
                let code = line[..3].parse().unwrap_or_else(|_| panic!("not a reply: {line}"));
                return Reply { code, text: text.trim_end().to_owned() };
            }
        }
    }
}
