//! The promise: what the queue tables say is what Postfix's own tools say of the same queue, from both sources.
//!
//! The collector runs in this process and is asked through its View; the judge is `postqueue -j`, for age and domain
//! distributions `qshape`.

mod backlog;

use crate::common::{
    self, AGENT_UID, Fate, QueuedMessage, TestAgent, TestPostfix, TestSnmpd, Value as TestValue, capture, oid, tool,
    wait_for,
};
use postfix_agentx::{
    collect::{
        self, Collector, Context, Next,
        health::{AgentCounters, Health},
        instance::Instance,
        queue::QueueCollector,
    },
    config::{self, Config, QueueSource},
    mib::Publisher,
    smi::{Objects, Value},
    state::StateDirectory,
    stop::Stop,
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::{FileExt, PermissionsExt, chown},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

const QUEUES: [&str; 7] = ["maildrop", "incoming", "active", "deferred", "hold", "corrupt", "saved"];
/// Listed by showq.
const LISTED: [&str; 5] = ["maildrop", "incoming", "active", "deferred", "hold"];
const AGE_LIMITS: [i64; 9] = [5, 10, 20, 40, 80, 160, 320, 640, 1_280];

/// A collector and what it published.
struct Watch {
    context: Context,
    collector: QueueCollector,
    source: QueueSource,
    /// Seconds since 1970.
    begun: i64,
    _state: tempfile::TempDir,
}

impl Watch {
    /// Instances get the indices 1, 2, … in this order.
    fn new(instances: &[&TestPostfix], source: QueueSource) -> Self {
        let state = tempfile::tempdir().unwrap();
        let publisher = Publisher::new([1].into(), &collect::catalogue());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        let directory = StateDirectory::open(state.path()).unwrap();
        let context = Context::new(Arc::new(Config::default()), publisher, health, directory);
        let read = |(position, postfix): (usize, &&TestPostfix)| {
            let queue = config::Queue { source, interval: Duration::from_millis(1) };
            let settings =
                config::Instance { config_directory: postfix.config_directory(), queue, ..Default::default() };
            Arc::new(Instance { index: position as u32 + 1, ..Instance::read(&settings, &Stop::default()).unwrap() })
        };
        context.instances.set(instances.iter().enumerate().map(read).collect());
        let mut collector = QueueCollector::new(context.clone());
        let begun = now();
        collect::runner::run_once(&mut collector);
        Self { context, collector, source, begun, _state: state }
    }

    /// Reads every instance again, from the beginning.
    fn refresh(&mut self, instances: u32) {
        let attempts = |watch: &Self| -> Vec<u32> {
            let count = |i, column| watch.gauge(&[1, 1, 3, 1, column, i, 2]).unwrap();
            (1..=instances).map(|i| count(i, 7) + count(i, 8)).collect()
        };
        self.context.health.tick();
        let before = attempts(self);
        wait_for("another reading", common::PATIENCE, || {
            if let Next::After(wait) = self.collector.refresh() {
                thread::sleep(wait.min(Duration::from_millis(2)));
            }
            self.context.health.tick();
            attempts(self).iter().zip(&before).all(|(now, before)| now > before).then_some(())
        });
    }

    fn value(&self, below: &[u32]) -> Option<Value> {
        let name: Vec<u32> = [1, 1].iter().chain(&below[1..]).copied().collect();
        assert_eq!(below[0], 1, "objects");
        self.context.publisher.view().get(&name, Instant::now()).ok()
    }

    fn gauge(&self, below: &[u32]) -> Option<u32> {
        match self.value(below)? {
            Value::Gauge32(v) | Value::Counter32(v) => Some(v),
            Value::Integer(v) => Some(v as u32),
            other => panic!("{other:?} is no number"),
        }
    }

    fn text(&self, below: &[u32]) -> String {
        match self.value(below) {
            Some(Value::OctetString(text)) => String::from_utf8_lossy(&text).into_owned(),
            other => panic!("{other:?} is no text"),
        }
    }

    /// postfixQueueTable: messages, recipients, KiB, oldest age, null senders, forced expire.
    fn queue(&self, instance: u32, queue: &str) -> [Option<u32>; 6] {
        let kind = kind(queue);
        [3, 4, 5, 6, 7, 8].map(|column| self.gauge(&[1, 4, 1, 1, column, instance, kind]))
    }

    /// postfixDomainTable: recipients by name.
    fn domains(&self, instance: u32) -> BTreeMap<String, u32> {
        let mut domains = BTreeMap::new();
        for index in 1..200 {
            if let Some(recipients) = self.gauge(&[1, 4, 3, 1, 4, instance, index]) {
                let name = self.text(&[1, 4, 3, 1, 2, instance, index]);
                let (_, name) = name.split_once(' ').expect("the instance's name");
                domains.insert(name.to_owned(), recipients);
            }
        }
        domains
    }

    fn method(&self, instance: u32) -> String {
        self.text(&[1, 1, 3, 1, 3, instance, 2])
    }

    fn error(&self, instance: u32) -> String {
        self.text(&[1, 1, 3, 1, 9, instance, 2])
    }

    /// Everything postqueue and qshape say of an instance is what the tables say.
    #[track_caller]
    fn agrees(&self, instance: u32, postfix: &TestPostfix) {
        let listed = postfix.postqueue_json();
        for queue in LISTED {
            let there: Vec<&QueuedMessage> = listed.iter().filter(|m| m.queue_name == queue).collect();
            // Ages go on while tools are run, on a busy machine for seconds.
            let now = now();
            let arrived = there.iter().map(|m| now - m.arrival_time).max().unwrap_or(0);
            // Mail only passes through these; showq cannot tell since when it is there.
            let passing = matches!(queue, "maildrop" | "incoming") && self.source == QueueSource::Showq;
            let oldest = if passing { arrived.min(now - self.begun) } else { arrived };
            let expected = [
                there.len() as u64,
                there.iter().map(|m| m.recipients.len() as u64).sum(),
                there.iter().map(|m| m.message_size).sum::<u64>().div_ceil(1_024),
                oldest as u64,
                there.iter().filter(|m| m.sender == "MAILER-DAEMON").count() as u64,
                there.iter().filter(|m| m.forced_expire).count() as u64,
            ];
            let [messages, recipients, kib, age, null, forced] = self.queue(instance, queue);
            let seen = [messages, recipients, kib, Some(oldest as u32), null, forced];
            assert_eq!(seen, expected.map(|v| Some(v as u32)), "instance {instance}, {queue}");
            let age = i64::from(age.unwrap());
            assert!((age - oldest).abs() <= 2, "{queue}: {age} s, postqueue says {oldest} s");
            let ages =
                there.iter().map(|m| now - m.arrival_time).map(|age| age.min(if passing { oldest } else { age }));
            let average = ages.sum::<i64>() / (there.len() as i64).max(1);
            let [seen, largest] = [11, 12].map(|column| self.gauge(&[1, 4, 1, 1, column, instance, kind(queue)]));
            assert!((i64::from(seen.unwrap()) - average).abs() <= 2, "{queue}: {seen:?} s on average, and {average} s");
            let octets = there.iter().map(|m| m.message_size).max().unwrap_or(0);
            assert_eq!(largest, Some(octets.div_ceil(1_024) as u32), "{queue}: the largest of it");

            // qshape leaves out what is forced to expire; what 3.7 writes into maildrop it does not know.
            if queue != "maildrop" {
                let (total, buckets, _) = qshape(postfix, &[queue]);
                let mut ages: Vec<u32> =
                    (1..=10).map(|b| self.gauge(&[1, 4, 2, 1, 5, instance, kind(queue), b]).unwrap()).collect();
                for forced in there.iter().filter(|m| m.forced_expire) {
                    let minutes = (now - forced.arrival_time) / 60;
                    let bucket = AGE_LIMITS.iter().take_while(|limit| minutes >= **limit).count();
                    ages[bucket] -= forced.recipients.len() as u32;
                }
                assert_eq!(ages.iter().sum::<u32>(), total, "{queue} by age");
                // A message on the edge of a bucket may have crossed it since.
                let on_edge = |m: &&&QueuedMessage| {
                    let age = now - m.arrival_time;
                    AGE_LIMITS.iter().any(|limit| (age - limit * 60).abs() < 10)
                };
                if there.iter().filter(on_edge).count() == 0 {
                    assert_eq!(ages, buckets, "{queue} by age");
                }
            }
        }
        let (_, _, domains) = qshape(postfix, &["incoming", "active", "deferred"]);
        let mut seen = self.domains(instance);
        assert_eq!(seen.remove("(other)"), Some(0), "all domains fit");
        let forced = listed.iter().filter(|m| m.forced_expire && m.queue_name != "hold" && m.queue_name != "maildrop");
        for recipient in forced.flat_map(|m| &m.recipients) {
            let domain = recipient.address.rsplit('@').next().unwrap().to_ascii_lowercase();
            *seen.get_mut(&domain).unwrap() -= 1;
        }
        seen.retain(|_, recipients| *recipients > 0);
        assert_eq!(seen, domains, "by domain");
        self.backlog_agrees(instance, postfix, &listed);
        let totals = [1, 3, 4, 5, 6, 7].map(|column| self.gauge(&[1, 2, 1, column, 0]));
        assert!(totals.iter().all(Option::is_some), "{totals:?}");
    }
}

fn kind(queue: &str) -> u32 {
    QUEUES.iter().position(|q| *q == queue).unwrap() as u32 + 1
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Recipients in all, by age bucket, and by domain.
fn qshape(postfix: &TestPostfix, queues: &[&str]) -> (u32, Vec<u32>, BTreeMap<String, u32>) {
    qshape_by(postfix, &["-b", "10"], queues)
}

fn qshape_by(postfix: &TestPostfix, by: &[&str], queues: &[&str]) -> (u32, Vec<u32>, BTreeMap<String, u32>) {
    let mut command = tool("qshape");
    command.args(by).args(["-w", "200", "-c"]).arg(postfix.config_directory()).args(queues);
    let text = capture(&mut command).success();
    let mut domains = BTreeMap::new();
    let mut total = (0, vec![0; 10]);
    for line in text.lines().skip(1) {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap();
        let numbers: Vec<u32> = words.map(|w| w.parse().unwrap()).collect();
        if name == "TOTAL" {
            total = (numbers[0], numbers[1..].to_vec());
        } else {
            domains.insert(name.to_ascii_lowercase(), numbers[0]);
        }
    }
    (total.0, total.1, domains)
}

/// A next hop that takes connections and never says a word: mail to it stays in active.
struct Silent(TcpListener);

impl Silent {
    fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn transport(&self) -> String {
        format!("default_transport = smtp:[127.0.0.1]:{}", self.0.local_addr().unwrap().port())
    }
}

/// Mail in deferred, hold, active and incoming, and nothing that still moves.
fn mix(postfix: &TestPostfix) {
    postfix.send(Fate::Deferred, 4);
    postfix.send(Fate::DeferredSoft, 3);
    postfix.send(Fate::Held, 2);
    // Several recipients in several domains, one of which is delivered at once and marked as done in place.
    let many =
        ["a@deferred.test", "b@deferred.test", "user@soft.test", "user@virtual.test", "\"odd one\"@Deferred.Test"];
    let mut smtp = postfix.smtp();
    assert_eq!(smtp.mail(common::Fate::Deferred.sender(), &many, "").code, 250);
    assert_eq!(smtp.mail("", &["user@soft.test"], "").code, 250);
    smtp.quit();
    postfix.sendmail(
        "",
        &["stuck@silent.test", "other@silent.test"],
        &format!("Subject: long\n\n{}", "text\n".repeat(5_000)),
    );
    wait_for("mail at rest", common::PATIENCE, || {
        let listed = postfix.postqueue_json();
        let count = |queue: &str| listed.iter().filter(|m| m.queue_name == queue).count();
        (count("deferred") == 9 && count("hold") == 2 && count("active") == 1 && listed.len() == 12).then_some(())
    });
    // With qmgr standing still, new mail stays in incoming.
    postfix.kill_service("qmgr", Signal::STOP);
    let deferred = postfix.postqueue_json().into_iter().filter(|m| m.queue_name == "deferred");
    for (message, minutes) in deferred.zip([7, 15, 100, 1_000, 1_500, 7_000]) {
        make_older(&find(&postfix.queue_directory().join("deferred"), &message.queue_id), minutes * 60);
    }
    postfix.inject(Fate::Delivered, 3);
    wait_for("mail in incoming", common::PATIENCE, || {
        (postfix.postqueue_json().iter().filter(|m| m.queue_name == "incoming").count() == 3).then_some(())
    });
}

#[test]
fn a_mixed_queue_at_rest_in_three_instances() {
    let silent = Silent::listen();
    let build = |name: &str, depth, long| {
        let long = if long { "yes" } else { "no" };
        let builder = TestPostfix::builder().main(&silent.transport()).main(&format!("enable_long_queue_ids = {long}"));
        // All queues hashed in the last one: recursion is generic. Flat: the parameter must not be empty, and depth is at least 1.
        let builder = match depth {
            0 => builder.main("hash_queue_names = defer"),
            2 => builder.main("hash_queue_names = deferred, defer, hold, incoming, active"),
            _ => builder,
        };
        builder.name(name).hash_queue_depth(depth.max(1)).start()
    };
    let mut instances =
        [build("postfix-flat", 0, false), build("postfix-long", 1, true), build("postfix-deep", 2, false)];
    instances.iter().for_each(mix);
    let refs: Vec<&TestPostfix> = instances.iter().collect();
    for source in [QueueSource::Spool, QueueSource::Showq] {
        let watch = Watch::new(&refs, source);
        for (index, postfix) in (1..).zip(&refs) {
            assert_eq!(watch.method(index), if source == QueueSource::Spool { "spool" } else { "showq" });
            watch.agrees(index, postfix);
            // Corrupt and saved mail, overdue, group bits: only the spool tells.
            assert_eq!(watch.queue(index, "corrupt")[0].is_some(), source == QueueSource::Spool);
            assert_eq!(watch.gauge(&[1, 4, 1, 1, 9, index, 4]).is_some(), source == QueueSource::Spool);
            assert_eq!(watch.gauge(&[1, 3, 4, 1, 7, index]).is_some(), source == QueueSource::Spool);
            // Reasons: refused by the closed port (4 + the three of the list), 4xx of the other.
            let reasons = [1, 11, 12, 13].map(|reason| watch.gauge(&[1, 4, 4, 1, 3, index, reason]).unwrap());
            assert_eq!(reasons.iter().sum::<u32>(), 12, "{reasons:?}");
            assert_eq!(reasons[0], 7, "{reasons:?}");
        }
        let expected: usize = refs.iter().map(|p| p.postqueue_json().len()).sum();
        assert_eq!(watch.gauge(&[1, 2, 1, 1, 0]), Some(expected as u32), "postfixTotalMessages");
    }

    // Stopped: showq is gone and says so, the spool goes on, maildrop fills.
    let (mut showq, mut spool) = (Watch::new(&refs, QueueSource::Showq), Watch::new(&refs, QueueSource::Spool));
    for postfix in &instances {
        postfix.kill_service("qmgr", Signal::CONT);
        postfix.stop();
    }
    instances[0].sendmail("me@local.test", &["x@deferred.test", "y@deferred.test"], "Subject: one\n\nbody\n");
    instances[0].sendmail("", &["x@deferred.test"], "Subject: two\n\nbody\n");
    showq.refresh(3);
    for index in 1..=3 {
        assert!(showq.queue(index, "deferred")[0].is_some(), "one refused connection may be a restart");
        assert_eq!(showq.gauge(&[1, 1, 3, 1, 4, index, 2]), Some(2), "stale");
    }
    showq.refresh(3);
    spool.refresh(3);
    for (index, postfix) in (1..).zip(&instances) {
        spool.agrees(index, postfix);
        assert_eq!(showq.queue(index, "deferred"), [None; 6]);
        assert!(showq.error(index).contains("Postfix is stopped"), "{}", showq.error(index));
        assert_eq!(showq.gauge(&[1, 1, 3, 1, 4, index, 2]), Some(3), "failing");
        assert!(showq.gauge(&[1, 3, 4, 1, 1, index]).is_some(), "the file system can still be seen");
    }
    assert_eq!(spool.queue(1, "maildrop")[..2], [Some(2), Some(3)]);
    assert_eq!(spool.gauge(&[1, 3, 4, 1, 7, 1]), Some(0), "group bits are normal in maildrop");
    assert_eq!(showq.gauge(&[1, 2, 1, 1, 0]), None, "no total without all of it");
    // And back: the sockets answer again.
    instances.iter_mut().for_each(TestPostfix::start);
    common::wait_for("showq's answer", common::PATIENCE, || {
        // Not all of them: what mail moved through all the time is held back for longer than this waits.
        showq.collector.refresh();
        showq.queue(3, "deferred")[0]
    });
}

#[test]
fn what_postsuper_and_postqueue_change() {
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Deferred, 6);
    wait_for("mail at rest", common::PATIENCE, || {
        postfix.postqueue_json().iter().all(|m| m.queue_name == "deferred").then_some(())
    });
    let ids: Vec<String> = postfix.postqueue_json().into_iter().map(|m| m.queue_id).collect();
    let mut watch = Watch::new(&[&postfix], QueueSource::Spool);
    watch.agrees(1, &postfix);
    // To hold and back: directories change, and the index follows at once.
    postfix.postsuper(&["-h", &ids[0]]);
    postfix.postsuper(&["-h", &ids[1]]);
    watch.refresh(1);
    watch.agrees(1, &postfix);
    assert_eq!((watch.queue(1, "hold")[0], watch.queue(1, "deferred")[0]), (Some(2), Some(4)));
    postfix.postsuper(&["-H", &ids[1]]);
    postfix.postsuper(&["-d", &ids[2]]);
    watch.refresh(1);
    watch.agrees(1, &postfix);
    // A mode: qmgr would send it back at once, were it not stopped.
    postfix.kill_service("qmgr", Signal::STOP);
    postfix.postsuper(&["-e", &ids[3]]);
    for source in [QueueSource::Spool, QueueSource::Showq] {
        let watch = Watch::new(&[&postfix], source);
        assert_eq!(watch.queue(1, "deferred")[5], Some(1), "forced expire, {source:?}");
        watch.agrees(1, &postfix);
    }
    let fresh = Watch::new(&[&postfix], QueueSource::Spool);
    assert_eq!(fresh.gauge(&[1, 3, 4, 1, 7, 1]), Some(1), "group bits");
    assert_eq!(fresh.gauge(&[1, 4, 1, 1, 9, 1, 4]), Some(0), "overdue");
    // One whose attempt is due since long: postqueue -i would set the same time.
    let path = find(&postfix.queue_directory().join("deferred"), &ids[4]);
    let past = SystemTime::now() - Duration::from_secs(3_600);
    fs::File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    assert_eq!(Watch::new(&[&postfix], QueueSource::Spool).gauge(&[1, 4, 1, 1, 9, 1, 4]), Some(1), "overdue");
}

/// Moves the arrival in a queue file's time record; its modification time is the next attempt, and stays.
fn make_older(path: &Path, seconds: i64) {
    let mut bytes = fs::read(path).unwrap();
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    // The size record comes first, then the time record; both have lengths of one octet.
    let time = 2 + usize::from(bytes[1]);
    assert_eq!((bytes[0], bytes[time]), (b'C', b'T'));
    let digits = time + 2..time + 12;
    let arrival: i64 = std::str::from_utf8(&bytes[digits.clone()]).unwrap().parse().unwrap();
    bytes[digits].copy_from_slice(format!("{:010}", arrival - seconds).as_bytes());
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    file.set_modified(modified).unwrap();
}

fn find(directory: &Path, name: &str) -> std::path::PathBuf {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else if entry.file_name().to_string_lossy() == name {
                return entry.path();
            }
        }
    }
    panic!("no {name}");
}

