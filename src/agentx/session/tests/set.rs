//! The SET machine of a subagent that lets nothing be written (RFC 2741 §7.2.4).

use super::*;

fn test_set(master: &mut Master, names: &[&str]) -> (ErrorCode, u16) {
    let varbinds: Vec<_> = names.iter().map(|name| gauge(name, 1)).collect();
    master.ask(Body::TestSet(VarBinds::from(varbinds.as_slice()))).failed()
}

#[test]
fn an_object_that_exists_is_not_writable_and_an_unknown_one_cannot_be_created() {
    let mut master = Master::ready();
    assert_eq!(test_set(&mut master, &["1.3.9.1.1"]), (ErrorCode::NOT_WRITABLE, 1));
    assert_eq!(test_set(&mut master, &["1.3.9.1.77"]), (ErrorCode::NOT_WRITABLE, 1), "no instance of a known object");
    assert_eq!(test_set(&mut master, &["1.3.9.8.1"]), (ErrorCode::NO_CREATION, 1));
    assert_eq!(test_set(&mut master, &["1.3.9.1.1", "1.3.9.8.1"]), (ErrorCode::NOT_WRITABLE, 1), "the first failure");
    assert_eq!(master.get(&["1.3.9.1.1"]), [gauge("1.3.9.1.1", 11)], "and nothing has changed");
}

#[test]
fn cleanup_set_never_gets_a_response() {
    let mut master = Master::ready();
    master.tell(Body::CleanupSet).unwrap();
    assert_eq!(master.sent(), []);
    master.id = 4;
    master.tell(Body::CleanupSet).unwrap();
    assert_eq!(master.sent(), [], "nor in a wrong session");
    let mut broken = master.encoded(Body::CleanupSet);
    broken[19] = 4;
    broken.extend_from_slice(&[0; 4]);
    master.octets(&broken).unwrap();
    assert_eq!(master.sent(), [], "nor when it is malformed");
}

#[test]
fn t_cl_after_a_refused_test_leaves_nothing_behind() {
    let mut master = Master::ready();
    test_set(&mut master, &["1.3.9.1.1"]);
    master.tell(Body::CleanupSet).unwrap();
    assert_eq!(master.sent(), []);
    assert_eq!(master.ask(Body::CommitSet).failed(), (ErrorCode::COMMIT_FAILED, 1));
}

#[test]
fn commit_and_undo_without_a_test_that_succeeded_fail() {
    let mut master = Master::ready();
    assert_eq!(master.ask(Body::CommitSet).failed(), (ErrorCode::COMMIT_FAILED, 1));
    assert_eq!(master.ask(Body::UndoSet).failed(), (ErrorCode::UNDO_FAILED, 1));
    test_set(&mut master, &["1.3.9.1.1"]);
    assert_eq!(master.ask(Body::CommitSet).failed(), (ErrorCode::COMMIT_FAILED, 1));
}

#[test]
fn a_test_of_nothing_succeeds_and_t_c_cl_and_t_c_u_work() {
    let mut master = Master::ready();
    assert_eq!(test_set(&mut master, &[]), (ErrorCode::NO_ERROR, 0));
    assert_eq!(master.ask(Body::CommitSet).failed(), (ErrorCode::NO_ERROR, 0));
    master.tell(Body::CleanupSet).unwrap();
    assert_eq!(master.sent(), []);
    assert_eq!(master.ask(Body::CommitSet).failed(), (ErrorCode::COMMIT_FAILED, 1), "the transaction is over");
    assert_eq!(test_set(&mut master, &[]), (ErrorCode::NO_ERROR, 0));
    master.transaction += 1;
    assert_eq!(master.ask(Body::CommitSet).failed(), (ErrorCode::COMMIT_FAILED, 1), "that was another transaction");
    master.transaction -= 1;
    assert_eq!(master.ask(Body::UndoSet).failed(), (ErrorCode::NO_ERROR, 0));
    assert_eq!(master.ask(Body::UndoSet).failed(), (ErrorCode::UNDO_FAILED, 1), "undo ends the transaction");
}

#[test]
fn a_retransmission_gets_the_same_answer_again() {
    let mut master = Master::ready();
    test_set(&mut master, &[]);
    assert_eq!(master.ask(Body::UndoSet).failed(), (ErrorCode::NO_ERROR, 0));
    master.packet -= 1;
    assert_eq!(master.ask(Body::UndoSet).failed(), (ErrorCode::NO_ERROR, 0), "same packetID: not executed twice");
    assert_eq!(test_set(&mut master, &["1.3.9.1.1"]), (ErrorCode::NOT_WRITABLE, 1));
    master.packet -= 1;
    assert_eq!(test_set(&mut master, &["1.3.9.1.1"]), (ErrorCode::NOT_WRITABLE, 1));
}
