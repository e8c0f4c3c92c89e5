//! Open, Register, AddAgentCaps, Notify, Ping, Close (RFC 2741 §7.1), and time.

use super::*;

fn registered(pdu: &Pdu<'_>) -> (String, u8) {
    let Body::Register { target, .. } = &pdu.body else { panic!("{pdu:?}") };
    assert_eq!((target.timeout, target.range), (0, None));
    (target.subtree.to_string(), target.priority)
}

/// Opens, and takes the first Register.
fn opened(config: Config) -> (Master, Pdu<'static>) {
    let mut master = Master::new(config);
    let open = master.one();
    master.respond(&open, ErrorCode::NO_ERROR).unwrap();
    let register = master.one();
    (master, register)
}

#[test]
fn open_says_who_we_are_and_its_response_gives_the_session_id() {
    let mut master = Master::new(config());
    let open = master.one();
    assert_eq!(open.body, Body::Open { timeout: 0, id: Box::new(oid("1.3.9")), descr: b"test" });
    assert_eq!(open.context, None);
    assert!(!master.session.is_open());
    master.respond(&open, ErrorCode::NO_ERROR).unwrap();
    assert_eq!(master.events(), [Event::Opened]);
    let register = master.one();
    assert_eq!(register.header.session, SESSION);
    assert_eq!(registered(&register), (".1.3.9".into(), 127));
    master.respond(&register, ErrorCode::NO_ERROR).unwrap();
    assert_eq!(master.events(), [Event::Registered(0, 127)]);
    assert!(master.session.is_registered() && master.session.is_settled());
    assert_eq!(master.sent(), [], "P11: nothing more, no Unregister");
}

#[test]
fn a_refused_or_unanswered_open_ends_the_connection() {
    let mut master = Master::new(config());
    let open = master.one();
    let refused = master.respond(&open, ErrorCode::OPEN_FAILED);
    assert_eq!(refused, Err(SessionError::OpenRefused(ErrorCode::OPEN_FAILED)));
    let mut master = Master::new(config());
    master.pass(Duration::from_millis(4_999)).unwrap();
    assert_eq!(master.pass(Duration::from_millis(1)), Err(SessionError::NoAnswer("Open")));
}

#[test]
fn every_region_is_registered_with_its_own_priority_before_the_capabilities() {
    let mut config = config();
    config.regions.push(Region { priority: 100, instance: true, ..Region::new(oid("1.3.8.0")) });
    config.capabilities = vec![Capabilities { id: oid("1.3.7"), description: "caps".into() }];
    let mut master = Master::new(config);
    let open = master.one();
    master.respond(&open, ErrorCode::NO_ERROR).unwrap();
    let registers = master.sent();
    assert_eq!(
        registers.iter().map(registered).collect::<Vec<_>>(),
        [(".1.3.9".into(), 127), (".1.3.8.0".into(), 100)]
    );
    assert!(matches!(registers[1].body, Body::Register { instance: true, .. }));
    master.respond(&registers[1], ErrorCode::NO_ERROR).unwrap();
    assert!(!master.session.is_registered());
    assert_eq!(master.sent(), []);
    master.respond(&registers[0], ErrorCode::DUPLICATE_REGISTRATION).unwrap();
    let caps = master.one();
    assert_eq!(caps.body, Body::AddAgentCaps { id: Box::new(oid("1.3.7")), descr: b"caps" });
    master.respond(&caps, ErrorCode::REQUEST_DENIED).unwrap();
    let events = master.events();
    assert!(events.ends_with(&[Event::CapsRefused(ErrorCode::REQUEST_DENIED)]), "{events:?}");
    assert!(master.session.is_open());
}

#[test]
fn a_duplicate_registration_is_tried_again_for_ever_and_told_once() {
    let (mut master, mut register) = opened(config());
    let mut seconds = Vec::new();
    for _ in 0..8 {
        master.respond(&register, ErrorCode::DUPLICATE_REGISTRATION).unwrap();
        assert!(master.session.is_settled() && !master.session.is_registered() && master.session.wants_notification());
        let refused = master.now;
        loop {
            master.pass(Duration::from_millis(1)).unwrap();
            let mut sent = master.sent();
            // Meanwhile the watchdog does its work.
            while let Some(ping) = sent.iter().position(|pdu| pdu.body == Body::Ping) {
                let ping = sent.remove(ping);
                master.respond(&ping, ErrorCode::NO_ERROR).unwrap();
            }
            if let Some(again) = sent.pop() {
                register = again;
                break;
            }
        }
        seconds.push((master.now - refused).as_secs_f64());
    }
    for (waited, longest) in seconds.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
        assert!((longest * 0.8 - 0.01..=longest + 0.01).contains(waited), "{seconds:?}");
    }
    assert_eq!(master.events(), [Event::Opened, Event::Refused(0, ErrorCode::DUPLICATE_REGISTRATION)]);
    master.respond(&register, ErrorCode::NO_ERROR).unwrap();
    assert_eq!(master.events(), [Event::Registered(0, 127)]);
}

