use super::*;
use std::{fs, process::Command};

/// Runs openssl in a directory; the tests compare with it.
fn openssl(directory: &Path, arguments: &str) -> String {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn rsa_and_ec_agree_with_openssl_and_garbage_is_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for (key, shown) in [("rsa:2048", "RSA 2048"), ("ec -pkeyopt ec_paramgen_curve:P-256", "EC P-256")] {
        let new = format!(
            "req -x509 -newkey {key} -nodes -keyout k.pem -out c.pem -days 30 -subj /CN=mx.example -addext subjectAltName=DNS:mx.example,IP:192.0.2.1"
        );
        openssl(at, &new);
        let chains = read_file(&at.join("c.pem")).unwrap();
        let certificate = Certificate::parse(&chains[0][0]).unwrap();
        assert_eq!(
            (certificate.subject.as_str(), certificate.names.as_str()),
            ("CN=mx.example", "mx.example 192.0.2.1")
        );
        assert_eq!(certificate.key, shown);
        let end = openssl(at, "x509 -in c.pem -noout -enddate -dateopt iso_8601");
        let shown = jiff::Timestamp::from_second(certificate.not_after).unwrap().to_string().replace('T', " ");
        assert_eq!(end.trim(), format!("notAfter={shown}"));
        // A chain file: its key, then its chain, twice.
        let (k, c) = (fs::read_to_string(at.join("k.pem")).unwrap(), fs::read_to_string(at.join("c.pem")).unwrap());
        fs::write(at.join("both.pem"), format!("{k}{c}{c}{k}{c}")).unwrap();
        let lengths: Vec<_> = read_file(&at.join("both.pem")).unwrap().iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1]);
        fs::write(at.join("combined.pem"), format!("{c}{k}{c}")).unwrap();
        assert_eq!(read_file(&at.join("combined.pem")).unwrap().len(), 1, "certificate, key, chain is one chain");
    }
    fs::write(at.join("garbage.pem"), "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(read_file(&at.join("garbage.pem")), Err(ReadError::Pem(..))));
    fs::write(at.join("empty.pem"), "nothing\n").unwrap();
    assert!(matches!(read_file(&at.join("empty.pem")), Err(ReadError::None(_))));
    assert!(matches!(read_file(at), Err(ReadError::NoFile(_))));
    assert!(matches!(Certificate::parse(b"\x30\x82\x00\x01x"), Err(ReadError::Der)));
}

#[test]
fn days_are_judged_first_and_both_ends_belong_to_them() {
    let c = Certificate {
        subject: "CN=a".into(),
        issuer: "CN=b".into(),
        not_before: 1_000_000,
        not_after: 1_000_000 + 30 * DAY,
        names: "a".into(),
        key: "RSA 2048".into(),
    };
    let end = (1_000_000 + 30 * DAY) as u64;
    let untrusted = Err("nobody".to_owned());
    assert_eq!(c.judge(999_999, 21, &Ok(())).0, Status::NotYetValid);
    assert_eq!(c.judge(1_000_000, 21, &Ok(())).0, Status::Ok);
    assert_eq!(c.judge(1_000_000, 31, &Ok(())).0, Status::Expiring);
    assert_eq!(c.judge(1_000_000, 21, &untrusted), (Status::Untrusted, "nobody".into()));
    assert_eq!((c.judge(end, 21, &Ok(())).0, c.days_left(end)), (Status::Expiring, 0));
    assert_eq!((c.judge(end + 1, 21, &untrusted).0, c.days_left(end + 1)), (Status::Expired, -1));
}