#[test]
fn under_load() {
    let postfix = TestPostfix::builder().hash_queue_depth(1).main("minimal_backoff_time = 1s").start();
    let mut spool = Watch::new(&[&postfix], QueueSource::Spool);
    let mut showq = Watch::new(&[&postfix], QueueSource::Showq);
    let source = |recipient: &str| {
        let address = format!("127.0.0.1:{}", postfix.smtp_port());
        let mut command = postfix.sandbox().command("smtp-source");
        command.args(["-s", "4", "-m", "300", "-f", Fate::Deferred.sender(), "-t", recipient]).arg(address);
        command.spawn().unwrap()
    };
    let mut sources = ["user@deferred.test", "user@relay.test", "user@soft.test"].map(source);
    let mut readings = 0;
    while sources.iter_mut().any(|s| s.try_wait().unwrap().is_none()) {
        spool.refresh(1);
        showq.refresh(1);
        readings += 1;
        for watch in [&spool, &showq] {
            for queue in LISTED {
                let [messages, recipients, kib, age, ..] = watch.queue(1, queue).map(|v| v.unwrap_or(0));
                assert!(messages <= 1_000 && recipients <= 2_000 && kib <= 100_000 && age <= 600, "{queue}");
            }
        }
    }
    // One that mail moved through all the time is repeated before it is shown, so they may be few.
    assert!(readings > 0, "no reading while mail came in");
    postfix.postqueue(&["-f"]).success();
    // At rest: the same ids in the same queues twice, all of them deferred.
    let at_rest = || {
        let listed = postfix.postqueue_json();
        (listed.len() == 600 && listed.iter().all(|m| m.queue_name == "deferred")).then_some(())
    };
    wait_for("mail at rest", Duration::from_secs(60), at_rest);
    postfix.kill_service("qmgr", Signal::STOP);
    if at_rest().is_none() {
        // A retry began in between: what is in active now stays there, and that is at rest as well.
        wait_for("deliveries done", common::PATIENCE, || {
            let before: Vec<_> =
                postfix.postqueue_json().into_iter().map(|m| (m.queue_id, m.recipients.len())).collect();
            thread::sleep(Duration::from_millis(500));
            let after: Vec<_> =
                postfix.postqueue_json().into_iter().map(|m| (m.queue_id, m.recipients.len())).collect();
            (before == after).then_some(())
        });
    }
    for watch in [&mut spool, &mut showq] {
        watch.refresh(1);
        watch.agrees(1, &postfix);
    }
}

