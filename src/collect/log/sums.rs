//! Tests: what refines a total adds up to it, whatever lines come, whole, damaged or repeated.

use super::{
    engine::{Engine, Options, Source},
    patterns::Matcher,
};
use crate::config::{self, pattern::Pattern};
use proptest::prelude::*;

/// `program: text` of every line that the tests know.
fn known() -> Vec<&'static str> {
    let files = [
        include_str!("../../../tests/log/lines.txt"),
        include_str!("../../../tests/log/texts.txt"),
        include_str!("../../../tests/log/whyscream.txt"),
    ];
    let lines = files.into_iter().flat_map(str::lines);
    lines.filter(|line| !line.starts_with(['#', '=']) && line.contains(": ")).collect()
}

fn whole(line: &str) -> String {
    let (program, text) = line.split_once(": ").unwrap_or((line, ""));
    format!("Nov 22 01:17:30 vm postfix/{program}[7]: {text}\n")
}

fn engine() -> Engine {
    Engine::new(Options { discover: true, ..Options::default() })
}

fn check(engine: &Engine) {
    for instance in &engine.instances {
        let state = &instance.state;
        let mail = &state.mail;
        assert_eq!(state.bounces.0.iter().sum::<u64>(), mail.bounced);
        assert_eq!(state.defers.iter().sum::<u64>(), mail.deferrals);
        assert_eq!(state.sizes.messages.iter().sum::<u64>(), mail.received_messages);
        assert_eq!(state.sizes.recipients.iter().sum::<u64>(), mail.received_recipients);
        assert!(state.codes.0.values().sum::<u64>() <= mail.rejects_temporary + mail.rejects_permanent);
        let sessions = state.tls.sessions.map(|protocols| protocols.iter().flatten().sum::<u64>());
        let of = |direction: usize| state.tls.ciphers.iter().map(|(.., cipher)| cipher.0[direction]).sum::<u64>();
        assert_eq!(sessions, [of(0), of(1)]);
        assert_eq!(sessions[1], state.transports.iter().map(|(.., t)| t.tls_connections).sum::<u64>());
    }
}

/// A refusal and whether its code is logged.
fn refusals() -> impl Strategy<Value = (String, bool)> {
    let smtpd = |action: &'static str| {
        (400..600_u16, "[a-z ]{0,20}(User unknown|greylisted|550 5.1.1|blocked using x.example)?[a-z ]{0,9}").prop_map(
            move |(code, words)| {
                let line = format!(
                    "smtpd: NOQUEUE: {action}: RCPT from x[192.0.2.1]: {code} 5.1.1 <a@b>: {words}; from=<c@d> to=<a@b> proto=ESMTP helo=<e>"
                );
                (line, true)
            },
        )
    };
    prop_oneof![
        smtpd("reject"),
        smtpd("milter-reject"),
        (400..600_u16).prop_map(|code| (
            format!("postscreen: NOQUEUE: reject: RCPT from [192.0.2.1]:49: {code} 5.5.1 Protocol error; from=<x>, to=<a@b>, proto=SMTP, helo=<z>"),
            true
        )),
        (400..600_u16).prop_map(|code| (
            format!("smtpd: proxy-reject: END-OF-MESSAGE: {code} 5.7.0 no; from=<> to=<y> proto=SMTP helo=<z>"),
            true
        )),
        (400..600_u16).prop_map(|code| (
            format!("cleanup: 4104E3D: milter-reject: END-OF-MESSAGE from x[192.0.2.1]: {code} 5.7.1 no; from=<x@y> to=<a@b> proto=ESMTP helo=<c>"),
            true
        )),
        Just((
            "cleanup: 4104E3D: milter-reject: END-OF-MESSAGE from x[192.0.2.1]: 4.7.1 no; from=<x@y> to=<a@b> proto=ESMTP helo=<c>"
                .to_owned(),
            false
        )),
        Just((
            "cleanup: 45AF9B6611: reject: header Subject: 550 a from x[192.0.2.1]; from=<b@c> to=<a@d> proto=ESMTP helo=<vm>: 5.7.1 550"
                .to_owned(),
            false
        )),
        Just(("postscreen: NOQUEUE: reject: CONNECT from [192.0.2.1]:13: all server ports busy".to_owned(), false)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn parts_are_the_whole(
        lines in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..12_u32), 1..60)
    ) {
        let known = known();
        let (mut engine, mut source) = (engine(), Source::default());
        for (line, at, byte, times) in lines {
            let mut line = whole(line.get::<&str>(&known)).into_bytes();
            match times {
                // Damaged at one place, or followed by what a syslog daemon says of it.
                0..4 => {
                    let end = line.len() - 1;
                    line[at.index(end)] = if byte == b'\n' { b' ' } else { byte };
                }
                4..6 => line.extend(format!("Nov 22 01:17:31 vm last message repeated {times} times\n").bytes()),
                _ => {}
            }
            engine.chunk(&mut source, &line);
        }
        check(&engine);
    }

    #[test]
    fn codes_are_the_refusals_that_have_one(lines in proptest::collection::vec(refusals(), 1..30)) {
        let (mut engine, mut source) = (engine(), Source::default());
        lines.iter().for_each(|(line, _)| engine.chunk(&mut source, whole(line).as_bytes()));
        check(&engine);
        let with_code = lines.iter().filter(|(_, code)| *code).count() as u64;
        let state = &engine.instances[0].state;
        prop_assert_eq!(state.codes.0.values().sum::<u64>(), with_code);
        prop_assert_eq!(state.mail.rejects_temporary + state.mail.rejects_permanent, lines.len() as u64);
    }
}

