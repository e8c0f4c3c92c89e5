use super::{engine::*, notice::*, rows::is_like, tables::State, *};
use crate::{
    agentx::{Notifications, pdu::Data},
    collect::{
        Context,
        health::{AgentCounters, Health},
    },
    config::{
        Config,
        alarm::{Alarm, Condition as When},
    },
    mib::{Get, Index, Publisher, Table, column, text as shown_text},
    smi::{Objects, Oid},
    state::StateDirectory,
};
use proptest::{collection::vec, prelude::*};

fn alarm(when: &str, clear: Option<i64>, hold: u64) -> Alarm {
    let when = When::parse(when).unwrap();
    Alarm { name: "a".into(), when, clear, hold: Duration::from_secs(hold), severity: alarm::Severity::Warning }
}

proptest! {
    /// Against the rule in words: it is raised at the first look of an unbroken run of crossed looks that has lasted the
    /// hold time, over at the first look at or below `clear`, and looks without a value break runs and change nothing else.
    #[test]
    fn a_machine_does_what_its_rule_says(
        looks in vec((proptest::option::weighted(0.8, 0i64..20), 0u64..9, any::<bool>()), 0..80),
        hold in 0u64..20, clear in 0i64..=10,
    ) {
        let rule = Rule::of(&alarm("postfixTotalDeferred > 10", Some(clear), hold));
        let mut machine = Machine::default();
        let (mut raised, mut count) = (false, 0);
        for now in 0..looks.len() {
            let (value, elapsed, restart) = looks[now];
            if restart {
                // What is saved is all that a new agent has.
                machine = serde_json::from_slice(&serde_json::to_vec(&machine).unwrap()).unwrap();
            }
            machine.step(&rule, value, Duration::from_secs(elapsed));
            // The run of crossed looks that ends now; a restart begins a new one.
            let begin = (0..=now).rev().take_while(|n| looks[*n].0.is_some_and(|v| v > 10)).scan(false, |stop, n| {
                (!std::mem::replace(stop, looks[n].2)).then_some(n)
            }).last();
            // The looks at which it was raised already are in no run.
            let lasted = begin.map(|begin| (begin + 1..=now).map(|n| looks[n].1).sum::<u64>());
            match value {
                Some(value) if raised => raised = value > clear,
                Some(_) if lasted.is_some_and(|lasted| lasted >= hold) => {
                    raised = true;
                    count += 1;
                }
                _ => {}
            }
            prop_assert_eq!((machine.raised, machine.count, machine.value), (raised, count, value), "look {}", now);
        }
    }

    /// However the sender is killed, and whether or not receipts arrive: in the end managers know the state, by what they
    /// got last, and never got the same state twice in a row without a kill in between.
    #[test]
    fn what_managers_know_in_the_end_is_so(steps in vec((any::<bool>(), 0u8..4), 0..60)) {
        let mut machine = Machine::default();
        let mut disk = machine.clone();
        let mut got: Vec<bool> = Vec::new();
        let (mut kills, mut doubles) = (0, 0);
        let mut send = |machine: &mut Machine, disk: &mut Machine, got: &mut Vec<bool>, until: u8| {
            if !machine.must_be_told() {
                return;
            }
            machine.told = Told::Unsure;
            *disk = machine.clone();
            if until == 1 {
                return; // killed between the note and the sending
            }
            doubles += usize::from(got.last() == Some(&machine.raised));
            got.push(machine.raised);
            if until == 2 {
                return; // killed before the receipt was noted
            }
            machine.told = Told::Taken(machine.raised);
            *disk = machine.clone();
        };
        for (raised, until) in steps {
            machine.raised = raised;
            send(&mut machine, &mut disk, &mut got, until);
            if until > 0 {
                kills += 1;
                let now = machine.raised;
                machine = disk.clone();
                machine.raised = now;
            }
        }
        send(&mut machine, &mut disk, &mut got, 0);
        prop_assert_eq!(got.last().copied().unwrap_or(false), machine.raised);
        prop_assert!(doubles <= kills);
    }
}