/// The model: mail that only moves is neither lost nor counted twice, whatever postsuper does while it is counted. Totals are
/// compared with what was true at some moment since the reading began; one that moved under the reader is repeated.
#[test]
fn every_total_was_true_at_some_moment_while_mail_moves() {
    const MAILS: u32 = 300;
    let postfix = TestPostfix::builder().main("default_process_limit = 20").start();
    let address = format!("127.0.0.1:{}", postfix.smtp_port());
    let mut command = postfix.sandbox().command("smtp-source");
    command.args(["-s", "4", "-m", &MAILS.to_string(), "-f", Fate::Deferred.sender(), "-t", "user@deferred.test"]);
    assert!(command.arg(address).status().unwrap().success());
    wait_for("mail at rest", Duration::from_secs(60), || {
        let listed = postfix.postqueue_json();
        (listed.len() == MAILS as usize && listed.iter().all(|m| m.queue_name == "deferred")).then_some(())
    });
    // From here on nobody but postsuper moves anything.
    postfix.kill_service("qmgr", Signal::STOP);
    postfix.kill_service("pickup", Signal::STOP);
    let ids: Vec<String> = postfix.postqueue_json().into_iter().map(|m| m.queue_id).collect();
    // How many there were, and since when at most.
    let truth = std::sync::Mutex::new(vec![(Instant::now(), MAILS)]);
    let total = |watch: &Watch| watch.gauge(&[1, 2, 1, 1, 0]);
    thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let mut random = common::Random::new(13);
            let mut left: Vec<&str> = ids.iter().map(String::as_str).collect();
            for step in 0..120 {
                let some = random.below(40) as usize + 1;
                let flag = ["-h", "-H", "-r", "-h", "-H", "-d"][random.below(6) as usize];
                if flag == "-d" && step % 2 == 0 {
                    let gone: Vec<&str> = left.split_off(left.len() - some.min(5).min(left.len() / 2));
                    postfix.postsuper(&gone.iter().flat_map(|id| ["-d", id]).collect::<Vec<_>>());
                    truth.lock().unwrap().push((Instant::now(), left.len() as u32));
                } else if random.below(4) == 0 {
                    postfix.postsuper(&[["-h", "-H"][random.below(2) as usize], "ALL"]);
                } else {
                    let chosen: Vec<&str> = (0..some).map(|_| left[random.below(left.len() as u64) as usize]).collect();
                    let flag = if flag == "-d" { "-h" } else { flag };
                    postfix.postsuper(&chosen.iter().flat_map(|id| [flag, id]).collect::<Vec<_>>());
                }
                thread::sleep(Duration::from_millis(random.below(60)));
            }
        });
        let mut readings = 0;
        let mut watches = [QueueSource::Spool, QueueSource::Showq].map(|source| Watch::new(&[&postfix], source));
        let mut since = [Instant::now(); 2];
        while !mover.is_finished() {
            for (watch, since) in watches.iter_mut().zip(&mut since) {
                let begun = Instant::now();
                watch.refresh(1);
                let seen = total(watch).expect("a total");
                // The next one is not known yet while it comes to be: at most five mails fewer.
                let known = truth.lock().unwrap();
                let before = known.iter().rfind(|(at, _)| at <= since).map_or(MAILS, |(_, n)| *n);
                let after = known.last().unwrap().1.saturating_sub(5);
                assert!((after..=before).contains(&seen), "{:?}: {seen} is not in {after}..={before}", watch.source);
                *since = begun;
                readings += 1;
            }
        }
        mover.join().unwrap();
        assert!(readings > 3, "{readings} readings while mail moved, the others were repeated");
        let left = truth.lock().unwrap().last().unwrap().1;
        for watch in &mut watches {
            watch.refresh(1);
            assert_eq!(total(watch), Some(left), "{:?}, at rest", watch.source);
        }
    });
}

