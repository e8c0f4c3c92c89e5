//! The promise: what the agent says of a certificate is what openssl(1) says of it, in a file and at a server; and the
//! certificates of the SMTP servers need no configuration.

use super::{Shown, daemon};
use crate::common::{PATIENCE, TestPostfix, TestSite, TestSnmpd, capture, certificates::openssl, tool, wait_for};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// postfixCertificateStatus.
const OK: i64 = 1;
const EXPIRING: i64 = 2;
const EXPIRED: i64 = 3;
const NOT_YET_VALID: i64 = 4;
const UNTRUSTED: i64 = 5;
const UNREADABLE: i64 = 6;

/// The end of a certificate in seconds since 1970, by openssl.
fn end(pem: &Path) -> i64 {
    let text = openssl(Path::new("/"), &["x509", "-in", &pem.display().to_string(), "-noout", "-enddate"]);
    let date = text.trim().strip_prefix("notAfter=").expect("a date");
    capture(tool("date").args(["-u", "-d", date, "+%s"])).success().trim().parse().expect("seconds")
}

/// Rows of postfixCertificateTable by name.
fn rows(shown: &mut Shown) -> BTreeMap<String, u32> {
    let column = crate::common::oid("postfixCertificateName", &[]);
    let found = shown.client.walk(&column).expect("a walk");
    let index = |name: &str| name.rsplit('.').next().expect("an index").parse().expect("a number");
    found.into_iter().map(|(name, value)| (value.text().expect("a name"), index(&name))).collect()
}

#[test]
fn files_and_servers_agree_with_openssl() {
    let site = TestSite::start();
    let ca = &site.authority;
    let names = "DNS:mx.example,DNS:mail.example,IP:192.0.2.1";
    let issued = [
        ("valid rsa", ca.issue("valid-rsa", "rsa", names, 0, 90).certificate, OK),
        ("valid ec", ca.issue("valid-ec", "ec", names, 0, 400).certificate, OK),
        ("expiring", ca.issue("expiring", "ec", names, -60, 20).certificate, EXPIRING),
        ("expired", ca.issue("expired", "rsa", names, -400, -10).certificate, EXPIRED),
        ("future", ca.issue("future", "ec", names, 5, 300).certificate, NOT_YET_VALID),
        ("chain", ca.issue_chain("chained", "ec", names, 60).certificate, OK),
    ];
    let garbage = site.files.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let closed = site.files.write("closed.pem", "secret");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    let file = |name: &str, path: &Path, more: &str| {
        format!("- {{ name: {name}, kind: certificate, every: 2s, timeout: 2s, file: {}{more} }}\n", path.display())
    };
    let trusted = format!(", ca_file: {}", ca.file().display());
    let mut yaml: String = issued.iter().map(|(name, path, _)| file(name, path, &trusted)).collect();
    yaml += &file("garbage", &garbage, "");
    yaml += &file("closed", &closed, "");
    yaml += &file("missing", Path::new("/nonexistent.pem"), "");
    yaml += &file("untrusted", &issued[0].1, "");
    yaml += &file("other name", &issued[0].1, &format!("{trusted}, server_name: www.example"));
    yaml += &file("its name", &issued[0].1, &format!("{trusted}, server_name: mail.example"));
    let server = |name: &str, port: &dyn std::fmt::Display, more: &str| {
        format!(
            "- {{ name: {name}, kind: certificate, every: 2s, timeout: 2s, host: 127.0.0.1, port: {port}, {more}{trusted} }}\n"
        )
    };
    yaml += &server("smtp", &site.submission, "tls: starttls");
    yaml += &server("imap", &site.dovecot.imap, "tls: starttls, protocol: imap");
    yaml += &server("pop3", &site.dovecot.pop3, "tls: starttls, protocol: pop3");
    yaml += &server("imaps", &site.dovecot.imaps, "tls: implicit, protocol: imap");
    let snmpd = TestSnmpd::start();
    let agent = daemon(&snmpd, &[&site.postfix], &yaml);
    let mut shown = Shown::new(&snmpd);
    let count = yaml.lines().count();
    let rows = wait_for("a row of every certificate", PATIENCE, || {
        Some(rows(&mut shown)).filter(|rows| rows.len() == count + 1)
    });
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let mut fewest = i64::MAX;
    for (name, path, status) in &issued {
        let row = [rows[*name]];
        let (before, shown_days) = (now(), shown.number("postfixCertificateDaysLeft", &row).expect("days"));
        let right = [before, now()].map(|now| (end(path) - now).div_euclid(86_400));
        assert!(right.contains(&shown_days), "{name}: {shown_days} days, {right:?}");
        fewest = fewest.min(shown_days);
        let error = shown.text("postfixCertificateError", &row);
        assert_eq!(shown.number("postfixCertificateStatus", &row), Some(*status), "{name}: {error}");
        assert_eq!(error.is_empty(), *status == OK, "{name}: {error}");
        assert_eq!(shown.text("postfixCertificateNames", &row), "mx.example mail.example 192.0.2.1");
        let key = if name.contains("rsa") || *name == "expired" { "RSA 2048" } else { "EC P-256" };
        assert_eq!(shown.text("postfixCertificateKey", &row), key, "{name}");
    }
    assert_eq!(shown.number("postfixTotalCertificateDaysLeft", &[0]), Some(fewest));
    for (name, status, words) in [
        ("garbage", UNREADABLE, "its DER is damaged"),
        ("closed", UNREADABLE, "let the agent's user read it"),
        ("missing", UNREADABLE, "is the path right?"),
        ("untrusted", UNTRUSTED, "its issuer is CN=Test-CA"),
        ("other name", UNTRUSTED, "not for www.example"),
        ("its name", OK, ""),
    ] {
        let row = [rows[name]];
        let error = shown.text("postfixCertificateError", &row);
        assert_eq!(shown.number("postfixCertificateStatus", &row), Some(status), "{name}: {error}");
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(shown.number("postfixCertificateDaysLeft", &row).is_some(), status != UNREADABLE, "{name}");
    }
    for (name, port, starttls) in [
        ("smtp", &site.submission, Some("smtp")),
        ("imap", &site.dovecot.imap, Some("imap")),
        ("pop3", &site.dovecot.pop3, Some("pop3")),
        ("imaps", &site.dovecot.imaps, None),
    ] {
        let mut client = tool("openssl");
        client.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]);
        client.args(starttls.into_iter().flat_map(|protocol| ["-starttls", protocol]));
        let seen = site.files.write("seen.pem", &capture(&mut client).stdout);
        let row = [rows[name]];
        let error = shown.text("postfixCertificateError", &row);
        assert_eq!(shown.number("postfixCertificateStatus", &row), Some(OK), "{name}: {error}");
        let days = shown.number("postfixCertificateDaysLeft", &row).expect("days");
        assert_eq!(days, (end(&seen) - now()).div_euclid(86_400), "{name}");
        assert_eq!(shown.text("postfixCertificateSubject", &row), "CN=mx.local.test");
    }
    // The one that nobody configured.
    let row = [rows["postfix smtpd_tls_cert_file"]];
    assert_eq!(shown.number("postfixCertificateStatus", &row), Some(OK));
    drop(agent);
}

