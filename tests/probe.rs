//! The promise: a probe tells whether mail really gets through, through real servers: Postfix with TLS and logins, Dovecot.

mod certificates;
mod faults;
mod hostile;
mod resolver;
mod secret;

use crate::common::{
    PATIENCE, Ran, TestAgent, TestPostfix, TestSite, TestSnmpd, UdpClient, Value, capture, oid, site::MAILBOX, wait_for,
};
use std::{collections::BTreeMap, time::Duration};

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

/// An agent that runs with these probes.
fn daemon(snmpd: &TestSnmpd, instances: &[&TestPostfix], probes: &str) -> TestAgent {
    let address = format!("unix:{}", snmpd.socket().display());
    let probes = if probes.is_empty() { String::new() } else { format!("probes:\n{probes}") };
    let mut agent = TestAgent::with_config(|state| TestAgent::yaml(&address, state, instances) + &probes);
    agent.start();
    agent
}

/// What snmpd shows.
struct Shown {
    client: UdpClient,
}

impl Shown {
    fn new(snmpd: &TestSnmpd) -> Self {
        Self { client: snmpd.udp() }
    }

    fn get(&mut self, descriptor: &str, index: &[u32]) -> Option<Value> {
        self.client.get_one(&oid(descriptor, index)).ok().filter(|value| !value.is_exception())
    }

    fn number(&mut self, descriptor: &str, index: &[u32]) -> Option<i64> {
        self.get(descriptor, index)?.number()
    }

    #[track_caller]
    fn text(&mut self, descriptor: &str, index: &[u32]) -> String {
        self.get(descriptor, index).and_then(|value| value.text()).unwrap_or_else(|| panic!("no {descriptor}"))
    }

    /// Both tables of one probe at one moment.
    #[track_caller]
    fn all(&mut self, probe: u32) -> Moment {
        let tables = ["postfixProbeTable", "postfixProbeStageTable"];
        let catalogue = postfix_agentx::collect::catalogue();
        let columns = catalogue.iter().filter(|table| tables.contains(&table.name())).flat_map(|table| {
            let columns = table.columns().into_iter();
            columns.map(|column| column.name)
        });
        let names: Vec<(&str, Vec<u32>)> = columns
            .flat_map(|name| {
                let stages = if name.starts_with("postfixProbeStage") { 1..=19 } else { 0..=0 };
                stages.map(move |stage| (name, if stage == 0 { vec![probe] } else { vec![probe, stage] }))
            })
            .collect();
        let oids: Vec<String> = names.iter().map(|(name, index)| oid(name, index)).collect();
        let oids: Vec<&str> = oids.iter().map(String::as_str).collect();
        let found = self.client.get(&oids).expect("one answer with all of it");
        let values = found.into_iter().map(|(_, value)| value);
        let key = |(name, index): (&str, Vec<u32>)| (name.to_owned(), index.get(1).copied().unwrap_or(0));
        Moment(names.into_iter().map(key).zip(values).filter(|(_, value)| !value.is_exception()).collect())
    }
}

/// One probe at one moment: objects by descriptor and stage (0: of the probe itself).
struct Moment(BTreeMap<(String, u32), Value>);

impl Moment {
    fn number(&self, descriptor: &str) -> Option<i64> {
        self.stage(descriptor, 0)
    }

    fn stage(&self, descriptor: &str, stage: u32) -> Option<i64> {
        self.0.get(&(descriptor.to_owned(), stage))?.number()
    }

    #[track_caller]
    fn text(&self, descriptor: &str) -> String {
        self.0.get(&(descriptor.to_owned(), 0)).and_then(Value::text).unwrap_or_else(|| panic!("no {descriptor}"))
    }

    /// Its stages.
    fn stages(&self) -> Vec<u32> {
        let named = self.0.keys().filter(|(name, _)| name == "postfixProbeStageName");
        named.map(|(_, stage)| *stage).collect()
    }
}

/// All three ways again and again, in a mailbox with a thousand messages of somebody else.
fn again_and_again(count: i64) {
    let site = TestSite::start();
    site.foreign(1_000);
    let before = site.messages();
    let smtp = format!("smtp: {{ host: 127.0.0.1, port: {} }}", site.postfix.smtp_port());
    let times = format!("every: 10s, timeout: 10s, from: sender@virtual.test, to: {MAILBOX}");
    let login = site.server(&site.submission, "starttls");
    let snmpd = TestSnmpd::start();
    let mut agent = daemon(
        &snmpd,
        &[&site.postfix],
        &format!(
            "- {{ name: imap, kind: imap, {times}, smtp: {{ {login} }}, imap: {{ {} }} }}\n\
             - {{ name: pop3, kind: pop3, {times}, {smtp}, pop3: {{ {} }} }}\n\
             - {{ name: maildir, kind: maildir, {times}, {smtp}, maildir: {} }}\n",
            site.server(&site.dovecot.imaps, "implicit"),
            site.server(&site.dovecot.pop3s, "implicit"),
            site.mailbox().display(),
        ),
    );
    let mut shown = Shown::new(&snmpd);
    for probe in 1..=3 {
        wait_for("successes", PATIENCE + Duration::from_secs(20 * count as u64), || {
            let moment = shown.all(probe);
            let failures = moment.number("postfixProbeFailures");
            assert!(
                failures <= Some(0),
                "{}: {}",
                moment.text("postfixProbeName"),
                moment.text("postfixProbeLastError")
            );
            moment.number("postfixProbeSuccesses").filter(|successes| *successes >= count)
        });
    }
    for probe in 1..=3 {
        let moment = shown.all(probe);
        for (object, value) in [("postfixProbeStatus", 1), ("postfixProbePending", 0), ("postfixProbeLost", 0)] {
            assert_eq!(moment.number(object), Some(value), "{}: {object}", moment.text("postfixProbeName"));
        }
        let [sum, count] =
            ["postfixProbeLatencySum", "postfixProbeLatencyCount"].map(|name| moment.number(name).unwrap());
        println!("{}: {count} round trips, {} ms each", moment.text("postfixProbeName"), sum / count);
    }
    agent.stop();
    assert_eq!(site.messages(), before);
}

#[test]
fn two_round_trips_of_each_kind_leave_a_thousand_messages_alone() {
    again_and_again(2);
}

#[test]
#[ignore = "minutes long: make chaos"]
fn fifty_round_trips_of_each_kind_leave_a_thousand_messages_alone() {
    again_and_again(50);
}