#[test]
fn what_is_no_message_is_counted_and_survived() {
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Deferred, 2);
    wait_for("mail at rest", common::PATIENCE, || {
        postfix.postqueue_json().iter().all(|m| m.queue_name == "deferred").then_some(())
    });
    let deferred = postfix.queue_directory().join("deferred");
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let path = deferred.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(fs::metadata(&deferred).map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap()), None)
            .unwrap();
    };
    let whole = fs::read(find(&deferred, &postfix.postqueue_json()[0].queue_id)).unwrap();
    write("AA0001", b"", 0o700);
    write("AA0002", &whole[..40], 0o700);
    write("AA0003", b"C\xff\xff\xff\xff\x7f", 0o700);
    write("AA0004", &vec![0xff; 70_000], 0o700);
    write("AA0005", &whole, 0o600);
    write("AA0006", b"#!/bin/sh\n", 0o700);
    std::os::unix::fs::symlink(find(&deferred, &postfix.postqueue_json()[0].queue_id), deferred.join("AA0007"))
        .unwrap();
    fs::write(deferred.join("not-a-queue-id"), b"x").unwrap();
    fs::create_dir(deferred.join("directory")).unwrap();
    std::os::unix::net::UnixListener::bind(deferred.join("AA0008")).unwrap();
    write("ignored.tmp", b"x", 0o700);
    fs::write(postfix.queue_directory().join("corrupt/BB0001"), &whole[..60]).unwrap();
    // Odd, and yet messages: octets that are no UTF-8, and a record longer than any Postfix writes.
    let mut odd = b"T\x0a1700000000S\x03s@x".to_vec();
    odd.extend(b"A\x80\x80\x04");
    odd.resize(odd.len() + (4 << 14), b'h');
    odd.extend(b"R\x06\xff@\xc3\x28.xE\0");
    // Where it belongs, or showq would not find it.
    let hashed = deferred.join("A");
    fs::create_dir_all(&hashed).unwrap();
    let owner = fs::metadata(&deferred).map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap();
    chown(&hashed, Some(owner), None).unwrap();
    write("A/AA0009", &odd, 0o700);
    let watch = Watch::new(&[&postfix], QueueSource::Spool);
    assert_eq!(watch.queue(1, "deferred")[..2], [Some(3), Some(3)]);
    assert_eq!(watch.gauge(&[1, 4, 1, 1, 10, 1, 4]), Some(11), "ignored");
    assert_eq!(watch.domains(1).get("\\xc3(.x"), Some(&1), "{:?}", watch.domains(1));
    let showq = Watch::new(&[&postfix], QueueSource::Showq);
    assert_eq!(showq.queue(1, "deferred")[..2], [Some(3), Some(3)], "as Postfix itself");
    assert_eq!(watch.queue(1, "corrupt")[0], Some(1));
    assert_eq!(watch.gauge(&[1, 2, 1, 8, 0]), Some(1), "postfixTotalCorrupt");
}

