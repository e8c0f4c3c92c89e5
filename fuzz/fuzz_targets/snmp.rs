//! Any datagrams from an agent: no panic, and no answer that was not signed by the key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::{
    smi::Oid,
    snmp::{
        Kind, Request,
        session::{Identity, Reply, Session},
        usm::{Sealing, Signing, User},
    },
};
use std::{sync::LazyLock, time::Instant};

static USER: LazyLock<Option<User>> = LazyLock::new(|| {
    let user = User::new("me").ok()?.signed(Signing::Sha256, b"maplesyrup").ok()?;
    user.sealed(Sealing::Aes128, b"otherphrase").ok()
});

fuzz_target!(|input: &[u8]| {
    let names = [Oid::from([1, 3, 6, 1, 2, 1, 1, 5, 0])];
    let request = Request { kind: Kind::Get, names: &names };
    let unsigned = User::new("me").map(Identity::User).ok();
    let identities = [Some(Identity::Community(b"public".to_vec())), unsigned, USER.clone().map(Identity::User)];
    for identity in identities.into_iter().flatten() {
        let signed = matches!(&identity, Identity::User(user) if user.level() == "authPriv");
        let mut session = Session::new(identity);
        let ids = session.begin();
        // Several datagrams, each after its length in two octets: discovery, then the rest.
        let mut rest = input;
        while let [high, low, after @ ..] = rest {
            let length = usize::from(*high) << 8 | usize::from(*low);
            let (datagram, next) = after.split_at(length.min(after.len()));
            let _ = session.datagram(ids, &request, Instant::now());
            let reply = session.receive(datagram, ids, Instant::now());
            assert!(!signed || !matches!(reply, Reply::Answer(_)), "nobody knows the key");
            rest = next;
        }
    }
});
