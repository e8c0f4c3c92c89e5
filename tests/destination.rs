//! The promise: each delivery of a real Postfix moves the row of where it went, the rows are what postfixMailTable counts, and
//! a destination that falls silent is named until it takes mail again.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

const TAKES: u8 = 0;
/// 421 instead of a greeting.
const BUSY: u8 = 1;
/// 450 for each recipient.
const LATER: u8 = 2;
/// 550 for each recipient.
const UNKNOWN: u8 = 3;

/// A mail server on an address of its own that does what it is told. Its threads end with the test's process.
struct Server {
    address: SocketAddr,
    mood: Arc<AtomicU8>,
}

impl Server {
    fn start(address: &str, mood: u8) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("an address of the loopback network");
        let address = listener.local_addr().expect("its port");
        let mood = Arc::new(AtomicU8::new(mood));
        let now = mood.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mood = now.clone();
                thread::spawn(move || drop(serve(stream, &mood)));
            }
        });
        Self { address, mood }
    }

    fn becomes(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    /// `[address]:port`, or `[name]:port`.
    fn hop(&self, name: Option<&str>) -> String {
        let address = self.address.ip().to_string();
        format!("[{}]:{}", name.unwrap_or(&address), self.address.port())
    }
}

fn serve(stream: TcpStream, mood: &AtomicU8) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    if mood.load(Ordering::SeqCst) == BUSY {
        return stream.write_all(b"421 4.7.0 busy <user@a.test> come back\r\n");
    }
    stream.write_all(b"220 mx.test ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer =
            match (line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str(), mood.load(Ordering::SeqCst)) {
                ("RCPT", LATER) => "450 4.7.1 not now",
                ("RCPT", UNKNOWN) => "550 5.1.1 <user@c.test>: no such user",
                ("DATA", _) => {
                    stream.write_all(b"354 go on\r\n")?;
                    while line.trim_end() != "." {
                        line.clear();
                        if reader.read_line(&mut line)? == 0 {
                            return Ok(());
                        }
                    }
                    "250 2.0.0 taken"
                }
                ("QUIT", _) => return stream.write_all(b"221 bye\r\n"),
                _ => "250 mx.test",
            };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
}