fn matcher(yaml: &str) -> Option<Matcher> {
    let patterns: Vec<Pattern> = config::parse(yaml, "test").unwrap().patterns;
    Matcher::new(&patterns, Default::default())
}

fn matches(engine: &Engine) -> Vec<u64> {
    engine.matcher.as_ref().unwrap().matches()
}

/// Whose line it is, what stands in it, how often it was written.
#[test]
fn patterns_match_lines_of_programs_and_instances() {
    let mut engine = engine();
    engine.matcher = matcher(
        "patterns:\n- { name: any, regex: 'b+c' }\n- { name: smtpd, regex: 'b+c', program: smtpd }\n\
         - { name: submission, regex: 'b+c', program: postfix/submission/smtpd }\n- { name: out, regex: 'b+c', instance: out }\n\
         - { name: amavis, regex: 'b+c', program: amavis }\n- { name: header, regex: '^Nov 2[0-9] .* vm ' }\n",
    );
    let mut source = Source::default();
    let line = |tag: &str, text: &str| format!("Nov 22 01:17:30 vm {tag}[7]: {text}\n");
    engine.chunk(&mut source, line("postfix/smtpd", "x abbc").as_bytes());
    engine.chunk(&mut source, line("postfix/submission/smtpd", "abbc bc bc").as_bytes());
    engine.chunk(&mut source, line("out/smtp", "bc").as_bytes());
    engine.chunk(&mut source, line("amavis", "bc").as_bytes());
    engine.chunk(&mut source, "Nov 22 01:17:31 vm last message repeated 3 times\n".as_bytes());
    engine.chunk(&mut source, line("amavis", "message repeated 5 times: [ bc]").as_bytes());
    // A record has no header.
    engine.chunk(&mut source, b"{\"SYSLOG_IDENTIFIER\":\"amavis\",\"_PID\":\"7\",\"MESSAGE\":\"bc\"}\n");
    // No UTF-8, and no line that has it.
    engine.chunk(&mut source, b"Nov 22 01:17:30 vm amavis[7]: b\xffc\n");
    assert_eq!(matches(&engine), [3 + 4 + 5 + 1, 2, 1, 1, 4 + 5 + 1, 4 + 3 + 5 + 1]);
}

/// What was counted is kept by name; the others go on from 0.
#[test]
fn patterns_keep_their_counts_by_name() {
    let mut first = engine();
    first.matcher = matcher("patterns:\n- { name: a, regex: x }\n- { name: b, regex: y }\n");
    first.chunk(&mut Source::default(), b"Nov 22 01:17:30 vm a[7]: xy\nNov 22 01:17:30 vm a[7]: y\n");
    let saved = serde_json::to_vec(&first.matcher.as_ref().unwrap().save()).unwrap();
    let patterns =
        config::parse("patterns:\n- { name: c, regex: z }\n- { name: b, regex: 'y|z' }\n", "test").unwrap().patterns;
    let mut second = engine();
    second.matcher = Matcher::new(&patterns, serde_json::from_slice(&saved).unwrap());
    second.chunk(&mut Source::default(), b"Nov 22 01:17:30 vm a[7]: z\n");
    assert_eq!(matches(&second), [1, 3]);
    assert_eq!(second.matcher.as_ref().unwrap().indices(), [Some(3), Some(2)], "an index is its name's");
}

/// The state of the version before loads, and what it did not count begins at 0.
#[test]
fn a_state_of_the_version_before_loads() {
    let mut engine = engine();
    let log = known().into_iter().map(whole).collect::<String>();
    engine.chunk(&mut Source::default(), log.as_bytes());
    let mut state = serde_json::to_value(&engine.instances[0].state).unwrap();
    let members = state.as_object_mut().unwrap();
    for new in ["tls", "bounces", "codes", "sizes"] {
        assert!(members.remove(new).is_some(), "{new}");
    }
    let state: super::counters::State = serde_json::from_value(state).unwrap();
    assert!(state.mail.bounced > 0 && state.bounces.0.iter().all(|n| *n == 0) && state.codes.0.is_empty());
    let everything: super::saved::Everything = serde_json::from_str("{\"totals_since\":7}").unwrap();
    assert_eq!(everything.totals_since, 7);
}
