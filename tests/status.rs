//! The promise: `status` tells over SNMP how the mail is, on one screen, as JSON and as a monitoring plugin; and says in the
//! right words why a host tells nothing.

mod screens;

use crate::common::{
    Fate, PATIENCE, Port, ROOT, Ran, Sandbox, TestAgent, TestPostfix, TestSnmpd, capture, certificates::Authority, oid,
    tool, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const SIGN: &str = "the phrase that signs";
const SEAL: &str = "the phrase that seals";

/// The program as anybody runs it, with nothing of this host's snmp.conf.
fn command(arguments: &[&str]) -> Command {
    let mut command = tool(env!("CARGO_BIN_EXE_postfix-agentx"));
    command.args(["status", "--root", ROOT]).args(arguments);
    command.env("SNMPCONFPATH", "/nonexistent").env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    command
}

fn status(arguments: &[&str]) -> Ran {
    capture(&mut command(arguments))
}

fn json(arguments: &[&str]) -> (i32, Value) {
    let ran = status(&[&["--json", "-s", "0"], arguments].concat());
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", ran.stdout, ran.stderr)))
}

#[test]
fn a_healthy_host_is_one_screen_and_a_sick_one_says_what_to_do() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&agent.config().replace("interval: 30s", "interval: 1s"));
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    postfix.send(Fate::Delivered, 3);
    postfix.send(Fate::Deferred, 5);
    let host = snmpd.address();
    let deferred = oid("postfixTotalDeferred", &[0]);
    let mut client = snmpd.udp();
    wait_for("5 deferred", PATIENCE, || (client.get_one(&deferred).ok()?.number()? == 5).then_some(()));
    agent.wait_healthy(&snmpd, 1);

    let ran = status(&["-s", "0.5", &host]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.len() < 24 && lines.iter().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    assert!(lines[0].starts_with(&format!("mx.local.test ({host})  OK ")), "{}", ran.stdout);
    let line = |begin: &str| {
        let found = lines.iter().find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin}: {}", ran.stdout)).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("deferred ")[1], "5");
    assert!(line("deferred ").last().is_some_and(|bar| *bar == "███"), "{}", ran.stdout);
    assert_eq!(line("deferred.test")[1], "5");
    assert!(line("a minute, now").len() > 5);
    assert!(!ran.stdout.contains('\x1b'), "no terminal, no sequences");

    let (code, told) = json(&[&host]);
    assert_eq!((code, &told["version"], &told["status"]), (0, &Value::from(1), &Value::from("ok")));
    let mail = &told["hosts"][0]["mail"];
    assert_eq!((&mail["totals"]["deferred"], &mail["flow"]["delivered"]["count"]), (&5.into(), &3.into()));
    let queue = mail["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "deferred").unwrap();
    assert_eq!((&queue["instance"], &queue["messages_by_age"][0]), (&"postfix".into(), &5.into()));
    // Every key is described.
    let document = include_str!("../docs/status.md");
    for key in keys(&told) {
        assert!(document.contains(&format!("`{key}`")), "docs/status.md does not say what `{key}` is");
    }

    let ran = status(&["--nagios", &host]);
    assert_eq!(ran.code, 0);
    let (text, data) = ran.stdout.trim_end().split_once(" | ").unwrap();
    assert_eq!(text, format!("POSTFIX OK - {host}: ok"));
    assert!(data.split(' ').any(|datum| datum == "deferred=5;;;0"), "{data}");
    assert!(
        data.split(' ')
            .all(|datum| datum.split_once('=').is_some_and(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit())))
    );

    // The log is closed to the agent, then Postfix is stopped.
    fs::set_permissions(postfix.log_file(), fs::Permissions::from_mode(0o600)).unwrap();
    postfix.stop();
    let health = oid("postfixHealth", &[0]);
    wait_for("critical", PATIENCE, || (client.get_one(&health).ok()?.number()? == 3).then_some(()));
    let ran = status(&["-s", "0", &host]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stdout.lines().next().unwrap().contains("  CRITICAL "), "{}", ran.stdout);
    assert!(ran.stdout.contains("CRITICAL  ") && ran.stdout.contains("STOPPED"), "{}", ran.stdout);
    let remedy = format!("            postfix -c {} start", postfix.config_directory().display());
    assert!(ran.stdout.lines().any(|line| line == remedy), "{}", ran.stdout);
    let ran = status(&["--nagios", &host]);
    assert!(ran.code == 2 && ran.stdout.starts_with("POSTFIX CRITICAL - "), "{}", ran.stdout);
}

