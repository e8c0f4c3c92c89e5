//! The promise: everything in the configuration is optional, and what is wrong is refused with file:line:column and a word
//! on what to write instead.

use postfix_agentx::{
    agentx::Address,
    config::{self, Config, LogSource, LogStart, QueueSource},
};
use std::{path::PathBuf, time::Duration};

fn parse(text: &str) -> Config {
    config::parse(text, "test.yaml").unwrap_or_else(|e| panic!("{e}\n---\n{text}"))
}

/// The first line of the refusal.
fn refused(text: &str) -> String {
    let message = config::parse(text, "test.yaml").expect_err(text).to_string();
    message.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn nothing_has_to_be_said() {
    for text in ["", "\n", "# only a comment\n", "---\n", "{}\n"] {
        let config = parse(text);
        // A file that is about something else still finds snmpd, where the example and where snmpd itself puts its socket.
        let sockets = ["/run/agentx/master", "/var/agentx/master"].map(|path| Address::Unix(path.into()));
        assert_eq!(config.agentx.address, sockets);
        assert_eq!(config.agentx.root.to_string(), ".1.3.6.1.4.1.8072.9999.9999.25");
        assert_eq!(config.agentx.priority, 127);
        assert_eq!(config.state_directory, PathBuf::from("/var/lib/postfix-agentx"));
        assert!(config.instances.is_empty());
        assert_eq!(config.log.from, LogStart::End);
    }
}

#[test]
fn every_key_is_taken() {
    let config = parse(
        "agentx:\n  address: unix:/run/x, tcp:localhost:705\n  root: 1.3.6.1.4.1.32473.1\n  priority: 100\n\
         state_directory: /srv/state\n\
         instances:\n\
         - config_directory: /etc/postfix\n  log: auto\n  queue: { source: showq, interval: 500ms }\n\
         - config_directory: /etc/postfix-out\n  name: out\n  command_directory: /opt/sbin\n  queue_directory: /q\n  syslog_name: postfix-out\n  \
         version: 3.7.11\n  log: { files: [/var/log/a.log, /var/log/b.log] }\n  totals: false\n  discover: false\n\
         - config_directory: /etc/postfix-in\n  log: { journal: true }\n\
         - config_directory: /etc/postfix-no\n  log: none\n\
         log:\n  hosts: [mx1]\n  filters: ['smtp-amavis']\n  reinject_labels: [reinject]\n  from: start\n  \
         queue_ids: 1000\n  senders: 5\n  destinations: 7\n  \
         destination_aliases: ['a.example b.example']\n  clients: 3\n  \
         watch: { destinations: [google.com], users: [alice], report_users: false, deferred_for: 1h, user_limit: 9 }\n\
         queue: { domains: 10 }\n",
    );
    assert_eq!(config.agentx.address.len(), 2);
    assert_eq!(config.agentx.root.to_string(), ".1.3.6.1.4.1.32473.1");
    let [first, out, journal, none] = &config.instances[..] else { panic!("four instances") };
    assert_eq!((first.queue.source, first.queue.interval), (QueueSource::Showq, Duration::from_millis(500)));
    assert_eq!((&first.log, first.totals), (&LogSource::Auto, true));
    assert_eq!(out.log, LogSource::Files(vec!["/var/log/a.log".into(), "/var/log/b.log".into()]));
    assert_eq!((out.name.as_deref(), out.totals, out.discover), (Some("out"), false, false));
    assert_eq!(out.command_directory.as_deref(), Some("/opt/sbin".as_ref()));
    assert_eq!((&journal.log, &none.log), (&LogSource::Journal, &LogSource::None));
    assert_eq!((config.log.from, config.log.queue_ids, config.queue.domains), (LogStart::Start, 1000, 10));
    assert_eq!((config.log.destinations, config.log.clients, config.log.destination_aliases.len()), (7, 3, 1));
    let watch = &config.log.watch;
    assert_eq!(
        (&watch.destinations[..], &watch.users[..]),
        (&["google.com".to_owned()][..], &["alice".to_owned()][..])
    );
    assert_eq!((watch.report_destinations, watch.report_users, watch.user_limit), (true, false, 9));
    assert_eq!(watch.deferred_for, Duration::from_secs(3_600));
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let message = refused("agentx:\n  adress: unix:/x\n");
    assert!(message.starts_with("test.yaml:2:3: "), "{message}");
    assert!(message.contains("adress") && message.contains("address"), "{message}");
    let message = refused("instances:\n- config_directory: /etc/postfix\n  qeue: {}\n");
    assert!(message.starts_with("test.yaml:3:3: ") && message.contains("qeue"), "{message}");
}

#[test]
fn a_wrong_value_is_told_what_would_be_right() {
    for (text, place, hint) in [
        ("agentx: { priority: 0 }", "1:", "1 to 255"),
        ("agentx: { priority: 300 }", "1:", "1 to 255"),
        ("agentx:\n  root: 1.3.x\n", "2:9", "`x` is not a number"),
        ("agentx:\n  root: 1.3\n", "2:9", "4 to 100"),
        ("agentx:\n  root: 1.3.6.1.4.2147483648\n", "2:9", "net-snmp cannot serve what is below 2147483648"),
        ("agentx:\n  root: 1.4294967295.1.1\n", "2:9", "1.0 to 1.39"),
        ("agentx:\n  root: 2.1.1.4294967295\n", "2:9", "at most 2147483647"),
        ("agentx:\n  root: 3.1.1.1\n", "2:9", "0.0 to 0.39"),
        ("agentx:\n  root: 1.40.1.1\n", "2:9", "0.0 to 0.39"),
        ("agentx:\n  address: udp:localhost:705\n", "2:12", "AgentX needs a stream"),
        ("instances:\n- queue: { interval: 30 }\n", "2:", "write 500ms, 30s, 5m or 1h"),
        ("instances:\n- queue: { interval: 5x }\n", "2:", "write 500ms, 30s, 5m or 1h"),
        ("instances:\n- queue: { source: spol }\n", "2:", "spool"),
        ("instances:\n- log: mail.log\n", "2:", "{ files: [/path, …] }"),
        ("instances:\n- log: { files: [], journal: false }\n", "2:", "files"),
        ("log: { from: begin }", "1:", "start"),
        ("log: { destination_aliases: [google.com] }", "1:", "write 'DOMAIN NAME'"),
        ("log: { watch: { deferred_for: 15 } }", "1:", "write 500ms, 30s, 5m or 1h"),
        ("state_directory: [a]\n", "1:", ""),
        ("instances:\n- config_directory: etc/postfix\n", "2:21: ", "absolute path"),
        (
            "instances:\n- config_directory: /etc/postfix\n- config_directory: /etc/postfix/\n",
            "3:21: ",
            "two instances",
        ),
        ("instances:\n- name: a\n- name: a\n  config_directory: /b\n", "3:9: ", "name `a` stands in two instances"),
        ("instances:\n- command_directory: sbin\n", "2:22: ", "command_directory `sbin` must be an absolute path"),
        ("instances:\n- queue_directory: ''\n", "2:20: ", "queue_directory `` must be an absolute path"),
        ("instances:\n- log: { files: [/a, mail.log] }\n", "2:22: ", "files `mail.log` must be an absolute path"),
        ("log: { admissions: [messages] }\n", "1:21: ", "admissions `messages` must be an absolute path"),
        ("state_directory: state\n", "1:18: ", "state_directory `state` must be an absolute path"),
        ("state_directory: ''\n", "1:18: ", "state_directory `` must be an absolute path"),
        ("state_directory: /proc/1\n", "1:18: ", "nothing can be saved"),
        ("state_directory: \"/a\\0b\"\n", "1:18: ", "NUL"),
        ("agentx:\n  takeover: 127\n", "2:13: ", "below `priority`"),
        ("agentx: { root: 1.3.6.1.2.1 }", "1:17: ", "standard MIBs"),
        ("agentx: { root: 1.3.6.1.6.3.1 }", "1:17: ", "standard MIBs"),
        ("agentx: { takeover: ~ }", "1:", "a whole number"),
        ("agentx: { priority: 1, priority: 2 }", "1:24: ", "the key `priority` stands here for the second time"),
        ("privacy: false\n---\nprivacy: true\n", "", "a second document begins here"),
        ("agentx: *none\n", "1:", "no anchor of this name"),
        ("log: { queue_ids: many }\n", "1:19: ", "a whole number from 0 on"),
        ("privacy: perhaps\n", "1:10: ", "true or false"),
        ("instances: { a: b }\n", "1:12: ", "a list"),
        ("agentx: 7\n", "1:9: ", "a mapping"),
        ("patterns:\n- name: a\n  regex: '('\n", "3:10", "unclosed group"),
        ("patterns:\n- name: a\n  regex: 'x*'\n", "3:10", "every line"),
        ("patterns:\n- name: a\n  regex: '(a)\\1'\n", "3:10", "backreferences"),
        ("patterns:\n- name: a\n  regex: '(x{1000}){1000}'\n", "3:10", "size limit"),
        ("patterns:\n- name: ''\n  regex: x\n", "2:9", "1 to 64"),
        ("patterns:\n- name: a\n", "2:", "regex"),
        ("patterns:\n- { name: a, regex: x }\n- { name: a, regex: y }\n", "3:11: ", "pattern `a` stands twice"),
        ("agentx: {\n", "", "test.yaml"),
        ("\tagentx: 1\n", "1:1", ""),
    ] {
        let message = refused(text);
        assert!(message.starts_with(&format!("test.yaml:{place}")), "{text:?}: {message}");
        assert!(message.contains(hint), "{text:?}: {message}");
    }
}

/// Words of the library, which say what a programmer could set.
const JARGON: [&str; 20] = [
    "DuplicateKeyPolicy",
    "from_str",
    "Options",
    "Option<",
    "u8",
    "u32",
    "u64",
    "i64",
    "usize",
    "f64",
    "struct",
    "serde",
    "variant",
    "budget",
    "Breach",
    "deserialize",
    "scalar",
    "unit value",
    "tagged",
    "internal",
];

/// Either taken or refused at a place of the text, in words of our own.
fn is_told_well(text: &str) -> Result<(), String> {
    let Err(e) = config::parse(text, "test.yaml") else { return Ok(()) };
    let message = e.to_string();
    // What stands there is shown below, as it is.
    let first = message.lines().next().unwrap_or_default();
    let mut place = first.strip_prefix("test.yaml:").unwrap_or_default().splitn(3, ':');
    let mut number = || place.next().is_some_and(|n| n.parse::<u32>().is_ok());
    if !number() || !number() {
        return Err(format!("{text:?} has no place: {first}"));
    }
    match JARGON.iter().find(|word| first.contains(*word)) {
        Some(word) => Err(format!("{text:?}: {word}: {first}")),
        None => Ok(()),
    }
}

/// A value at the place of a key, in the flow form.
fn at(key: &str, value: &str) -> String {
    key.rsplit('.').fold(value.to_owned(), |inner, word| match word {
        "[]" => format!("[ {inner} ]"),
        word => format!("{{ {word}: {inner} }}"),
    })
}

#[test]
fn whatever_stands_at_a_key_is_taken_or_refused_with_its_place() {
    let values = [
        "[a]",
        "[]",
        "{ nosuchkey: 1 }",
        "{}",
        "~",
        "''",
        "-1",
        "0",
        "1.5",
        "99999999999999999999",
        "true",
        "x",
        "!!binary AA==",
        "!odd x",
        "\"\\0\"",
        "[[[[[[[[1]]]]]]]]",
        "*none",
        "&a [*a]",
        "\"\\u202E\"",
        "{ a: 1, a: 2 }",
        "{ <<: 1 }",
    ];
    let wrong: Vec<String> =
        keys::all().iter().flat_map(|key| values.map(|value| is_told_well(&at(key, value)).err())).flatten().collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    // Keys that there are not, at every level.
    for key in keys::all() {
        let level = key.rsplit_once('.').map_or("nosuchkey".to_owned(), |(level, _)| format!("{level}.nosuchkey"));
        let message = refused(&at(&level, "1"));
        assert!(message.contains("nosuchkey"), "{level}: {message}");
    }
}

#[test]
fn what_is_no_configuration_at_all_is_told_with_its_place() {
    let bomb = |n: usize| {
        let levels: String =
            (1..n).map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}, *a{0}]\n", level - 1)).collect();
        format!("a0: &a0 [x, x]\n{levels}")
    };
    let deep = |n| "[".repeat(n) + &"]".repeat(n);
    for text in [
        "a: b: c\n",
        "[",
        "{",
        "]",
        "agentx: {\n",
        "agentx:\n\tpriority: 1\n",
        "'",
        "\"",
        "&",
        "*",
        "!",
        "%",
        "@",
        "`",
        "|",
        "- a\nb\n",
        "instances:\n- name: [\n",
        "? a\n: b\n",
        "a\n",
        "7\n",
        "true\n",
        "--- x\n--- y\n",
        "agentx: !!map x",
        "<<: a\n",
        "x: >\n y\nz",
        "\u{0}",
        "a: \u{1}",
        &bomb(3),
        &bomb(30),
        &deep(10),
        &deep(300),
        &deep(100_000),
        &format!("state_directory: /{}\n", "x".repeat(1 << 20)),
        &format!("{}: 1\n", "k".repeat(1 << 16)),
        &"- x\n".repeat(100_000),
        &"a: 1\n".repeat(2),
    ] {
        let begun = std::time::Instant::now();
        let told = is_told_well(text);
        assert!(told.is_ok(), "{}", told.unwrap_err().chars().take(600).collect::<String>());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", &text[..20]);
    }
    // A byte order mark is none of them.
    parse("\u{feff}privacy: true\n");
}