#[test]
fn a_rate_is_known_after_a_whole_window_and_begins_anew_where_a_counter_goes_back() {
    let mut growth = Growth::default();
    let window = Duration::from_secs(60);
    let mut look = |at: u64, value: Option<u64>| {
        growth.look(value.map(|value| Count { value, is_wide: false }), Duration::from_secs(at), window)
    };
    let near_the_end = u64::from(u32::MAX) - 4;
    assert_eq!((0..12).map(|n| look(n * 5, Some(near_the_end))).max(), Some(None));
    assert_eq!(look(60, Some(5)), Some(10 * 60), "it wrapped: ten in a minute");
    assert_eq!(look(65, None), None);
    assert_eq!(look(70, Some(1_000)), None, "it may have been another counter meanwhile");
    assert_eq!(look(129, Some(1_000)), None);
    assert_eq!(look(130, Some(1_060)), Some(3_600));
    assert_eq!(look(135, Some(0)), None, "it went back");
    assert_eq!(look(195, Some(2)), Some(120));
}

/// What a program's first panic brings along: its row.
#[test]
fn a_counter_that_comes_where_others_were_began_with_0_and_one_that_comes_back_did_not() {
    let directory = tempfile::tempdir().unwrap();
    let list = "alarms: [{ name: panic, when: 'rate(postfixMessagePanics[*]) > 0/m' }]";
    let begin = Moment::now();
    let (mut agent, _sent) = started(directory.path(), list, begin);
    let mut look = |second: u64, rows: &[(u32, u32, &'static str, u64)]| {
        agent.context.publisher.publish([MESSAGES.fragment(rows)]);
        let view = agent.context.publisher.view();
        agent.look(&view, Moment { at: begin.at + Duration::from_secs(second), ..begin });
        let raised = agent.watched.iter().filter(|(_, watched)| watched.machine.raised).map(|(key, _)| key.clone());
        raised.collect::<Vec<_>>()
    };
    let (smtpd, other) = ((1, 2, "postfix smtpd", 4), (2, 2, "other smtpd", 7));
    assert_eq!(look(0, &[smtpd]), [""; 0]);
    assert_eq!(look(100, &[smtpd]), [""; 0], "what was there when the agent came is no growth");
    assert_eq!(look(105, &[smtpd, (1, 3, "postfix tlsproxy", 1)]), ["panic: postfix tlsproxy"], "at once");
    assert_eq!(look(110, &[smtpd, (1, 3, "postfix tlsproxy", 1), other]).len(), 1, "another instance, read since now");
    assert_eq!(look(115, &[smtpd, other]).len(), 1, "absence clears nothing");
    assert_eq!(look(200, &[smtpd, other, (1, 3, "postfix tlsproxy", 1)]).len(), 1);
    assert_eq!(look(261, &[smtpd, other, (1, 3, "postfix tlsproxy", 1)]), [""; 0], "back with what it had: no growth");
}

/// What stands in for the log collector's programs.
static MESSAGES: Table<(u32, u32, &'static str, u64)> = Table {
    name: "postfixMessageTable",
    entry: &[1, 7, 1, 1],
    index: |r| Index::from_slice(&[r.0, r.1]),
    columns: &[
        column(2, "postfixMessageName", Get::Text(|r| Some(shown_text(r.2, 32)))),
        column(8, "postfixMessagePanics", Get::Counter32(|r| Some(r.3))),
    ],
};

#[test]
fn a_row_is_its_instances() {
    assert!(rows::is_of("postfix-out", "postfix-out") && rows::is_of("postfix-out qmgr", "postfix-out"));
    assert!(!rows::is_of("postfix-out qmgr", "postfix") && !rows::is_of("", "postfix"));
}

#[test]
fn a_star_stands_for_anything() {
    for (text, pattern, like) in [
        ("postfix incoming", "* incoming", true),
        ("postfix incoming", "postfix *", true),
        ("postfix incoming", "*", true),
        ("postfix incoming", "p*x*in*g", true),
        ("postfix incoming", "postfix", false),
        ("postfix incoming", "*x", false),
        ("a", "a*a", false),
        ("", "*", true),
    ] {
        assert_eq!(is_like(text, pattern), like, "{text:?} {pattern:?}");
    }
}

#[test]
fn a_thousand_at_once_are_bounded_and_summed_up() {
    let mut desk = Desk::default();
    let (now, root) = (Instant::now(), Oid::from([1, 3]));
    let sent = |desk: &mut Desk, at: u64| {
        let now = now + Duration::from_secs(at);
        let sent = (0..1_000)
            .filter(|_| {
                desk.may_send(Kind::AlarmRaised, now) || {
                    desk.hold_back();
                    false
                }
            })
            .count();
        (sent, desk.summary(&root, 7, now).is_some())
    };
    assert_eq!(sent(&mut desk, 0), (20, true));
    assert_eq!(sent(&mut desk, 1), (0, false), "one summary a minute");
    assert_eq!(sent(&mut desk, 4), (2, false));
    assert_eq!(sent(&mut desk, 64), (20, true));
    assert!(desk.may_send(Kind::AlarmCleared, now), "another kind has a rate of its own");
}

/// What stands in for the queue collector.
pub(super) static QUEUES: Table<(u32, &'static str, u64)> = Table {
    name: "postfixQueueTable",
    entry: &[1, 4, 1, 1],
    index: |r| Index::from_slice(&[1, r.0]),
    columns: &[
        column(2, "postfixQueueName", Get::Text(|r| Some(shown_text(format!("postfix {}", r.1), 32)))),
        column(3, "postfixQueueMessages", Get::Gauge32(|r| Some(r.2))),
    ],
};

const LIST: &str = "alarms: [{ name: full, when: 'postfixQueueMessages[*] > 5', clear: 2, severity: critical },
    { name: hold, when: 'postfixQueueMessages[postfix hold] > 100' }]";

