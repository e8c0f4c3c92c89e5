use super::*;
use crate::{
    smi::Value,
    snmp::{
        message::{Answer, Binding, Kind},
        usm::{Sealing, Signing},
    },
};
use proptest::prelude::*;

const ENGINE: &[u8] = b"\x80\x00\x1f\x88\x04test";

fn name() -> Oid {
    Oid::from([1, 3, 6, 1, 2, 1, 1, 5, 0])
}

fn ask(session: &mut Session) -> (Ids, Vec<u8>) {
    let ids = session.begin();
    let datagram = session.datagram(ids, &Request { kind: Kind::Get, names: &[name()] }, Instant::now());
    (ids, datagram)
}

/// A PDU of this tag with one binding.
fn pdu(tag: u8, id: i32, name: &Oid, value: &[u8]) -> Vec<u8> {
    let binding = ber::sequence(&[&ber::oid(name), value]);
    let parts = [ber::integer(id.into()), ber::integer(0), ber::integer(0), ber::sequence(&[&binding])].concat();
    ber::element(tag, &parts)
}

fn answer(id: i32) -> Vec<u8> {
    pdu(0xa2, id, &name(), &ber::octets(b"me"))
}

fn report(id: i32, counter: u32) -> Vec<u8> {
    let name = Oid::from(&USM_STATS[..9]).child(&[counter, 0]);
    pdu(0xa8, id, &name, &[0x41, 1, 1])
}

/// What an agent sends: everything may be chosen.
struct Agent {
    keys: Keys,
    flags: u8,
    user: &'static [u8],
    engine: &'static [u8],
    boots: u32,
    time: u32,
}

impl Agent {
    fn of(user: &User) -> Self {
        Self { keys: user.keys(ENGINE), flags: user.flags(), user: b"me", engine: ENGINE, boots: 3, time: 5000 }
    }

    fn message(&self, message: i32, pdu: &[u8]) -> Vec<u8> {
        let mut scoped = ber::sequence(&[&ber::octets(self.engine), &ber::octets(&[]), pdu]);
        let mut privacy = Vec::new();
        if self.flags & 2 != 0 {
            privacy = self.keys.seal(&mut scoped, self.boots, self.time, 9).unwrap();
            scoped = ber::octets(&scoped);
        }
        let length = if self.flags & 1 != 0 { self.keys.signature_length() } else { 0 };
        let privacy = ber::octets(&privacy);
        let security = ber::sequence(&[
            &ber::octets(self.engine),
            &ber::integer(self.boots.into()),
            &ber::integer(self.time.into()),
            &ber::octets(self.user),
            &ber::octets(&vec![0; length]),
            &privacy,
        ]);
        let ids = Ids { request: 0, message };
        let mut whole = ber::sequence(&[&ber::integer(3), &header(ids, self.flags), &ber::octets(&security), &scoped]);
        if length != 0 {
            let end = whole.len() - scoped.len() - privacy.len();
            let signature = self.keys.sign(&whole);
            whole[end - length..end].copy_from_slice(&signature);
        }
        whole
    }
}

fn user() -> User {
    let user = User::new("me").unwrap().signed(Signing::Sha256, b"maplesyrup").unwrap();
    user.sealed(Sealing::Aes128, b"otherphrase").unwrap()
}

/// A session that knows its agent.
fn discovered(user: &User) -> Session {
    let mut session = Session::new(Identity::User(user.clone()));
    let (ids, _) = ask(&mut session);
    let unsigned = Agent { flags: 0, user: b"", ..Agent::of(user) };
    let reply = session.receive(&unsigned.message(ids.message, &report(ids.request, 4)), ids, Instant::now());
    assert_eq!(reply, Reply::Again);
    session
}

fn got(reply: Reply) -> Option<Vec<Binding>> {
    match reply {
        Reply::Answer(response) => Some(response.bindings),
        _ => None,
    }
}

#[test]
fn a_community_is_answered_and_only_by_its_answer() {
    let mut session = Session::new(Identity::Community(b"public".to_vec()));
    let (ids, datagram) = ask(&mut session);
    assert!(datagram.windows(6).any(|w| w == b"public"));
    let message = |version: i64, community: &[u8], pdu: &[u8]| {
        ber::sequence(&[&ber::integer(version), &ber::octets(community), pdu])
    };
    let now = Instant::now();
    for stray in [
        message(1, b"public", &answer(ids.request ^ 1)),
        message(1, b"other", &answer(ids.request)),
        message(0, b"public", &answer(ids.request)),
        message(1, b"public", &report(ids.request, 4)),
        datagram,
        Vec::new(),
    ] {
        assert_eq!(session.receive(&stray, ids, now), Reply::Stray, "{stray:?}");
    }
    let found = got(session.receive(&message(1, b"public", &answer(ids.request)), ids, now));
    assert_eq!(found, Some(vec![Binding { name: name(), answer: Answer::Value(Value::octets(b"me")) }]));
}