#[test]
fn a_takeover_priority_is_tried_at_once() {
    let mut config = config();
    config.regions[0].takeover = Some(126);
    let (mut master, register) = opened(config);
    master.respond(&register, ErrorCode::DUPLICATE_REGISTRATION).unwrap();
    let second = master.one();
    assert_eq!(registered(&second), (".1.3.9".into(), 126));
    master.respond(&second, ErrorCode::DUPLICATE_REGISTRATION).unwrap();
    assert_eq!(master.sent(), [], "both taken: now it waits");
    master.pass(Duration::from_secs(1)).unwrap();
    let third = master.one();
    assert_eq!(registered(&third), (".1.3.9".into(), 127));
    master.respond(&third, ErrorCode::DUPLICATE_REGISTRATION).unwrap();
    let fourth = master.one();
    master.respond(&fourth, ErrorCode::NO_ERROR).unwrap();
    assert_eq!(master.events().last(), Some(&Event::Registered(0, 126)));
}

#[test]
fn who_overtook_goes_on_asking_for_the_configured_place_until_it_holds_both() {
    let mut config = config();
    config.regions[0].takeover = Some(126);
    config.capabilities = vec![Capabilities { id: oid("1.3.7"), description: String::new() }];
    let (mut master, register) = opened(config);
    master.respond(&register, ErrorCode::DUPLICATE_REGISTRATION).unwrap();
    let second = master.one();
    master.respond(&second, ErrorCode::NO_ERROR).unwrap();
    let caps = master.one();
    assert!(matches!(caps.body, Body::AddAgentCaps { .. }), "it serves: nothing waits for the other place");
    master.respond(&caps, ErrorCode::NO_ERROR).unwrap();
    master.events();
    for seconds in [1, 2, 4] {
        master.pass(Duration::from_secs(seconds)).unwrap();
        let again = master.sent().pop().unwrap();
        assert_eq!(registered(&again), (".1.3.9".into(), 127));
        assert!(master.session.is_registered() && master.session.is_settled(), "it is asked all the time");
        master.respond(&again, ErrorCode::DUPLICATE_REGISTRATION).unwrap();
        assert_eq!(master.sent(), [], "the takeover priority is held already");
    }
    master.pass(Duration::from_secs(8)).unwrap();
    let last = master.sent().pop().unwrap();
    master.respond(&last, ErrorCode::NO_ERROR).unwrap();
    assert_eq!(master.events(), [], "nothing of this concerns anybody");
    master.pass(Duration::from_secs(14)).unwrap();
    assert_eq!(master.sent(), [], "P11: no Unregister");
}

#[test]
fn a_packet_id_may_wrap() {
    let mut master = Master::ready();
    master.session.packet = u32::MAX - 1;
    for number in 1..=3 {
        master.session.notify(notification(number), master.now);
        let sent = master.one();
        assert_eq!(sent.header.packet, [u32::MAX, 0, 1][number as usize - 1]);
        master.respond(&sent, ErrorCode::NO_ERROR).unwrap();
    }
    assert_eq!(master.events(), vec![Event::NotificationConfirmed; 3]);
}

#[test]
fn other_refusals_of_a_registration_are_waited_out_too() {
    for error in [ErrorCode::REQUEST_DENIED, ErrorCode::PARSE_ERROR, ErrorCode::PROCESSING_ERROR, ErrorCode(999)] {
        let (mut master, register) = opened(config());
        master.respond(&register, error).unwrap();
        assert_eq!(master.events().last(), Some(&Event::Refused(0, error)));
        assert_eq!(master.get(&["1.3.9.1.1"]), [gauge("1.3.9.1.1", 11)], "it stays connected");
        master.pass(Duration::from_secs(1)).unwrap();
        assert_eq!(registered(&master.one()).1, 127);
    }
}

#[test]
fn not_open_to_any_own_request_begins_anew() {
    let (mut master, register) = opened(config());
    assert_eq!(master.respond(&register, ErrorCode::NOT_OPEN), Err(SessionError::NotOpen));
    let mut master = Master::ready();
    master.pass(Duration::from_secs(15)).unwrap();
    let ping = master.one();
    assert_eq!(master.respond(&ping, ErrorCode::NOT_OPEN), Err(SessionError::NotOpen));
    let mut master = Master::ready();
    master.session.notify(notification(1), master.now);
    master.session.notify(notification(2), master.now);
    let first = master.sent().remove(0);
    assert_eq!(master.respond(&first, ErrorCode::NOT_OPEN), Err(SessionError::NotOpen));
    let left: Vec<_> = master.session.into_unconfirmed().collect();
    assert_eq!(left, [notification(1), notification(2)], "to be sent again, in order");
}

