//! Which lines snmpd lacks, from what its configuration says already; nothing here touches a file.

use crate::{
    advice::{self, SOCKET_GROUP},
    agentx::Address,
    config::Config,
    smi::Oid,
    snmp::snmpd_conf::{Reader, Scope, SnmpdConf},
};
use std::{collections::BTreeSet, path::Path};

/// Where SELinux lets snmpd make its socket, and where net-snmp makes it unless told otherwise.
pub(super) const USUAL: &str = "/var/agentx";
/// NETWORK-SERVICES-MIB and MTA-MIB.
const STANDARD: [&[u32]; 2] = [&[1, 3, 6, 1, 2, 1, 27], &[1, 3, 6, 1, 2, 1, 28]];

/// What of this host decides.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// SELinux is installed: snmpd may make its socket in /var/agentx only.
    pub(super) selinux: bool,
    /// firewalld is installed.
    pub(super) firewalld: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// For snmpd.conf.
    pub(super) lines: Vec<String>,
    /// Where its socket will be, if that is one of the lines.
    pub(super) socket: Option<&'static str>,
    /// What only a person can decide.
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// For a configuration without our own lines.
    pub(super) fn new(conf: &SnmpdConf, config: &Config, host: &Host) -> Self {
        let mut plan = Self::default();
        plan.door(conf, config, host);
        plan.views(conf, config);
        plan
    }

    fn door(&mut self, conf: &SnmpdConf, config: &Config, host: &Host) {
        if !conf.is_master() {
            self.lines.push("master agentx".to_owned());
        }
        match conf.agentx_socket() {
            // Other subagents expect it where net-snmp makes it by itself, so that one stays.
            None => {
                let (line, socket) = if host.selinux {
                    ("agentXSocket unix:/var/agentx/master", USUAL)
                } else {
                    ("agentXSocket unix:/var/agentx/master,unix:/run/agentx/master", "/run/agentx")
                };
                self.lines.push(line.to_owned());
                self.socket = Some(socket);
            }
            Some(told) => {
                let found = Address::list(told).unwrap_or_default();
                if !found.iter().any(|address| config.agentx.address.contains(address)) {
                    let place = conf.place("agentXSocket").map(|place| format!(" ({place})")).unwrap_or_default();
                    self.notes.push(format!(
                        "snmpd listens on {told}{place}, where postfix-agentx does not look: write \
                         `agentx: {{ address: \"{told}\" }}` into its configuration"
                    ));
                }
            }
        }
        if conf.place("agentXPerms").is_none() {
            self.lines.push(format!("agentXPerms 0660 0755 {SOCKET_GROUP} {SOCKET_GROUP}"));
        }
    }

    fn views(&mut self, conf: &SnmpdConf, config: &Config) {
        let readers = conf.readers();
        if readers.is_empty() {
            self.notes.push(
                "nobody may ask snmpd from this host yet (no rocommunity, rouser or com2sec): snmpd.conf.example, section 3"
                    .to_owned(),
            );
        }
        let mut roots = vec![config.agentx.root.clone()];
        if config.standard_mibs {
            roots.extend(STANDARD.iter().map(|root| Oid::from(*root)));
        }
        let mut seen = BTreeSet::new();
        for reader in &readers {
            match &reader.scope {
                Scope::View(view) if seen.insert(view.clone()) => {
                    let hidden = roots.iter().filter(|root| !shows(conf, reader, root));
                    self.lines.extend(hidden.map(|root| format!("view {view} included {root}")));
                }
                Scope::Below(shown) if !shows(conf, reader, &config.agentx.root) => self.notes.push(format!(
                    "{} lets {shown} be read and nothing else; who is to see Postfix needs a view instead: \
                     `-V NAME` there, `view NAME included {shown}` and `view NAME included {}`",
                    reader.place, config.agentx.root
                )),
                _ => {}
            }
        }
    }

    /// What is to be run once the lines are in their place.
    pub(super) fn commands(&self, host: &Host) -> Vec<String> {
        let mut commands = Vec::new();
        match self.socket {
            Some(USUAL) => {
                // snmpd makes it for itself alone, and leaves it as it is where it exists.
                commands.push(format!("install -d -m 0755 {USUAL}"));
                if host.selinux {
                    commands.push(format!("restorecon -R {USUAL}"));
                }
            }
            Some(_) => commands.push("systemd-tmpfiles --create postfix-agentx.conf".to_owned()),
            None => {}
        }
        commands.push(advice::restart("snmpd"));
        commands
    }
}