#[test]
fn files_that_are_no_text_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let load = |name: &str| Config::load(Some(&path(name))).expect_err(name).to_string();
    std::fs::write(path("latin1"), b"# x\nlog: { hosts: [m\xfcller] }\n").unwrap();
    assert!(load("latin1").contains("latin1:2:17: this is not UTF-8"), "{}", load("latin1"));
    std::fs::write(path("utf16"), b"\xff\xfea\0:\0 \x001\0").unwrap();
    assert!(load("utf16").contains("utf16:1:1: this is not UTF-8"), "{}", load("utf16"));
    std::fs::write(path("large"), "# padding\n".repeat(1 << 20)).unwrap();
    assert!(load("large").contains("is larger than"), "{}", load("large"));
    std::fs::create_dir(path("directory")).unwrap();
    assert!(load("directory").contains("is a directory, not a regular file"), "{}", load("directory"));
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), kind, mode, 0).unwrap();
    assert!(load("fifo").contains("is a FIFO, not a regular file"), "{}", load("fifo"));
}

#[test]
fn a_missing_file_is_an_error_only_where_it_was_asked_for() {
    let message = Config::load(Some("/nonexistent/x.yaml".as_ref())).expect_err("no such file").to_string();
    assert!(message.contains("/nonexistent/x.yaml") && message.contains("--config"), "{message}");
}

