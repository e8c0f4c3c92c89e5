//! The whole engine against its rules in plain words (docs/notifications.md): random series of values, gaps, steps of the
//! clock, receipts, ends in good order and by kill -9. After each look states, counts and notifications are what the rules
//! say of all that has been.

use super::{
    moment::Moment,
    tests::{QUEUES, alarm_dictionary, started},
    *,
};
use crate::{
    agentx::{Notification, Notifications, pdu::Data},
    mib::{Get, Index, Table, column, text as shown_text},
    smi::Objects,
};
use proptest::{collection::vec, option, prelude::*};

/// What stands in for the log collector.
static MAIL: Table<u64> = Table {
    name: "postfixMailTable",
    entry: &[1, 5, 1, 1],
    index: |_| Index::from_slice(&[1]),
    columns: &[
        column(18, "postfixMailBounced", Get::Counter32(|r| Some(*r))),
        column(41, "postfixMailName", Get::Text(|_| Some(shown_text("postfix", 32)))),
    ],
};

const LIST: &str = "alarms:
- { name: full, when: 'postfixQueueMessages[*] > 10', clear: 4, for: 10s, severity: critical }
- { name: few, when: 'postfixQueueMessages[* deferred] < 3', clear: 6 }
- { name: held, when: 'postfixQueueMessages[postfix hold] >= 8' }
- { name: bounced, when: 'rate(postfixMailBounced[*]) > 10/m', clear: 5/m }
";

const QUEUE_NAMES: [&str; 3] = ["active", "deferred", "hold"];
/// Of the rate, milliseconds.
const WINDOW: i64 = 60_000;

/// What happens between two looks, and what is to be seen then.
#[derive(Clone, Debug)]
struct Step {
    seconds: i64,
    /// The clock on the wall is set by so many seconds.
    clock: i64,
    /// `None`: nothing can be seen of the queues.
    queues: Option<[Option<u64>; 3]>,
    /// How much the counter has grown, and whether it began anew before; `None`: it is not there.
    bounced: Option<(u64, bool)>,
    /// What the master does with what it gets: takes it, takes it late, drops it.
    master: Master,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Master {
    Takes,
    TakesLate,
    Drops,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Term,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queues = option::weighted(0.9, prop::array::uniform3(option::weighted(0.9, 0u64..14)));
    let master = prop_oneof![4 => Just(Master::Takes), 1 => Just(Master::TakesLate), 1 => Just(Master::Drops)];
    let end = option::weighted(0.15, prop_oneof![Just(End::Term), Just(End::Kill)]);
    let clock = prop_oneof![8 => Just(0i64), 1 => -300i64..0, 1 => 0i64..300];
    let bounced = option::weighted(0.95, (0u64..20, prop::bool::weighted(0.05)));
    let step = (5i64..40, clock, queues, bounced, master, end);
    vec(
        step.prop_map(|(seconds, clock, queues, bounced, master, end)| Step {
            seconds,
            clock,
            queues,
            bounced,
            master,
            end,
        }),
        1..60,
    )
}

/// One row by its rules. Times are milliseconds that have passed since the first look.
#[derive(Default)]
struct Row {
    raise: Option<fn(i64) -> bool>,
    over: Option<fn(i64) -> bool>,
    hold: i64,
    /// The looks of this run of the agent: when, and what was there.
    looks: Vec<(i64, Option<i64>)>,
    raised: bool,
    count: u64,
    /// What the agent knows that managers know; `None`: it cannot know.
    known: Option<bool>,
    /// What the master has, and what the agent will hear of it.
    in_flight: Option<(bool, Option<bool>)>,
    /// How long there has been nothing to see.
    away: i64,
}

impl Row {
    /// Raised at the end of an unbroken run of looks on the wrong side that lasted the hold time; over at the first look on
    /// the right side; nothing to see changes nothing.
    fn look(&mut self, now: i64, value: Option<i64>) {
        let before = self.looks.last().map_or(now, |(at, _)| *at);
        self.away = if value.is_some() { 0 } else { self.away + now - before };
        self.looks.push((now, value));
        let Some(value) = value else { return };
        let (raise, over) = (self.raise.expect("a rule"), self.over.expect("a rule"));
        if self.raised {
            self.raised = !over(value);
            return;
        }
        let run = self.looks.iter().rev().take_while(|(_, value)| value.is_some_and(raise));
        if run.last().is_some_and(|(since, _)| now - since >= self.hold) {
            self.raised = true;
            self.count += 1;
        }
    }
}

/// The counter of bounces by its rules.
#[derive(Default)]
struct Rate {
    /// When it was seen and what it was: since it was away or went back.
    seen: Vec<(i64, u64)>,
    /// Nothing is said before.
    quiet: i64,
}

impl Rate {
    fn look(&mut self, now: i64, count: Option<u64>) -> Option<i64> {
        let Some(count) = count else {
            *self = Self::default();
            return None;
        };
        if self.seen.last().is_some_and(|(_, last)| count < *last) {
            self.seen.clear();
        }
        if now < self.quiet {
            return None;
        }
        self.seen.push((now, count));
        let (since, before) = *self.seen.iter().rev().find(|(at, _)| now - at >= WINDOW)?;
        Some(i64::try_from((count - before) * 3_600_000).unwrap() / (now - since))
    }

