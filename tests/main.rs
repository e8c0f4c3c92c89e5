//! The integration tests: one file a promise, one program for all of them, because linking a program for each file took
//! longer than the change it was to prove. `cargo test --test integration queue::` runs one file.
//!
//! tests/allocations.rs is a program of its own, because the allocator that counts belongs to the whole program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agentx;
mod alarm;
mod chaos;
mod check;
mod coming_from;
mod common;
mod config;
mod destination;
mod garbage;
mod grammar;
mod harness;
mod hostile;
mod identity;
mod insight;
mod integrations;
mod journal;
mod librenms;
mod log;
mod managers;
mod mib;
mod papers;
mod postfix;
mod probe;
mod process;
mod queue;
mod replaced;
mod service;
mod snmp;
mod snmpd;
mod soak;
mod sources;
mod standard;
mod standard_mibs;
mod status;
mod stop;
mod survival;
mod walk;

/// Cargo no longer looks for tests by itself, so a file that nobody named here would be a promise that nobody checks.
#[test]
fn every_file_of_this_directory_is_run() {
    let mut unnamed: Vec<String> = std::fs::read_dir(common::repository().join("tests"))
        .expect("tests")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| !["main", "allocations"].contains(&name.as_str()))
        .filter(|name| !include_str!("main.rs").lines().any(|line| line == format!("mod {name};")))
        .collect();
    unnamed.sort();
    assert!(unnamed.is_empty(), "add these to tests/main.rs: {unnamed:?}");
}