const SHIPPED: &str = include_str!("../packaging/postfix-agentx.yaml");

/// The shipped file with every commented key switched on: prose has one space after the #, keys none or their indentation.
fn uncommented() -> String {
    let lines = SHIPPED.lines().filter(|line| !line.starts_with("# ") || line.starts_with("#  "));
    lines.map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n").collect()
}

#[test]
fn the_shipped_configuration_is_the_defaults_in_both_forms() {
    let defaults = Config::default();
    assert_eq!(format!("{:?}", parse(SHIPPED)), format!("{defaults:?}"));
    let mut explicit = parse(&uncommented());
    let instance = explicit.instances.pop().expect("one instance");
    // Values that have no default are shown with an example.
    let example = config::Instance {
        name: Some("postfix".into()),
        queue_directory: Some("/var/spool/postfix".into()),
        syslog_name: Some("postfix".into()),
        version: Some("3.7.11".into()),
        command_directory: Some("/usr/sbin".into()),
        ..config::Instance::default()
    };
    assert_eq!(format!("{instance:?}"), format!("{example:?}"));
    assert_eq!(explicit.agentx.takeover.take(), Some(126));
    assert_eq!(explicit.heartbeat.take(), Some(Duration::from_secs(3_600)));
    let kinds = std::mem::take(&mut explicit.probes).len();
    assert!(kinds >= 5, "an example of every kind of probe: {kinds}");
    assert!(!std::mem::take(&mut explicit.patterns).is_empty());
    assert_eq!(format!("{explicit:?}"), format!("{defaults:?}"));
    // The example for snmpd opens both sockets that are looked for.
    let example = include_str!("../snmpd.conf.example");
    let sockets: Vec<String> = defaults.agentx.address.iter().map(ToString::to_string).collect();
    let opened = example.lines().find_map(|line| line.strip_prefix("agentXSocket ")).expect("agentXSocket");
    assert!(opened.split(',').all(|socket| sockets.contains(&socket.to_owned())), "{opened}: {sockets:?}");
}

