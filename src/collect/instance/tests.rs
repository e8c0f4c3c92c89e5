//! With the real postconf on made-up configuration directories; no Postfix runs.

use super::*;
use crate::{
    collect::health::{self, AgentCounters, Health},
    mib::Publisher,
    smi::{Objects, Value},
    state::StateDirectory,
};
use std::{
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;

struct Host {
    dir: TempDir,
    context: Context,
    collector: InstanceCollector,
}

/// Tests cannot wait for seconds.
const CERTAIN_HERE: Duration = Duration::from_millis(20);

fn collector(context: &Context) -> InstanceCollector {
    InstanceCollector { certain: CERTAIN_HERE, ..InstanceCollector::new(context.clone()) }
}

impl Host {
    fn new(main_cf: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etc", "spool/pid"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("spool/pid/master.pid"), "").unwrap();
        fs::write(dir.path().join("etc/master.cf"), "smtp unix - - n - - smtp\n").unwrap();
        let publisher = Publisher::new([1].into(), &[health::TABLES, TABLES].concat());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        let state = StateDirectory::open(&dir.path().join("state")).unwrap();
        let settings = config::Instance { config_directory: dir.path().join("etc"), ..config::Instance::default() };
        let config = config::Config { instances: vec![settings], ..config::Config::default() };
        let context = Context::new(Arc::new(config), publisher, health, state);
        let host = Self { collector: collector(&context), context, dir };
        host.main_cf(main_cf);
        host
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("etc/main.cf")
    }

    fn main_cf(&self, text: &str) {
        let spool = self.dir.path().join("spool");
        let text = format!("compatibility_level = 3.6\nqueue_directory = {}\n{text}", spool.display());
        fs::write(self.file(), text).unwrap();
    }

    /// The only instance.
    fn instance(&mut self) -> Option<Arc<Instance>> {
        while self.collector.refresh() != Next::After(INTERVAL) {
            thread::sleep(CERTAIN_HERE);
        }
        let list = self.context.instances.current();
        assert!(list.len() <= 1);
        list.first().cloned()
    }

    fn get(&self, below: &[u32]) -> Option<Value> {
        self.context.publisher.view().get(&[&[1], below].concat(), Instant::now()).ok()
    }

    /// postfixSourceStatus and Error of instance 1.
    fn source(&self) -> (Value, String) {
        let column = |column| self.get(&[1, 1, 3, 1, column, 1, 1]).unwrap();
        (column(4), column(9).to_string())
    }
}

/// Holds the lock as master does, until it is dropped.
struct FakeMaster(Child);

impl FakeMaster {
    fn start(host: &mut Host) -> Option<Self> {
        let mut command = Command::new("flock");
        command.arg("--no-fork").arg(host.dir.path().join("spool/pid/master.pid")).args(["sleep", "60"]);
        let master = Self(command.stdin(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while host.get(&[1, 3, 1, 1, 8, 1]) != Some(Value::Gauge32(master.0.id())) {
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
            host.instance();
        }
        Some(master)
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_main_cf_that_cannot_be_read_any_more_changes_nothing_but_the_source() {
    let mut host = Host::new("myhostname = mx1.test\n");
    let before = host.instance().unwrap();
    assert_eq!((before.name.as_str(), before.hostname.as_str(), before.index), ("postfix", "mx1.test", 1));
    assert_eq!(host.source().0, Value::Integer(1), "ok");
    host.main_cf("myhostname = mx2.test\nthis is wrong\n");
    assert!(Arc::ptr_eq(&before, &host.instance().unwrap()), "as it was last");
    assert_eq!(host.get(&[1, 3, 1, 1, 7, 1]), Some(Value::Integer(2)), "its state is still looked at");
    let (status, error) = host.source();
    assert_eq!(status, Value::Integer(2), "stale");
    assert!(error.contains("line 4: missing '='") && error.contains("correct it"), "{error}");
    fs::remove_file(host.file()).unwrap();
    assert!(Arc::ptr_eq(&before, &host.instance().unwrap()));
    assert!(host.source().1.contains("is config_directory right"), "{}", host.source().1);
    host.main_cf("myhostname = mx2.test\n");
    assert_eq!(host.instance().unwrap().hostname, "mx2.test");
    assert_eq!(host.source(), (Value::Integer(1), "\"\"".into()));
}

#[test]
fn one_that_could_not_be_read_once_has_a_row_and_takes_no_index() {
    let mut host = Host::new("wrong\n");
    assert!(host.instance().is_none());
    let directory = host.dir.path().join("etc");
    assert_eq!(
        host.get(&[1, 1, 3, 1, 2, 1, 1]).unwrap().to_string(),
        format!("STRING: \"{} instance\"", directory.display())
    );
    assert_eq!(host.source().0, Value::Integer(3), "failing");
    assert_eq!(host.get(&[1, 2, 3, 1, 0]), Some(Value::Gauge32(0)), "postfixTotalInstances");
    host.main_cf("multi_instance_name = postfix-x\n");
    let instance = host.instance().unwrap();
    assert_eq!((instance.name.as_str(), instance.index), ("postfix-x", 1));
    assert_eq!(host.get(&[1, 1, 3, 1, 2, 1, 1]).unwrap().to_string(), "STRING: \"postfix-x instance\"");
    assert_eq!(host.source().0, Value::Integer(1));
}

#[test]
fn an_edit_without_effect_is_the_same_instance_and_master_cf_another() {
    let mut host = Host::new("");
    let before = host.instance().unwrap();
    host.main_cf("# a comment\n");
    assert!(Arc::ptr_eq(&before, &host.instance().unwrap()));
    fs::write(host.dir.path().join("etc/master.cf"), "smtp unix - - n - 7 smtp\n").unwrap();
    let after = host.instance().unwrap();
    assert!(!Arc::ptr_eq(&before, &after), "who works with its services must be told");
    assert_eq!(after.services.as_ref().unwrap()[0].entry.limit, Some(7));
}

#[test]
fn another_master_may_be_of_another_version() {
    let mut host = Host::new("mail_version = 3.7.11\n");
    host.instance().unwrap();
    let Some(first) = FakeMaster::start(&mut host) else {
        // overlayfs shows another device in /proc/locks, and ours is no master.
        eprintln!("skipped: the lock is not seen on this file system");
        return;
    };
    // What postconf says changes although the file is the same: as after an upgrade.
    let modified = fs::metadata(host.file()).unwrap().modified().unwrap();
    let text = fs::read_to_string(host.file()).unwrap().replace("3.7.11", "3.7.12");
    fs::write(host.file(), text).unwrap();
    fs::File::options().append(true).open(host.file()).unwrap().set_modified(modified).unwrap();
    assert_eq!(host.instance().unwrap().version, "3.7.11", "the same master, the same file: postconf does not run");
    drop(first);
    let _second = FakeMaster::start(&mut host).unwrap();
    assert_eq!(host.instance().unwrap().version, "3.7.12");
}

#[test]
fn services_come_when_master_cf_can_be_read_and_stay_when_it_cannot() {
    let mut host = Host::new("");
    let master_cf = host.dir.path().join("etc/master.cf");
    let text = fs::read_to_string(&master_cf).unwrap();
    fs::remove_file(&master_cf).unwrap();
    let source = |host: &Host| {
        let column = |column| host.get(&[1, 1, 3, 1, column, 1, 5]).unwrap();
        (column(4), column(9).to_string())
    };
    let before = host.instance().unwrap();
    assert_eq!((before.services.clone(), source(&host).0), (None, Value::Integer(3)), "failing");
    assert!(source(&host).1.contains("master.cf"), "{}", source(&host).1);
    assert_eq!(host.source().0, Value::Integer(1), "the instance itself is known");
    fs::write(&master_cf, format!("{text}587 inet n - n - - smtpd -o syslog_name=${{queue_directory}}/x\n")).unwrap();
    let after = host.instance().unwrap();
    let services = after.services.as_ref().unwrap();
    assert_eq!(source(&host), (Value::Integer(1), "\"\"".into()));
    let label = format!("{}/x", host.dir.path().join("spool").display());
    assert_eq!((services[1].index, services[1].label.as_deref()), (Some(2), Some(&*label)), "expanded by Postfix");
    fs::write(&master_cf, "rubbish\n").unwrap();
    assert!(Arc::ptr_eq(&after, &host.instance().unwrap()), "as they were last");
    assert_eq!(source(&host).0, Value::Integer(2), "stale");
    // The order of the file is no identity, and neither is this process.
    fs::write(&master_cf, format!("587 inet n - n - - smtpd\nlmtp unix - - n - - lmtp\n{text}")).unwrap();
    host.collector = collector(&host.context);
    let services = host.instance().unwrap().services.clone().unwrap();
    assert_eq!(services.iter().map(|s| s.index).collect::<Vec<_>>(), [Some(2), Some(3), Some(1)]);
}

/// As 0.1.0 left it.
#[test]
fn the_indices_of_0_1_0_stay() {
    let mut host = Host::new("");
    let state = &host.context.state;
    state.save_bytes(STATE, 1, br#"{"first":1,"names":["gone","postfix"]}"#).unwrap();
    let account = r#"{"services":{"first":1,"names":["x/unix","y/unix","smtp/unix"]},"total":{"base":0,"last":0,"master":null},"service_cpu":{},"daemons":{},"counted":[]}"#;
    let process = format!(r#"{{"boot":"b","instances":{{"2":{account}}}}}"#);
    state.save_bytes("process", 1, process.as_bytes()).unwrap();
    host.collector = collector(&host.context);
    let instance = host.instance().unwrap();
    assert_eq!((instance.index, instance.services.as_ref().unwrap()[0].index), (2, Some(3)));
}

#[test]
fn stopped_is_believed_after_two_looks_and_running_after_one() {
    let (now, certain) = (Instant::now(), Duration::from_secs(2));
    let later = |ms| now + Duration::from_millis(ms);
    let unknown = || Master::Unknown("why".into());
    let mut shown = Shown::default();
    assert!(shown.look(Master::Stopped, now, certain));
    assert_eq!(shown.master, None, "nothing is said yet");
    assert!(!shown.look(Master::Running(7), later(100), certain));
    for (seen, at, show, again) in [
        // A lock that was overlooked, or a restart.
        (Master::Stopped, 1_000, Master::Running(7), true),
        (Master::Running(8), 3_000, Master::Running(8), false),
        (Master::Stopped, 4_000, Master::Running(8), true),
        (Master::Stopped, 5_000, Master::Running(8), true),
        (Master::Stopped, 6_000, Master::Stopped, false),
        (unknown(), 7_000, Master::Stopped, true),
        (unknown(), 9_000, unknown(), false),
        (Master::Running(9), 9_100, Master::Running(9), false),
    ] {
        assert_eq!(shown.look(seen, later(at), certain), again, "at {at} ms");
        assert_eq!(shown.master, Some(show), "at {at} ms");
    }
}

/// A container that was given the socket and no more.
#[test]
fn what_was_never_seen_is_unknown_and_nobody_is_told_to_start_it() {
    let mut host = Host::new("");
    fs::remove_dir_all(host.dir.path().join("spool/pid")).unwrap();
    fs::create_dir(host.dir.path().join("spool/public")).unwrap();
    host.instance().unwrap();
    assert_eq!(host.get(&[1, 3, 1, 1, 7, 1]), Some(Value::Integer(3)), "unknown");
    assert_eq!(host.get(&[1, 3, 1, 1, 8, 1]), None, "no pid of it");
    assert_eq!(host.get(&[1, 2, 3, 2, 0]), None, "no number of those that run");
    assert!(host.source().1.contains("mount the spool's directory pid"), "{}", host.source().1);
    let conditions = host.context.health.all_conditions();
    assert!(conditions.iter().all(|c| c.severity == Severity::Unknown && !c.text.contains("start it with")));
}

#[test]
fn a_disabled_instance_is_quiet_and_in_no_total() {
    let mut host = Host::new("multi_instance_name = postfix-off\nmulti_instance_enable = no\n");
    let running = |host: &Host| (host.get(&[1, 2, 3, 1, 0]), host.get(&[1, 2, 3, 2, 0]));
    host.instance().unwrap();
    assert_eq!(host.get(&[1, 3, 1, 1, 7, 1]), Some(Value::Integer(2)), "it has its row");
    for what in ["stopped", "never made", "broken"] {
        match what {
            "never made" => fs::remove_dir_all(host.dir.path().join("spool")).unwrap(),
            "broken" => fs::write(host.file(), "wrong\n").unwrap(),
            _ => {}
        }
        host.instance().unwrap();
        assert_eq!(running(&host), (Some(Value::Gauge32(0)), Some(Value::Gauge32(0))), "{what}");
        assert!(host.context.health.all_conditions().is_empty(), "{what}");
        assert!(matches!(host.source().0, Value::Integer(1 | 4)), "{what}: ok or disabled");
    }
}

impl Host {
    /// A configuration directory with a spool.
    fn make(&self, name: &str, main_cf: &str) -> PathBuf {
        let directory = self.dir.path().join(name);
        let spool = self.dir.path().join(format!("{name}-spool"));
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all(spool.join("pid")).unwrap();
        fs::write(directory.join("master.cf"), "smtp unix - - n - - smtp\n").unwrap();
        let text = format!("compatibility_level = 3.6\nqueue_directory = {}\n{main_cf}", spool.display());
        fs::write(directory.join("main.cf"), text).unwrap();
        directory
    }

    /// The agent begins anew with these directories in the configuration.
    fn restart(&mut self, directories: &[&Path]) {
        let instance =
            |d: &&Path| config::Instance { config_directory: d.to_path_buf(), ..config::Instance::default() };
        let config =
            config::Config { instances: directories.iter().map(instance).collect(), ..config::Config::default() };
        self.context = self.context.next_generation(Arc::new(config));
        self.collector = collector(&self.context);
    }

    /// Index and name of every instance, by directory.
    fn all(&mut self) -> BTreeMap<PathBuf, (u32, String)> {
        while self.collector.refresh() != Next::After(INTERVAL) {
            thread::sleep(CERTAIN_HERE);
        }
        let list = self.context.instances.current();
        list.iter().map(|i| (i.config_directory.clone(), (i.index, i.name.clone()))).collect()
    }
}

fn expected<const N: usize>(list: [(&Path, u32, &str); N]) -> BTreeMap<PathBuf, (u32, String)> {
    list.into_iter().map(|(directory, index, name)| (directory.to_owned(), (index, name.to_owned()))).collect()
}

#[test]
fn an_instance_is_its_configuration_directory() {
    let mut host = Host::new("");
    let (a, b) = (host.make("a", ""), host.make("b", ""));
    let called = |directory: &Path| directory.display().to_string();
    let both = expected([(&a, 1, "postfix"), (&b, 2, &called(&b))]);
    host.restart(&[&a, &b]);
    assert_eq!(host.all(), both);
    host.restart(&[&b, &a]);
    assert_eq!(host.all(), both, "reordered");
    let name = |host: &Host, index| host.get(&[1, 1, 3, 1, 2, index, 1]).unwrap().to_string();
    assert_eq!(name(&host, 1), "STRING: \"postfix instance\"");
    // Renamed while it runs; the other one may have the name then.
    host.make("a", "multi_instance_name = postfix-a\n");
    assert_eq!(host.all(), expected([(&a, 1, "postfix-a"), (&b, 2, "postfix")]));
    assert_eq!(
        (name(&host, 1), name(&host, 2)),
        ("STRING: \"postfix-a instance\"".into(), "STRING: \"postfix instance\"".into())
    );
    host.make("a", "");
    assert_eq!(host.all(), both);
    // Broken when the agent starts: it is what it was.
    fs::write(a.join("main.cf"), "wrong\n").unwrap();
    for order in [[&*a, &*b], [&*b, &*a]] {
        host.restart(&order);
        assert_eq!(host.all(), both, "broken");
        let spool = host.get(&[1, 3, 1, 1, 4, 1]).unwrap().to_string();
        assert!(spool.contains("a-spool"), "{spool}");
        assert!(host.source().1.contains("main.cf"), "{}", host.source().1);
    }
    host.make("a", "");
    assert_eq!(host.all(), both);
    // Alone, and back.
    host.restart(&[&b]);
    assert_eq!(host.all(), expected([(&b, 2, "postfix")]));
    let c = host.make("c", "");
    let written = a.join(".").join("");
    host.restart(&[&c, &written, &b]);
    assert_eq!(host.all(), expected([(&a, 1, "postfix"), (&b, 2, &called(&b)), (&c, 3, &called(&c))]));
}

#[test]
fn one_that_was_never_read_has_its_index_already() {
    let mut host = Host::new("");
    let (a, b) = (host.make("a", ""), host.make("b", ""));
    fs::write(a.join("main.cf"), "wrong\n").unwrap();
    host.restart(&[&a, &b]);
    host.all();
    fs::write(b.join("main.cf"), "wrong\n").unwrap();
    host.restart(&[&b, &a]);
    host.make("a", "");
    let called = b.display().to_string();
    let both = host.all();
    assert_eq!(both, expected([(&a, both[&a].0, both[&a].1.as_str()), (&b, both[&b].0, both[&b].1.as_str())]));
    let indices = (both[&a].0, both[&b].0);
    host.make("b", "");
    host.restart(&[&b, &a]);
    let again = host.all();
    assert_eq!((again[&a].0, again[&b].0), indices, "{called}");
}

#[test]
fn one_directory_by_two_names_counts_once() {
    let mut host = Host::new("");
    let a = host.make("a", "");
    let link = host.dir.path().join("link");
    std::os::unix::fs::symlink(&a, &link).unwrap();
    host.restart(&[&a, &link]);
    assert_eq!(host.all(), expected([(&a, 1, "postfix")]));
    let failing: Vec<String> = host.context.health.report().into_iter().map(|report| report.error).collect();
    assert!(failing.iter().any(|error| error.contains("same directory as")), "{failing:?}");
    host.make("a", &format!("multi_instance_directories = {}\n", link.display()));
    host.restart(&[&a]);
    assert_eq!(host.all(), expected([(&a, 1, "postfix")]), "nor where it lists itself");
}

/// Two without multi_instance_name, as 0.1.0 called them in its order.
#[test]
fn the_directories_of_0_1_0_take_the_indices_of_their_names() {
    for order in [[0, 1], [1, 0]] {
        for broken in [None, Some(0), Some(1)] {
            let mut host = Host::new("");
            let made = [host.make("a", ""), host.make("b", "")];
            let second = made[1].display().to_string();
            let names = serde_json::json!({ "first": 1, "names": ["gone", "postfix", second] });
            let state = host.context.state.clone();
            state.save_bytes(STATE, 1, names.to_string().as_bytes()).unwrap();
            let wanted = expected([(&made[0], 2, "postfix"), (&made[1], 3, &second)]);
            if let Some(broken) = broken {
                fs::write(made[broken].join("main.cf"), "wrong\n").unwrap();
            }
            host.restart(&order.map(|at: usize| &*made[at]));
            let first = host.all();
            for (directory, (index, _)) in first {
                assert_eq!(index, wanted[&directory].0, "{order:?}, broken: {broken:?}");
            }
            host.make("a", "");
            host.make("b", "");
            assert_eq!(host.all(), wanted, "{order:?}, broken: {broken:?}");
            assert_eq!(names_of_0_1_0(&state)[&2], "postfix");
        }
    }
}

/// A postconf that is a script, in a directory of its own.
fn pretend(host: &Host, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let directory = host.dir.path().join("sbin");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("postconf");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn a_postconf_that_answers_nothing_makes_up_no_spool() {
    for (script, what) in [
        ("exit 0", "queue_directory"),
        ("echo hello; echo a = b; exit 0", "queue_directory"),
        ("echo 'queue_directory = spool'; echo 'mail_version = 3.7.11'", "queue_directory"),
        ("echo 'queue_directory ='; echo 'mail_version = 3.7.11'", "queue_directory"),
        ("echo 'queue_directory = /tmp'", "mail_version"),
        ("head -c 100000 /dev/urandom", "queue_directory"),
        ("case \"$*\" in *-M*) exit 0;; esac; echo 'queue_directory = /tmp'; echo 'mail_version = 9.1'", "service"),
    ] {
        let mut host = Host::new("");
        let settings = config::Instance {
            config_directory: host.dir.path().join("etc"),
            command_directory: Some(pretend(&host, script)),
            ..config::Instance::default()
        };
        let config = config::Config { instances: vec![settings], ..config::Config::default() };
        host.context = host.context.next_generation(Arc::new(config));
        host.collector = collector(&host.context);
        let all = host.all();
        let errors: Vec<String> = host.context.health.report().into_iter().map(|report| report.error).collect();
        assert!(errors.iter().any(|e| e.contains(what) && e.contains("by hand")), "{script}: {errors:?}");
        if what != "service" {
            assert!(all.is_empty(), "{script}: {all:?}");
        } else {
            let list = host.context.instances.current();
            assert_eq!((list[0].version.as_str(), &list[0].services), ("9.1", &None), "{script}");
        }
    }
}

/// As root every file can be read: postconf says what it says to others.
#[test]
fn an_instance_whose_main_cf_is_closed_is_what_the_configuration_says() {
    let mut host = Host::new("");
    fs::remove_file(host.file()).unwrap();
    let settings = config::Instance {
        config_directory: host.dir.path().join("etc"),
        name: Some("closed".into()),
        queue_directory: Some(host.dir.path().join("spool")),
        syslog_name: Some("closed".into()),
        ..config::Instance::default()
    };
    let config = config::Config { instances: vec![settings], ..config::Config::default() };
    host.context = host.context.next_generation(Arc::new(config));
    host.collector = collector(&host.context);
    let instance = host.instance().unwrap();
    assert_eq!((instance.name.as_str(), instance.index, &instance.services), ("closed", 1, &None));
    assert_eq!(host.source().0, Value::Integer(1), "ok");
}
