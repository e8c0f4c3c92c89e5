//! The promise: a password is nowhere but in its file and on the connection: not in the process's arguments and environment,
//! its log, its state, its answers; not even where a server repeats it.

use super::Shown;
use crate::common::{
    PATIENCE, ROOT, TestAgent, TestSite, TestSnmpd,
    dovecot::{PASSWORD, USER},
    site::MAILBOX,
    wait_for,
};
use data_encoding::BASE64;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    thread,
};

/// An SMTP server that answers a login with what it was given, in three forms.
fn repeats() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let reader = BufReader::new(stream.try_clone().unwrap());
                let _ = stream.write_all(b"220 mx\r\n");
                for line in reader.lines().map_while(Result::ok) {
                    let answer = match line.split(' ').next() {
                        Some("EHLO") => "250-mx\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
                        Some("AUTH") => format!("535 5.7.8 {line} is {PASSWORD} of {USER}\r\n"),
                        _ => "221 bye\r\n".to_owned(),
                    };
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    port
}

/// Whatever of these octets is the password in one of its forms.
#[track_caller]
fn clean(what: &str, octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let plain = format!("\0{USER}\0{PASSWORD}");
    for form in [PASSWORD.to_owned(), BASE64.encode(PASSWORD.as_bytes()), BASE64.encode(plain.as_bytes())] {
        assert!(!text.contains(form.trim_end_matches('=')), "the password is in {what}");
    }
}

fn all_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_password_is_nowhere_to_be_seen() {
    let site = TestSite::start();
    let snmpd = TestSnmpd::start();
    let (submission, imaps) = (site.server(&site.submission, "starttls"), site.server(&site.dovecot.imaps, "implicit"));
    let times = "every: 5s, timeout: 5s";
    let probes = format!(
        "probes:
- {{ name: login, kind: smtp, {times}, smtp: {{ {submission} }} }}
- {{ name: trip, kind: imap, {times}, from: sender@virtual.test, to: {MAILBOX}, smtp: {{ {submission} }}, imap: {{ {imaps} }} }}
- {{ name: repeats, kind: smtp, {times}, smtp: {{ host: 127.0.0.1, port: {}, tls: none, user: {USER}, password_file: {} }} }}
",
        repeats(),
        site.files.path("password").display(),
    );
    let address = format!("unix:{}", snmpd.socket().display());
    let mut agent = TestAgent::with_config(|state| TestAgent::yaml(&address, state, &[&site.postfix]) + &probes);
    agent.start();
    let mut shown = Shown::new(&snmpd);
    wait_for("a login, a round trip and a refusal", PATIENCE, || {
        let done = [("postfixProbeSuccesses", 1), ("postfixProbeSuccesses", 2), ("postfixProbeFailures", 3)];
        done.iter().all(|(object, probe)| shown.number(object, &[*probe]) >= Some(2)).then_some(())
    });
    let error = shown.text("postfixProbeLastError", &[3]);
    assert!(error.contains("535 5.7.8") && error.contains("***"), "{error}");

    let proc = format!("/proc/{}", agent.pid());
    for file in ["cmdline", "environ", "comm"] {
        clean(file, &fs::read(format!("{proc}/{file}")).unwrap());
    }
    clean("its log", agent.log().as_bytes());
    for row in snmpd.walk(ROOT).unwrap() {
        clean(&row.0, row.1.text().unwrap_or_default().as_bytes());
    }
    // By hand, where somebody looks closely: every probe, what `check` says.
    for arguments in [&["probe", "login"][..], &["probe", "trip"], &["probe", "repeats"], &["check"], &["dump"]] {
        let ran = agent.run_once(arguments);
        clean(&arguments.join(" "), format!("{}{}", ran.stdout, ran.stderr).as_bytes());
    }
    agent.stop();
    for file in all_files(&agent.state_directory()) {
        clean(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}