#[test]
fn the_certificates_of_smtpd_need_no_configuration() {
    let files = crate::common::Sandbox::new("certificates");
    let ca = crate::common::certificates::Authority::new(&files.path("ca"));
    let rsa = ca.issue("rsa", "rsa", "DNS:mx.example", -100, 50);
    let ec = ca.issue("ec", "ec", "DNS:mx.example", -100, -3);
    let own = ca.issue("own", "ec", "DNS:submission.example", 0, 5);
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    // As postconf(5) has it: the key first, then its chain, and so on.
    let [r, o] = [&rsa, &own].map(|c| read(&c.key) + &read(&c.certificate));
    let both = files.write("both.pem", &(r + &o));
    let closed = files.write("closed.pem", &o);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    let postfix = TestPostfix::builder()
        .main("smtpd_tls_security_level = may")
        .main(&format!("smtpd_tls_cert_file = {}", rsa.certificate.display()))
        .main(&format!("smtpd_tls_eccert_file = {}", ec.certificate.display()))
        .master("submission unix n - n - - smtpd")
        .master(&format!("  -o smtpd_tls_chain_files={}", both.display()))
        .master("closed unix n - n - - smtpd")
        .master(&format!("  -o smtpd_tls_chain_files={}", closed.display()))
        .master("plain unix n - n - - smtpd -o smtpd_tls_security_level=none -o smtpd_tls_cert_file=/unused")
        .start();
    let snmpd = TestSnmpd::start();
    let agent = daemon(&snmpd, &[&postfix], "");
    let mut shown = Shown::new(&snmpd);
    let rows = wait_for("rows", PATIENCE, || Some(rows(&mut shown)).filter(|rows| !rows.is_empty()));
    let expected = [
        ("postfix smtpd_tls_cert_file", OK, Some(49)),
        ("postfix smtpd_tls_eccert_file", EXPIRED, Some(-4)),
        ("postfix submission/unix smtpd_tls_chain_files", OK, Some(49)),
        ("postfix submission/unix smtpd_tls_chain_files key 2", EXPIRING, Some(4)),
        ("postfix closed/unix smtpd_tls_chain_files", UNREADABLE, None),
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
    for (name, status, days) in expected {
        let row = [rows[name]];
        let error = shown.text("postfixCertificateError", &row);
        assert_eq!(shown.number("postfixCertificateStatus", &row), Some(status), "{name}: {error}");
        assert_eq!(shown.number("postfixCertificateDaysLeft", &row), days, "{name}");
    }
    assert_eq!(shown.number("postfixTotalCertificateDaysLeft", &[0]), Some(-4));
    wait_for("the expired one in postfixHealthText", PATIENCE, || {
        let text = shown.text("postfixHealthText", &[0]);
        text.contains("certificate postfix").then_some(())
    });
    // As check and dump see them, which run no probe.
    let ran = agent.run_once(&["check"]);
    assert!(ran.stdout.contains("postfix smtpd_tls_eccert_file: expired 4 days ago"), "{}", ran.stdout);
    // Renewed: seen without a restart of anything.
    fs::copy(&rsa.certificate, &ec.certificate).unwrap();
    wait_for("the renewed certificate", PATIENCE * 2, || {
        (shown.number("postfixCertificateStatus", &[rows["postfix smtpd_tls_eccert_file"]]) == Some(OK)).then_some(())
    });
}