/// An agent's alarms on a state directory that outlives it.
fn alarms(directory: &std::path::Path) -> Alarms {
    configured(directory, LIST).0
}

fn configured(directory: &std::path::Path, list: &str) -> (Alarms, Notifications) {
    started(directory, list, Moment::now())
}

pub(super) fn started(directory: &std::path::Path, list: &str, moment: Moment) -> (Alarms, Notifications) {
    let config = Arc::new(crate::config::parse(list, "test").unwrap());
    let publisher = Publisher::new(Config::default().agentx.root, &crate::collect::catalogue());
    let health = Health::new(publisher.clone(), AgentCounters::default());
    let state = StateDirectory::open(directory).unwrap();
    let (notifier, notifications) = crate::agentx::notifications(Default::default(), Arc::default());
    let context = Context { notifier: Some(notifier), ..Context::new(config, publisher, health, state) };
    (Alarms::new(&context, moment), notifications)
}

/// The rows' objects at the default root.
pub(super) fn alarm_dictionary() -> &'static Dictionary {
    alarm::dictionary()
}

fn state(alarms: &Alarms, index: u32) -> Option<Value> {
    let name = alarm_dictionary().oid("postfixAlarmState", &[index]).unwrap();
    alarms.context.publisher.view().get(&name, Instant::now()).ok()
}

fn look(alarms: &mut Alarms, rows: &[(u32, &'static str, u64)]) {
    alarms.context.publisher.publish([QUEUES.fragment(rows)]);
    let view = alarms.context.publisher.view();
    alarms.look(&view, Moment::now());
    let notifier = alarms.context.notifier.clone().unwrap();
    alarms.tell(&notifier, Moment::now());
    alarms.publish();
}

#[test]
fn rows_are_raised_by_name_and_absence_clears_nothing_not_even_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (normal, raised, unknown) = (Some(Value::Integer(1)), Some(Value::Integer(2)), Some(Value::Integer(3)));
    let mut agent = alarms(directory.path());
    look(&mut agent, &[(4, "deferred", 9), (5, "hold", 9)]);
    let names: Vec<&str> = agent.watched.keys().map(String::as_str).collect();
    assert_eq!(names, ["full: postfix deferred", "full: postfix hold", "hold: postfix hold"]);
    let index = |agent: &Alarms, key: &str| agent.watched[key].index;
    let (deferred, hold) = (index(&agent, "full: postfix deferred"), index(&agent, "hold: postfix hold"));
    assert_eq!((state(&agent, deferred), state(&agent, hold)), (raised.clone(), normal));
    assert!(agent.watched["full: postfix deferred"].sent.is_some(), "it was sent");
    assert_eq!(agent.context.health.all_conditions()[0].severity, HealthSeverity::Critical);
    look(&mut agent, &[]);
    assert_eq!((state(&agent, deferred), state(&agent, hold)), (unknown.clone(), unknown.clone()));
    assert_eq!(agent.watched.values().filter(|w| w.machine.raised).count(), 2, "absence clears nothing");
    // Killed before a receipt came: the next one tells again, and counts on.
    drop(agent);
    let mut agent = alarms(directory.path());
    look(&mut agent, &[]);
    assert_eq!(state(&agent, index(&agent, "hold: postfix hold")), unknown, "asked for by name, so it is shown");
    look(&mut agent, &[(4, "deferred", 4)]);
    assert_eq!((index(&agent, "full: postfix deferred"), state(&agent, deferred)), (deferred, raised), "above clear");
    let watched = &agent.watched["full: postfix deferred"];
    assert_eq!((watched.machine.count, watched.machine.told), (1, Told::Unsure));
    assert!(watched.sent.is_some());
    look(&mut agent, &[(4, "deferred", 2)]);
    assert!(!agent.watched["full: postfix deferred"].machine.raised);
}

/// The master takes what was sent: the numbers of the notifications.
fn take(agent: &mut Alarms, sent: &mut Notifications) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(notification) = sent.take(Instant::now()) {
        notification.settle(true);
        let Data::Value(Value::ObjectId(name)) = &notification.varbinds()[0].data else { panic!("{notification:?}") };
        numbers.push(*name.as_slice().last().unwrap());
    }
    let notifier = agent.context.notifier.clone().unwrap();
    agent.tell(&notifier, Moment::now());
    numbers
}

