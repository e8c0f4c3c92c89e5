//! The promise: our SNMP client asks a real snmpd with every protocol net-snmp knows, and says in the right words why there is no answer.

// An error that names an OID is made once a host, and nowhere in a hurry.
#![expect(clippy::result_large_err)]

use crate::common::{Port, SnmpError as Told, TestSnmpd, UdpClient, Value};
use postfix_agentx::snmp::{
    Client, Limits, Patience, SnmpError,
    session::{Identity, Refusal},
    usm::{Sealing, Signing, User},
};
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

const NAME: &str = "1.3.6.1.2.1.1.5.0";
const SIGNING: [(&str, Signing); 6] = [
    ("MD5", Signing::Md5),
    ("SHA", Signing::Sha1),
    ("SHA-224", Signing::Sha224),
    ("SHA-256", Signing::Sha256),
    ("SHA-384", Signing::Sha384),
    ("SHA-512", Signing::Sha512),
];
const SEALING: [(&str, Sealing); 6] = [
    ("DES", Sealing::Des),
    ("AES", Sealing::Aes128),
    ("AES-192", Sealing::Aes192),
    ("AES-256", Sealing::Aes256),
    ("AES-192-C", Sealing::Aes192Cisco),
    ("AES-256-C", Sealing::Aes256Cisco),
];
const SIGN: &str = "the phrase that signs";
const SEAL: &str = "the phrase that seals";

fn user(name: &str, signing: Signing, sealing: Sealing) -> User {
    let user = User::new(name).unwrap().signed(signing, SIGN.as_bytes()).unwrap();
    user.sealed(sealing, SEAL.as_bytes()).unwrap()
}

/// Every pair of protocols is a user of its own.
fn name(signing: &str, sealing: &str) -> String {
    format!("u{signing}x{sealing}").replace('-', "")
}

fn snmpd_with_users() -> TestSnmpd {
    let mut builder = TestSnmpd::builder().conf("sysName here");
    for ((signing, _), (sealing, _)) in SIGNING.iter().flat_map(|s| SEALING.iter().map(move |p| (s, p))) {
        let name = name(signing, sealing);
        builder = builder.conf(&format!("createUser {name} {signing} \"{SIGN}\" {sealing} \"{SEAL}\""));
        builder = builder.conf(&format!("rouser {name} noauth"));
    }
    builder.conf(&format!("createUser strict SHA-256 \"{SIGN}\" AES \"{SEAL}\"")).conf("rouser strict priv").start()
}

/// As `user`, the error if there is one.
fn ask(snmpd: &TestSnmpd, user: User) -> Result<(), SnmpError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let patience = Patience { timeout: Duration::from_millis(500), retries: 2 };
    runtime.block_on(async {
        let target = snmpd.address().parse().unwrap();
        let mut client = Client::connect(&target, Identity::User(user), patience).await?;
        let found = client.get(&[NAME.parse().unwrap()]).await?;
        assert!(found[0].answer.value().is_some());
        Ok(())
    })
}

#[test]
fn every_protocol_of_net_snmp_is_spoken_and_wrong_secrets_are_named() {
    let snmpd = snmpd_with_users();
    let text = Value::OctetString(b"here".to_vec());
    for ((signing, s), (sealing, p)) in SIGNING.iter().flat_map(|s| SEALING.iter().map(move |p| (s, p))) {
        let name = name(signing, sealing);
        let full = user(&name, *s, *p);
        let mut client = UdpClient::with_identity(&snmpd.address(), Identity::User(full));
        assert_eq!(client.get_one(NAME), Ok(text.clone()), "{name}: {}", snmpd.log());
    }
    // A walk, and each level.
    let signed = User::new("uSHA256xAES").unwrap().signed(Signing::Sha256, SIGN.as_bytes()).unwrap();
    for user in
        [User::new("uSHA256xAES").unwrap(), signed.clone(), user("uSHA256xAES", Signing::Sha256, Sealing::Aes128)]
    {
        let level = user.level();
        let mut client = UdpClient::with_identity(&snmpd.address(), Identity::User(user));
        let mine = client.walk("1.3.6.1.2.1.1").unwrap_or_else(|error| panic!("{level}: {error:?}"));
        let names = |walk: &[(String, Value)]| walk.iter().map(|(oid, _)| oid.clone()).collect::<Vec<_>>();
        assert_eq!(names(&mine), names(&snmpd.walk("1.3.6.1.2.1.1").unwrap()), "{level}");
    }
    // Wrong secrets, one after the other.
    let wrong = |refusal: Refusal, user: User| {
        let error = ask(&snmpd, user).expect_err("refused");
        assert!(matches!(&error, SnmpError::Denied(found) if *found == refusal), "{error}, not {refusal}");
    };
    let other = |phrase: &[u8]| User::new("strict").unwrap().signed(Signing::Sha256, phrase).unwrap();
    wrong(Refusal::UnknownUser("nobody".into()), user("nobody", Signing::Sha256, Sealing::Aes128));
    wrong(Refusal::Signature("strict".into()), other(b"another phrase"));
    wrong(Refusal::Signature("strict".into()), user("strict", Signing::Sha512, Sealing::Aes128));
    let sealed = other(SIGN.as_bytes()).sealed(Sealing::Aes128, b"another phrase").unwrap();
    wrong(Refusal::Sealing("strict".into()), sealed);
    // Right, but not enough for this user.
    let error = ask(&snmpd, other(SIGN.as_bytes())).expect_err("refused");
    assert!(
        matches!(error, SnmpError::Status { status: 16, .. }) && error.to_string().contains("authorizationError"),
        "{error}"
    );
}

