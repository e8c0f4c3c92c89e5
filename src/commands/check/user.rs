//! Who the daemon is: what root sees is not what the daemon sees, so `check` becomes the daemon's user before it looks.
//!
//! The user, its groups and its one capability are what the unit says (systemd.exec(5)), read from the unit's files as
//! systemd would, drop-ins included; `--user` says it otherwise. Nobody else's rights can be taken on, so another user than
//! root and the daemon's own is told so.

use super::report::Finding;
use crate::advice::{self, SERVICE, UNIT_DIRECTORIES};
use rustix::{
    process::{Gid, Uid},
    thread::{CapabilitySet, CapabilitySets},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

/// `NAME` or `UID`, and perhaps `:GROUP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserName {
    user: String,
    group: Option<String>,
}

impl FromStr for UserName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let plausible = |word: &str| !word.is_empty() && !word.contains(['/', ' ', ':']);
        if plausible(user) && group.is_none_or(plausible) {
            Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) })
        } else {
            Err(format!("`{text}` is no user; write postfix-agentx, 993 or 993:990"))
        }
    }
}

/// Everything that decides what the daemon may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Daemon {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// CAP_DAC_READ_SEARCH, which the unit may grant for the spool.
    reads_everything: bool,
    /// Where this was found.
    from: String,
}

/// Lines of /etc/passwd and /etc/group.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 4)
}

/// What the unit file says of the user.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    file: PathBuf,
    user: Option<String>,
    group: Option<String>,
    groups: Vec<String>,
    reads_everything: bool,
    /// What `--config` of ExecStart names.
    config: Option<PathBuf>,
}

fn unit(directories: &[PathBuf]) -> Option<Unit> {
    let name = format!("{SERVICE}.service");
    let file = directories.iter().map(|directory| directory.join(&name)).find(|file| file.is_file())?;
    let mut unit = Unit { file: file.clone(), ..Unit::default() };
    let mut files = vec![file];
    // Drop-ins in the order of their names, wherever they are.
    let mut dropped: Vec<PathBuf> = directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory.join(format!("{name}.d"))).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    dropped.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    files.extend(dropped);
    for file in files {
        let text = fs::read_to_string(file).unwrap_or_default().replace("\\\n", " ");
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let (value, one) = (value.trim(), (!value.trim().is_empty()).then(|| value.trim().to_owned()));
            let list = || value.split_ascii_whitespace();
            match key.trim() {
                "User" => unit.user = one,
                "Group" => unit.group = one,
                "SupplementaryGroups" if value.is_empty() => unit.groups.clear(),
                "SupplementaryGroups" => unit.groups.extend(list().map(str::to_owned)),
                "AmbientCapabilities" => {
                    unit.reads_everything =
                        (unit.reads_everything && !value.is_empty()) || list().any(|c| c == "CAP_DAC_READ_SEARCH");
                }
                "ExecStart" if !value.is_empty() => {
                    let mut words = list().skip_while(|word| !["-c", "--config"].contains(word));
                    let spelled = list().find_map(|word| word.strip_prefix("--config="));
                    unit.config = spelled.or_else(|| words.nth(1)).map(PathBuf::from);
                }
                _ => {}
            }
        }
    }
    Some(unit)
}

/// The configuration that the unit's daemon is started with, where it names one.
pub(super) fn configured() -> Option<PathBuf> {
    unit(&UNIT_DIRECTORIES.map(PathBuf::from))?.config
}

/// Who the daemon is, or why that cannot be said.
pub(super) fn find(named: Option<&UserName>) -> Result<Option<Daemon>, String> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    resolve(named, unit(&UNIT_DIRECTORIES.map(PathBuf::from)), &read("/etc/passwd"), &read("/etc/group"))
}

