//! Agents that run on this host, whatever state directory they use: found by their command line in /proc, which everybody may
//! read, and kept where their configuration leads to the same snmpd and the same subtree.

use crate::{advice::SERVICE, agentx::Address, config::Config};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// A process that looks like `postfix-agentx run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) pid: u32,
    pub(super) uid: u32,
    /// What its `--config` names, as this process would open it.
    config: Option<PathBuf>,
}

/// All that run in this pid namespace.
pub(super) fn running() -> Vec<Agent> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own).filter_map(agent).collect()
}

fn agent(pid: u32) -> Option<Agent> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let line = fs::read(directory.join("cmdline")).ok()?;
    let mut agent = of_command_line(&line)?;
    agent.pid = pid;
    agent.uid = fs::metadata(&directory).ok()?.uid();
    // A relative path is relative to where that process is; only root and the process's own user can tell.
    if let Some(config) = agent.config.as_ref().filter(|path| path.is_relative()) {
        agent.config = Some(fs::read_link(directory.join("cwd")).ok()?.join(config));
    }
    Some(agent)
}

/// `…/postfix-agentx run [--config FILE]`, its arguments ended by octets of value 0.
fn of_command_line(line: &[u8]) -> Option<Agent> {
    let mut words = line.split(|octet| *octet == 0).map(OsStr::from_bytes).filter(|word| !word.is_empty());
    let program = Path::new(words.next()?).file_name()?;
    let arguments: Vec<&OsStr> = words.collect();
    if program != SERVICE || !arguments.iter().any(|word| *word == "run") {
        return None;
    }
    let named = arguments.iter().position(|word| *word == "--config" || *word == "-c");
    let joined = || arguments.iter().find_map(|word| word.as_bytes().strip_prefix(b"--config=")).map(OsStr::from_bytes);
    let config = named.and_then(|at| arguments.get(at + 1).copied()).or_else(joined);
    Some(Agent { pid: 0, uid: 0, config: config.map(PathBuf::from) })
}

impl Agent {
    /// Whether it and the agent of `config` (read from `file`) would be each other's double.
    pub(super) fn is_same(&self, config: &Config, file: Option<&Path>) -> bool {
        let real = |path: Option<&Path>| path.map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
        if real(self.config.as_deref()) == real(file) {
            return true;
        }
        // What may not be read cannot be compared, and is another one's business.
        let Ok(theirs) = Config::load(self.config.as_deref()) else { return false };
        let paths = |config: &Config| config.agentx.address.clone();
        let shared = paths(&theirs).iter().any(|a| paths(config).iter().any(|b| same_place(a, b)));
        let (a, b) = (&theirs.agentx.root, &config.agentx.root);
        shared && (a.starts_with(b) || b.starts_with(a))
    }
}

fn same_place(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Unix(a), Address::Unix(b)) => {
            a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_tells_an_agent_and_its_configuration() {
        let config = |line: &[u8]| of_command_line(line).map(|agent| agent.config);
        assert_eq!(config(b"/usr/bin/postfix-agentx\0run\0"), Some(None));
        assert_eq!(config(b"postfix-agentx\0run\0--config\0/x y\0"), Some(Some("/x y".into())));
        assert_eq!(config(b"postfix-agentx\0run\0-c\0x\0"), Some(Some("x".into())));
        assert_eq!(config(b"postfix-agentx\0run\0--config=/z\0"), Some(Some("/z".into())));
        assert_eq!(config(b"/usr/bin/postfix-agentx\0check\0"), None);
        assert_eq!(config(b"vi\0postfix-agentx\0run\0"), None);
        assert_eq!(config(b""), None);
    }

    #[test]
    fn another_state_directory_does_not_hide_an_agent() {
        let directory = tempfile::tempdir().unwrap();
        let written = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let agent = |config: PathBuf| Agent { pid: 1, uid: 0, config: Some(config) };
        let mine = written("mine", "agentx: { address: unix:/a/master }\n");
        let config = Config::load(Some(&mine)).unwrap();
        let same = |text: &str| agent(written("theirs", text)).is_same(&config, Some(&mine));
        assert!(agent(mine.clone()).is_same(&config, Some(&mine)));
        assert!(same("agentx: { address: \"unix:/b, unix:/a/master\" }\nstate_directory: /elsewhere\n"));
        assert!(!same("agentx: { address: unix:/b/master }\n"), "another snmpd");
        assert!(!same("agentx: { address: unix:/a/master, root: 1.3.6.1.4.1.7 }\n"), "another subtree");
        assert!(!same("no configuration"));
        assert!(!agent(directory.path().join("none")).is_same(&config, Some(&mine)));
    }
}
