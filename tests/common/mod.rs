//! What the tests and the demo stand on: a private Postfix, a private snmpd and snmptrapd, and the agent under an unprivileged uid.
//!
//! Everything listens on loopback only, lives in a temporary directory of its own ([`Sandbox`]) and is gone when its value is dropped, so that tests
//! run in parallel with each other and next to a Postfix or snmpd that the host runs for itself. Nothing here waits by sleeping: [`wait_for`] polls
//! for a state. Starting Postfix needs root; the agent never does.
//!
//! Where to look: [`TestPostfix`] (postfix.rs) and the mail it handles ([`Fate`], mail.rs), [`Smtp`] (smtp.rs), [`TestSnmpd`] (snmpd.rs) with
//! net-snmp's tools (tools.rs) or without them ([`UdpClient`], udp.rs), [`TestTrapd`] (trapd.rs), [`TestAgent`] (agent.rs); for the probes
//! [`TestSite`] (site.rs): Postfix with TLS and logins, Dovecot ([`TestDovecot`], dovecot.rs) and an authority (certificates.rs).

// A test file uses a part of this, and a helper that fails is a failed test: it says so by panicking.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
pub mod certificates;
pub mod dovecot;
mod mail;
mod names;
mod port;
mod postfix;
mod process;
mod random;
mod sandbox;
pub mod site;
mod smtp;
mod snmpd;
mod tools;
mod trapd;
mod udp;
mod value;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use agent::{AGENT_UID, TestAgent};
pub use dovecot::TestDovecot;
pub use mail::Fate;
pub use names::oid;
pub use port::Port;
pub use postfix::{PostfixBuilder, QueuedMessage, QueuedRecipient, TestPostfix};
pub use process::{Daemon, Ran, alive, capture, children, group_id, tool, user_id};
pub use random::Random;
pub use sandbox::Sandbox;
pub use site::TestSite;
pub use smtp::{Reply, Smtp};
pub use snmpd::{SnmpdBuilder, TestSnmpd};
pub use trapd::TestTrapd;
pub use udp::UdpClient;
pub use value::{SnmpError, Value, oid_numbers};

/// The root of the tree that the tests' agents serve: netSnmpPlaypen 25.
pub const ROOT: &str = "1.3.6.1.4.1.8072.9999.9999.25";

/// How long a state may take on a busy machine before a test calls it a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every wait end by unwinding, so that Ctrl-C in the demo runs the guards that clean up.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether this thread unwinds because something failed, so that a guard should show what it knows.
fn failing() -> bool {
    std::thread::panicking() && !INTERRUPTED.load(Ordering::Relaxed)
}

/// Asks again and again until there is an answer; panics with `what` when there is none in time.
#[track_caller]
pub fn wait_for<T>(what: &str, timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            // Not a failure: unwinds without a report.
            std::panic::resume_unwind(Box::new("interrupted"));
        }
        assert!(Instant::now() < deadline, "no {what} within {timeout:?}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Where `tests/deps.sh` puts the IETF's base modules, which Debian does not ship to net-snmp's users.
pub fn mibs_dir() -> PathBuf {
    let dir = target_dir().join("mibs");
    assert!(dir.join(".complete").exists(), "{} is not complete: run tests/deps.sh (make does)", dir.display());
    dir
}

/// The IETF's modules: those of deps.sh, and the two for mail, which no package has.
pub fn base_mibs() -> String {
    format!("{}:{}", mibs_dir().display(), repository().join("tests/mibs").display())
}

/// The directories of MIB modules in the form of `snmpwalk -M` and smilint's SMIPATH: base modules first, then ours.
pub fn mib_path() -> String {
    format!("{}:{}", base_mibs(), repository().join("mibs").display())
}

/// Where cargo builds: what CARGO_TARGET_DIR says, for tests/deps.sh as for cargo.
fn target_dir() -> PathBuf {
    repository().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The top of the working copy.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
