//! What is no trouble is not told, and what the administrator does is told as what it is.

use super::{notices, wait_rows};
use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, TestTrapd, oid, wait_for};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// The default set with hold times that a test can wait for, or with none where none is needed.
const SHORT: &str = "alarms:
  - { name: instance-down, when: 'postfixInstanceState[*] == stopped', severity: critical }
  - { name: daemon-down, when: 'postfixDaemonState[*] == notRunning', for: 15s, severity: critical }
  - { name: source-failing, when: 'postfixSourceStatus[*] == failing', for: 10s }
  - { name: incoming-stuck, when: 'postfixQueueOldestAge[* incoming] > 10m', clear: 5m }
  - { name: maildrop-stuck, when: 'postfixQueueOldestAge[* maildrop] > 10m', clear: 5m }
  - { name: active-full, when: 'postfixSpoolActivePercent[*] > 90', clear: 75 }
  - { name: service-full, when: 'postfixServiceProcessPercent[*] >= 100', clear: 80 }
";

struct Stage {
    trapd: TestTrapd,
    snmpd: TestSnmpd,
    postfix: TestPostfix,
    agent: TestAgent,
}

impl Stage {
    /// A Postfix whose processes rest after a second and whose showq can be made slow; the agent reads the queue by showq.
    fn set(alarms: &str) -> Self {
        let trapd = TestTrapd::start_named();
        let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
        let mut postfix = TestPostfix::builder().main("max_idle = 1s").create();
        // Its own daemon_directory: links to the programs, and a script for showq.
        let programs = PathBuf::from(postfix.postconf(&["-h", "daemon_directory"]).trim());
        let own = postfix.sandbox().mkdir("programs", 0o755, None);
        for program in fs::read_dir(&programs).unwrap().flatten() {
            if program.file_name() != "showq" {
                symlink(program.path(), own.join(program.file_name())).unwrap();
            }
        }
        let slow = postfix.sandbox().mkdir("slow", 0o777, None).join("now");
        let script = format!(
            "#!/bin/sh\n[ -e {0} ] && rm -f {0} && sleep 3\nexec {1} \"$@\"\n",
            slow.display(),
            programs.join("showq").display()
        );
        let showq = postfix.sandbox().write("programs/showq", &script);
        fs::set_permissions(showq, fs::Permissions::from_mode(0o755)).unwrap();
        postfix.append_main(&format!("daemon_directory = {}", own.display()));
        postfix.start();
        let mut agent = TestAgent::new(&snmpd, &[&postfix]);
        let config = agent.config().replace("source: auto, interval: 30s", "source: showq, interval: 2s");
        agent.set_config(&format!("{config}{alarms}"));
        agent.start();
        agent.wait_healthy(&snmpd, 1);
        wait_rows(&snmpd, 12);
        Self { trapd, snmpd, postfix, agent }
    }

    /// One after the other all that belongs to a day of a healthy host.
    fn day(&mut self, number: usize) {
        self.postfix.send(Fate::Delivered, 3);
        // The one showq that is slow; the next one is asked after twenty times as long.
        let slow = self.postfix.sandbox().path("slow/now");
        fs::write(&slow, "").unwrap();
        if number == 1 {
            wait_for("the slow showq", PATIENCE, || (!slow.exists()).then_some(()));
        }
        self.postfix.reload();
        // pickup leaves.
        self.postfix.sendmail("sender@virtual.test", &[Fate::Delivered.recipient()], "Subject: x\n\nHello.\n");
        wait_for("a pickup that rests", PATIENCE, || self.postfix.service_pids("pickup").is_empty().then_some(()));
        // logrotate with `create`, and a Postfix that is told.
        let log = self.postfix.log_file();
        let old = log.with_extension(format!("log.{number}"));
        fs::rename(&log, &old).unwrap();
        let old = fs::metadata(old).unwrap();
        fs::write(&log, "").unwrap();
        chown(&log, None, Some(old.gid())).unwrap();
        fs::set_permissions(&log, old.permissions()).unwrap();
        self.postfix.reload();
        self.snmpd.restart();
        self.agent.wait_sources_ok(&self.snmpd, 1);
    }