/// A spool that is not there any more: the last values stay for the grace, the error says where to look.
#[test]
fn a_vanished_spool() {
    let postfix = TestPostfix::builder().create();
    let queue = postfix.queue_directory();
    for directory in ["incoming", "active", "deferred"] {
        fs::create_dir(queue.join(directory)).unwrap();
    }
    let mut watch = Watch::new(&[&postfix], QueueSource::Auto);
    assert_eq!(watch.queue(1, "hold")[0], Some(0), "a queue without a directory is empty");
    fs::rename(&queue, queue.with_extension("gone")).unwrap();
    watch.refresh(1);
    assert_eq!(watch.queue(1, "hold")[0], Some(0), "kept for the grace");
    assert_eq!(watch.gauge(&[1, 1, 3, 1, 4, 1, 2]), Some(2), "stale");
    assert!(watch.error(1).contains("is the spool mounted"), "{}", watch.error(1));
    // An empty mount point is no empty queue either.
    fs::create_dir(&queue).unwrap();
    watch.refresh(1);
    assert_eq!(watch.gauge(&[1, 1, 3, 1, 4, 1, 2]), Some(2), "stale");
    fs::remove_dir(&queue).unwrap();
    fs::rename(queue.with_extension("gone"), &queue).unwrap();
    watch.refresh(1);
    assert_eq!(watch.gauge(&[1, 1, 3, 1, 4, 1, 2]), Some(1), "ok");
}