/// Probes and certificates of a real agent: what is well is a line, what is not has its place at the top.
#[test]
fn probes_and_certificates_have_their_sections() {
    let snmpd = TestSnmpd::start();
    let mut postfix = TestPostfix::builder().start();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let authority = Authority::new(directory.path());
    let file = |name: &str, begins, ends| authority.issue(name, "ec", "DNS:a.test", begins, ends).certificate;
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let probes = format!(
        "probes:
  - {{ name: door, kind: smtp, every: 2s, timeout: 2s, smtp: {{ host: 127.0.0.1, port: {}, tls: none }} }}
  - {{ name: good, kind: certificate, every: 2s, timeout: 2s, ca_file: {ca}, file: {} }}
  - {{ name: old, kind: certificate, every: 2s, timeout: 2s, ca_file: {ca}, file: {} }}
",
        postfix.smtp_port(),
        file("good", 0, 90).display(),
        file("old", -20, -3).display(),
        ca = authority.file().display(),
    );
    agent.set_config(&format!("{}{probes}", agent.config()));
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    let host = snmpd.address();
    let shown = |arguments: &[&str]| status(&[&["-s", "0"], arguments].concat());
    let has = |ran: &Ran, begin: &str, part: &str| {
        ran.stdout.lines().any(|line| line.starts_with(begin) && line.contains(part))
    };
    let ran = wait_for("both sections", PATIENCE, || {
        let ran = shown(&[&host]);
        (has(&ran, "probes ", "1 down, 2 up; ") && has(&ran, "certificates ", "2; the first, ")).then_some(ran)
    });
    assert_eq!(ran.code, 2, "an expired certificate is critical: {}", ran.stdout);
    assert!(has(&ran, "CRITICAL  ", "certificate") && ran.stdout.contains("expired"), "{}", ran.stdout);
    let ran = shown(&["-v", &host]);
    for part in ["door up in ", "days, ", "expired"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let (_, told) = json(&[&host]);
    let mail = &told["hosts"][0]["mail"];
    assert_eq!((&mail["probes"][0]["status"], &mail["probes"][0]["kind"]), (&"up".into(), &"smtp".into()));
    let days: Vec<i64> =
        mail["certificates"].as_array().unwrap().iter().filter_map(|one| one["days_left"].as_i64()).collect();
    assert!(days.iter().any(|days| (88..=90).contains(days)) && days.iter().any(|days| *days < 0), "{days:?}");
    let ran = status(&["--nagios", &host]);
    assert!(ran.code == 2 && ran.stdout.contains("certificate_days=-"), "{}", ran.stdout);

    // What the probe tries ends.
    postfix.stop();
    let ran = wait_for("a probe that is down", PATIENCE, || {
        let ran = shown(&[&host]);
        has(&ran, "probes ", "2 down, 1 up").then_some(ran)
    });
    assert!(ran.stdout.contains("probe door: "), "{}", ran.stdout);
    postfix.start();
    wait_for("the probe to be up again", PATIENCE, || has(&shown(&[&host]), "probes ", "1 down, 2 up").then_some(()));
}

/// All keys of all objects.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => {
            object.iter().flat_map(|(key, value)| [vec![key.clone()], keys(value)].concat()).collect()
        }
        Value::Array(all) => all.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_protocol_is_spoken_and_what_is_wrong_is_told_in_words() {
    let mut builder = TestSnmpd::builder();
    let protocols =
        [("SHA", "AES"), ("SHA-224", "AES"), ("SHA-256", "AES-256"), ("SHA-384", "AES"), ("SHA-512", "AES-256")];
    for (signing, sealing) in protocols {
        let name = format!("u{signing}{sealing}");
        builder = builder.conf(&format!("createUser {name} {signing} \"{SIGN}\" {sealing} \"{SEAL}\""));
        builder = builder.conf(&format!("rouser {name} noauth"));
    }
    // Who sees everything but us, who sees neither us nor sysORTable, and who sees what the first revision had.
    let mut conf = "com2sec system default systemonly\ncom2sec blind default blind\ncom2sec first default first\n\
         group s v2c system\ngroup b v2c blind\ngroup f v2c first\n\
         view system included .1.3.6.1.2.1.1\nview blind included .1.3.6.1.2.1.1.5\nview first included .1\n"
        .to_owned();
    conf.push_str(&format!("view first excluded .{}\n", oid("postfixMailName", &[])));
    for (group, view) in [("s", "system"), ("b", "blind"), ("f", "first")] {
        conf.push_str(&format!("access {group} \"\" any noauth exact {view} none none\n"));
    }
    let snmpd = builder.conf(&conf).start();
    let bare = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_healthy(&snmpd, 1);
    let host = snmpd.address();

    // v2c was above; each of v3, the secrets from a file and from the environment.
    let files = Sandbox::new("secrets");
    let secrets = files.write("snmp.conf", &format!("defAuthPassphrase {SIGN}\ndefPrivPassphrase {SEAL}\n"));
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let secrets = secrets.display().to_string();
    for (signing, sealing) in protocols {
        let name = format!("u{signing}{sealing}");
        for level in ["noAuthNoPriv", "authNoPriv", "authPriv"] {
            let ran = status(&[
                "-s",
                "0",
                "--secrets",
                &secrets,
                "-u",
                &name,
                "-l",
                level,
                "-a",
                signing,
                "-x",
                sealing,
                &host,
            ]);
            assert_eq!(ran.code, 0, "{name} {level}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains("  OK "), "{}", ran.stdout);
        }
    }
    let mut environment = command(&["--nagios", "-u", "uSHA-256AES-256", "-a", "SHA-256", "-x", "AES-256", &host]);
    environment.env("POSTFIX_AGENTX_AUTH_PASSPHRASE", SIGN).env("POSTFIX_AGENTX_PRIV_PASSPHRASE", SEAL);
    assert_eq!(capture(&mut environment).code, 0);
    // snmp.conf as net-snmp's tools have it.
    let directory = files.mkdir("conf", 0o700, None);
    let defaults = format!(
        "defVersion 3\ndefSecurityName uSHAAES\ndefSecurityLevel authPriv\ndefPassphrase {SIGN}\ndefPrivPassphrase {SEAL}\ndefaultPort {}\n",
        snmpd.port()
    );
    fs::write(directory.join("snmp.conf"), defaults).unwrap();
    let ran = capture(command(&["--nagios", "127.0.0.1"]).env("SNMPCONFPATH", &directory));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);

    let unknown = |arguments: &[&str], words: &str| {
        let ran = status(&[&["-s", "0", "-t", "0.3", "-r", "1"], arguments].concat());
        let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.code == 3 && text.contains(words), "{arguments:?}: {}\n{}{}", ran.code, ran.stdout, ran.stderr);
    };
    let wrong = files.write("wrong", "defPassphrase another phrase\n");
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = wrong.display().to_string();
    unknown(
        &["--secrets", &wrong, "-u", "uSHAAES", &host],
        "wrong authentication passphrase or protocol for the user `uSHAAES`",
    );
    let half = files.write("half", &format!("defAuthPassphrase {SIGN}\ndefPrivPassphrase another phrase\n"));
    fs::set_permissions(&half, fs::Permissions::from_mode(0o600)).unwrap();
    let half = half.display().to_string();
    unknown(
        &["--secrets", &half, "-u", "uSHAAES", &host],
        "wrong privacy passphrase or protocol for the user `uSHAAES`",
    );
    unknown(&["-u", "nobody", &host], "the agent knows no user `nobody`");
    unknown(&["--community", "wrong", &host], "a wrong community");
    unknown(&[&format!("127.0.0.1:{}", Port::reserve())], "nobody listens on UDP");
    unknown(&["no-such-host.invalid"], "is the name right?");
    unknown(&[&bare.address()], "no postfix-agentx is registered with it");
    unknown(&["--community", "systemonly", &host], "the view of whoever asks hides .1.3.6.1.4.1.8072.9999.9999.25");
    unknown(
        &["--community", "blind", &host],
        "either no postfix-agentx runs there, or the view of whoever asks hides it",
    );
    let ran = status(&["-s", "0", "--community", "first", &host]);
    assert!(ran.code == 0 && ran.stdout.contains("first revision of POSTFIX-MIB"), "{}", ran.stdout);
    // Asked at another root, it is found by what it announced.
    let mut other = tool(env!("CARGO_BIN_EXE_postfix-agentx"));
    other.args(["status", "-s", "0", "--root", "1.3.6.1.4.1.99999.1", &host]).env("SNMPCONFPATH", "/nonexistent");
    let ran = capture(&mut other);
    assert!(ran.code == 0 && ran.stdout.contains("its POSTFIX-MIB is at ."), "{}{}", ran.stdout, ran.stderr);
    // Wrong usage is unknown as well: a plugin's 2 would be an alarm.
    let ran = status(&["--nagios", "a", "b"]);
    assert!(ran.code == 3 && ran.stdout.starts_with("POSTFIX UNKNOWN - --nagios is about one HOST"), "{}", ran.stdout);
    assert_eq!(status(&["--unheard-of"]).code, 3);
    assert_eq!(status(&["--watch", &host]).code, 3, "no terminal");
    assert_eq!(status(&["--help"]).code, 0);
}