/// Which keys there are is asked of the structs themselves ([`keys::all`]), so a new one cannot be forgotten here.
#[test]
fn every_key_is_in_the_shipped_file() {
    let keys = keys::all();
    for known in ["agentx.address", "instances.[].queue.interval", "instances.[].log.files", "probes.[].imap.folder"] {
        assert!(keys.iter().any(|key| key == known), "the walk over the structs lost {known}: {keys:?}");
    }
    let shown: serde_json::Value = serde_yaml::from_str(&uncommented()).expect("YAML");
    // A server has the same keys whatever it speaks, though not every one means something to each.
    let protocols = ["smtp", "imap", "pop3"].map(|protocol| format!("probes.[].{protocol}."));
    let is_shown = |key: &String| match protocols.iter().find_map(|server| key.strip_prefix(server)) {
        Some(rest) => protocols.iter().any(|server| keys::is_in(&shown, &format!("{server}{rest}"))),
        None => keys::is_in(&shown, key),
    };
    let missing: Vec<&String> = keys.iter().filter(|key| !is_shown(key)).collect();
    assert!(missing.is_empty(), "packaging/postfix-agentx.yaml does not show {missing:?}");
}

/// The keys of the configuration by serde: a deserializer that has no data, notes what each struct asks for, and goes down
/// one path at a time.
mod keys {
    use postfix_agentx::config::Config;
    use serde::de::{
        self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    };
    use serde_json::Value;
    use std::{cell::RefCell, fmt};