    /// What is kept at this moment: what the clock says of each sight now.
    fn kept(&self, now: i64, clock: i64) -> Vec<(i64, u64)> {
        self.seen.iter().map(|(at, count)| (clock - (now - at), *count)).collect()
    }

    /// After a restart: how old each sight is only the clock can say, and what it says has to be possible.
    fn resumed(kept: &[(i64, u64)], now: i64, clock: i64) -> Self {
        let is_possible = kept.iter().all(|(then, _)| *then <= clock);
        let seen = kept.iter().filter(|_| is_possible).map(|&(then, count)| (now - (clock - then), count));
        Self { seen: seen.collect(), quiet: now + WINDOW }
    }
}

/// All rows, and what may be sent.
#[derive(Default)]
struct Model {
    rows: BTreeMap<String, Row>,
    rate: Rate,
    /// What a new agent finds: sights of the counter, and how long each row has been away.
    saved: (Vec<(i64, u64)>, BTreeMap<String, i64>),
    /// Of raised and of cleared ones: milliseconds of the rate that are used up, and when.
    spent: [(i64, i64); 2],
    summary: Option<i64>,
}

type Test = fn(i64) -> bool;

impl Model {
    fn row(&mut self, key: String, now: i64, value: Option<i64>) {
        let rules: (Test, Test, i64) = match key.split(':').next().unwrap() {
            "full" => (|v| v > 10, |v| v <= 4, 10_000),
            "few" => (|v| v < 3, |v| v >= 6, 0),
            "held" => (|v| v >= 8, |v| v < 8, 0),
            _ => (|v| v > 600, |v| v <= 300, 0),
        };
        let new =
            || Row { raise: Some(rules.0), over: Some(rules.1), hold: rules.2, known: Some(false), ..Row::default() };
        self.rows.entry(key).or_insert_with(new).look(now, value);
    }

    fn look(&mut self, now: i64, step: &Step, count: Option<u64>) {
        let queues = step.queues.unwrap_or_default();
        let mut seen: BTreeMap<String, Option<i64>> = BTreeMap::new();
        for (name, value) in QUEUE_NAMES.iter().zip(queues) {
            let value = value.map(|value| value as i64);
            if value.is_some() {
                seen.insert(format!("full: postfix {name}"), value);
            }
            // `few` is about a pattern, `held` asks for one row, which is shown although it is not there.
            if *name == "hold" || (*name == "deferred" && value.is_some()) {
                seen.insert(format!("{}: postfix {name}", if *name == "hold" { "held" } else { "few" }), value);
            }
        }
        let rate = self.rate.look(now, count);
        if count.is_some() {
            seen.insert("bounced: postfix".into(), rate);
        }
        let gone: Vec<String> = self.rows.keys().filter(|key| !seen.contains_key(*key)).cloned().collect();
        seen.extend(gone.into_iter().map(|key| (key, None)));
        seen.into_iter().for_each(|(key, value)| self.row(key, now, value));
    }

