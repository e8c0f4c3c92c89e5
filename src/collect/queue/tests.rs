//! The collector with a showq of our own behind it.

use super::*;
use crate::{
    collect::instance::made_up::instance,
    collect::{
        catalogue,
        health::{AgentCounters, Health},
        runner::run_once,
    },
    config::{Config, QueueSource},
    mib::Publisher,
    postfix::queue::QueueKind,
    smi::{Objects, Value},
    state::StateDirectory,
};
use std::{
    fs,
    io::Write,
    os::unix::net::UnixListener,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// A showq that gives whatever answer is set.
struct Showq {
    dir: tempfile::TempDir,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Showq {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("public")).unwrap();
        let listener = UnixListener::bind(dir.path().join("public/showq")).unwrap();
        let answer = Arc::<Mutex<Vec<u8>>>::default();
        let give = answer.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = give.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A client that gives up is one of the cases.
                let _ = stream.unwrap().write_all(&answer);
            }
        });
        Self { dir, answer }
    }

    fn answer(&self, bytes: Vec<u8>) {
        *self.answer.lock().unwrap() = bytes;
    }
}

/// A list of deferred messages with one recipient each.
fn list(recipients: &[&str]) -> Vec<u8> {
    let mut list = b"protocol\0mail_queue_list_protocol\0\0".to_vec();
    for (i, recipient) in recipients.iter().enumerate() {
        let message = format!(
            "queue_name\0deferred\0queue_id\0AB{i:04}\0time\01\0size\0{}\0sender\0a@b\0recipient\0{recipient}\0reason\0Connection refused\0\0",
            1_024
        );
        list.extend(message.bytes());
    }
    list.push(0);
    list
}

fn context(state: &Path) -> Context {
    let publisher = Publisher::new([9].into(), &catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    Context::new(Arc::new(Config::default()), publisher, health, StateDirectory::open(state).unwrap())
}

fn watch(context: &Context, queue_directories: &[&Path]) -> QueueCollector {
    let one = |(i, directory): (usize, &&Path)| {
        let mut instance = instance(directory, &[("qmgr_message_active_limit", "20000")]);
        instance.index = i as u32 + 1;
        instance.settings.queue.source = QueueSource::Showq;
        instance.settings.queue.interval = Duration::from_millis(1);
        Arc::new(instance)
    };
    context.instances.set(queue_directories.iter().enumerate().map(one).collect());
    QueueCollector::new(context.clone())
}

fn get(context: &Context, below: &[u32]) -> Option<Value> {
    let name: Vec<u32> = [9].iter().chain(below).copied().collect();
    context.publisher.view().get(&name, Instant::now()).ok()
}

/// One more reading of every instance.
fn again(collector: &mut QueueCollector) {
    for watched in collector.watched.values_mut() {
        watched.due = Instant::now();
    }
    run_once(collector);
}

fn messages(context: &Context, instance: u32) -> Option<Value> {
    get(context, &[1, 4, 1, 1, 3, instance, QueueKind::Deferred as u32])
}

fn status(context: &Context, instance: u32) -> Option<Value> {
    get(context, &[1, 1, 3, 1, 4, instance, SourceKind::Queue as u32])
}

#[test]
fn a_list_cut_off_changes_nothing_but_the_status() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let context = context(state.path());
    let mut collector = watch(&context, &[showq.dir.path()]);
    showq.answer(list(&["a@x", "b@x", "c@y"]));
    run_once(&mut collector);
    assert_eq!((messages(&context, 1), status(&context, 1)), (Some(Value::Gauge32(3)), Some(Value::Integer(1))));
    for broken in [list(&["a@x"])[..60].to_vec(), Vec::new(), b"Who are you?\0\0".to_vec()] {
        showq.answer(broken);
        again(&mut collector);
        assert_eq!((messages(&context, 1), status(&context, 1)), (Some(Value::Gauge32(3)), Some(Value::Integer(2))));
    }
    showq.answer(list(&[]));
    again(&mut collector);
    assert_eq!((messages(&context, 1), status(&context, 1)), (Some(Value::Gauge32(0)), Some(Value::Integer(1))));
}