    /// Every key as `agentx.address`; `[]` is an entry of a list.
    pub fn all() -> Vec<String> {
        let (mut found, mut open) = (Vec::new(), vec![Vec::new()]);
        while let Some(path) = open.pop() {
            for child in children(&path) {
                let mut path: Vec<&'static str> = path.clone();
                path.push(child);
                if child != "[]" {
                    found.push(path.join("."));
                }
                open.push(path);
            }
        }
        found.sort_unstable();
        found
    }

    /// Whether one entry of every list on the way has the key.
    pub fn is_in(value: &Value, key: &str) -> bool {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        match (first, value) {
            ("", _) => true,
            ("[]", Value::Array(entries)) => entries.iter().any(|entry| is_in(entry, rest)),
            // Where a word or a mapping may be given the file has one of them: the others are in its comments.
            (key, Value::Object(map)) => map.get(key).is_some_and(|value| is_in(value, rest)),
            (key, Value::String(_)) => super::SHIPPED.contains(&format!("{{ {key}: ")),
            _ => false,
        }
    }

    fn children(path: &[&'static str]) -> Vec<&'static str> {
        let found = RefCell::new(Vec::new());
        // It always fails: there is no data.
        drop(Config::deserialize(Walk { path, found: &found }));
        found.into_inner()
    }

    #[derive(Clone, Copy)]
    struct Walk<'a> {
        /// What is left of the way down.
        path: &'a [&'static str],
        found: &'a RefCell<Vec<&'static str>>,
    }