fn resolve(named: Option<&UserName>, unit: Option<Unit>, passwd: &str, group: &str) -> Result<Option<Daemon>, String> {
    let unit = unit.unwrap_or_default();
    let (user, from) = match (named, &unit.user) {
        (Some(named), _) => (named.user.clone(), "--user".to_owned()),
        (None, Some(user)) => (user.clone(), unit.file.display().to_string()),
        // Without a unit: the user that README has one make.
        (None, None) if entries(passwd).any(|fields| fields[0] == SERVICE) => {
            (SERVICE.to_owned(), "/etc/passwd".into())
        }
        (None, None) => return Ok(None),
    };
    let known = entries(passwd).find(|fields| fields[0] == user || fields[2] == user);
    let (name, uid, own) = match &known {
        Some(fields) => (fields[0], fields[2].parse().ok(), fields[3].parse().ok()),
        None => ("", user.parse().ok(), None),
    };
    let uid =
        uid.ok_or_else(|| format!("there is no user `{user}` ({from}); do: systemd-sysusers postfix-agentx.conf"))?;
    let number = |wanted: &str| {
        let found = entries(group).find(|fields| fields[0] == wanted || fields[2] == wanted);
        found.and_then(|fields| fields[2].parse().ok()).or_else(|| wanted.parse::<u32>().ok())
    };
    let named_group = match named {
        Some(named) => named.group.as_ref(),
        None => unit.group.as_ref(),
    };
    let gid = match named_group {
        Some(wanted) => number(wanted).ok_or_else(|| format!("there is no group `{wanted}` ({from})"))?,
        None => own.unwrap_or(uid),
    };
    let member = |fields: &Vec<&str>| !name.is_empty() && fields[3].split(',').any(|member| member == name);
    let mut groups: Vec<u32> = entries(group).filter(member).filter_map(|fields| fields[2].parse().ok()).collect();
    // The unit's groups go to whoever it starts.
    let is_units = named.is_none_or(|named| unit.user.as_ref() == Some(&named.user));
    if is_units {
        groups.extend(unit.groups.iter().filter_map(|group| number(group)));
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Some(Daemon { uid, gid, groups, reads_everything: is_units && unit.reads_everything, from }))
}

impl Daemon {
    fn shown(&self) -> String {
        let user = advice::user_name(self.uid).unwrap_or_else(|| self.uid.to_string());
        let name = |gid: &u32| advice::group_name(*gid).unwrap_or_else(|| gid.to_string());
        let groups: Vec<String> = self.groups.iter().map(name).collect();
        let capability = if self.reads_everything { ", CAP_DAC_READ_SEARCH" } else { "" };
        format!("{user} (groups {}{capability}; {})", groups.join(", "), self.from)
    }

    /// From now on this process may what the daemon may, and nothing else. For a process of one thread.
    fn become_it(&self) -> io::Result<()> {
        let gid = Gid::from_raw(self.gid);
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_keep_capabilities(self.reads_everything)?;
        let uid = Uid::from_raw(self.uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        if self.reads_everything {
            let only = CapabilitySet::DAC_READ_SEARCH;
            let sets = CapabilitySets { effective: only, permitted: only, inheritable: CapabilitySet::empty() };
            rustix::thread::set_capabilities(None, sets)?;
        }
        Ok(())
    }
}

/// Becomes the daemon's user where that can be done, tells [`advice`] who it is, and says what came of it.
pub(super) fn take_on(named: Option<&UserName>) -> Finding {
    let (id, subject) = ("user", "user");
    let uid = rustix::process::geteuid().as_raw();
    let me = advice::user_name(uid).unwrap_or_else(|| uid.to_string());
    let daemon = match find(named) {
        Ok(Some(daemon)) => daemon,
        Ok(None) if uid == 0 => {
            let text = format!(
                "looking as root, who may everything: there is neither a unit {SERVICE}.service nor a user {SERVICE}; say as whom the daemon runs with --user NAME"
            );
            return Finding::wrong(id, subject, &text);
        }
        Ok(None) => return Finding::ok(id, subject, &format!("{me}, who runs this command")),
        Err(why) => return Finding::wrong(id, subject, &why),
    };
    let name = |id: u32, found: Option<String>| found.unwrap_or_else(|| id.to_string());
    advice::set_daemon(
        &name(daemon.uid, advice::user_name(daemon.uid)),
        &name(daemon.gid, advice::group_name(daemon.gid)),
    );
    match uid {
        own if own == daemon.uid => Finding::ok(id, subject, &format!("{me}, as the daemon ({})", daemon.from)),
        0 if daemon.uid == 0 => {
            Finding::wrong(id, subject, "the daemon runs as root, which it never needs; give it a user of its own")
        }
        0 => match daemon.become_it() {
            Ok(()) => Finding::ok(id, subject, &format!("looking as the daemon's user {}", daemon.shown())),
            Err(e) => Finding::wrong(id, subject, &format!("cannot look as {}: {e}", daemon.shown())),
        },
        // A user that may do less than the daemon would find faults that are none, one that may do more none at all.
        _ if named.is_some() || !daemon.from.starts_with("/etc/passwd") || me != SERVICE => {
            let text = format!(
                "looking as {me}, but the daemon runs as {}: what follows is what {me} may; do: sudo {SERVICE} check",
                daemon.shown()
            );
            Finding::note(id, subject, &text)
        }
        _ => Finding::ok(id, subject, &me),
    }
}

/// Whether a file may be read by the daemon: the group that is asked for.
pub(super) fn readable_by_daemon(file: &Path) -> Vec<String> {
    vec![format!("chgrp {} {}", advice::group(), advice::quoted(file)), format!("chmod 0640 {}", advice::quoted(file))]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\npostfix-agentx:x:993:990::/var/lib/postfix-agentx:/usr/sbin/nologin\nalice:x:1000:1000::/home/alice:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:postfix-agentx,syslog\npostdrop:x:120:postfix-agentx\nsystemd-journal:x:101:\npostfix-agentx:x:990:\nalice:x:1000:\n";

    fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let directories = ["etc", "lib"].map(|name| directory.path().join(name)).to_vec();
        (directory, directories)
    }