#[test]
fn a_request_of_another_session_is_answered_not_open() {
    let mut master = Master::ready();
    master.id = SESSION + 1;
    let ranges = [range("1.3.9.1.1", false, "")];
    let reply = master.ask(Body::Get(Ranges::from(ranges.as_slice())));
    assert_eq!(reply.failed(), (ErrorCode::NOT_OPEN, 0));
    master.id = SESSION;
    assert_eq!(master.get(&["1.3.9.1.1"]).len(), 1, "and this session goes on");
    let mut early = Master::new(config());
    early.one();
    early.id = 0;
    let reply = early.ask(Body::Get(Ranges::from(ranges.as_slice())));
    assert_eq!(reply.failed(), (ErrorCode::NOT_OPEN, 0), "before there is a session");
}

#[test]
fn a_response_nobody_waits_for_or_that_cannot_be_read_is_dropped() {
    let mut master = Master::ready();
    let body = Body::Response { sys_up_time: 0, error: ErrorCode::NOT_OPEN, index: 0, varbinds: VarBinds::default() };
    master.tell(body).unwrap();
    let mut broken = master.encoded(Body::Ping);
    broken[1] = 18;
    master.octets(&broken).unwrap();
    assert_eq!(master.sent(), []);
    assert_eq!(master.get(&["1.3.9.1.1"]).len(), 1);
}

#[test]
fn a_pdu_that_cannot_be_read_is_answered_parse_error_and_told_once() {
    let mut master = Master::ready();
    for kind in [0, 19, 200, 6] {
        let mut broken = master.encoded(Body::Ping);
        broken[1] = kind;
        broken[19] = 4;
        broken.extend_from_slice(&[0; 4]);
        master.octets(&broken).unwrap();
        assert_eq!(master.reply().failed(), (ErrorCode::PARSE_ERROR, 0));
    }
    assert_eq!(master.events(), [Event::Unreadable(WireError::PduType(0))]);
    assert_eq!(master.session.stats.decode_errors.load(std::sync::atomic::Ordering::Relaxed), 4);
    assert_eq!(master.get(&["1.3.9.1.1"]).len(), 1, "and it goes on");
}

#[test]
fn what_only_a_subagent_sends_is_answered_processing_error() {
    let mut master = Master::ready();
    for body in [Body::Ping, Body::RemoveAgentCaps { id: Box::new(oid("1.3")) }, Body::Notify(VarBinds::default())] {
        assert_eq!(master.ask(body).failed(), (ErrorCode::PROCESSING_ERROR, 0));
    }
}

#[test]
fn a_stream_that_cannot_be_framed_is_closed_with_parse_error() {
    let mut master = Master::ready();
    let mut broken = master.encoded(Body::Ping);
    broken[19] = 3;
    assert_eq!(master.octets(&broken), Err(SessionError::Frame(FrameError::Alignment(3))));
    assert_eq!(master.one().body, Body::Close { reason: 2 });
}

#[test]
fn the_masters_close_is_confirmed_and_ends_the_connection() {
    let mut master = Master::ready();
    assert_eq!(master.tell(Body::Close { reason: 6 }), Err(SessionError::Closed(6)));
    assert_eq!(master.reply().failed(), (ErrorCode::NO_ERROR, 0));
}

#[test]
fn our_close_says_shutdown_and_waits_for_the_response() {
    let mut master = Master::ready();
    master.session.close(CloseReason::Shutdown, master.now);
    master.session.close(CloseReason::Shutdown, master.now);
    let close = master.one();
    assert_eq!(close.body, Body::Close { reason: 5 });
    assert_eq!(master.get(&["1.3.9.1.1"]).len(), 1, "what was under way is still answered");
    assert!(!master.session.is_closed() && !master.session.wants_notification());
    master.respond(&close, ErrorCode::NO_ERROR).unwrap();
    assert!(master.session.is_closed());
}

#[test]
fn silence_is_answered_with_ping_and_two_misses_end_the_connection() {
    let mut master = Master::ready();
    master.pass(Duration::from_millis(14_999)).unwrap();
    assert_eq!(master.sent(), []);
    master.pass(Duration::from_millis(1)).unwrap();
    let ping = master.one();
    assert_eq!(ping.body, Body::Ping);
    master.respond(&ping, ErrorCode::NO_ERROR).unwrap();
    master.pass(Duration::from_secs(14)).unwrap();
    assert_eq!(master.sent(), []);
    master.pass(Duration::from_secs(2)).unwrap();
    master.one();
    master.pass(Duration::from_millis(9_500)).unwrap();
    assert_eq!(master.one().body, Body::Ping, "one miss: asked again at once");
    assert_eq!(master.pass(Duration::from_secs(10)), Err(SessionError::NoAnswer("Ping")));
}