#[test]
fn an_alarm_that_is_no_longer_configured_is_told_to_be_over_once_and_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (mut agent, mut sent) = configured(directory.path(), LIST);
    look(&mut agent, &[(4, "deferred", 9), (5, "hold", 9)]);
    assert_eq!(take(&mut agent, &mut sent), [1, 1]);
    look(&mut agent, &[(4, "deferred", 9), (5, "hold", 9)]);
    assert_eq!(take(&mut agent, &mut sent), [0; 0], "once");
    drop(agent);
    // Other rows: `full` is another alarm now, and hold is over; killed before the master has taken that.
    let list = "alarms: [{ name: full, when: 'postfixQueueMessages[* deferred] > 5' }]";
    let (mut agent, _) = configured(directory.path(), list);
    look(&mut agent, &[(4, "deferred", 9), (5, "hold", 9)]);
    assert!(agent.watched["full: postfix hold"].is_over);
    drop(agent);
    let (mut agent, mut sent) = configured(directory.path(), list);
    look(&mut agent, &[(4, "deferred", 9), (5, "hold", 9)]);
    assert_eq!(take(&mut agent, &mut sent), [2, 2]);
    look(&mut agent, &[(4, "deferred", 9), (5, "hold", 9)]);
    assert_eq!(take(&mut agent, &mut sent), [1], "the new alarm begins when managers know that the old one is over");
    assert_eq!(agent.watched.keys().collect::<Vec<_>>(), ["full: postfix deferred"]);
}

