//! Destinations through the engine: what a line moves, who gets a row, and that nothing is lost or counted twice.

use super::*;
use crate::collect::log::engine::{Engine, Options, Ranks, Settings, Source};
use proptest::prelude::*;

fn engine(rows: usize, watched: &[&str], queue_ids: usize) -> Engine {
    let watched = watched.iter().map(|name| (*name).to_owned()).collect();
    let ranks = Ranks { destinations: rows, watched, aliases: Arc::new(Aliases::new(&[])), ..Ranks::default() };
    let mut engine = Engine::new(Options { ranks, queue_ids, ..Options::default() });
    let syslog_name = "postfix".to_owned();
    engine.add(Settings { name: "postfix".into(), index: 1, syslog_name, ..Settings::default() }, Default::default());
    engine.now = 1_700_000_040;
    engine
}

fn read(engine: &mut Engine, lines: &[&str]) {
    let text: String = lines.iter().map(|line| format!("Nov 22 01:17:30 vm postfix/{line}\n")).collect();
    engine.chunk(&mut Source::default(), text.as_bytes());
}

fn rows(engine: &Engine) -> Vec<(u32, String, Destination)> {
    engine.instances[0].state.destinations.rows(usize::MAX, engine.now, false)
}

fn row(engine: &Engine, name: &str) -> Destination {
    let found = rows(engine).into_iter().find(|(_, n, _)| n == name);
    found.unwrap_or_else(|| panic!("{name}: {:?}", rows(engine))).2
}

const MX: &str = "mx1.example.com[192.0.2.1]:25";

fn sent(id: &str, relay: &str) -> String {
    format!("smtp[7]: {id}: to=<a@b>, relay={relay}, delay=1.5, delays=0.5/0/0/1, dsn=2.0.0, status=sent (250 ok)")
}

fn deferred(id: &str, relay: &str, dsn: &str, reason: &str) -> String {
    format!("smtp[7]: {id}: to=<a@b>, relay={relay}, delay=1, delays=0/0/0/1, dsn={dsn}, status=deferred ({reason})")
}

#[test]
fn each_delivery_moves_its_row() {
    let mut engine = engine(50, &["gmail.com", "local"], 100);
    let refused = "host mx2.example.com[192.0.2.2] refused to talk to me: 421 4.7.0 <x@example.com> try later";
    let suspended = format!("delivery temporarily suspended: {refused}");
    read(
        &mut engine,
        &[
            "qmgr[2]: 0F5383D: from=<a@b>, size=9, nrcpt=9 (queue active)",
            &sent("0F5383D", MX),
            &sent("0F5383D", "alt1.gmail-smtp-in.l.google.com[192.0.2.9]:25"),
            &deferred("0F5383D", "mx2.example.com[192.0.2.2]:25", "4.7.0", refused),
            &deferred("0F5383D", "none", "4.7.0", &suspended).replace("smtp[", "error["),
            "smtp[7]: connect to mx1.example.com[192.0.2.1]:25: Connection refused",
            "smtp[7]: 0F5383D: host mx1.example.com[192.0.2.1] refused to talk to me: 421 x",
            &deferred("0F5383D", "none", "4.4.1", "connect to mx1.example.com[192.0.2.1]:25: Connection refused"),
            &deferred(
                "0F5383D",
                "none",
                "4.4.3",
                "Host or domain name not found. Name service error for name=x type=MX: x",
            ),
            "local[8]: 0F5383D: to=<a@b>, relay=local, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to mailbox)",
            "pipe[8]: 0F5383D: to=<a@b>, relay=dovecot, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (no bob@example.com)",
            "lmtp[8]: 0F5383D: to=<a@b>, relay=mx.local.test[private/lmtp], delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)",
            "relay/smtp[8]: 0F5383D: to=<a@b>, relay=none, delay=1, delays=0/0/0/1, dsn=5.4.4, status=bounced (x)",
            // No mail, and no delivery.
            "smtp[7]: 0F5383D: to=<a@b>, relay=mx.probe.example[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=deliverable (250 ok)",
            "discard[7]: 0F5383D: to=<a@b>, relay=none, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (x)",
        ],
    );
    let example = row(&engine, "example.com");
    let counts = Counts {
        sent: 1,
        deferrals: 3,
        suspended: 1,
        connect_failures: 2,
        delay: 1_500,
        delay_count: 0,
        ..Counts::default()
    };
    // The activation is not a message's first, as nobody announced it.
    assert_eq!(example.counts, Counts { delay: 0, ..counts });
    assert_eq!(example.last_reason, "connect to mx1.example.com[192.0.2.1]:25: Connection refused");
    let named: Vec<(u32, String, [u64; 3])> = rows(&engine)
        .into_iter()
        .map(|(index, name, row)| (index, name, [row.counts.sent, row.counts.deferrals, row.counts.bounced]))
        .collect();
    let row = |index, name: &str, counts| (index, name.to_owned(), counts);
    assert_eq!(
        named,
        [
            row(1, "(other)", [0, 0, 0]),
            row(2, "google.com", [1, 0, 0]),
            row(3, "local", [1, 0, 0]),
            row(4, "example.com", [1, 3, 0]),
            row(5, "smtp", [0, 1, 0]),
            row(6, "dovecot", [0, 0, 1]),
            row(7, "lmtp", [1, 0, 0]),
            row(8, "relay", [0, 0, 1]),
        ]
    );
}

