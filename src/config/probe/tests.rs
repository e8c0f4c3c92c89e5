use super::*;
use crate::config;

fn parse(text: &str) -> Vec<Probe> {
    config::parse(text, "test.yaml").unwrap_or_else(|e| panic!("{e}\n---\n{text}")).probes
}

fn refused(text: &str) -> String {
    config::parse(text, "test.yaml").expect_err(text).to_string()
}

#[test]
fn the_example_of_the_documentation_is_taken() {
    let probes = parse(
        "probes:\n\
         - { name: submission, kind: smtp, every: 60s, timeout: 10s, smtp: { host: 127.0.0.1, port: 587, tls: starttls, \
         user: probe, password_file: /etc/postfix-agentx/probe.pw, verify: true } }\n\
         - name: mailbox\n  kind: imap\n  every: 5m\n  timeout: 2m\n  from: probe@example.com\n  to: probe@example.com\n  \
         smtp: { host: 127.0.0.1, port: 25 }\n  \
         imap: { host: 127.0.0.1, port: 993, tls: implicit, user: probe, password_credential: probe.pw, folder: INBOX }\n\
         - { name: mx certificate, kind: certificate, host: mx.example.com, port: 25, tls: starttls }\n\
         - { name: web certificate, kind: certificate, file: /etc/ssl/certs/x.pem }\n",
    );
    let [smtp, mailbox, mx, web] = &probes[..] else { panic!("four probes") };
    let Kind::Smtp(smtp_kind) = &smtp.kind else { panic!("{smtp:?}") };
    assert_eq!((smtp.every, smtp.timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    assert_eq!((smtp_kind.server.tls, smtp_kind.expect, &smtp_kind.rcpt), (TlsMode::Starttls, 220, &None));
    let Kind::RoundTrip(trip) = &mailbox.kind else { panic!("{mailbox:?}") };
    assert!(matches!(&trip.submit, Submit::Smtp(s) if s.tls == TlsMode::None && s.login.is_none()));
    assert!(matches!(&trip.retrieve, Retrieve::Imap { server, folder }
        if folder == "INBOX" && server.tls == TlsMode::Implicit
            && server.login.as_ref().is_some_and(|l| l.password == PasswordAt::Credential("probe.pw".into()))));
    assert_eq!(trip.lost_after, Duration::from_secs(3_600));
    assert!(matches!(&mx.kind, Kind::Certificate(c)
        if c.verify && matches!(&c.at, CertificateAt::Server(s, Protocol::Smtp) if !s.verify && s.target() == "mx.example.com:25")));
    assert!(matches!(&web.kind, Kind::Certificate(c) if c.at == CertificateAt::File("/etc/ssl/certs/x.pem".into())));
}

#[test]
fn ports_and_tls_follow_from_each_other() {
    let server = |text: &str| match parse(&format!("probes: [{{ name: a, kind: smtp, smtp: {{ host: h, {text} }} }}]"))
        .remove(0)
        .kind
    {
        Kind::Smtp(smtp) => (smtp.server.port, smtp.server.tls),
        other => panic!("{other:?}"),
    };
    assert_eq!(server("verify: true"), (25, TlsMode::None));
    assert_eq!(server("tls: implicit"), (465, TlsMode::Implicit));
    assert_eq!(server("port: 465"), (465, TlsMode::Implicit));
    assert_eq!(server("port: 587"), (587, TlsMode::Starttls));
    assert_eq!(server("user: u, password_file: /p"), (25, TlsMode::Starttls));
    assert_eq!(server("port: 465, tls: starttls"), (465, TlsMode::Starttls));
}

#[test]
fn what_cannot_work_is_refused_with_the_probe_and_the_remedy() {
    let trip = "name: t, kind: imap, from: a@b, to: c@d";
    let imap = "imap: { host: h, user: u, password_file: /p }";
    for (text, hint) in [
        ("name: '', kind: smtp, smtp: { host: h }", "1 to 48"),
        ("name: a, kind: smtp", "kind smtp needs `smtp`"),
        ("name: a, kind: smtp, smtp: { host: h }, to: x@y", "`to` has no meaning"),
        ("name: a, kind: smtp, smtp: { host: h }, expiring: 3", "`expiring` has no meaning"),
        ("name: a, kind: smtp, smtp: { host: h, folder: x }", "`folder` has no meaning"),
        ("name: a, kind: smtp, smtp: { host: 'a b' }", "host `a b`"),
        ("name: a, kind: smtp, smtp: { host: h }, rcpt: \"x@y>\\r\\nDATA\"", "no mail address"),
        ("name: a, kind: smtp, smtp: { host: h }, expect: 99", "200 to 599"),
        ("name: a, kind: smtp, smtp: { host: h, user: u }", "password_file"),
        ("name: a, kind: smtp, smtp: { host: h, password_file: /p }", "need a user"),
        ("name: a, kind: smtp, smtp: { host: h, user: u, password_file: p }", "absolute path"),
        ("name: a, kind: smtp, smtp: { host: h, user: u, password_credential: ../x }", "password_credential"),
        ("name: a, kind: smtp, smtp: { host: h, user: u, password_file: /p, tls: none }", "starttls or implicit"),
        ("name: a, kind: smtp, every: 5s, timeout: 10s, smtp: { host: h }", "timeout must not be longer"),
        (&format!("{trip}, {imap}"), "needs `smtp`"),
        (&format!("{trip}, {imap}, smtp: {{ host: h }}, sendmail: /x"), "not both"),
        (&format!("{trip}, {imap}, smtp: {{ host: h }}, lost_after: 1m"), "lost_after"),
        (&format!("{trip}, smtp: {{ host: h }}, imap: {{ host: h }}"), "needs `user`"),
        ("name: a, kind: certificate", "`host` or `file`"),
        ("name: a, kind: certificate, host: h", "needs `port`"),
        ("name: a, kind: certificate, host: h, file: /x, port: 1", "not both"),
        ("name: a, kind: certificate, host: h, port: 25, tls: none", "tls: starttls"),
        ("name: a, kind: pop4", "pop3"),
        ("name: a, kind: smtp, smpt: {}", "smtp"),
        ("name: a, kind: smtp, smtp: { host: h, password: x }", "password"),
    ] {
        let message = refused(&format!("probes:\n- {{ {text} }}\n"));
        assert!(message.starts_with("test.yaml:2:"), "{text}: {message}");
        assert!(message.contains(hint), "{text}: {message}");
    }
    let twice =
        refused("probes:\n- { name: a, kind: certificate, file: /x }\n- { name: a, kind: certificate, file: /y }\n");
    assert!(twice.contains("two probes are called `a`"), "{twice}");
}

#[test]
fn a_password_without_tls_stays_on_this_host() {
    for host in ["127.0.0.1", "::1", "localhost"] {
        parse(&format!(
            "probes: [{{ name: a, kind: smtp, smtp: {{ host: '{host}', user: u, password_file: /p, tls: none }} }}]"
        ));
    }
}

#[test]
fn a_password_written_in_the_file_is_refused_and_not_repeated() {
    let message =
        refused("probes:\n- name: a\n  kind: smtp\n  smtp:\n    host: h\n    user: u\n    password: hunter22\n");
    assert!(message.contains("password") && !message.contains("hunter22"), "{message}");
}
