//! What a poll costs, for docs/fleet.md: numbers, no promise, so nothing is compared with them. `make test-managers MANAGER=fleet`,
//! with FLEET_AGENT naming a release build.

use super::rig::Rig;
use crate::common::{Sandbox, capture, repository};

#[test]
#[ignore = "a measurement: make test-managers MANAGER=fleet"]
fn what_a_poll_costs() {
    let rig = Rig::start();
    let files = Sandbox::new("fleet");
    let mut command = files.command("python3");
    command
        .arg("-B")
        .arg(repository().join("tests/managers/fleet.py"))
        .env("DIRECTORY", files.dir())
        .env("REPOSITORY", repository())
        .env("CONFIG", rig.agent.config_file())
        .env("AGENT", std::env::var("FLEET_AGENT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_postfix-agentx").into()));
    let text = capture(&mut command).success();
    assert!(text.contains("| snmp_exporter, `postfix` |"), "{text}");
    eprintln!("{text}");
}