/// A file system that is unmounted under us, and another one in its place.
#[test]
fn a_spool_on_a_vanished_mount() {
    let postfix = TestPostfix::builder().create();
    let mount = |arguments: &[&str]| {
        let mut command = tool("mount");
        capture(command.args(arguments).arg(postfix.queue_directory())).code
    };
    if mount(&["-t", "tmpfs", "postfix-agentx-test"]) != 0 {
        eprintln!("skipped: no right to mount a tmpfs");
        return;
    }
    /// Unmounts whatever is still there when the test ends.
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            while capture(tool("umount").arg("-l").arg(&self.0)).code == 0 {}
        }
    }
    let mounted = Mounted(postfix.queue_directory());
    let fill = |messages: usize| {
        for directory in ["incoming", "active", "deferred"] {
            fs::create_dir(mounted.0.join(directory)).unwrap();
        }
        for i in 0..messages {
            let path = mounted.0.join(format!("deferred/AB00{i}"));
            fs::write(&path, b"T\x0a1700000000S\x03s@xR\x03r@yE\0").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    };
    fill(3);
    let mut watch = Watch::new(&[&postfix], QueueSource::Auto);
    assert_eq!(watch.queue(1, "deferred")[..2], [Some(3), Some(3)]);
    assert_eq!(capture(tool("umount").arg("-l").arg(&mounted.0)).code, 0);
    watch.refresh(1);
    assert_eq!(watch.queue(1, "deferred")[..2], [Some(3), Some(3)], "kept for the grace");
    assert_eq!(watch.gauge(&[1, 1, 3, 1, 4, 1, 2]), Some(2), "stale");
    assert!(watch.error(1).contains("is the spool mounted"), "{}", watch.error(1));
    // Another one: nothing of the first is left, even where names and inodes are the same.
    assert_eq!(mount(&["-t", "tmpfs", "postfix-agentx-test"]), 0);
    fill(1);
    watch.refresh(1);
    assert_eq!(watch.queue(1, "deferred")[..2], [Some(1), Some(1)]);
    assert_eq!(watch.gauge(&[1, 1, 3, 1, 4, 1, 2]), Some(1), "ok");
}