    #[test]
    fn the_unit_and_its_drop_ins_say_who_the_daemon_is() {
        let shipped = include_str!("../../../packaging/postfix-agentx.service");
        let (_kept, directories) = written(&[("lib/postfix-agentx.service", shipped)]);
        let found = resolve(None, unit(&directories), PASSWD, GROUP).unwrap().unwrap();
        assert_eq!(
            (found.uid, found.gid, &*found.groups, found.reads_everything),
            (993, 990, &[4, 120, 990][..], false)
        );
        let more = "[Service]\nSupplementaryGroups=systemd-journal \\\n  adm\nAmbientCapabilities=CAP_DAC_READ_SEARCH\nExecStart=\nExecStart=/usr/bin/postfix-agentx run --config /etc/other.yaml\n";
        let (_kept, directories) = written(&[
            ("lib/postfix-agentx.service", shipped),
            ("etc/postfix-agentx.service.d/10-more.conf", more),
            ("lib/postfix-agentx.service.d/20-who.conf", "[Service]\nUser=alice\nGroup=\n"),
        ]);
        let found = unit(&directories).unwrap();
        assert_eq!(found.config.as_deref(), Some(Path::new("/etc/other.yaml")));
        let found = resolve(None, Some(found), PASSWD, GROUP).unwrap().unwrap();
        assert_eq!(
            (found.uid, found.gid, &*found.groups, found.reads_everything),
            (1000, 1000, &[4, 101, 120, 1000][..], true)
        );
        // The administrator's whole unit is before the package's.
        let (_kept, directories) =
            written(&[("lib/postfix-agentx.service", shipped), ("etc/postfix-agentx.service", "User=alice\n")]);
        assert_eq!(unit(&directories).unwrap().user.as_deref(), Some("alice"));
    }

    #[test]
    fn without_a_unit_the_argument_or_the_usual_name_says_it() {
        let name = |text: &str| text.parse::<UserName>().unwrap();
        let of = |named: Option<&UserName>, passwd| resolve(named, None, passwd, GROUP);
        assert_eq!(of(None, PASSWD).unwrap().unwrap().uid, 993);
        assert_eq!(of(None, "").unwrap(), None);
        let found = of(Some(&name("64999")), PASSWD).unwrap().unwrap();
        assert_eq!((found.uid, found.gid, &*found.groups), (64999, 64999, &[64999][..]));
        let found = of(Some(&name("993:alice")), PASSWD).unwrap().unwrap();
        assert_eq!((found.uid, found.gid, &*found.groups), (993, 1000, &[4, 120, 1000][..]));
        assert!(of(Some(&name("bob")), PASSWD).unwrap_err().contains("no user `bob`"));
        assert!(of(Some(&name("alice:staff")), PASSWD).unwrap_err().contains("no group `staff`"));
        assert!(
            "".parse::<UserName>().is_err() && "a:".parse::<UserName>().is_err() && "a b".parse::<UserName>().is_err()
        );
    }
}