#[test]
fn a_hundred_hosts_take_as_long_as_the_slowest() {
    // One snmpd that listens at a hundred addresses, and somebody who never answers.
    let builder = TestSnmpd::builder();
    let port = builder.port();
    let addresses: Vec<String> = (0..100).map(|n| format!("127.{}.0.1:{port}", n + 1)).collect();
    let listen: Vec<String> = addresses.iter().map(|address| format!("udp:{address}")).collect();
    let conf = format!(
        "master agentx\nagentXSocket unix:{}\nagentXPerms 0777 0755\nrocommunity public 127.0.0.0/8\nagentAddress udp:127.0.0.1:{port},{}\n",
        builder.socket().display(),
        listen.join(",")
    );
    let snmpd = builder.whole_conf(&conf).start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_healthy(&snmpd, 1);
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = mute.local_addr().unwrap().to_string();
    let mut arguments = vec!["-s", "0", "-t", "1", "-r", "1"];
    arguments.extend(addresses.iter().map(String::as_str));
    arguments.push(&silent);
    let began = Instant::now();
    let ran = status(&arguments);
    let took = began.elapsed();
    assert_eq!(ran.code, 3);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[1].starts_with("UNKNOWN") && lines[1].contains("no answer"), "the worst first: {}", ran.stdout);
    assert_eq!(lines.iter().filter(|line| line.starts_with("OK ")).count(), 100, "{}", ran.stdout);
    assert_eq!(lines.last(), Some(&"101 hosts: 1 unknown, 100 ok"));
    eprintln!("101 hosts, one of them silent for 2 s: {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// `--watch` on a terminal of its own, and everything it wrote there.
fn watched(host: &str, end: impl FnOnce(&mut std::process::Child, Pid)) -> (String, i32) {
    let files = Sandbox::new("watch");
    let log = files.path("terminal");
    let program = format!(
        "stty rows 24 cols 80; env SNMPCONFPATH=/nonexistent LC_ALL=C.UTF-8 TERM=xterm-256color {} status --root {ROOT} --watch 0.5 {host}; echo en''ded=$?; stty -a | grep -c ' -echo '",
        env!("CARGO_BIN_EXE_postfix-agentx")
    );
    let mut script = files.command("script");
    script.args(["-q", "-f", "-c", &program]).arg(&log).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = script.spawn().unwrap();
    let shown = || String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    wait_for("the screen", PATIENCE, || {
        (shown().contains("mx.local.test") && shown().contains("the last")).then_some(())
    });
    let pid = wait_for("the program", PATIENCE, || {
        files.processes().into_iter().find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postfix-agentx")
        })
    });
    end(&mut child, Pid::from_raw(pid).unwrap());
    wait_for("the end", PATIENCE, || shown().contains("ended=").then_some(()));
    wait_for("the end of script", PATIENCE, || child.try_wait().unwrap());
    let text = shown();
    let code = text.split("ended=").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    (text, code.unwrap_or(-1))
}