    impl<'a> Walk<'a> {
        fn below(self) -> Option<(&'static str, Self)> {
            self.path.split_first().map(|(key, path)| (*key, Self { path, ..self }))
        }

        fn arrived(self, children: &[&'static str]) -> Stop {
            self.found.borrow_mut().extend(children);
            Stop(Vec::new())
        }
    }

    /// The end of a walk, with the keys a struct knows where it was asked for one that it does not.
    #[derive(Debug)]
    struct Stop(Vec<&'static str>);

    impl fmt::Display for Stop {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no data")
        }
    }

    impl std::error::Error for Stop {}

    impl de::Error for Stop {
        fn custom<T: fmt::Display>(_: T) -> Self {
            Self(Vec::new())
        }

        fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
            Self(expected.to_vec())
        }
    }

    impl<'de> Deserializer<'de> for Walk<'_> {
        type Error = Stop;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Stop> {
            if self.path.is_empty() { Err(self.arrived(fields)) } else { visitor.visit_map(self) }
        }

        fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            if self.path.is_empty() { Err(self.arrived(&["[]"])) } else { visitor.visit_seq(self) }
        }

        fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            visitor.visit_some(self)
        }

        /// A word or a mapping: a key that cannot be one makes the mapping's struct name those it has.
        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            if !self.path.is_empty() {
                return visitor.visit_map(self);
            }
            visitor.visit_map(Walk { path: &["no such key"], ..self }).map_err(|stop| self.arrived(&stop.0))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
            tuple tuple_struct map enum identifier ignored_any
        }
    }

    impl<'de> MapAccess<'de> for Walk<'_> {
        type Error = Stop;

        fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
            let (key, _) = self.below().ok_or(Stop(Vec::new()))?;
            seed.deserialize(key.into_deserializer()).map(Some)
        }

        fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
            let (_, below) = self.below().ok_or(Stop(Vec::new()))?;
            seed.deserialize(below)
        }
    }

    impl<'de> SeqAccess<'de> for Walk<'_> {
        type Error = Stop;

        fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
            self.next_value_seed(seed).map(Some)
        }
    }
}

#[test]
fn a_takeover_priority_must_win() {
    assert_eq!(parse("agentx: { takeover: 126 }").agentx.takeover, Some(126));
    for text in ["agentx: { takeover: 127 }", "agentx: { priority: 5, takeover: 6 }"] {
        assert!(refused(text).contains("below `priority`"), "{}", refused(text));
    }
}

#[test]
fn a_root_that_snmpd_can_serve_is_taken() {
    for root in ["1.3.6.1.4.1.2147483647", "0.0.1.1", "1.39.1.1", "2.25.329800735.1", "2.999.1.1", "1.0.8802.1"] {
        assert_eq!(parse(&format!("agentx: {{ root: {root} }}")).agentx.root.to_string(), format!(".{root}"));
    }
}

/// The example for containers: YAML, and in it a configuration that the program understands.
#[test]
fn the_compose_example_holds_a_configuration() {
    let text = std::fs::read_to_string(crate::common::repository().join("packaging/compose.yaml")).unwrap();
    let compose: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    let services = compose["services"].as_object().expect("services");
    assert_eq!(services["postfix-agentx"]["cap_drop"][0], "ALL");
    let content = compose["configs"]["agent"]["content"].as_str().expect("a configuration");
    let config = config::parse(content, "compose.yaml").expect("a configuration");
    assert_eq!(config.instances.len(), 1);
}