/// `auto` follows the rights the running agent has, and names the directory it may not read.
#[test]
fn auto_follows_the_rights() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&agent.config().replace("interval: 30s", "interval: 1s"));
    agent.start();
    let mut client = snmpd.udp();
    let (method, source) = (oid("postfixSourceMethod", &[1, 2]), oid("postfixSourceStatus", &[1, 2]));
    let mut wait_for_method = |wanted: &str| {
        wait_for(wanted, common::PATIENCE, || match client.get_one(&method).ok()? {
            TestValue::OctetString(text) if text == wanted.as_bytes() => Some(()),
            _ => None,
        });
        assert_eq!(client.get_one(&source).unwrap(), TestValue::Integer(1), "ok");
    };
    wait_for_method("showq");
    let set_modes = |mode: u32| {
        for queue in QUEUES {
            fs::set_permissions(postfix.queue_directory().join(queue), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    // The queue is empty: to read its directories is to read all of it. In life it is a capability that comes and goes.
    set_modes(0o755);
    wait_for_method("spool");
    set_modes(0o700);
    wait_for_method("showq");
    // One directory that stays closed is no empty one.
    set_modes(0o755);
    let closed = postfix.queue_directory().join("deferred/7");
    fs::create_dir_all(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    agent.set_config(&agent.config().replace("source: auto", "source: spool"));
    agent.restart();
    let error = oid("postfixSourceError", &[1, 2]);
    let text = wait_for("the reason", common::PATIENCE, || match client.get_one(&error).ok()? {
        TestValue::OctetString(text) if !text.is_empty() => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    });
    assert!(text.contains("deferred/7: permission denied"), "{text}");
    assert!(client.get_one(&oid("postfixTotalDeferred", &[0])).unwrap().is_exception(), "unknown is not zero");
}

/// Instances are found by multi_instance_directories, and keep their indices through restarts and another order.
#[test]
fn instances_are_found_and_remembered() {
    let names = ["postfix-a", "postfix-b", "postfix-c"];
    let [a, b, c] = names.map(|name| TestPostfix::builder().name(name).start());
    for (postfix, held) in [(&a, 1), (&b, 2), (&c, 3)] {
        postfix.send(Fate::Held, held);
    }
    let main = TestPostfix::builder().lists(&[&a, &b]).start();
    let snmpd = TestSnmpd::start();
    let mut agent = TestAgent::new(&snmpd, &[&main]);
    let indices = |agent: &mut TestAgent, expected: &[(&str, u32, u32)]| {
        let mut client = snmpd.udp();
        for (name, index, held) in expected {
            wait_for(&format!("{name} with {held} messages at {index}"), common::PATIENCE, || {
                assert!(agent.exited().is_none());
                let text = client.get_one(&oid("postfixInstanceName", &[*index])).ok()?;
                let count = client.get_one(&oid("postfixQueueMessages", &[*index, kind("hold")])).ok()?;
                (text == TestValue::OctetString(name.as_bytes().to_vec()) && count == TestValue::Gauge32(*held))
                    .then_some(())
            });
        }
    };
    agent.start();
    indices(&mut agent, &[("postfix", 1, 0), ("postfix-a", 2, 1), ("postfix-b", 3, 2)]);
    // Reordered, with a new one in front and one gone: while the agent runs, and after a restart.
    let list = |instances: &[&TestPostfix]| {
        let directories: Vec<String> = instances.iter().map(|i| i.config_directory().display().to_string()).collect();
        main.append_main(&format!("multi_instance_directories = {}", directories.join(" ")));
    };
    list(&[&c, &b]);
    indices(&mut agent, &[("postfix", 1, 0), ("postfix-b", 3, 2), ("postfix-c", 4, 3)]);
    assert!(snmpd.udp().get_one(&oid("postfixInstanceName", &[2])).unwrap().is_exception(), "postfix-a is gone");
    agent.restart();
    indices(&mut agent, &[("postfix", 1, 0), ("postfix-b", 3, 2), ("postfix-c", 4, 3)]);
    agent.stop();
    list(&[&b, &c, &a]);
    agent.start();
    indices(&mut agent, &[("postfix", 1, 0), ("postfix-a", 2, 1), ("postfix-b", 3, 2), ("postfix-c", 4, 3)]);
}

/// Group postdrop gives showq; without it the message names the ways, and none of them is chmod.
#[test]
fn without_root() {
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Held, 3);
    let agent = TestAgent::with_config(|state| TestAgent::yaml("unix:/nonexistent", state, &[&postfix]));
    let method = format!("{}.1.1.3.1.3.1.2", common::ROOT);
    let held = format!("{}.1.4.1.1.3.1.5 = Gauge32: 3", common::ROOT);
    let dump = agent.run_once(&["dump", "--numeric"]).success();
    let line = |text: &str, start: &str| text.lines().find(|l| l[1..].starts_with(start)).map(str::to_owned);
    assert_eq!(line(&dump, &method).unwrap(), format!(".{method} = STRING: \"showq\""));
    assert!(line(&dump, &held).is_some(), "{dump}");

    // The same user without any group, and then with the capability instead.
    let mut command = tool("setpriv");
    command.args([
        format!("--reuid={AGENT_UID}"),
        format!("--regid={AGENT_UID}"),
        "--clear-groups".into(),
        "--".into(),
    ]);
    command
        .arg(agent.command(&[]).get_args().last().unwrap())
        .args(["dump", "--numeric"])
        .arg("--config")
        .arg(agent.config_file());
    let dump = capture(&mut command).success();
    let error = line(&dump, &format!("{}.1.1.3.1.9.1.2", common::ROOT)).unwrap();
    for way in ["permission denied", "group postdrop", "CAP_DAC_READ_SEARCH", "mail_owner", "never chmod"] {
        assert!(error.contains(way), "{error}");
    }
    assert_eq!(line(&dump, &format!("{}.1.4.", common::ROOT)), None, "no row of any queue");

    let mut command = tool("setpriv");
    command.args([format!("--reuid={AGENT_UID}"), format!("--regid={AGENT_UID}"), "--clear-groups".into()]);
    command.args(["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"]);
    command
        .arg(agent.command(&[]).get_args().last().unwrap())
        .args(["dump", "--numeric"])
        .arg("--config")
        .arg(agent.config_file());
    let dump = capture(&mut command).success();
    assert_eq!(line(&dump, &method).unwrap(), format!(".{method} = STRING: \"spool\""));
    assert!(line(&dump, &held).is_some(), "{dump}");
}