#[test]
fn reasons_are_short_and_name_nobody() {
    for (reason, shown) in [
        (
            "host mx.x[192.0.2.1] said: 550 5.1.1 <bob@x.example>: User unknown (in reply to RCPT TO command)",
            "550 5.1.1 <>: User unknown (in reply to RCPT TO command)",
        ),
        (
            "delivery temporarily suspended: host mx.x[2001:db8::1] refused to talk to me: 421-4.7.28 unusual rate",
            "421-4.7.28 unusual rate",
        ),
        ("unknown user: \"bob@x.example\"", "unknown user: <>\""),
        (
            "lost connection with mx.x[192.0.2.1] while sending RCPT TO",
            "lost connection with mx.x[192.0.2.1] while sending RCPT TO",
        ),
        ("", ""),
    ] {
        assert_eq!(words(reason.as_bytes()), shown);
    }
    let long = words("ä".repeat(500).as_bytes());
    assert_eq!(long.len(), REASON);
    assert_eq!(words(&b"\xff\xfe".repeat(500)).len(), 126);
}

/// Encrypted is what a process sends to the server it has a session with, for the one message the session is for.
#[test]
fn tls_is_told_by_process_server_and_message() {
    let mut engine = engine(50, &[], 100);
    let session = format!("smtp[7]: Trusted TLS connection established to {MX}: TLSv1.3 with cipher x (256/256 bits)");
    read(
        &mut engine,
        &[&sent("AAAAAAA", MX), &session, &sent("BBBBBBB", MX), &sent("BBBBBBB", MX), &sent("CCCCCCC", MX)],
    );
    let counts = row(&engine, "example.com").counts;
    assert_eq!((counts.sent, counts.tls_deliveries), (4, 2), "the last came without a session");
    read(
        &mut engine,
        &[
            &session.replace("established", "reused"),
            &sent("DDDDDDD", "mx2.example.com[192.0.2.2]:25"),
            &sent("DDDDDDD", MX).replace("smtp[7]", "smtp[8]"),
            &sent("DDDDDDD", MX),
        ],
    );
    let counts = row(&engine, "example.com").counts;
    assert_eq!((counts.sent, counts.tls_deliveries), (7, 3), "another server, another process");
}

/// Whoever forges senders chooses where notices go: that makes no row, no words and no silence.
#[test]
fn backscatter_makes_no_row() {
    let mut engine = engine(50, &[], 1_000);
    read(&mut engine, &[&sent("AAAAAAA", MX)]);
    for n in 0..300 {
        let id = format!("B{n:06X}");
        read(
            &mut engine,
            &[
                &format!("qmgr[2]: {id}: from=<>, size=9, nrcpt=1 (queue active)"),
                &deferred(
                    &id,
                    &format!("mx.flood{n}.example[192.0.2.7]:25"),
                    "4.7.1",
                    "host x[192.0.2.7] said: 450 buy",
                ),
                &deferred(&id, MX, "4.7.1", "host x[192.0.2.1] said: 450 buy"),
            ],
        );
    }
    assert_eq!(rows(&engine).len(), 2, "{:?}", rows(&engine));
    let (other, example) = (row(&engine, "(other)"), row(&engine, "example.com"));
    assert_eq!((other.counts.deferrals, example.counts.deferrals), (300, 300));
    assert_eq!((other.last_reason, example.last_reason), (String::new(), String::new()));
    assert_eq!(example.silence, Silence { took: engine.now, ..Silence::default() });
}