#[test]
fn an_agent_is_discovered_and_then_answers_at_the_level_asked() {
    let user = user();
    let mut session = discovered(&user);
    let (ids, datagram) = ask(&mut session);
    let sent = V3::split(&datagram).unwrap();
    assert!(sent.is_signed_by(&user.keys(ENGINE)) && sent.engine == ENGINE && sent.boots == 3);
    let agent = Agent::of(&user);
    let now = Instant::now();
    for (what, stray) in [
        ("another message", agent.message(ids.message ^ 1, &answer(ids.request))),
        ("another request", agent.message(ids.message, &answer(ids.request ^ 1))),
        ("not encrypted", Agent { flags: 1, ..Agent::of(&user) }.message(ids.message, &answer(ids.request))),
        ("not signed", Agent { flags: 0, ..Agent::of(&user) }.message(ids.message, &answer(ids.request))),
        ("another user", Agent { user: b"you", ..Agent::of(&user) }.message(ids.message, &answer(ids.request))),
        ("another engine", Agent { engine: b"other", ..Agent::of(&user) }.message(ids.message, &answer(ids.request))),
    ] {
        assert_eq!(session.receive(&stray, ids, now), Reply::Stray, "{what}");
    }
    let mut forged = agent.message(ids.message, &answer(ids.request));
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(session.receive(&forged, ids, now), Reply::Stray);
    let reply = agent.message(ids.message, &answer(ids.request));
    assert!(got(session.receive(&reply, ids, now)).is_some());
    // What was recorded an hour ago.
    let old = Agent { time: 1400, ..Agent::of(&user) }.message(ids.message, &answer(ids.request));
    assert_eq!(session.receive(&old, ids, now), Reply::Stray);
}

#[test]
fn a_clock_is_taken_over_from_a_signed_report_only_and_not_for_ever() {
    let user = user();
    let mut session = discovered(&user);
    let (ids, _) = ask(&mut session);
    let now = Instant::now();
    let late = Agent { boots: 4, time: 10, flags: 0, ..Agent::of(&user) };
    assert_eq!(session.receive(&late.message(ids.message, &report(ids.request, 2)), ids, now), Reply::Stray);
    let late = Agent { flags: 1, ..late };
    for expected in [Reply::Again, Reply::Again, Reply::Refused(Refusal::Time)] {
        assert_eq!(session.receive(&late.message(ids.message, &report(ids.request, 2)), ids, now), expected);
    }
    let datagram = session.datagram(ids, &Request { kind: Kind::Get, names: &[name()] }, now);
    assert_eq!(V3::split(&datagram).map(|m| (m.boots, m.time)), Some((4, 10)));
}

#[test]
fn reports_say_what_is_wrong() {
    let user = user();
    for (counter, refusal) in [
        (1, Refusal::Level("me".into(), "authPriv")),
        (3, Refusal::UnknownUser("me".into())),
        (5, Refusal::Signature("me".into())),
        (6, Refusal::Sealing("me".into())),
    ] {
        let mut session = discovered(&user);
        let (ids, _) = ask(&mut session);
        let message = Agent { flags: 0, ..Agent::of(&user) }.message(ids.message, &report(ids.request, counter));
        assert_eq!(session.receive(&message, ids, Instant::now()), Reply::Refused(refusal));
    }
}

proptest! {
    #[test]
    fn any_octets_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let user = user();
        for mut session in [Session::new(Identity::Community(b"x".to_vec())), discovered(&user)] {
            let (ids, _) = ask(&mut session);
            prop_assert_eq!(session.receive(&bytes, ids, Instant::now()), Reply::Stray);
        }
    }

    /// One wrong octet anywhere in a signed answer: never taken for one, unless it is outside of what is signed.
    #[test]
    fn no_octet_of_a_signed_answer_may_be_changed(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let user = user();
        let mut session = discovered(&user);
        let (ids, _) = ask(&mut session);
        let mut message = Agent::of(&user).message(ids.message, &answer(ids.request));
        let at = at.index(message.len());
        message[at] ^= flip;
        let reply = session.receive(&message, ids, Instant::now());
        prop_assert!(got(reply).is_none());
    }
}

#[test]
fn another_engine_is_discovered_again_but_not_for_ever() {
    let user = user();
    let mut session = discovered(&user);
    let (ids, _) = ask(&mut session);
    let now = Instant::now();
    let other = || Agent { engine: b"other", flags: 0, ..Agent::of(&user) };
    assert_eq!(session.receive(&other().message(ids.message, &report(ids.request, 3)), ids, now), Reply::Stray);
    for _ in 0..2 {
        assert_eq!(session.receive(&other().message(ids.message, &report(ids.request, 4)), ids, now), Reply::Again);
        assert!(!session.is_discovered());
        let first = Agent { flags: 0, ..Agent::of(&user) }.message(ids.message, &report(ids.request, 4));
        assert_eq!(session.receive(&first, ids, now), Reply::Again);
    }
    assert_eq!(session.receive(&other().message(ids.message, &report(ids.request, 4)), ids, now), Reply::Stray);
}
