//! What to do about a problem, as commands to copy, with the real user, group and path in them.
//!
//! A message that has some says `what is wrong; do: COMMAND && COMMAND`. So it stays readable where it is one line (log,
//! postfixHealthText), and `check` puts every command on a line of its own ([`split`]). A command never gives the agent more
//! than it needs: no group root, no other group that owns the machine, nothing for a user who is not the daemon's.

use std::{
    fmt::Display,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{OnceLock, PoisonError, RwLock},
};

/// What separates a problem from what to do about it.
const DO: &str = "; do: ";
/// What separates two commands.
const AND: &str = " && ";
/// The service of packaging/postfix-agentx.service.
pub(crate) const SERVICE: &str = "postfix-agentx";
/// Where systemd's units are; the first that has one is heeded.
pub(crate) const UNIT_DIRECTORIES: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator",
];
/// Groups that own the machine, or can.
const POWERFUL: [&str; 15] = [
    "root", "wheel", "sudo", "admin", "disk", "shadow", "kmem", "mem", "sys", "bin", "daemon", "docker", "lxd",
    "libvirt", "staff",
];

/// The problem and the commands.
pub(crate) fn advise(what: impl Display, commands: &[String]) -> String {
    if commands.is_empty() { what.to_string() } else { format!("{what}{DO}{}", commands.join(AND)) }
}

/// The problem, and the commands it came with.
pub(crate) fn split(text: &str) -> (&str, Vec<&str>) {
    match text.split_once(DO) {
        Some((what, commands)) => (what, commands.split(AND).collect()),
        None => (text, Vec::new()),
    }
}

/// At most `limit` octets of a message: the commands go first, since half a command does harm.
pub(crate) fn short(text: &str, limit: usize) -> &str {
    if text.len() <= limit { text } else { split(text).0 }
}

/// Several messages as one, the commands of all behind it, each once.
pub(crate) fn together<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let (mut what, mut commands) = (Vec::new(), Vec::<String>::new());
    for (problem, remedy) in messages.into_iter().map(split) {
        what.push(problem);
        for command in remedy {
            if !commands.iter().any(|known| known == command) {
                commands.push(command.to_owned());
            }
        }
    }
    advise(what.join("; "), &commands)
}

/// The file of snmpd.conf lines that are ours, where this process was told another than the usual one.
static SNMPD_CONF: RwLock<Option<PathBuf>> = RwLock::new(None);

/// From now on lines for snmpd go there.
pub(crate) fn set_snmpd_conf(file: &Path) {
    *SNMPD_CONF.write().unwrap_or_else(PoisonError::into_inner) = Some(file.to_owned());
}

/// What adds a line to snmpd's configuration and has snmpd read it.
pub(crate) fn snmpd_line(line: &str) -> Vec<String> {
    let told = SNMPD_CONF.read().unwrap_or_else(PoisonError::into_inner).clone();
    let file = told.unwrap_or_else(|| {
        let pieces = Path::new("/etc/snmp/snmpd.conf.d");
        if pieces.is_dir() { own_piece(pieces) } else { "/etc/snmp/snmpd.conf".into() }
    });
    vec![append(line, &file), restart("snmpd")]
}

/// The file for lines of ours in snmpd's directory of pieces. The package's is a link to what it ships, which is not to be
/// written to.
pub(crate) fn own_piece(directory: &Path) -> PathBuf {
    let own = directory.join("postfix-agentx.conf");
    if own.is_symlink() { directory.join("postfix-agentx-local.conf") } else { own }
}

/// What adds a line to a file, whether or not its last line is ended.
pub(crate) fn append(line: &str, file: &Path) -> String {
    let octets = fs::read(file).unwrap_or_default();
    let ended = octets.last().is_none_or(|last| *last == b'\n');
    let (begin, name) = (if ended { "" } else { "\\n" }, quoted(file));
    format!("printf '{begin}{line}\\n' >> {name}")
}

/// Who the daemon is, where this process is not it.
static DAEMON: RwLock<Option<(String, String)>> = RwLock::new(None);

/// From now on advice is for this user and group.
pub(crate) fn set_daemon(user: &str, group: &str) {
    *DAEMON.write().unwrap_or_else(PoisonError::into_inner) = Some((user.to_owned(), group.to_owned()));
}

fn daemon() -> (String, String) {
    let known = DAEMON.read().unwrap_or_else(PoisonError::into_inner).clone();
    known.unwrap_or_else(|| {
        let uid = rustix::process::geteuid().as_raw();
        // The daemon never runs as root: nothing is to be given to that.
        if uid == 0 {
            return (SERVICE.to_owned(), SERVICE.to_owned());
        }
        let gid = rustix::process::getegid().as_raw();
        (user_name(uid).unwrap_or_else(|| uid.to_string()), group_name(gid).unwrap_or_else(|| gid.to_string()))
    })
}

