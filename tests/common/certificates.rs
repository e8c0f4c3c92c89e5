//! A private certificate authority, and certificates of every kind: RSA or EC, valid, expired, still to come.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{capture, tool};

/// openssl-ca(1) with the least it needs; `copy_extensions` takes the names over from the request.
const CONFIG: &str = "\
[ca]
default_ca = this
[this]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
[authority]
basicConstraints = critical,CA:TRUE
";

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// An authority with its files in a directory.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// A new one, self-signed.
    pub fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        for (name, text) in [("ca.cnf", CONFIG), ("index.txt", ""), ("serial", "1000\n")] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let authority = Self { dir: dir.to_owned() };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=Test-CA",
        );
        authority
    }

    /// The file that clients trust.
    pub fn file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate for `DNS:…,IP:…` that begins and ends so many days from now.
    pub fn issue(&self, name: &str, key: &str, names: &str, begins: i64, ends: i64) -> Issued {
        self.sign(name, key, names, [begins, ends], "leaf", "ca")
    }

    /// An authority below this one, and a certificate of its: a file with the chain of both.
    pub fn issue_chain(&self, name: &str, key: &str, names: &str, ends: i64) -> Issued {
        self.sign("intermediate", key, "DNS:intermediate.test", [0, 3_000], "authority", "ca");
        let leaf = self.sign(name, key, names, [0, ends], "leaf", "intermediate");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let chain = read(&leaf.certificate) + &read(&self.dir.join("intermediate.pem"));
        std::fs::write(&leaf.certificate, chain).unwrap();
        leaf
    }

    fn sign(&self, name: &str, key: &str, names: &str, days: [i64; 2], extensions: &str, by: &str) -> Issued {
        let key = match key {
            "rsa" => "rsa:2048",
            "ec" => "ec -pkeyopt ec_paramgen_curve:P-256",
            other => other,
        };
        self.openssl(&format!(
            "req -new -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName={names}"
        ));
        let [begins, ends] = days.map(stamp);
        self.openssl(&format!(
            "ca -batch -config ca.cnf -extensions {extensions} -cert {by}.pem -keyfile {by}.key -in {name}.csr -out {name}.pem -notext -startdate {begins} -enddate {ends}"
        ));
        Issued { certificate: self.dir.join(format!("{name}.pem")), key: self.dir.join(format!("{name}.key")) }
    }

    fn openssl(&self, arguments: &str) {
        openssl(&self.dir, &arguments.split(' ').collect::<Vec<_>>());
    }
}

/// Runs openssl(1) in a directory; what it prints.
#[track_caller]
pub fn openssl(dir: &Path, arguments: &[&str]) -> String {
    let mut command: Command = tool("openssl");
    capture(command.args(arguments).current_dir(dir)).success()
}

/// `YYYYMMDDHHMMSSZ`, so many days from now and a minute earlier, so that a day that just began has begun everywhere.
fn stamp(days: i64) -> String {
    let then = format!("+{} seconds", days * 86_400 - 60);
    capture(tool("date").args(["-u", "-d", &then, "+%Y%m%d%H%M%SZ"])).success().trim().to_owned()
}