/// Ten deliveries, then nothing but deferrals of three messages: after a quarter of an hour it is said, and ends with the first
/// that is taken.
#[test]
fn a_destination_that_falls_silent() {
    let mut engine = engine(50, &[], 1_000);
    let begun = engine.now;
    let silent = |engine: &Engine| engine.instances[0].state.destinations.silent(900, engine.now).count();
    (0..10).for_each(|_| read(&mut engine, &[&sent("AAAAAAA", MX)]));
    let refused = "host mx1.example.com[192.0.2.1] said: 451 4.3.0 x";
    for minute in 0..15 {
        engine.now = begun + minute * 60;
        let id = ["AAAAAAA", "BBBBBBB", "CCCCCCC"][usize::try_from(minute % 3).unwrap()];
        assert_eq!(silent(&engine), 0, "{minute}");
        read(&mut engine, &[&deferred(id, MX, "4.3.0", refused)]);
    }
    engine.now = begun + 900;
    assert_eq!(silent(&engine), 1);
    // Saved and loaded it still is.
    let text = serde_json::to_string(&engine.instances[0].state).unwrap();
    let mut state: crate::collect::log::counters::State = serde_json::from_str(&text).unwrap();
    state.arrange(&Ranks { destinations: 50, aliases: Arc::new(Aliases::new(&[])), ..Ranks::default() });
    engine.instances[0].state = state;
    assert_eq!(silent(&engine), 1);
    engine.now += 7_201;
    assert_eq!(silent(&engine), 0, "nothing is tried any more");
    read(&mut engine, &[&deferred("AAAAAAA", MX, "4.3.0", refused)]);
    assert_eq!(silent(&engine), 1);
    read(&mut engine, &[&sent("AAAAAAA", MX)]);
    assert_eq!(silent(&engine), 0);
    // A full mailbox, and two messages only, are no silence.
    for minute in 0..60 {
        engine.now += 60;
        let id = if minute % 2 == 0 { "AAAAAAA" } else { "BBBBBBB" };
        read(&mut engine, &[&deferred("CCCCCCC", MX, "4.2.2", "over quota"), &deferred(id, MX, "4.3.0", refused)]);
    }
    assert_eq!(silent(&engine), 0);
}

/// Each condition decides alone: with one less, a day later or one message for another, nothing is told.
#[test]
fn less_than_all_of_it_is_no_silence() {
    let told = |taken: usize, pause: i64, ids: &[&str]| {
        let mut engine = engine(50, &[], 1_000);
        (0..taken).for_each(|_| read(&mut engine, &[&sent("AAAAAAA", MX)]));
        engine.now += pause;
        for id in ids {
            read(&mut engine, &[&deferred(id, MX, "4.3.0", "host mx1.example.com[192.0.2.1] said: 451 4.3.0 x")]);
        }
        engine.now += 900;
        engine.instances[0].state.destinations.silent(900, engine.now).count()
    };
    let (a, b, c) = ("AAAAAAA", "BBBBBBB", "CCCCCCC");
    assert_eq!(told(10, 86_400, &[a, b, c, a, b]), 1);
    assert_eq!(told(9, 86_400, &[a, b, c, a, b]), 0, "it took nine");
    assert_eq!(told(0, 0, &[a, b, c, a, b]), 0, "it never took any");
    assert_eq!(told(10, 86_401, &[a, b, c, a, b]), 0, "it took something more than a day ago");
    assert_eq!(told(10, 86_400, &[a, b, c, a]), 0, "four deferrals");
    assert_eq!(told(10, 86_400, &[a, b, a, b, a]), 0, "two messages");
}

/// One line of a random log.
fn line(kind: usize, host: usize, id: usize) -> String {
    let (id, relay) =
        (format!("{:07X}", 0xA00_0000 + id), format!("mx{}.d{host}.example[192.0.2.{host}]:25", host % 2));
    let reason = format!("connect to mx0.d{host}.example[192.0.2.{host}]:25: Connection refused");
    match kind {
        0..4 => sent(&id, &relay),
        4 => deferred(&id, &relay, "4.7.1", "host x[192.0.2.1] said: 450 x"),
        5 => deferred(&id, "none", "4.4.1", &reason),
        6 => deferred(&id, "none", "4.4.1", &format!("delivery temporarily suspended: {reason}"))
            .replace("smtp[7]", "error[9]"),
        7 => deferred(&id, &relay, "5.1.1", "x").replace("status=deferred", "status=bounced"),
        8 => format!("smtp[7]: {reason}"),
        9 => format!("smtp[7]: {id}: host mx1.d{host}.example[192.0.2.1] refused to talk to me: 421 x"),
        10 => sent(&id, "none").replace("smtp[7]", "local[9]").replace("relay=none", "relay=local"),
        11 => deferred(&id, &relay, "4.7.1", "x").replace("status=deferred", "status=SOFTBOUNCE"),
        12 => sent(&id, &relay).replace("(250 ok)", "(forwarded as 0F5383D)"),
        13 => sent(&id, &relay).replace("status=sent", "status=strange"),
        14 => format!("smtp[7]: Trusted TLS connection established to {relay}: TLSv1.3 with cipher x (256/256 bits)"),
        15 => format!("qmgr[2]: {id}: from=<>, size=9, nrcpt=1 (queue active)"),
        16 => format!("qmgr[2]: {id}: removed"),
        _ => format!(
            "smtpd[3]: {id}: client=mx.example[192.0.2.1]\nNov 22 01:17:30 vm postfix/qmgr[2]: {id}: from=<a@b>, size=9, nrcpt=2 (queue active)"
        ),
    }
}