#[test]
fn an_instance_without_values_leaves_the_others_and_no_total() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let stopped = tempfile::tempdir().unwrap();
    fs::create_dir(stopped.path().join("public")).unwrap();
    drop(UnixListener::bind(stopped.path().join("public/showq")).unwrap());
    let context = context(state.path());
    showq.answer(list(&["a@x", "b@x"]));
    let mut collector = watch(&context, &[showq.dir.path(), stopped.path()]);
    run_once(&mut collector);
    assert_eq!((messages(&context, 1), messages(&context, 2)), (Some(Value::Gauge32(2)), None));
    assert_eq!(get(&context, &[1, 2, 1, 1, 0]), None, "postfixTotalMessages of half the host would be a lie");
    assert_eq!(status(&context, 2), Some(Value::Integer(3)));

    // Without it, and with it left out of the totals, they are known.
    let mut list = context.instances.current().iter().map(|i| (**i).clone()).collect::<Vec<_>>();
    list[1].settings.totals = false;
    context.instances.set(list.into_iter().map(Arc::new).collect());
    run_once(&mut collector);
    assert_eq!(get(&context, &[1, 2, 1, 1, 0]), Some(Value::Gauge32(2)));
    assert_eq!(get(&context, &[1, 2, 1, 2, 0]), Some(Value::Gauge32(2)), "KiB");
    assert_eq!(get(&context, &[1, 2, 1, 8, 0]), None, "showq does not list corrupt mail");
}

#[test]
fn a_domain_keeps_its_index_through_a_restart() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let index_of = |context: &Context, name: &str| {
        (1..20).find(|i| get(context, &[1, 4, 3, 1, 2, 1, *i]) == Some(Value::octets(format!("postfix {name}"))))
    };
    {
        let context = context(state.path());
        showq.answer(list(&["a@one", "a@two", "a@two"]));
        run_once(&mut watch(&context, &[showq.dir.path()]));
        assert_eq!((index_of(&context, "two"), index_of(&context, "one")), (Some(2), Some(3)));
        assert_eq!(index_of(&context, "(other)"), Some(1));
    }
    let context = context(state.path());
    showq.answer(list(&["a@three", "a@three", "a@one"]));
    run_once(&mut watch(&context, &[showq.dir.path()]));
    assert_eq!(
        (index_of(&context, "three"), index_of(&context, "one"), index_of(&context, "two")),
        (Some(4), Some(3), None)
    );
}

#[test]
fn an_instance_whose_parameters_changed_keeps_its_values() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let context = context(state.path());
    showq.answer(list(&["a@x", "b@x"]));
    let mut collector = watch(&context, &[showq.dir.path()]);
    run_once(&mut collector);
    let change = |change: &dyn Fn(&mut Instance)| {
        let mut instance = (*context.instances.current()[0]).clone();
        change(&mut instance);
        context.instances.set(vec![Arc::new(instance)]);
    };
    change(&|instance| {
        instance.parameters.insert("qmgr_message_active_limit".into(), "7".into());
    });
    showq.answer(Vec::new());
    collector.refresh();
    assert_eq!(messages(&context, 1), Some(Value::Gauge32(2)));
    assert_eq!(get(&context, &[1, 3, 4, 1, 5, 1]), Some(Value::Gauge32(7)), "postfixSpoolActiveLimit");
    // Another queue is another thing.
    change(&|instance| instance.queue_directory = "/nonexistent".into());
    collector.refresh();
    assert_eq!(messages(&context, 1), None);
}

#[test]
fn readings_keep_their_distance() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let context = context(state.path());
    showq.answer(list(&["a@x"]));
    let mut collector = watch(&context, &[showq.dir.path()]);
    run_once(&mut collector);
    let watched = &collector.watched[&1];
    let Some(Value::Gauge32(took)) = get(&context, &[1, 1, 3, 1, 6, 1, 2]) else { panic!("no duration") };
    assert!(watched.interval >= Duration::from_millis(u64::from(took)) * 20);
    assert_eq!(watched.due, watched.begun + watched.interval);

    // The first build of an index is exempt, what comes after it is not.
    let spool = tempfile::tempdir().unwrap();
    for queue in ["incoming", "active", "deferred"] {
        fs::create_dir(spool.path().join(queue)).unwrap();
    }
    let mut instance = instance(spool.path(), &[]);
    instance.settings.queue.source = QueueSource::Spool;
    instance.settings.queue.interval = Duration::ZERO;
    context.instances.set(vec![Arc::new(instance)]);
    let mut collector = QueueCollector::new(context.clone());
    for (first, factor) in [(true, 1), (false, 21)] {
        collector.follow_instances();
        again(&mut collector);
        context.health.tick();
        let watched = &collector.watched[&1];
        let Some(Value::Gauge32(took)) = get(&context, &[1, 1, 3, 1, 6, 1, 2]) else { panic!("no duration") };
        let took = Duration::from_millis(u64::from(took));
        assert!(
            watched.interval >= took * factor && watched.interval <= (took + Duration::from_millis(1)) * factor,
            "{first}"
        );
        assert!(watched.interval > Duration::ZERO);
    }
}

