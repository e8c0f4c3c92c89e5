//! The screens of docs/status.md, from real runs in real terminals: tmux says what stands there. `make screens` writes them to
//! target/screens.

use crate::common::{
    Fate, PATIENCE, Port, ROOT, TestAgent, TestPostfix, TestSnmpd, capture, certificates::Authority, oid, tool,
    wait_for,
};
use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt, path::PathBuf, thread, time::Duration};

/// A tmux of its own, ended with it.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn run(command: &str, width: usize) -> Self {
        let terminal = Self { socket: format!("pa-screens-{}-{width}", std::process::id()) };
        let shell = format!("{command}; read -r _");
        let size = width.to_string();
        terminal.tmux(&["-u", "-f", "/dev/null", "new-session", "-d", "-x", &size, "-y", "44", "sh", "-c", &shell]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = tool("tmux");
        tmux.args(["-L", &self.socket]).args(arguments).env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        capture(&mut tmux).success()
    }

    fn text(&self) -> String {
        let text = self.tmux(&["capture-pane", "-p"]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    fn wait(&self, part: &str) -> String {
        wait_for(&format!("a screen with {part}"), PATIENCE, || {
            let text = self.text();
            text.contains(part).then_some(text)
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn program(arguments: &str) -> String {
    format!("SNMPCONFPATH=/nonexistent {} status --root {ROOT} {arguments}", env!("CARGO_BIN_EXE_postfix-agentx"))
}

/// Both widths of one screen.
fn show(name: &str, arguments: &str, part: &str) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screens");
    fs::create_dir_all(&directory).unwrap();
    for width in [80, 160] {
        let text = Terminal::run(&program(arguments), width).wait(part);
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{name} at {width}: {line}");
        }
        fs::write(
            directory.join(format!("{name}-{width}.txt")),
            format!("$ postfix-agentx status {arguments}\n{text}\n"),
        )
        .unwrap();
        println!("{name}, {width} columns\n{text}\n");
    }
}

#[test]
#[ignore = "minutes long: make screens"]
fn every_state_of_a_host_in_both_widths() {
    let snmpd = TestSnmpd::start();
    let mut postfix = TestPostfix::builder().start();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let authority = Authority::new(directory.path());
    let certificate = directory.path().join("mx.pem");
    let issue = |begins, ends| {
        let issued = authority.issue("mx", "ec", "DNS:mx.local.test", begins, ends).certificate;
        fs::write(&certificate, fs::read(issued).unwrap()).unwrap();
        fs::set_permissions(&certificate, fs::Permissions::from_mode(0o644)).unwrap();
    };
    issue(0, 90);
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!(
        "{}probes:
  - {{ name: mx, kind: smtp, every: 2s, timeout: 2s, smtp: {{ host: 127.0.0.1, port: {}, tls: none }} }}
  - {{ name: mx certificate, kind: certificate, every: 2s, timeout: 2s, ca_file: {}, file: {} }}
",
        agent.config().replace("interval: 30s", "interval: 1s"),
        postfix.smtp_port(),
        authority.file().display(),
        certificate.display(),
    ));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    let host = snmpd.address();
    let mut client = snmpd.udp();
    let mut number = |object: &str, wanted: i64| {
        wait_for(&format!("{object} {wanted}"), PATIENCE * 10, || {
            (client.get_one(&oid(object, &[0])).ok()?.number()? == wanted).then_some(())
        });
    };
    let traffic = || {
        for fate in [Fate::Delivered, Fate::DeliveredLocal, Fate::Relayed, Fate::Rejected] {
            postfix.send(fate, 5);
        }
        postfix.send(Fate::Bounced, 1);
    };
    traffic();
    number("postfixHealth", 1);
    // Averages are known after a minute.
    wait_for("an average", PATIENCE * 4, || {
        let ran = capture(tool("sh").args(["-c", &program(&format!("-s 0 {host}"))]));
        ran.stdout.lines().any(|line| line.starts_with("a minute, on average") && !line.contains('?')).then_some(())
    });
    traffic();
    show("healthy", &host, "sources ");
    {
        // Watched while mail comes and goes.
        let watched = Terminal::run(&program(&format!("--watch 1s {host}")), 80);
        let wide = Terminal::run(&program(&format!("--watch 1s {host}")), 160);
        for n in 0..30 {
            postfix.send(Fate::Delivered, 1 + (n * 7) % 11);
            if n % 4 == 0 {
                postfix.send(Fate::Rejected, 2);
            }
            thread::sleep(Duration::from_millis(700));
        }
        for (width, terminal) in [(80, &watched), (160, &wide)] {
            let text = terminal.wait("the last");
            let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screens");
            fs::write(directory.join(format!("watch-{width}.txt")), format!("{text}\n")).unwrap();
            println!("watch, {width} columns\n{text}\n");
        }
    }
    postfix.inject(Fate::Deferred, 900);
    postfix.inject(Fate::DeferredSoft, 300);
    number("postfixTotalDeferred", 1_200);
    show("backlog", &host, "sources ");
    {
        let watched = Terminal::run(&program(&format!("--watch 1s {host}")), 80);
        postfix.send(Fate::Delivered, 5);
        thread::sleep(Duration::from_secs(6));
        let text = watched.wait("the last");
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screens");
        fs::write(directory.join("watch-backlog-80.txt"), format!("{text}\n")).unwrap();
    }
    postfix.postsuper(&["-d", "ALL"]);
    number("postfixTotalDeferred", 0);

    let readable = fs::metadata(postfix.log_file()).unwrap().permissions();
    let log = postfix.log_file();
    fs::rename(&log, log.with_extension("log.1")).unwrap();
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
    number("postfixSourcesFailing", 1);
    show("log", &host, "sources ");
    fs::rename(log.with_extension("log.1"), &log).unwrap();
    fs::set_permissions(&log, readable).unwrap();
    number("postfixSourcesFailing", 0);

    issue(-20, -3);
    wait_for("an expired certificate", PATIENCE, || {
        let ran = capture(tool("sh").args(["-c", &program(&format!("-s 0 {host}"))]));
        ran.stdout.contains("expired").then_some(())
    });
    show("certificate", &host, "sources ");
    issue(0, 90);
    number("postfixHealth", 1);

    postfix.stop();
    number("postfixHealth", 3);
    number("postfixSourcesFailing", 1);
    show("stopped", &host, "sources ");
    postfix.start();
    number("postfixHealth", 1);
    // Somebody who never answers, and nobody.
    let mute = UdpSocket::bind("127.0.0.9:0").unwrap();
    let (silent, nobody) = (mute.local_addr().unwrap(), Port::reserve());
    show("hosts", &format!("-t 1 -r 1 {host} {silent} 127.0.0.1:{nobody} nohost.invalid"), " hosts: ");
    show("unreachable", &format!("-t 1 -r 1 {silent}"), "no answer");
}