fn shows(conf: &SnmpdConf, reader: &Reader, root: &Oid) -> bool {
    conf.shows(&reader.scope, &root.child(&[1, 1, 2, 1, 0]))
}

/// What makes the group, where it is missing.
pub(super) fn make_group() -> String {
    let shipped = Path::new("/usr/share/postfix-agentx/sysusers.conf");
    let file = if shipped.exists() { "/usr/share/postfix-agentx/sysusers.conf" } else { "postfix-agentx.conf" };
    format!("systemd-sysusers {file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const HOST: Host = Host { selinux: false, firewalld: false };
    const RHEL: Host = Host { selinux: true, firewalld: true };

    fn plan(text: &str, host: &Host) -> Plan {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("snmpd.conf");
        fs::write(&file, text).unwrap();
        Plan::new(&SnmpdConf::read(&[file]), &Config::default(), host)
    }

    #[test]
    fn debian_lacks_a_door_and_a_view() {
        let sid = crate::snmp::snmpd_conf::shapes::SID;
        for text in [crate::snmp::snmpd_conf::shapes::DEBIAN, sid] {
            let found = plan(text, &HOST);
            let root = Oid::from(crate::mib::ROOT);
            assert_eq!(
                found.lines,
                [
                    "agentXSocket unix:/var/agentx/master,unix:/run/agentx/master".to_owned(),
                    "agentXPerms 0660 0755 agentx agentx".to_owned(),
                    format!("view systemonly included {root}"),
                    "view systemonly included .1.3.6.1.2.1.27".to_owned(),
                    "view systemonly included .1.3.6.1.2.1.28".to_owned(),
                ]
            );
            assert_eq!((found.notes.len(), found.socket), (0, Some("/run/agentx")));
        }
    }

    #[test]
    fn rhel_has_another_view_another_socket_and_no_master() {
        let found = plan(crate::snmp::snmpd_conf::shapes::RHEL, &RHEL);
        assert_eq!(
            found.lines[..3],
            ["master agentx", "agentXSocket unix:/var/agentx/master", "agentXPerms 0660 0755 agentx agentx"]
        );
        assert!(found.lines[3].starts_with("view systemview included .1.3.6.1.4.1.8072"), "{:?}", found.lines);
        let commands = found.commands(&RHEL);
        assert_eq!(commands[..2], ["install -d -m 0755 /var/agentx", "restorecon -R /var/agentx"]);
        assert!(commands[2].contains("snmpd"), "{commands:?}");
    }

    #[test]
    fn what_is_there_stays_and_what_only_a_person_can_decide_is_told() {
        let all = "master agentx\nagentXSocket /run/agentx/master\nagentXPerms 0660 0755 a b\nrocommunity x\n";
        assert_eq!(plan(all, &HOST), Plan::default());
        let elsewhere = plan("master agentx\nagentXSocket tcp:localhost:705\nagentXPerms 1 2\nrocommunity x\n", &HOST);
        assert!(elsewhere.lines.is_empty() && elsewhere.notes[0].contains("agentx: { address:"), "{elsewhere:?}");
        let restricted = plan("rocommunity x default .1.3.6.1.2.1\n", &HOST);
        assert!(restricted.notes[0].contains("`-V NAME`"), "{restricted:?}");
        assert!(plan("", &HOST).notes[0].contains("nobody may ask"));
    }
}