/// The totals that the table refines.
fn totals(engine: &Engine) -> [u64; 5] {
    let state = &engine.instances[0].state;
    let mail = &state.mail;
    let failures = state.transports.iter().map(|(.., transport)| transport.connect_failures).sum();
    [mail.sent, mail.deferrals, mail.suspended, mail.bounced, failures]
}

fn columns(counts: &Counts) -> [u64; 5] {
    [counts.sent, counts.deferrals, counts.suspended, counts.bounced, counts.connect_failures]
}

fn sum(rows: &[(u32, String, Destination)]) -> [u64; 5] {
    rows.iter().fold([0; 5], |sum, (.., row)| std::array::from_fn(|n| sum[n] + columns(&row.counts)[n]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// On any log: a row never goes back, `(other)` included; what any step adds to the totals it adds to the rows that are
    /// shown; while no row has left they sum up to the totals; read as a whole they always do, however few are shown; and
    /// a restart at any point changes nothing.
    #[test]
    fn the_rows_are_the_totals(
        lines in proptest::collection::vec((0_usize..18, 0_usize..12, 0_usize..20, 0_i64..200), 1..200),
        places in 1_usize..8, restart in 0_usize..200,
    ) {
        let mut engine = engine(places, &["d11.example"], 1_000);
        let mut had: FxHashMap<u32, (String, [u64; 5])> = FxHashMap::default();
        let mut shown: Vec<u32> = Vec::new();
        let mut left = false;
        for (n, (kind, host, id, seconds)) in lines.into_iter().enumerate() {
            engine.now += seconds;
            let before = (totals(&engine), rows(&engine));
            read(&mut engine, &[&line(kind, host, id)]);
            if n == restart {
                let text = serde_json::to_string(&engine.instances[0].state).unwrap();
                let ids = engine.instances[0].state.ids.clone();
                let ranks = Ranks { destinations: places, watched: vec!["d11.example".into()], aliases: Arc::new(Aliases::new(&[])), ..Ranks::default() };
                let mut state: crate::collect::log::counters::State = serde_json::from_str(&text).unwrap();
                state.ids = ids;
                state.arrange(&ranks);
                engine.instances[0].state = state;
            }
            let (now, after) = (totals(&engine), rows(&engine));
            prop_assert!(after.len() <= places + 2);
            let of = |rows: &[(u32, String, Destination)], index| {
                rows.iter().find(|(i, ..)| *i == index).map_or([0; 5], |(.., row)| columns(&row.counts))
            };
            // What this line added, row by row, among those that are shown now: a row that is shown again had what it had.
            let mut added = [0; 5];
            for (index, name, row) in &after {
                let counts = columns(&row.counts);
                let known = had.entry(*index).or_insert_with(|| (name.clone(), [0; 5]));
                prop_assert_eq!(&known.0, name, "an index is one name's");
                for column in 0..5 {
                    prop_assert!(counts[column] >= known.1[column], "{} goes back", name);
                    added[column] += counts[column] - known.1[column];
                }
                known.1 = counts;
            }
            let _ = of(&before.1, OTHER);
            for column in 0..5 {
                prop_assert_eq!(added[column], now[column] - before.0[column]);
            }
            let indices: Vec<u32> = after.iter().map(|(index, ..)| *index).collect();
            left |= shown.iter().any(|index| !indices.contains(index));
            shown = indices;
            if !left {
                prop_assert_eq!(sum(&after), now);
            }
            let destinations = &engine.instances[0].state.destinations;
            prop_assert_eq!(sum(&destinations.rows(places.min(2), engine.now, true)), now);
            prop_assert_eq!(columns(&destinations.all()), now);
            let delays = destinations.all();
            prop_assert!(delays.tls_deliveries <= delays.sent && delays.delay_count <= delays.sent);
        }
    }
}