    /// 20 of a kind at once, and then one every 2 s.
    fn may_send(&mut self, raised: bool, now: i64) -> bool {
        let (used, at) = &mut self.spent[usize::from(raised)];
        *used = (*used - (now - *at)).max(0);
        *at = now;
        let allowed = *used <= 19 * 2_000;
        *used += if allowed { 2_000 } else { 0 };
        allowed
    }

    /// What is sent now, as name and number of the notification.
    fn tell(&mut self, now: i64) -> Vec<(String, u32)> {
        let (mut sent, mut waiting) = (Vec::new(), false);
        for row in self.rows.values_mut() {
            if let Some((raised, Some(taken))) = row.in_flight {
                row.known = if taken { Some(raised) } else { row.known };
                row.in_flight = None;
            }
        }
        for key in self.rows.keys().cloned().collect::<Vec<_>>() {
            let row = &self.rows[&key];
            let raised = row.raised;
            let is_seen = row.looks.last().is_some_and(|(_, value)| value.is_some()) || row.away >= 60_000;
            if row.in_flight.is_some() || row.known == Some(raised) || !is_seen {
                continue;
            }
            if self.may_send(raised, now) {
                let row = self.rows.get_mut(&key).unwrap();
                row.known = None;
                row.in_flight = Some((raised, None));
                sent.push((key, if raised { 1 } else { 2 }));
            } else {
                waiting = true;
            }
        }
        if waiting && self.summary.is_none_or(|last| now - last >= 60_000) {
            self.summary = Some(now);
            sent.push((String::new(), 9));
        }
        sent
    }

    /// The master has done this with what it got at this look, and has taken what it was late with.
    fn answered(&mut self, master: Master, sent: &[(String, u32)]) {
        for (key, row) in &mut self.rows {
            if let Some((_, answer @ None)) = &mut row.in_flight {
                let is_new = sent.iter().any(|(name, _)| name == key);
                *answer = match master {
                    Master::TakesLate if is_new => None,
                    Master::Drops if is_new => Some(false),
                    _ => Some(true),
                };
            }
        }
    }

    fn note(&mut self, now: i64, clock: i64) {
        self.saved = (self.rate.kept(now, clock), self.rows.iter().map(|(key, row)| (key.clone(), row.away)).collect());
    }