#[test]
fn a_watched_screen_gives_the_terminal_back_however_it_ends() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_healthy(&snmpd, 1);
    let host = snmpd.address();
    let typed = |text: &'static [u8]| {
        move |child: &mut std::process::Child, _: Pid| {
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), text).unwrap();
        }
    };
    let signalled = |signal: Signal| move |_: &mut std::process::Child, pid: Pid| kill_process(pid, signal).unwrap();
    let check = |(text, code): (String, i32), expected: i32| {
        let (enter, leave) = (text.rfind("\x1b[?1049h"), text.rfind("\x1b[?1049l"));
        assert!(enter.is_some() && leave > enter, "the other screen is left: {text:?}");
        assert!(text.rfind("\x1b[?25h") > enter, "the cursor is shown again");
        let after = text.split("ended=").nth(1).unwrap();
        assert_eq!(
            (code, after.lines().nth(1).map(str::trim)),
            (expected, Some("0")),
            "the terminal echoes: {after:?}"
        );
    };
    check(watched(&host, typed(b"q")), 0);
    check(watched(&host, typed(b"\x03")), 0);
    check(watched(&host, signalled(Signal::TERM)), 143);
    check(watched(&host, signalled(Signal::HUP)), 129);
    check(watched(&host, signalled(Signal::INT)), 130);
    // Stopped and continued, it draws again.
    let stopped = |child: &mut std::process::Child, pid: Pid| {
        kill_process(pid, Signal::TSTP).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        wait_for("stopped", PATIENCE, || state().contains(") T ").then_some(()));
        kill_process(pid, Signal::CONT).unwrap();
        wait_for("continued", PATIENCE, || (!state().contains(") T ")).then_some(()));
        typed(b"q")(child, pid);
    };
    check(watched(&host, stopped), 0);
}