/// Sends one mail each, and waits until the log has so many more lines of it.
#[track_caller]
fn send(postfix: &TestPostfix, recipient: &str, mails: usize) {
    let line = format!("to=<{recipient}>, relay=");
    let before = postfix.log_count(&line);
    let mut smtp = postfix.smtp();
    for _ in 0..mails {
        let reply = smtp.mail(Fate::Delivered.sender(), &[recipient], "");
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    smtp.quit();
    postfix.wait_log_count(&line, before + mails);
}

const COLUMNS: [&str; 5] = ["Sent", "Deferrals", "Suspended", "Bounced", "ConnectFailures"];

/// The rows by name: index, and the counters of [`COLUMNS`].
fn rows(snmpd: &TestSnmpd) -> BTreeMap<String, (u32, [i64; 5])> {
    let name = oid("postfixDestinationName", &[1]);
    let mut found = BTreeMap::new();
    for (at, value) in snmpd.walk(&name).expect("a walk") {
        let index: u32 = at.rsplit('.').next().and_then(|n| n.parse().ok()).expect("an index");
        let counters = COLUMNS.map(|column| {
            let value = snmpd.get(&oid(&format!("postfixDestination{column}"), &[1, index])).expect("an answer");
            value.number().unwrap_or_else(|| panic!("{column}.{index}: {value:?}"))
        });
        found.insert(value.text().expect("a name"), (index, counters));
    }
    found
}

fn text(snmpd: &TestSnmpd, object: &str, index: &[u32]) -> String {
    let value = snmpd.get(&oid(object, index)).expect("an answer");
    value.text().unwrap_or_else(|| panic!("{object}: {value:?}"))
}

#[test]
fn where_mail_goes_and_who_falls_silent() {
    let (a, b) = (Server::start("127.0.0.2", TAKES), Server::start("127.0.0.3", LATER));
    let c = Server::start("127.0.0.1", UNKNOWN);
    let postfix = TestPostfix::builder()
        .main("relay_domains = a.test b.test c.test")
        .main(&format!(
            "transport_maps = inline:{{ a.test=smtp:{}, b.test=smtp:{}, c.test=relay:{} }}",
            a.hop(None),
            b.hop(None),
            c.hop(Some("localhost"))
        ))
        .start();
    let snmpd = TestSnmpd::start();
    let mut agent = TestAgent::with_config(|state| {
        TestAgent::yaml(&format!("unix:{}", snmpd.socket().display()), state, &[&postfix])
            + "log:\n  from: start\n  clients: 3\n  watch: { destinations: [mx.gmail.com], users: [alice], deferred_for: 2s }\n"
    });
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    let sums = |rows: &BTreeMap<String, (u32, [i64; 5])>| {
        rows.values().fold([0; 5], |sum, (_, row)| std::array::from_fn(|n| sum[n] + row[n]))
    };
    let totals = || {
        ["Sent", "Deferrals", "Suspended", "Bounced"]
            .map(|object| snmpd.get(&oid(&format!("postfixMail{object}"), &[1])).ok().and_then(|v| v.number()))
    };
    // What stands in the log is served within a second or two.
    let wait_row = |name: &str, counters: [i64; 5]| {
        wait_for(&format!("{name} {counters:?}"), PATIENCE, || {
            let rows = rows(&snmpd);
            (rows.get(name)?.1 == counters).then(|| rows[name].0)
        })
    };

    send(&postfix, "user@a.test", 12);
    send(&postfix, "user@b.test", 1);
    send(&postfix, "user@c.test", 2);
    postfix.send(Fate::Rejected, 2);
    let index = wait_row("postfix 127.0.0.2", [12, 0, 0, 0, 0]);
    wait_row("postfix 127.0.0.3", [0, 1, 0, 0, 0]);
    let refused = wait_row("postfix localhost", [0, 0, 0, 2, 0]);
    // Notices to the sender.
    wait_row("postfix virtual", [2, 0, 0, 0, 0]);
    assert_eq!(wait_row("postfix google.com", [0; 5]), 2, "watched, and there from the beginning");
    let reason = text(&snmpd, "postfixDestinationLastReason", &[1, refused]);
    assert_eq!(reason, "550 5.1.1 <>: no such user (in reply to RCPT TO command)");
    assert!(snmpd.get(&oid("postfixDestinationLastReasonAge", &[1, refused])).unwrap().number().unwrap() < 60);
    // TLS is not logged here, so that nobody knows.
    assert!(snmpd.get(&oid("postfixDestinationTlsDeliveries", &[1, index])).unwrap().is_exception());
    assert_eq!(snmpd.get(&oid("postfixDestinationDelayCount", &[1, index])).unwrap().number(), Some(12));
    let client = snmpd.walk(&oid("postfixClientName", &[1])).unwrap();
    assert!(client.iter().any(|(_, name)| name.text().as_deref() == Some("postfix 127.0.0.1")), "{client:?}");
    let users = snmpd.walk(&oid("postfixSenderName", &[1])).unwrap();
    assert!(users.iter().any(|(_, name)| name.text().as_deref() == Some("postfix alice")), "{users:?}");

    // It took twelve; now it greets nobody.
    a.becomes(BUSY);
    send(&postfix, "user@a.test", 6);
    let named = wait_for("health names it", PATIENCE, || {
        let text = text(&snmpd, "postfixHealthText", &[0]);
        text.contains("destination 127.0.0.2 took mail before").then_some(text)
    });
    assert!(
        named.contains("for 2 s has put off all of it") && named.contains(&format!("Reason.1.{index} ")),
        "{named}"
    );
    assert_eq!(snmpd.get(&oid("postfixHealth", &[0])), Ok(Value::Integer(2)));
    assert_eq!(text(&snmpd, "postfixDestinationLastReason", &[1, index]), "421 4.7.0 busy <> come back");
    let (_, [sent, deferrals, suspended, ..]) = rows(&snmpd)["postfix 127.0.0.2"];
    assert!(sent == 12 && deferrals >= 6 && suspended < deferrals, "{deferrals} {suspended}");
    assert_eq!(suspended, i64::try_from(postfix.log_count("delivery temporarily suspended: host 127.0.0.2[")).unwrap());

    // A kill -9 forgets nothing of it.
    agent.kill9();
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    a.becomes(TAKES);
    postfix.postqueue(&["-f"]).success();
    wait_for("health without it", PATIENCE, || {
        (!text(&snmpd, "postfixHealthText", &[0]).contains("127.0.0.2")).then_some(())
    });
    wait_for("all of it sent", PATIENCE, || (rows(&snmpd).get("postfix 127.0.0.2")?.1[0] == 18).then_some(()));
    assert_eq!(rows(&snmpd)["postfix 127.0.0.2"].0, index, "the row keeps its number");

    // The rows are the totals, whatever moved meanwhile.
    wait_for("rows that add up to the totals", PATIENCE, || {
        let before = totals();
        let [sent, deferrals, suspended, bounced, _] = sums(&rows(&snmpd));
        (before == [sent, deferrals, suspended, bounced].map(Some) && totals() == before).then_some(())
    });
}