#[test]
fn a_row_that_stays_away_is_forgotten_after_a_day_and_a_raised_one_is_over_after_thirty() {
    let directory = tempfile::tempdir().unwrap();
    let (mut agent, mut sent) = configured(directory.path(), LIST);
    look(&mut agent, &[(4, "deferred", 9), (6, "active", 1), (5, "hold", 1)]);
    assert_eq!(take(&mut agent, &mut sent), [1]);
    agent.context.publisher.publish([QUEUES.fragment(&[])]);
    let view = agent.context.publisher.view();
    let begin = Instant::now();
    let at = |agent: &mut Alarms, hours: u64| {
        agent.look(&view, Moment { at: begin + Duration::from_secs(hours * 3_600), ..Moment::now() });
        agent.watched.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(at(&mut agent, 1).len(), 4);
    let left = ["full: postfix deferred", "hold: postfix hold"];
    assert_eq!(at(&mut agent, 25), left, "a row that was asked for by its name stays");
    assert_eq!(at(&mut agent, 29 * 24), left);
    assert!(agent.watched[left[0]].machine.raised, "absence clears nothing");
    at(&mut agent, 31 * 24);
    let notifier = agent.context.notifier.clone().unwrap();
    agent.tell(&notifier, Moment::now());
    assert_eq!(take(&mut agent, &mut sent), [2]);
    assert_eq!(agent.watched.keys().collect::<Vec<_>>(), ["hold: postfix hold"]);
}

#[test]
fn a_rate_goes_on_after_a_restart_with_what_came_meanwhile_spread_over_the_time_it_took() {
    let (window, hour) = (Duration::from_secs(60), 3_600_000);
    let count = |value| Some(Count { value, is_wide: false });
    let about = Arc::new(About::of(&alarm("rate(postfixMailBounced[*]) > 10/m", None, 0)));
    let mut watched = Watched::new("a", about, 1, Instant::now());
    watched.growth.look(count(100), Duration::from_secs(1_000), window);
    let kept = serde_json::to_vec(&Kept::of(&watched, Duration::from_secs(1_005), 9 * hour)).unwrap();
    let kept: Kept = serde_json::from_slice(&kept).unwrap();
    // An hour later the log's reader catches up with an hour's mail in a few seconds.
    let mut growth = kept.growth(BEGIN, 10 * hour);
    let mut look = |second: u64, value| growth.look(count(value), BEGIN + Duration::from_secs(second), window);
    assert_eq!((look(0, 100), look(5, 3_000), look(55, 3_700)), (None, None, None));
    assert_eq!(look(60, 3_765), Some(3_600), "one a second for an hour, a minute and five seconds");
    // The clock went back: no sample says anything.
    assert_eq!(kept.growth(BEGIN, 8 * hour).samples().count(), 0);
}

/// Number and objects of each notification are those of the module's text.
#[test]
fn every_notification_stands_in_the_mib_with_the_objects_that_are_sent() {
    let root = Config::default().agentx.root;
    let dictionary = Dictionary::new(&root, &[]);
    let row = Row {
        index: 7,
        name: shown_text("n", 9),
        condition: shown_text("c", 9),
        value: Some(1),
        raise: 2,
        clear: 3,
        severity: alarm::Severity::Warning,
        state: State::Raised,
        since: Instant::now(),
        raised: 0,
        text: shown_text("t", 9),
    };
    let kinds = [
        ("postfixAlarmRaised", Kind::AlarmRaised),
        ("postfixAlarmCleared", Kind::AlarmCleared),
        ("postfixInstanceDown", Kind::InstanceDown),
        ("postfixInstanceUp", Kind::InstanceUp),
        ("postfixDaemonDown", Kind::DaemonDown),
        ("postfixDaemonUp", Kind::DaemonUp),
        ("postfixSourceFailing", Kind::SourceFailing),
        ("postfixSourceRecovered", Kind::SourceRecovered),
        ("postfixAlarmsHeldBack", Kind::HeldBack),
        ("postfixTestNotification", Kind::Test),
        ("postfixProbeDown", Kind::ProbeDown),
        ("postfixProbeUp", Kind::ProbeUp),
        ("postfixCertificateExpiring", Kind::CertificateExpiring),
        ("postfixPanic", Kind::Panic),
        ("postfixHeartbeat", Kind::Heartbeat),
    ];
    let text = crate::mib::POSTFIX_MIB_TEXT;
    assert_eq!(text.matches(" NOTIFICATION-TYPE\n").count(), kinds.len());
    for (name, kind) in kinds {
        assert_eq!(dictionary.node(name), Some(root.child(&[0, kind as u32])), "{name}");
        let sent = if kind == Kind::HeldBack {
            let mut desk = Desk::default();
            desk.hold_back();
            desk.summary(&root, 1, Instant::now()).unwrap()
        } else if kind == Kind::Test {
            test_notification(&root).unwrap()
        } else if kind == Kind::Heartbeat {
            let publisher = Publisher::new(root.clone(), &crate::collect::catalogue());
            let _health = Health::new(publisher.clone(), AgentCounters::default());
            let mut heart = Heartbeat::new(Some(Duration::from_secs(60)));
            heart.beat(&root, &publisher.view(), 1, Instant::now()).unwrap()
        } else {
            notification(&root, kind, &row).unwrap()
        };
        let objects = sent.varbinds()[1..].iter().map(|varbind| dictionary.object(&varbind.name).unwrap().0.name);
        let (_, body) = text.split_once(&format!("\n{name} NOTIFICATION-TYPE\n")).expect(name);
        let (_, list) = body.split_once('{').unwrap();
        let listed = list.split_once('}').unwrap().0.split(',').map(str::trim);
        assert!(objects.eq(listed), "{name}");
    }
}
