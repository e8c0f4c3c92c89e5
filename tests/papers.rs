//! The promise: the committed man pages and completions are what the program says of itself.

use crate::common::{Sandbox, capture, repository, tool};
use postfix_agentx::config::Config;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in ["man", "completions"] {
        for entry in fs::read_dir(directory.join(part)).expect(part).flatten() {
            let name = format!("{part}/{}", entry.file_name().to_string_lossy());
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn what_is_committed_is_what_the_program_writes() {
    let sandbox = Sandbox::new("papers");
    capture(tool(env!("CARGO_BIN_EXE_postfix-agentx")).arg("papers").arg(sandbox.dir())).success();
    let (written, committed) = (files(sandbox.dir()), files(&repository()));
    for (name, text) in &written {
        assert!(committed.get(name) == Some(text), "{name} is not what the program says; run: make papers");
    }
    let left: Vec<&String> = committed.keys().filter(|name| !written.contains_key(*name)).collect();
    assert!(left.is_empty(), "nobody writes {left:?} any more");
}

#[test]
fn groff_has_no_complaints_and_the_shells_can_read_their_completions() {
    for entry in fs::read_dir(repository().join("man")).unwrap().flatten() {
        let page = entry.path();
        let ran = capture(tool("groff").args(["-man", "-Tutf8", "-Kutf8", "-ww"]).arg(&page));
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{}: {}", page.display(), ran.stderr);
        assert!(ran.stdout.lines().count() > 10, "{}", ran.stdout);
    }
    let bash = repository().join("completions/postfix-agentx.bash");
    capture(Command::new("bash").arg("-n").arg(bash)).success();
}

#[test]
fn every_key_of_the_configuration_is_in_its_page() {
    let page = fs::read_to_string(repository().join("man/postfix-agentx.yaml.5")).unwrap().replace("\\-", "-");
    // The debug form of a struct names its fields; what stands in other forms is in the page's example.
    let config = format!("{:#?}", Config::default());
    let keys: Vec<&str> = config
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
        .map(|(key, _)| key.trim())
        .collect();
    assert!(keys.contains(&"standard_mibs") && keys.contains(&"priority"), "{keys:?}");
    for key in keys {
        assert!(
            page.contains(&format!("\\fB{key}")) || page.contains(&format!(".{key}\\fR")),
            "{key} is not described"
        );
    }
}
