use super::*;
use crate::smi::{Objects, Value};
use std::collections::BTreeSet;

fn health() -> Health {
    Health::new(Publisher::new([1, 3].into(), TABLES), AgentCounters::default())
}

fn now_of(health: &Health) -> Summary {
    summary(&health.lock().state, &health.0.expected, Instant::now())
}

fn row(attempt: Attempt, last_success: Option<Duration>) -> SourceRow {
    let key = SourceKey::of_instance(1, SourceKind::Queue);
    let row = SourceRow::new(key, "postfix queue".into(), Duration::from_secs(30));
    SourceRow { attempt, last_success: last_success.map(|ago| row.created.checked_sub(ago).unwrap()), ..row }
}

impl Health {
    /// Lets it be this long ago that the collector of `source` was heard of.
    pub(in crate::collect) fn age(&self, source: &Source, by: Duration) {
        let mut hub = self.lock();
        let row = hub.state.sources.get_mut(&source.key).unwrap();
        row.heard -= by;
        row.last_success = row.last_success.map(|at| at - by);
    }
}

fn statuses(health: &Health) -> Vec<(String, Status)> {
    health.report().into_iter().map(|report| (report.name, report.status)).collect()
}

#[test]
fn values_last_three_intervals_and_at_least_three_minutes() {
    let now = Instant::now();
    let secs = |s| Some(Duration::from_secs(s));
    assert_eq!(row(Attempt::Succeeded, secs(30)).status(now), Status::Ok);
    assert_eq!(row(Attempt::Succeeded, secs(110)).status(now), Status::Stale, "a collector that hangs");
    assert_eq!(row(Attempt::Succeeded, secs(190)).status(now), Status::Failing);
    assert_eq!(row(Attempt::Failed, secs(170)).status(now), Status::Stale);
    assert_eq!(row(Attempt::Failed, secs(190)).status(now), Status::Failing);
    assert_eq!(row(Attempt::Failed, None).status(now), Status::Failing, "never succeeded");
    assert_eq!(row(Attempt::Lost, secs(1)).status(now), Status::Failing);
}

#[test]
fn an_instance_is_not_ok_before_every_collector_has_looked_at_it() {
    let health = health();
    let source = |kind| health.source(1, "postfix", kind, Duration::from_secs(30));
    let level = || now_of(&health).level as i32;
    let mut sources = vec![source(SourceKind::Instance)];
    sources[0].success("postconf", Duration::ZERO);
    let expected: BTreeSet<SourceKind> = health.0.expected.iter().copied().collect();
    assert!(expected.len() >= 4 && !expected.contains(&SourceKind::Instance), "{expected:?}");
    for kind in expected {
        assert_eq!(level(), 4, "no {} yet", kind.label());
        sources.push(source(kind));
        assert_eq!(level(), 4, "{} is starting", kind.label());
        match kind {
            SourceKind::Log => sources[sources.len() - 1].disabled(),
            _ => sources[sources.len() - 1].success("x", Duration::ZERO),
        }
    }
    assert_eq!(level(), 1);
}

#[test]
fn the_worst_cause_is_named_first_and_counts() {
    let health = health();
    assert_eq!(now_of(&health).level as i32, 4, "nothing known yet");
    let queue = health.source(1, "postfix", SourceKind::Queue, Duration::from_secs(30));
    queue.success("spool", Duration::ZERO);
    assert_eq!(now_of(&health).text, "ok");
    assert!(!queue.failure("no answer"), "kept for the grace");
    assert_eq!(now_of(&health).text, "ok", "it may come back");
    assert!(!queue.denied("no permission"), "kept for the grace");
    assert_eq!(now_of(&health).text, "postfix queue: no permission", "and told at once");
    let down = Condition { severity: Severity::Critical, subject: Subject::InstanceDown, text: "postfix: down".into() };
    health.conditions("instance", vec![down]);
    queue.lost("gone");
    let s = now_of(&health);
    assert_eq!((s.text.as_str(), s.sources_failing, s.instances_down), ("(1 more) postfix: down", 1, 1));
    drop(queue);
    assert_eq!(now_of(&health).sources_failing, 0);
}

