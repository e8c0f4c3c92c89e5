//! The promise: a probe tells whether mail really gets through, through real servers: Postfix with TLS and logins, Dovecot.

use crate::common::{Ran, TestAgent, TestSite, capture, site::MAILBOX};

/// An agent with these probes and nothing else.
fn agent(probes: &str) -> TestAgent {
    TestAgent::with_config(|state| {
        format!("agentx:\n  address: unix:/nowhere\nstate_directory: {}\nprobes:\n{probes}", state.display())
    })
}

/// Runs one probe where this site's Postfix is the host's.
fn run(site: &TestSite, agent: &TestAgent, name: &str) -> Ran {
    let mut command = agent.command(&["probe", name, "--config"]);
    command.arg(agent.config_file());
    let ran = capture(&mut site.as_host(&command));
    println!("{}{}", ran.stdout, ran.stderr);
    ran
}

/// The stages that were passed, in their order.
#[track_caller]
fn passed(ran: &Ran) -> Vec<&str> {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let stages = ran.stdout.lines().filter_map(|line| line.strip_suffix(" ms")?.strip_prefix("  "));
    stages.filter_map(|stage| stage.split(' ').next()).collect()
}

#[test]
fn each_way_to_send_and_each_way_to_retrieve_makes_its_round_trip() {
    let site = TestSite::start();
    site.foreign(10);
    let before = site.messages();
    let (submission, submissions) =
        (site.server(&site.submission, "starttls"), site.server(&site.submissions, "implicit"));
    let plain = format!("host: 127.0.0.1, port: {}", site.postfix.smtp_port());
    let addresses = format!("from: sender@virtual.test, to: {MAILBOX}, timeout: 20s");
    let agent = agent(&format!(
        "- {{ name: login, kind: smtp, smtp: {{ {submission} }} }}\n\
         - {{ name: rcpt, kind: smtp, rcpt: {MAILBOX}, smtp: {{ {plain} }} }}\n\
         - {{ name: imap, kind: imap, {addresses}, smtp: {{ {submission} }}, imap: {{ {} }} }}\n\
         - {{ name: imap starttls, kind: imap, {addresses}, smtp: {{ {submissions} }}, imap: {{ {} }} }}\n\
         - {{ name: pop3, kind: pop3, {addresses}, smtp: {{ {plain} }}, pop3: {{ {} }} }}\n\
         - {{ name: pop3 starttls, kind: pop3, {addresses}, sendmail: /usr/sbin/sendmail, pop3: {{ {} }} }}\n\
         - {{ name: maildir, kind: maildir, {addresses}, sendmail: /usr/sbin/sendmail, maildir: {} }}\n\
         - {{ name: certificate, kind: certificate, host: 127.0.0.1, port: {}, tls: starttls, ca_file: {} }}\n",
        site.server(&site.dovecot.imaps, "implicit"),
        site.server(&site.dovecot.imap, "starttls"),
        site.server(&site.dovecot.pop3s, "implicit"),
        site.server(&site.dovecot.pop3, "starttls"),
        site.mailbox().display(),
        site.submission,
        site.authority.file().display(),
    ));
    const SUBMITTED: [&str; 3] = ["recipient", "submit", "quit"];
    let inbox =
        |tls: &[&'static str]| [&["mailboxResolve", "mailboxConnect"], tls, &["mailboxAuth", "mailboxFolder"]].concat();
    let implicit = inbox(&["mailboxStarttls", "mailboxBanner"]);
    let starttls = inbox(&["mailboxBanner", "mailboxStarttls"]);
    let seen = ["deliver", "retrieve", "remove"];
    let with_login = ["resolve", "connect", "banner", "ehlo", "starttls", "auth"];
    let with_tls_at_once = ["resolve", "connect", "starttls", "banner", "ehlo", "auth"];
    let plain = ["resolve", "connect", "banner", "ehlo"];
    for (name, stages) in [
        ("login", [&with_login[..], &["quit"]].concat()),
        ("rcpt", [&plain[..], &["recipient", "quit"]].concat()),
        ("imap", [&implicit[..], &with_login, &SUBMITTED, &seen].concat()),
        ("imap starttls", [&starttls[..], &with_tls_at_once, &SUBMITTED, &seen].concat()),
        ("pop3", [&implicit[..], &plain, &SUBMITTED, &seen].concat()),
        ("pop3 starttls", [&starttls[..], &["submit"], &seen].concat()),
        ("maildir", [&["mailboxFolder", "submit"][..], &seen].concat()),
        ("certificate", [&with_login[..5], &["quit", "certificate"]].concat()),
    ] {
        assert_eq!(passed(&run(&site, &agent, name)), stages, "{name}");
    }
    assert_eq!(site.messages(), before);
}