#[test]
fn an_agent_that_starts_anew_is_recognised_by_its_clock() {
    let mut snmpd =
        TestSnmpd::builder().conf(&format!("createUser me SHA \"{SIGN}\" AES \"{SEAL}\"")).conf("rouser me").start();
    let me = user("me", Signing::Sha1, Sealing::Aes128);
    let mut client = UdpClient::with_identity(&snmpd.address(), Identity::User(me));
    assert!(client.get_one(NAME).is_ok());
    snmpd.restart();
    assert_eq!(client.get_one(NAME).map(|_| ()), Ok(()), "boots went up, and the agent said so");
    // Its state is lost: it is another engine.
    snmpd.stop();
    std::fs::remove_dir_all(snmpd.sandbox().path("state")).unwrap();
    snmpd.start_again();
    assert_eq!(client.get_one(NAME).map(|_| ()), Ok(()), "the engine is another one, and the agent said so");
}

#[test]
fn silence_is_told_as_what_it_usually_is() {
    let snmpd = TestSnmpd::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let get = |target: String, identity: Identity| {
        let patience = Patience { timeout: Duration::from_millis(100), retries: 1 };
        runtime.block_on(async {
            let mut client = Client::connect(&target.parse().unwrap(), identity, patience).await?;
            client.get(&[NAME.parse().unwrap()]).await.map(|_| ())
        })
    };
    let public = || Identity::Community(b"public".to_vec());
    let error = get(snmpd.address(), Identity::Community(b"wrong".to_vec())).unwrap_err();
    assert!(error.is_silence() && error.to_string().contains("a wrong community"), "{error}");
    let nobody = Port::reserve();
    let error = get(format!("127.0.0.1:{nobody}"), public()).unwrap_err();
    assert!(matches!(error, SnmpError::Refused(_)) && error.to_string().contains("agentAddress"), "{error}");
    // Somebody who never answers.
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let error = get(mute.local_addr().unwrap().to_string(), public()).unwrap_err();
    assert!(matches!(error, SnmpError::Timeout { .. }), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(200), "two tries of 100 ms");
    mute.set_nonblocking(true).unwrap();
    assert_eq!((0..3).filter(|_| mute.recv(&mut [0; 100]).is_ok()).count(), 2);
    let error = get("no-such-host.invalid".into(), public()).unwrap_err();
    assert!(
        matches!(error, SnmpError::Resolve { .. }) && error.to_string().starts_with("no-such-host.invalid: "),
        "{error}"
    );
}

#[test]
fn ipv6_and_a_host_whose_first_address_is_silent() {
    let builder = TestSnmpd::builder();
    let port = builder.port();
    let snmpd = builder.conf("rocommunity6 public ::1").start();
    // `localhost` may be ::1 first, where this snmpd does not listen.
    let mut client = UdpClient::with_identity(&format!("localhost:{port}"), Identity::Community(b"public".to_vec()));
    client.set_timeout(Duration::from_secs(2));
    assert!(client.get_one(NAME).is_ok());
    drop(snmpd);
    let builder = TestSnmpd::builder();
    let conf = format!("agentAddress udp6:[::1]:{}\nrocommunity6 public ::1\n", builder.port());
    let port = builder.port();
    let _snmpd = builder.whole_conf(&conf).start();
    let mut client = UdpClient::with_identity(&format!("[::1]:{port}"), Identity::Community(b"public".to_vec()));
    assert!(client.get_one(NAME).is_ok());
}

/// Answers each question with what `reply` makes of it.
fn hostile(reply: impl Fn(usize, &[u8]) -> Vec<u8> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        for number in 0.. {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
            let _ = socket.send_to(&reply(number, &buffer[..length]), from);
        }
    });
    address
}

#[test]
fn hostile_agents_are_left_in_time() {
    // The question turned into an answer that repeats its own name for ever.
    let echo = |_: usize, question: &[u8]| {
        let mut answer = question.to_vec();
        if let Some(tag) = answer.iter().position(|&b| b == 0xa5 || b == 0xa0) {
            answer[tag] = 0xa2;
        }
        answer
    };
    let mut client = UdpClient::with_identity(&hostile(echo), Identity::Community(b"public".to_vec()));
    client.set_timeout(Duration::from_millis(300));
    // GETBULK's fields read as error-status 0 and an error-index: the walk sees no progress.
    match client.walk("1.3.6.1") {
        Err(Told::Tool(text)) => assert!(text.contains("broken"), "{text}"),
        other => panic!("{other:?}"),
    }
    let began = Instant::now();
    let mut client =
        UdpClient::with_identity(&hostile(|_, _| vec![0x30; 1400]), Identity::Community(b"public".to_vec()));
    client.set_timeout(Duration::from_millis(300));
    assert_eq!(client.get_one(NAME), Err(Told::Timeout));
    assert!(began.elapsed() < Duration::from_secs(3));
    let limits = Limits { bindings: 10, time: Duration::from_secs(60) };
    let snmpd = TestSnmpd::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let walked = runtime.block_on(async {
        let identity = Identity::Community(b"public".to_vec());
        let mut client =
            Client::connect(&snmpd.address().parse().unwrap(), identity, Patience::default()).await.unwrap();
        client.walk(&"1.3.6.1".parse().unwrap(), limits).await
    });
    assert!(matches!(walked, Err(SnmpError::TooMuch(10, _))), "{walked:?}");
}