#[test]
fn an_instance_has_many_of_a_kind_and_the_host_sources_of_its_own() {
    let health = health();
    let key = |instance, number| SourceKey { instance, kind: SourceKind::Queue, number };
    let source = |key: SourceKey, name: &str| health.named_source(key, name.to_owned(), Duration::from_secs(30));
    let own = source(key(Some(1), 0), "postfix queue");
    let first = source(key(Some(1), 1), "first");
    let second = source(key(Some(1), 2), "second");
    let host = source(key(None, 1), "host");
    [&own, &first, &second, &host].iter().for_each(|source| source.success("x", Duration::ZERO));
    first.lost("refused");
    let ok = |name: &str| (name.to_owned(), Status::Ok);
    let failing = ("first".to_owned(), Status::Failing);
    assert_eq!(statuses(&health), [ok("host"), ok("postfix queue"), failing, ok("second")]);
    // Only the one without a number is a row of postfixSourceTable, and only rows are counted; every fault is named.
    let shown = now_of(&health);
    assert_eq!(
        (shown.level, shown.text.as_str(), shown.sources_failing),
        (condition::Level::Warning, "first: refused", 0)
    );
    let view = health.0.publisher.view();
    let rows = |prefix: &[u32]| view.walk(Instant::now()).filter(|(name, _)| name.starts_with(prefix)).count();
    assert_eq!(rows(&[1, 3, 1, 1, 3, 1, 4]), 1);
    drop(first);
    assert_eq!(now_of(&health).text, "ok");
}

#[test]
fn a_collector_that_ends_its_refreshes_without_a_report_is_failing() {
    let health = health();
    let queue = health.source(1, "postfix", SourceKind::Queue, Duration::from_secs(30));
    let log = health.source(1, "postfix", SourceKind::Log, Duration::from_secs(30));
    let refreshed = || health.refreshed("queue", &[SourceKind::Queue], &[]);
    refreshed();
    assert_eq!(queue.status(), Status::Starting, "not at once: a first reading takes its time");
    health.age(&queue, Duration::from_secs(200));
    health.age(&log, Duration::from_secs(200));
    assert_eq!(queue.status(), Status::Starting, "a refresh that has not ended is a catch-up");
    refreshed();
    assert_eq!(
        (queue.status(), log.status()),
        (Status::Failing, Status::Starting),
        "one collector's word is not another's"
    );
    let text = now_of(&health).text;
    assert!(text.contains("postfix queue: the queue collector ends its refreshes without a report"), "{text}");
    refreshed();
    assert_eq!(health.lock().state.sources[&queue.key].failures, 1, "once a lifetime, not once a refresh");
    queue.success("spool", Duration::ZERO);
    assert_eq!(queue.status(), Status::Ok);
    queue.disabled();
    health.age(&queue, Duration::from_secs(200));
    refreshed();
    assert_eq!(queue.status(), Status::Disabled);
}

#[test]
fn a_collector_that_passes_an_instance_over_is_failing_until_it_does_not() {
    let health = health();
    let instance = health.source(1, "out", SourceKind::Instance, Duration::from_secs(10));
    instance.success("postconf", Duration::ZERO);
    let refreshed = || health.refreshed("queue", &[SourceKind::Queue], &[]);
    refreshed();
    assert_eq!(statuses(&health).len(), 1, "it may not have seen the list yet");
    health.lock().state.sources.get_mut(&instance.key).unwrap().created -= Duration::from_secs(31);
    refreshed();
    assert_eq!(statuses(&health)[1], ("out queue".to_owned(), Status::Failing));
    let queue = health.source(1, "out", SourceKind::Queue, Duration::from_secs(30));
    queue.success("spool", Duration::ZERO);
    assert_eq!(queue.status(), Status::Ok);
    drop(queue);
    refreshed();
    assert_eq!(statuses(&health).len(), 2);
    // With the instance goes what was noted about it.
    let created = health.lock().state.sources[&instance.key].created;
    health.remove(instance.key, created);
    assert_eq!(statuses(&health), []);
}

#[test]
fn a_status_is_published_at_once_and_counts_at_the_next_tick() {
    let health = health();
    let queue = health.source(1, "postfix", SourceKind::Queue, Duration::from_secs(30));
    let get = |column| health.0.publisher.view().get(&[1, 3, 1, 1, 3, 1, column, 1, 2], Instant::now());
    queue.success("spool", Duration::ZERO);
    assert_eq!((get(4), get(7)), (Ok(Value::Integer(1)), Ok(Value::Counter32(1))));
    let before = health.0.publisher.view();
    for _ in 0..100 {
        queue.success("spool", Duration::ZERO);
    }
    assert!(Arc::ptr_eq(&before, &health.0.publisher.view()), "no copy of all rows for a count");
    let state = tempfile::tempdir().unwrap();
    let directory = crate::state::StateDirectory::open(state.path()).unwrap();
    let publisher = health.0.publisher.clone();
    let mut watchdog = Watchdog::new(Context::new(Arc::default(), publisher, health.clone(), directory));
    assert_eq!(watchdog.refresh(), Next::After(TICK));
    assert_eq!(get(7), Ok(Value::Counter32(101)));
    let before = health.0.publisher.view();
    watchdog.refresh();
    assert!(Arc::ptr_eq(&before, &health.0.publisher.view()), "nothing has moved");
    queue.failure("no permission");
    assert_eq!(get(4), Ok(Value::Integer(2)));
    health.age(&queue, Duration::from_secs(200));
    watchdog.refresh();
    assert_eq!(get(4), Ok(Value::Integer(3)), "time alone changes a status");
}