/// The daemon's user, by name where it has one.
pub(crate) fn user() -> String {
    daemon().0
}

/// The daemon's group, by name where it has one.
pub(crate) fn group() -> String {
    daemon().1
}

fn name_of(file: &str, id: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let number = id.to_string();
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find(|fields| fields.clone().nth(2) == Some(&number))?.next().map(str::to_owned)
}

/// The name of a uid in /etc/passwd.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    name_of("/etc/passwd", uid)
}

/// The name of a gid in /etc/group.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    name_of("/etc/group", gid)
}

/// A group one may put the agent's user into: it has a name and does not own the machine.
pub(crate) fn harmless_group(gid: u32) -> Option<String> {
    group_name(gid).filter(|name| gid != 0 && !POWERFUL.contains(&name.as_str()))
}

/// The group of snmpd's AgentX socket: packaging/postfix-agentx.sysusers.
pub(crate) const SOCKET_GROUP: &str = "agentx";

/// What brings the daemon's user into the group of snmpd's socket, which has an owner that nothing runs as: whoever takes the
/// daemon over is to own nothing of snmpd's.
pub(crate) fn join_socket_group() -> Vec<String> {
    let (user, group) = daemon();
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    socket_group(&text, &user, &group)
}

fn socket_group(groups: &str, user: &str, own: &str) -> Vec<String> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    let found = lines.find(|fields| fields.clone().next() == Some(SOCKET_GROUP));
    let member = |mut fields: std::str::Split<'_, char>| {
        own == SOCKET_GROUP || fields.nth(3).is_some_and(|members| members.split(',').any(|member| member == user))
    };
    let make = "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin";
    let join = format!("usermod -aG {SOCKET_GROUP} {user}");
    match found {
        None => vec![format!("{make} {SOCKET_GROUP}"), join],
        Some(fields) if member(fields.clone()) => Vec::new(),
        Some(_) => vec![join],
    }
}

/// Whether /etc/group has it.
pub(crate) fn has_group(name: &str) -> bool {
    fs::read_to_string("/etc/group").unwrap_or_default().lines().any(|line| line.split(':').next() == Some(name))
}

/// The group that reads logs here.
pub(crate) fn log_group() -> String {
    if has_group("adm") { "adm".to_owned() } else { group() }
}

/// Whether systemd runs this host.
pub(crate) fn has_systemd() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| Path::new("/run/systemd/system").is_dir())
}

/// Whether systemd has a unit of this name.
pub(crate) fn has_unit(name: &str) -> bool {
    has_systemd() && UNIT_DIRECTORIES.iter().any(|directory| Path::new(directory).join(name).exists())
}

/// What starts a service anew: systemd where that has it, else the way of old.
pub(crate) fn restart(service: &str) -> String {
    if has_systemd() { format!("systemctl restart {service}") } else { format!("service {service} restart") }
}

/// What puts the daemon's user into a group. Processes have the groups they were started with.
pub(crate) fn join(group: &str) -> Vec<String> {
    vec![format!("usermod -aG {group} {}", user()), restart(SERVICE)]
}

/// What starts an instance of Postfix, so that whoever manages it knows.
pub(crate) fn start_postfix(config_directory: &Path, name: Option<&str>) -> String {
    start_with(config_directory, name, has_unit)
}

fn start_with(config_directory: &Path, name: Option<&str>, has_unit: impl Fn(&str) -> bool) -> String {
    match name {
        None if config_directory == Path::new("/etc/postfix") && has_unit("postfix.service") => {
            "systemctl start postfix".to_owned()
        }
        // Debian's template runs postmulti -i.
        Some(name) if has_unit("postfix@.service") => format!("systemctl start postfix@{name}"),
        _ => format!("postfix -c {} start", quoted(config_directory)),
    }
}

/// A path as a shell reads it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What lets the daemon's user read a log file. `None`: nothing about the file itself would.
pub(crate) fn read_log(file: &Path) -> Option<Vec<String>> {
    let meta = fs::metadata(file).ok()?;
    Some(read_log_of(file, meta.mode(), meta.gid()))
}