/// Name, index and recipients of the rows of postfixDomainTable.
fn domain_table(context: &Context) -> Vec<(String, u32, u32)> {
    let view = context.publisher.view();
    let column: [u32; 6] = [9, 1, 4, 3, 1, 2];
    let mut rows = Vec::new();
    for index in 1..=10_000 {
        let of = |n: u32| view.get(&[9, 1, 4, 3, 1, n, 1, index], Instant::now()).ok();
        if let (Some(Value::OctetString(name)), Some(Value::Gauge32(recipients))) = (of(column[5]), of(4)) {
            let name = String::from_utf8(name.to_vec()).unwrap();
            rows.push((name.strip_prefix("postfix ").expect("the instance").to_owned(), index, recipients));
        }
    }
    rows
}

#[test]
fn the_largest_domain_has_its_name_however_many_came_before() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let mut context = context(state.path());
    context.config =
        Arc::new(Config { queue: crate::config::QueueTables { domains: 1_000, senders: 20 }, ..Config::default() });
    let mut collector = watch(&context, &[showq.dir.path()]);
    for batch in 0..5 {
        let recipients: Vec<String> = (0..900).map(|n| format!("a@d{n}.batch{batch}.example")).collect();
        showq.answer(list(&recipients.iter().map(String::as_str).collect::<Vec<_>>()));
        again(&mut collector);
        assert_eq!(domain_table(&context).len(), 901, "batch {batch}");
    }
    showq.answer(list(&["a@gmail.example"; 200]));
    again(&mut collector);
    let expected = [("(other)".to_owned(), 1, 0), ("gmail.example".to_owned(), 4_502, 200)];
    assert_eq!(domain_table(&context), expected);
    drop(collector);
    // The same after a restart, and a domain of the last batch has its old index.
    showq.answer(list(&["a@gmail.example", "a@d0.batch4.example", "b@gmail.example"]));
    let mut collector = watch(&context, &[showq.dir.path()]);
    run_once(&mut collector);
    let rows: Vec<_> = domain_table(&context).into_iter().map(|(name, index, _)| (name, index)).collect();
    assert_eq!(rows[1..], [("d0.batch4.example".to_owned(), 3_602), ("gmail.example".to_owned(), 4_502)]);
}

#[test]
fn domains_that_are_no_utf8_add_up() {
    let (showq, state) = (Showq::new(), tempfile::tempdir().unwrap());
    let context = context(state.path());
    let mut collector = watch(&context, &[showq.dir.path()]);
    let mut answer =
        list(&["a@b1.example", "b@b2.example", "c@b2.example", "d@b3.example", "e@(other)", "f@b\u{fc}.example"]);
    // One octet each that is no UTF-8, and all three would be U+FFFD.
    for (name, octet) in [(b"b1", 0xfc), (b"b2", 0xfd), (b"b3", 0xff)] {
        while let Some(at) = memchr::memmem::find(&answer, name) {
            answer[at + 1] = octet;
        }
    }
    showq.answer(answer);
    run_once(&mut collector);
    let rows = domain_table(&context);
    let shown: Vec<_> = rows.iter().map(|(name, _, recipients)| (name.as_str(), *recipients)).collect();
    let expected =
        [("(other)", 1), ("b\\xfd.example", 2), ("b\u{fc}.example", 1), ("b\\xfc.example", 1), ("b\\xff.example", 1)];
    assert_eq!(shown, expected);
}