#[test]
fn traffic_spares_the_ping_and_a_late_request_proves_life() {
    let mut master = Master::ready();
    for _ in 0..10 {
        master.get(&["1.3.9.1.1"]);
        master.pass(Duration::from_secs(10)).unwrap();
    }
    assert!(!master.sent_so_far.iter().any(|pdu| pdu.body == Body::Ping));
    master.pass(Duration::from_secs(6)).unwrap();
    assert_eq!(master.one().body, Body::Ping);
    for _ in 0..10 {
        master.pass(Duration::from_secs(9)).unwrap();
        master.tell(Body::CleanupSet).unwrap();
    }
    assert!(master.session.is_open(), "no answer to Ping, but it talks to us");
}

fn notification(number: u32) -> Notification {
    Notification::new(Oid::from([1, 3, 9, 0, number]), []).unwrap()
}

#[test]
fn no_more_than_16_own_requests_wait_and_room_is_left_for_ping() {
    let mut master = Master::ready();
    let mut sent = 0;
    while master.session.wants_notification() {
        sent += 1;
        master.session.notify(notification(sent), master.now);
    }
    let pdus = master.sent();
    assert_eq!(pdus.len(), MAX_NOTIFICATIONS);
    const { assert!(MAX_NOTIFICATIONS < MAX_OUTSTANDING) };
    master.respond(&pdus[3], ErrorCode::NO_ERROR).unwrap();
    assert!(master.session.wants_notification());
    let mut config = config();
    config.regions = (0..40).map(|n| Region::new(Oid::from([1, 3, 9, n]))).collect();
    let mut master = Master::new(config);
    let open = master.one();
    master.respond(&open, ErrorCode::NO_ERROR).unwrap();
    let pdus = master.sent();
    assert_eq!(pdus.len(), MAX_OUTSTANDING);
    for pdu in &pdus {
        master.respond(pdu, ErrorCode::NO_ERROR).unwrap();
    }
    assert_eq!(master.sent().len(), 16);
}

#[test]
fn a_notification_is_confirmed_refused_or_given_up() {
    let mut master = Master::ready();
    (1..=3).for_each(|n| master.session.notify(notification(n), master.now));
    let sent = master.sent();
    let Body::Notify(varbinds) = sent[0].body else { panic!("{sent:?}") };
    let first: Vec<VarBind> = varbinds.iter().collect();
    assert_eq!(first, notification(1).varbinds());
    assert_eq!(first[0].name.to_string(), ".1.3.6.1.6.3.1.1.4.1.0", "snmpTrapOID.0 first, no sysUpTime");
    master.respond(&sent[0], ErrorCode::NO_ERROR).unwrap();
    master.respond(&sent[1], ErrorCode::PROCESSING_ERROR).unwrap();
    let ping = |pdus: Vec<Pdu<'static>>| pdus.into_iter().find(|pdu| pdu.body == Body::Ping).unwrap();
    master.pass(Duration::from_secs(10)).unwrap();
    let events = master.events();
    let lost = ErrorCode::PROCESSING_ERROR;
    let expected = [Event::NotificationConfirmed, Event::NotificationLost(Some(lost)), Event::NotificationLost(None)];
    assert_eq!(events, expected);
    master.pass(Duration::from_secs(6)).unwrap();
    let ping = ping(master.sent());
    master.respond(&ping, ErrorCode::NO_ERROR).unwrap();
    assert!(master.session.is_open(), "a PDU snmpd could not read is no reason to leave");
    assert_eq!(master.session.stats.notifications_sent.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(master.session.stats.notifications_dropped.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn an_unanswered_registration_ends_the_connection_and_unanswered_capabilities_do_not() {
    let (mut master, _) = opened(config());
    assert_eq!(master.pass(Duration::from_secs(10)), Err(SessionError::NoAnswer("Register")));
    let mut config = config();
    config.capabilities = vec![Capabilities { id: oid("1.3.7"), description: String::new() }];
    let (mut master, register) = opened(config);
    master.respond(&register, ErrorCode::NO_ERROR).unwrap();
    master.pass(Duration::from_secs(11)).unwrap();
    assert_eq!(master.events().last(), Some(&Event::CapsRefused(ErrorCode::PARSE_ERROR)));
    assert!(master.session.is_registered());
}
