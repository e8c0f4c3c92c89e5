//! The promise: how safe the transport is, why mail bounces, with which codes it is refused, how large it is, and what
//! patterns of one's own count, exactly, from real Postfix with TLS and servers that say what such servers say.

use crate::common::{
    PATIENCE, Port, Sandbox, Smtp, TestAgent, TestPostfix, TestSnmpd, Value, capture,
    certificates::{Authority, openssl},
    oid, tool, wait_for,
};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
};

/// What the scripted server says to RCPT TO, by local part.
const REPLIES: [(&str, &str); 6] = [
    ("later", "450 4.2.0 try again"),
    ("full", "452 4.2.2 mailbox full"),
    ("nobody", "550 5.1.1 no such user"),
    ("policy", "550 5.7.1 not from you"),
    ("spf", "550-5.7.26 This mail has been blocked\r\n550 5.7.26 because the sender is unauthenticated"),
    ("\"over quota\"", "550 <over quota@script.test>: no"),
];

/// A server in a thread that answers by script; `banner` is all that those hear who are not greeted with 220.
fn scripted(port: &Port, banner: &'static str) {
    let listener = TcpListener::bind(("127.0.0.1", port.number())).expect("the port");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || drop(dialogue(&client, banner)));
        }
    });
}

fn dialogue(client: &TcpStream, banner: &str) -> std::io::Result<()> {
    let say = |text: &str| (&*client).write_all(format!("{text}\r\n").as_bytes());
    say(banner)?;
    for line in BufReader::new(client).lines() {
        let line = line?;
        let to = |local: &str| line.starts_with(&format!("RCPT TO:<{local}@"));
        match REPLIES.iter().find(|(local, _)| to(local)) {
            Some((_, reply)) => say(reply)?,
            None if line.starts_with("DATA") => say("354 go on")?,
            None if line.starts_with("QUIT") => return say("221 bye"),
            None => say("250 ok")?,
        }
    }
    Ok(())
}

/// One TLS session with smtpd by openssl(1), at this version, perhaps with a certificate.
fn session(port: u16, version: &str, certificate: Option<(&str, &str)>) {
    let mut client = tool("openssl");
    client.args(["s_client", "-quiet", "-starttls", "smtp", "-cipher", "DEFAULT@SECLEVEL=0", version]);
    client.args(["-connect", &format!("127.0.0.1:{port}")]);
    if let Some((certificate, key)) = certificate {
        client.args(["-cert", certificate, "-key", key]);
    }
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("openssl");
    child.stdin.take().expect("its input").write_all(b"QUIT\r\n").expect("written");
    child.wait().expect("its end");
}

/// The columns of a table's rows of instance 1 that are not 0, by descriptor and the rest of the index.
fn numbers(snmpd: &TestSnmpd, descriptors: &[&str]) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for descriptor in descriptors {
        let column = oid(descriptor, &[1]);
        for (name, value) in snmpd.walk(&column).unwrap_or_default() {
            let name = name.trim_start_matches('.');
            let index = name.strip_prefix(&column).unwrap_or_default();
            if let Some(number) = value.number().filter(|number| *number > 0) {
                found.insert(format!("{}{index}", descriptor.trim_start_matches("postfix")), number);
            }
        }
    }
    found
}

#[track_caller]
fn settles(snmpd: &TestSnmpd, descriptors: &[&str], want: &[(&str, i64)]) {
    let want: BTreeMap<String, i64> = want.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let mut last = BTreeMap::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < deadline {
        last = numbers(snmpd, descriptors);
        if last == want {
            return;
        }
    }
    assert_eq!(last, want);
}