fn read_log_of(file: &Path, mode: u32, gid: u32) -> Vec<String> {
    if mode & 0o040 != 0
        && let Some(group) = harmless_group(gid)
    {
        return join(&group);
    }
    let (name, group) = (quoted(file), log_group());
    let mut commands = vec![format!("chgrp {group} {name}"), format!("chmod g+r {name}")];
    // What postlogd or syslogd makes anew in a directory of its own inherits the group.
    if let Some(directory) = file.parent().filter(|d| !["/var/log", "/var", "/"].map(Path::new).contains(d)) {
        commands.push(format!("chgrp {group} {0}", quoted(directory)));
        commands.push(format!("chmod g+sx {0}", quoted(directory)));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_advised_is_found_again() {
        let commands = vec!["chgrp adm /x".to_owned(), "chmod g+r /x".to_owned()];
        let text = advise("/x: permission denied; it is closed", &commands);
        assert_eq!(text, "/x: permission denied; it is closed; do: chgrp adm /x && chmod g+r /x");
        assert_eq!(split(&text), ("/x: permission denied; it is closed", vec!["chgrp adm /x", "chmod g+r /x"]));
        assert_eq!(split("nothing to do"), ("nothing to do", Vec::new()));
        assert_eq!(advise("nothing to do", &[]), "nothing to do");
        let both = together(["a; do: x && y", "b", "c; do: y && z"]);
        assert_eq!(both, "a; b; c; do: x && y && z");
        assert_eq!((short(&both, 7), short(&both, 255)), ("a; b; c", both.as_str()));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(append("x", file.path()).starts_with("printf 'x\\n' >> /"));
        fs::write(file.path(), "no end").unwrap();
        assert!(append("x", file.path()).starts_with("printf '\\nx\\n' >> /"));
    }

    #[test]
    fn nobody_is_put_into_a_group_that_owns_the_machine() {
        // 0640 root:root, as postlogd leaves it: joining group root would be the end of "no root".
        for gid in (0..100).filter(|gid| group_name(*gid).is_none_or(|name| POWERFUL.contains(&name.as_str()))) {
            let commands = read_log_of(Path::new("/var/log/mail.log"), 0o640, gid);
            assert!(commands.iter().all(|c| !c.starts_with("usermod")), "{gid}: {commands:?}");
            assert!(commands[0].starts_with("chgrp ") && commands[0].ends_with(" /var/log/mail.log"), "{commands:?}");
        }
        assert_eq!(harmless_group(0), None);
        assert_eq!(harmless_group(3_999_999), None, "a group without a name cannot be joined");
        let adm = fs::read_to_string("/etc/group")
            .unwrap()
            .lines()
            .find_map(|l| l.strip_prefix("adm:x:")?.split(':').next()?.parse().ok());
        if let Some(adm) = adm {
            let commands = read_log_of(Path::new("/var/log/mail.log"), 0o640, adm);
            assert!(commands[0].starts_with("usermod -aG adm "), "{commands:?}");
            // Closed to the group as well: joining it would change nothing.
            let commands = read_log_of(Path::new("/var/log/mail.log"), 0o600, adm);
            assert_eq!(commands[0], format!("chgrp {} /var/log/mail.log", log_group()));
            assert_eq!(commands.len(), 2, "/var/log stays as it is: {commands:?}");
        }
    }

    #[test]
    fn the_socket_has_a_group_of_its_own_and_no_owner_that_runs() {
        let make = "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin agentx";
        let join = "usermod -aG agentx agent";
        assert_eq!(socket_group("adm:x:4:agent\n", "agent", "agent"), [make, join]);
        assert_eq!(socket_group("agentx:x:998:lldpd\n", "agent", "agent"), [join]);
        assert_eq!(socket_group("agentx:x:998:lldpd,agent\n", "agent", "agent"), [""; 0]);
        assert_eq!(socket_group("agentx:x:998:\n", "agent", "agentx"), [""; 0]);
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("postfix-agentx.conf");
        assert_eq!(own_piece(directory.path()), own);
        std::os::unix::fs::symlink("/usr/share/postfix-agentx/snmpd.conf", &own).unwrap();
        assert_eq!(own_piece(directory.path()), directory.path().join("postfix-agentx-local.conf"));
    }

    #[test]
    fn systemd_starts_what_systemd_manages() {
        let start =
            |directory: &str, name, units: &[&str]| start_with(Path::new(directory), name, |u| units.contains(&u));
        assert_eq!(start("/etc/postfix", None, &["postfix.service"]), "systemctl start postfix");
        assert_eq!(start("/etc/postfix", None, &[]), "postfix -c /etc/postfix start");
        assert_eq!(
            start("/etc/postfix-out", Some("postfix-out"), &["postfix.service", "postfix@.service"]),
            "systemctl start postfix@postfix-out"
        );
        assert_eq!(start("/etc/post fix", Some("x"), &["postfix.service"]), "postfix -c '/etc/post fix' start");
    }
}