    fn told(&self) -> Vec<(String, String)> {
        notices(&self.trapd)
    }
}

fn nothing() -> Vec<(String, String)> {
    Vec::new()
}

#[test]
fn a_healthy_day_tells_nothing_and_a_stop_tells_one_thing() {
    let mut stage = Stage::set(SHORT);
    for number in 1..=3 {
        stage.day(number);
        assert_eq!(stage.told(), nothing(), "after day {number}");
    }
    // Whatever was seen has been looked at: two more looks.
    let uptime = oid("postfixAgentUptime", &[0]);
    let begun = stage.agent.wait_ready(&stage.snmpd, &uptime).number().unwrap();
    wait_for("two looks", PATIENCE, || (stage.snmpd.get(&uptime).ok()?.number()? >= begun + 1_100).then_some(()));
    assert_eq!(stage.told(), nothing());
    assert_eq!(stage.snmpd.get(&oid("postfixAlarmsRaised", &[0])).unwrap().number(), Some(0));
    // A stop is one notification, whatever stops with it, and a start is its end.
    stage.postfix.stop();
    let down = ("postfixInstanceDown".to_owned(), "instance-down: postfix".to_owned());
    wait_for("postfixInstanceDown", PATIENCE, || (!stage.told().is_empty()).then_some(()));
    let stopped = stage.agent.wait_ready(&stage.snmpd, &uptime).number().unwrap();
    wait_for("longer than the hold times", PATIENCE, || {
        (stage.snmpd.get(&uptime).ok()?.number()? >= stopped + 2_000).then_some(())
    });
    // The queue cannot be asked any more, which is told after its hold time.
    let told =
        |stage: &Stage| stage.told().into_iter().filter(|(kind, _)| !kind.contains("Source")).collect::<Vec<_>>();
    assert_eq!(told(&stage), std::slice::from_ref(&down));
    stage.postfix.start();
    let up = ("postfixInstanceUp".to_owned(), "instance-down: postfix".to_owned());
    wait_for("postfixInstanceUp", PATIENCE, || (told(&stage).len() > 1).then_some(()));
    assert_eq!(told(&stage), [down, up]);
}

/// With the hold times of the default set: everything for longer than the longest of them that could be too short.
#[test]
#[ignore = "minutes long: make chaos"]
fn the_default_set_is_silent_for_minutes_and_a_stop_is_one_notification_and_its_end() {
    let mut stage = Stage::set("");
    let begun = Instant::now();
    let mut days = 0;
    while begun.elapsed() < Duration::from_secs(180) {
        days += 1;
        stage.day(days);
    }
    assert_eq!(stage.told(), nothing(), "after {days} days");
    // `postfix stop` by the administrator, and nobody comes for longer than any hold time but the queue's.
    stage.postfix.stop();
    let down = ("postfixInstanceDown".to_owned(), "instance-down: postfix".to_owned());
    wait_for("postfixInstanceDown", PATIENCE * 2, || (stage.told() == std::slice::from_ref(&down)).then_some(()));
    let stopped = Instant::now();
    while stopped.elapsed() < Duration::from_secs(100) {
        assert_eq!(stage.told(), std::slice::from_ref(&down), "after {:?}", stopped.elapsed());
        thread::sleep(Duration::from_secs(1));
    }
    stage.postfix.start();
    let up = ("postfixInstanceUp".to_owned(), "instance-down: postfix".to_owned());
    wait_for("postfixInstanceUp", PATIENCE * 2, || (stage.told() == [down.clone(), up.clone()]).then_some(()));
    // A stop and a start that take less than the hold time are no trouble.
    stage.postfix.stop();
    stage.postfix.start();
    stage.day(days + 1);
    assert_eq!(stage.told(), [down, up]);
    println!("{days} healthy days in 180 s told nothing");
}