    fn restart(&mut self, now: i64, clock: i64) {
        // Of what was never seen there is nothing to go on with.
        let was_seen = self.saved.1.contains_key("bounced: postfix");
        self.rate = if was_seen { Rate::resumed(&self.saved.0, now, clock) } else { Rate::default() };
        for (key, row) in &mut self.rows {
            row.looks.clear();
            row.in_flight = None;
            row.away = self.saved.1.get(key).copied().unwrap_or(0) / 1_000 * 1_000;
        }
        self.spent = Default::default();
        self.summary = None;
    }
}

/// What has been sent: name and number of each.
fn sent(queue: &mut Notifications, now: Instant) -> (Vec<Notification>, Vec<(String, u32)>) {
    let all: Vec<Notification> = std::iter::from_fn(|| queue.take(now)).collect();
    let describe = |notification: &Notification| {
        let [kind, object, ..] = notification.varbinds() else { panic!("{notification:?}") };
        let Data::Value(Value::ObjectId(kind)) = &kind.data else { panic!("{notification:?}") };
        let name = match &object.data {
            Data::Value(Value::OctetString(name)) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        };
        (name, *kind.as_slice().last().unwrap())
    };
    let described = all.iter().map(describe).collect();
    (all, described)
}

/// Name, state and count of each row of postfixAlarmTable.
fn table(agent: &Alarms, now: Instant) -> BTreeMap<String, (Value, Value)> {
    let view = agent.context.publisher.view();
    let get = |object, index| {
        let name = alarm_dictionary().oid(object, &[index]).unwrap();
        view.get(&name, now).unwrap_or_else(|_| panic!("{object}.{index}"))
    };
    let row = |(key, watched): (&String, &Watched)| {
        (key.clone(), (get("postfixAlarmState", watched.index), get("postfixAlarmRaises", watched.index)))
    };
    agent.watched.iter().map(row).collect()
}

fn expected(model: &Model) -> BTreeMap<String, (Value, Value)> {
    let row = |(key, row): (&String, &Row)| {
        let state = match (row.looks.last().and_then(|(_, value)| *value), row.raised) {
            (None, _) => 3,
            (_, true) => 2,
            (_, false) => 1,
        };
        (key.clone(), (Value::Integer(state), Value::Counter32(row.count as u32)))
    };
    model.rows.iter().map(row).collect()
}

/// PROPTEST_CASES, or 64.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    // Each saves the state file dozens of times, synced.
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn states_counts_and_notifications_are_what_the_rules_say(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let begin = Instant::now();
        let (mut passed, mut clock, mut count) = (0i64, 1_800_000_000_000i64, 0u64);
        let moment = |passed: i64, clock: i64| Moment {
            at: begin + Duration::from_millis(passed as u64),
            clock: clock as u64,
        };
        let mut model = Model::default();
        let (mut agent, mut queue) = started(directory.path(), LIST, moment(passed, clock));
        let mut late: Vec<Notification> = Vec::new();
        let mut indices: BTreeMap<String, u32> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            if step.end == Some(End::Term) {
                let now = moment(passed, clock);
                agent.end(now);
                prop_assert_eq!(sent(&mut queue, now.at).1, model.tell(passed), "at the end before look {}", number);
                model.note(passed, clock);
            }
            passed += step.seconds * 1_000;
            clock += (step.seconds + step.clock) * 1_000;
            let now = moment(passed, clock);
            let (mut running, mut its_queue) = if step.end.is_some() {
                // Not before the old one is gone: the state directory is locked.
                drop((agent, queue));
                late.clear();
                model.restart(passed, clock);
                started(directory.path(), LIST, now)
            } else {
                (agent, queue)
            };
            let shown = step.bounced.map(|(grown, anew)| {
                count = if anew { grown } else { count + grown };
                count
            });
            let rows = step.queues.iter().flatten().zip(QUEUE_NAMES).enumerate();
            let rows: Vec<_> = rows.filter_map(|(n, (value, name))| Some((n as u32 + 1, name, (*value)?))).collect();
            let mail: Vec<u64> = shown.into_iter().collect();
            running.context.publisher.publish([QUEUES.fragment(&rows), MAIL.fragment(&mail)]);

            let on_disk = || std::fs::read(directory.path().join(FILE.0)).ok();
            let before = on_disk();
            running.turn(now);
            model.look(passed, step, shown);
            let (notifications, described) = sent(&mut its_queue, now.at);
            prop_assert_eq!(&described, &model.tell(passed), "notifications of look {}", number);
            prop_assert_eq!(table(&running, now.at), expected(&model), "table of look {}", number);
            let raised = running.context.health.all_conditions().len();
            prop_assert_eq!(raised, model.rows.values().filter(|row| row.raised).count(), "raised at look {}", number);
            for (key, watched) in &running.watched {
                prop_assert_eq!(*indices.entry(key.clone()).or_insert(watched.index), watched.index, "an index moved");
            }

            if on_disk() != before {
                model.note(passed, clock);
            }
            late.drain(..).for_each(|notification| notification.settle(true));
            match step.master {
                Master::TakesLate => late = notifications,
                answer => notifications.iter().for_each(|notification| notification.settle(answer == Master::Takes)),
            }
            model.answered(step.master, &described);
            (agent, queue) = (running, its_queue);
        }
    }
}