#[test]
fn each_table_is_exact() {
    let files = Sandbox::new("insight");
    let authority = Authority::new(&files.path("ca"));
    let certificate = authority.issue("remote.test", "rsa", "DNS:remote.test,DNS:mx.local.test", 0, 90);
    openssl(
        files.dir(),
        &"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.pem -days 9 -subj /CN=own"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let text = |path: &std::path::Path| path.display().to_string();
    let (own, own_key) = (text(&files.path("own.pem")), text(&files.path("own.key")));
    let (issued, issued_key) = (text(&certificate.certificate), text(&certificate.key));
    let ca = text(&authority.file());

    // Where mail goes: a certificate of the authority, one of nobody's, an old protocol; another Postfix, with a log of its
    // own.
    let (good, bad, old, cached) = (Port::reserve(), Port::reserve(), Port::reserve(), Port::reserve());
    let smtpd = |port: &Port, certificate: &str, key: &str| {
        format!(
            "127.0.0.1:{port} inet n - n - - smtpd\n  -o smtpd_tls_cert_file={certificate} -o smtpd_tls_key_file={key}"
        )
    };
    let _remote = TestPostfix::builder()
        .main("mynetworks = 127.0.0.0/8")
        .main("default_transport = discard")
        .main("smtpd_relay_restrictions = permit_mynetworks, reject")
        .main("smtpd_tls_security_level = may")
        .master(&smtpd(&good, &issued, &issued_key))
        .master(&smtpd(&bad, &own, &own_key))
        .master(&smtpd(&old, &own, &own_key))
        .master("  -o smtpd_tls_protocols=TLSv1.2")
        .master(&smtpd(&cached, &issued, &issued_key))
        .start();
    let (script, busy) = (Port::reserve(), Port::reserve());
    scripted(&script, "220 script.test ESMTP");
    scripted(&busy, "421 4.3.2 come back later");

    let postfix = TestPostfix::builder()
        .main("mynetworks = 127.0.0.0/8")
        .main("smtpd_relay_restrictions = permit_mynetworks, reject")
        .main(&format!(
            "transport_maps = inline:{{ good.test=smtp:[127.0.0.1]:{good}, bad.test=smtp:[127.0.0.1]:{bad}, \
             old.test=smtp:[127.0.0.1]:{old}, cached.test=reuse:[127.0.0.1]:{cached}, \
             script.test=smtp:[127.0.0.1]:{script}, busy.test=smtp:[127.0.0.1]:{busy} }}"
        ))
        .main("smtp_tls_security_level = may")
        .main("smtp_tls_loglevel = 1")
        .main(&format!("smtp_tls_CAfile = {ca}"))
        .main(&format!("smtp_tls_policy_maps = inline:{{ {{ [127.0.0.1]:{good} = secure match=remote.test }} }}"))
        .main("smtpd_tls_security_level = may")
        .main("smtpd_tls_loglevel = 1")
        .main("smtpd_tls_ask_ccert = yes")
        .main("smtpd_tls_protocols = >=TLSv1")
        .main("smtpd_tls_ciphers = medium")
        .main("tls_medium_cipherlist = DEFAULT@SECLEVEL=0")
        .main(&format!("smtpd_tls_CAfile = {ca}"))
        .main(&format!("smtpd_tls_cert_file = {issued}"))
        .main(&format!("smtpd_tls_key_file = {issued_key}"))
        .main(
            "smtpd_recipient_restrictions = check_recipient_access inline:{ { r450@local.test = 450 4.7.1 later }, \
             { r550@local.test = 550 5.1.1 no }, { r554@local.test = REJECT } }, permit",
        )
        .master("tlsproxy  unix  -  -  n  -     0  tlsproxy")
        .master("reuse     unix  -  -  n  -     -  smtp")
        .master("  -o smtp_tls_connection_reuse=yes -o smtp_connection_cache_destinations=[127.0.0.1]")
        .start();

    let snmpd = TestSnmpd::start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let patterns = [
        ("relayed by hand", "status=sent.*relay|relay=.*status=sent", None),
        ("SAM delivered", r"status=sent \(delivered to", None),
        ("SAM received", "postfix/pickup.*(sender=|uid=)", None),
        ("SAM warnings", " warning:", None),
        ("TLS 1.3", "TLSv1\\.3 with cipher", None),
        ("bounced by smtp", "status=bounced", Some("smtp")),
        ("viruses", "Blocked INFECTED", Some("amavis")),
    ];
    let mut yaml = agent.config() + "log: { from: start }\npatterns:\n";
    for (name, regex, program) in patterns {
        let program = program.map(|program| format!(", program: {program}")).unwrap_or_default();
        yaml.push_str(&format!("  - {{ name: {name}, regex: '{regex}'{program} }}\n"));
    }
    agent.set_config(&yaml);
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);

    // Inbound, at every version that this OpenSSL still speaks.
    let port = postfix.smtp_port();
    for (version, certificate) in [
        ("-tls1_2", None),
        ("-tls1_3", None),
        ("-tls1_3", Some((own.as_str(), own_key.as_str()))),
        ("-tls1_3", Some((issued.as_str(), issued_key.as_str()))),
        ("-tls1_1", None),
        ("-tls1", None),
    ] {
        session(port, version, certificate);
    }
    postfix.wait_log_count("TLS connection established from", 6);

    // Outbound.
    let mut client = Smtp::connect(port);
    let mut mail = |recipients: &[&str], head: &str| {
        let reply = client.mail("sender@virtual.test", recipients, head);
        assert!(reply.accepted(), "{recipients:?} {reply:?}");
    };
    mail(&["a@good.test"], "");
    mail(&["a@bad.test"], "");
    mail(&["a@old.test"], "");
    postfix.wait_log_count("status=sent", 3);
    for number in 1..=2 {
        mail(&["a@cached.test"], "");
        postfix.wait_log_count("@cached.test>, relay=", number);
    }
    // A large one to two recipients.
    mail(&["user@virtual.test", "sender@virtual.test"], &format!("X: {}\n", "x".repeat(900)).repeat(80));
    for (local, reply) in REPLIES {
        mail(&[&format!("{local}@script.test")], "");
        let status = if reply.starts_with('4') { "status=deferred" } else { "status=bounced" };
        postfix.wait_log(&format!("{local}@script.test>, relay="));
        assert!(postfix.wait_log(&format!("to=<{local}@script.test>, ")).contains(status));
    }
    mail(&["a@busy.test"], "");
    postfix.wait_log("@busy.test>, relay=");
    for (recipient, code) in [("r450@local.test", 450), ("r550@local.test", 550), ("r554@local.test", 554)] {
        let reply = client.mail("sender@virtual.test", &[recipient], "");
        assert_eq!(reply.code, code, "{reply:?}");
    }
    client.quit();
    postfix.sendmail("sender@virtual.test", &["user@virtual.test"], "Subject: local\n\nx\n");
    postfix.wait_log("uid=");
    let mut log = OpenOptions::new().append(true).open(postfix.log_file()).expect("the log");
    writeln!(log, "Nov 22 01:17:30 vm amavis[7]: (1-1) Blocked INFECTED (x)").expect("written");
    writeln!(log, "Nov 22 01:17:30 vm other[7]: Blocked INFECTED").expect("written");

    // Whether a connection is taken again is up to timing; both tlsproxy and smtp say that one is set up.
    let lines = |program: &str, words: &str| {
        let log = postfix.log();
        log.lines().filter(|l| l.contains(&format!("postfix/{program}[")) && l.contains(words)).count() as i64
    };
    let to_cached = format!(": Trusted TLS connection established to 127.0.0.1[127.0.0.1]:{cached}:");
    let reused = lines("smtp", &to_cached);
    assert!(reused > 0 && lines("tlsproxy", &to_cached) >= reused, "{reused}");

    let tls =
        ["postfixTlsSessions", "postfixTlsAnonymous", "postfixTlsUntrusted", "postfixTlsTrusted", "postfixTlsVerified"];
    settles(
        &snmpd,
        &tls,
        &[
            ("TlsSessions.1.2", 1),
            ("TlsSessions.1.3", 1),
            ("TlsSessions.1.4", 1),
            ("TlsSessions.1.5", 3),
            ("TlsAnonymous.1.2", 1),
            ("TlsAnonymous.1.3", 1),
            ("TlsAnonymous.1.4", 1),
            ("TlsAnonymous.1.5", 1),
            ("TlsUntrusted.1.5", 1),
            ("TlsTrusted.1.5", 1),
            ("TlsSessions.2.4", 1),
            ("TlsSessions.2.5", 2 + reused),
            ("TlsUntrusted.2.4", 1),
            ("TlsUntrusted.2.5", 1),
            ("TlsTrusted.2.5", reused),
            ("TlsVerified.2.5", 1),
        ],
    );
    // The ciphers are the same sessions.
    let sums = |descriptor: &str| numbers(&snmpd, &[descriptor]).values().sum::<i64>();
    assert_eq!((sums("postfixCipherInbound"), sums("postfixCipherOutbound")), (6, 3 + reused));
    // Postfix 3.7 writes no `tls=`: not instantiated, instead of 0.
    assert_eq!(snmpd.walk(&oid("postfixTlsPolicyDeliveries", &[])).unwrap_or_default(), []);
    settles(
        &snmpd,
        &["postfixBounceReasonBounces", "postfixDeferEventDeferrals"],
        &[
            ("BounceReasonBounces.1", 1),
            ("BounceReasonBounces.3", 1),
            ("BounceReasonBounces.5", 1),
            // Whatever the address says.
            ("BounceReasonBounces.12", 1),
            ("DeferEventDeferrals.8", 1),
            ("DeferEventDeferrals.9", 1),
            ("DeferEventDeferrals.13", 1),
        ],
    );
    settles(
        &snmpd,
        &["postfixRejectCodeCommands"],
        &[("RejectCodeCommands.450", 1), ("RejectCodeCommands.550", 1), ("RejectCodeCommands.554", 1)],
    );
    // 13 through smtpd, one of them large and to two, and one through pickup; the notices of bounces are nobody's mail.
    settles(
        &snmpd,
        &["postfixSizeMessages", "postfixSizeRecipients"],
        &[("SizeMessages.1", 13), ("SizeMessages.4", 1), ("SizeRecipients.1", 13), ("SizeRecipients.4", 2)],
    );

    // What grep counts in the same file.
    let file = postfix.log_file();
    for (index, (name, regex, program)) in (1..).zip(patterns) {
        let grep =
            || capture(tool("grep").args(["-cE", regex]).arg(&file)).stdout.trim().parse::<i64>().expect("a number");
        let want = || match program {
            None => grep(),
            Some("smtp") => lines("smtp", regex),
            Some(_) => 1,
        };
        let counted = wait_for(&format!("{name}: as grep counts"), PATIENCE, || {
            let matches = snmpd.get(&oid("postfixPatternMatches", &[index])).ok()?.number()?;
            (matches == want()).then_some(matches)
        });
        assert_eq!(snmpd.get(&oid("postfixPatternName", &[index])).ok().and_then(|v| v.text()).as_deref(), Some(name));
        // Whether a real Postfix warns of something here is its business.
        let age = snmpd.get(&oid("postfixPatternLastMatchAge", &[index])).expect("an answer");
        assert_eq!(matches!(age, Value::Gauge32(_)), counted > 0, "{name}");
        assert!(counted > 0 || name == "SAM warnings", "{name}");
    }
    // All of it survives the agent.
    let all = [&tls[..], &["postfixBounceReasonBounces", "postfixRejectCodeCommands", "postfixSizeMessages"]].concat();
    let before = numbers(&snmpd, &all);
    let matches = oid("postfixPatternMatches", &[]);
    let lines = snmpd.walk(&matches).expect("the patterns");
    agent.restart();
    agent.wait_sources_ok(&snmpd, 1);
    wait_for("the same numbers", PATIENCE, || {
        (numbers(&snmpd, &all) == before && snmpd.walk(&matches).ok()? == lines).then_some(())
    });
}
