//! master.cf, and which of its entries a process serves.
//!
//! `postconf -M` reads the file, Postfix's own parser; here its normalised lines are only split into their columns. What
//! master(8) tells a process of its entry stands on the process's command line (master_ent.c): the command, `-l` or `-z`
//! for a limit of 1 or none, `-n NAME` where the command's last component is not the name, `-t TYPE`, then the rest.
//! Name and type are unique in a master.cf, so the two tell several entries of one program apart.

use std::time::Duration;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First column: `pickup`, `smtp`, `127.0.0.1:10025`.
    pub name: String,
    /// Second column: `inet`, `unix`, `unix-dgram`, `fifo`, `pass`.
    pub kind: String,
    /// How often master makes it look for work.
    pub wakeup: Option<Wakeup>,
    /// maxproc: `None` is default_process_limit, 0 no limit.
    pub limit: Option<u32>,
    /// The command, without arguments and as master passes it on: relative to daemon_directory.
    pub command: String,
    /// What follows the command.
    pub arguments: String,
}

/// The wakeup column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Time between two.
    pub every: Duration,
    /// Without `?`: also when the service was not used yet, so that its process comes back within `every`.
    pub always: bool,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("postconf -M printed `{line}`, which is no master.cf entry: {what}")]
pub struct MasterCfError {
    line: String,
    what: &'static str,
}

impl Entry {
    /// The command's last component, as log lines and `ps` show it.
    pub fn program(&self) -> &str {
        last_component(&self.command)
    }

    /// The value that `-o name=value` gives a parameter in this entry, as it is written there; also in braces.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut rest = self.arguments.as_str();
        while let Some(at) = rest.find("-o") {
            let begins_word = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
            rest = rest[at + 2..].trim_start();
            if !begins_word {
                continue;
            }
            let setting = match rest.strip_prefix('{') {
                Some(inner) => inner.split('}').next()?,
                None => rest.split_whitespace().next()?,
            };
            if let Some((found, value)) = setting.split_once('=')
                && found.trim() == name
            {
                return Some(value.trim());
            }
        }
        None
    }

    /// How many processes master lets it have; 0 is any number.
    pub fn process_limit(&self, default: u32) -> u32 {
        self.limit.unwrap_or(default)
    }

    /// Whether a process with this command line was started for this entry.
    pub fn is_served_by(&self, process: &CommandLine) -> bool {
        self.name == process.name && self.kind == process.kind && self.command == process.command
    }
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The entries that `postconf -M` printed, in the order of the file. Of two with the same name and type the later one
/// counts, as for master (`duplicate service entry`, master_conf.c).
pub fn parse(text: &str) -> Result<Vec<Entry>, MasterCfError> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let entry = entry(line)?;
        match entries.iter_mut().find(|known| known.name == entry.name && known.kind == entry.kind) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

/// `name type private unprivileged chroot wakeup maxproc command [arguments]`
fn entry(line: &str) -> Result<Entry, MasterCfError> {
    let wrong = |what| {
        let mut line = line.to_owned();
        line.truncate(line.floor_char_boundary(60));
        MasterCfError { line, what }
    };
    let mut columns = [""; 8];
    let mut rest = line;
    for column in &mut columns {
        rest = rest.trim_ascii_start();
        (*column, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len()));
    }
    let [name, kind, _private, _unprivileged, _chroot, wakeup, limit, command] = columns;
    if command.is_empty() {
        return Err(wrong("it has fewer than 8 columns"));
    }
    let wakeup = match wakeup {
        "-" | "0" | "0?" => None,
        text => {
            let (seconds, always) = text.strip_suffix('?').map_or((text, true), |seconds| (seconds, false));
            let seconds = seconds.parse().map_err(|_| wrong("wakeup is no number of seconds"))?;
            Some(Wakeup { every: Duration::from_secs(seconds), always })
        }
    };
    let limit = match limit {
        "-" => None,
        number => Some(number.parse().map_err(|_| wrong("maxproc is no number"))?),
    };
    Ok(Entry {
        name: name.to_owned(),
        kind: kind.to_owned(),
        wakeup,
        limit,
        command: command.to_owned(),
        arguments: rest.trim_ascii().to_owned(),
    })
}

/// What a process under master says of its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The entry's command.
    pub command: String,
    /// The entry's name.
    pub name: String,
    /// The entry's type.
    pub kind: String,
}

impl CommandLine {
    /// From /proc/PID/cmdline. `None`: this is no service of master, or not yet one (master has forked and not executed).
    /// Bytes that are no UTF-8 become U+FFFD here as they do in what postconf prints.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.split(|&b| b == 0).map(String::from_utf8_lossy);
        let command = words.next()?.into_owned();
        let mut name = None;
        loop {
            match words.next()?.as_ref() {
                "-l" | "-z" => {}
                "-n" => name = Some(words.next()?.into_owned()),
                "-t" => break,
                _ => return None,
            }
        }
        let kind = words.next()?.into_owned();
        let name = name.unwrap_or_else(|| last_component(&command).to_owned());
        Some(Self { command, name, kind })
    }

    /// The command's last component.
    pub fn program(&self) -> &str {
        last_component(&self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by postconf -M of Postfix 3.7.11.
    const POSTCONF_M: &str = "\
127.0.0.1:23025 inet n   -       n       -       -       smtpd
23026      inet  n       -       n       -       2       smtpd -o {smtpd_banner=hello world} -o syslog_name=postfix/sub -v
pickup     unix  n       -       y       60      1       pickup
cleanup    unix  n       -       y       -       0       cleanup
tlsmgr     unix  -       -       y       1000?   1       tlsmgr
relay      unix  -       -       y       -       -       smtp -o syslog_name=postfix/$service_name
postlog    unix-dgram n  -       n       -       1       postlogd
[::1]:25   inet  n   -       n       -       -       smtpd
smtpd      pass  -   -       y       -       -       smtpd
scalemail-backend unix - n n       -       2       pipe flags=R user=scalemail argv=/usr/lib/scalemail ${nexthop}
";

    /// The arguments master of Postfix 3.7.11 gave, from /proc/PID/cmdline.
    fn cmdline(text: &str) -> Option<CommandLine> {
        CommandLine::parse(text.replace('|', "\0").as_bytes())
    }

    #[test]
    fn columns() {
        let entries = parse(POSTCONF_M).unwrap();
        assert_eq!(entries.len(), 10);
        assert_eq!((entries[0].name.as_str(), entries[0].limit), ("127.0.0.1:23025", None));
        assert_eq!((entries[1].command.as_str(), entries[1].limit), ("smtpd", Some(2)));
        assert_eq!(entries[2].wakeup, Some(Wakeup { every: Duration::from_secs(60), always: true }));
        assert_eq!((entries[3].wakeup, entries[3].process_limit(100)), (None, 0));
        assert_eq!(entries[4].wakeup, Some(Wakeup { every: Duration::from_secs(1_000), always: false }));
        assert_eq!((entries[5].program(), entries[5].process_limit(100)), ("smtp", 100));
        assert_eq!(entries[6].kind, "unix-dgram");
        assert_eq!((entries[7].name.as_str(), entries[8].kind.as_str()), ("[::1]:25", "pass"));
        assert_eq!((entries[9].name.as_str(), entries[9].limit), ("scalemail-backend", Some(2)));
        assert_eq!(entries[1].option("syslog_name"), Some("postfix/sub"));
        assert_eq!((entries[1].option("smtpd_banner"), entries[1].option("v")), (Some("hello world"), None));
        assert_eq!(entries[9].arguments, "flags=R user=scalemail argv=/usr/lib/scalemail ${nexthop}");
        assert_eq!(parse("\n"), Ok(vec![]));
        let twice = parse("x unix - - n - 2 smtp\nx inet n - n - 3 smtpd\nx unix - - n - 4 lmtp\n").unwrap();
        let twice: Vec<_> = twice.iter().map(|e| (e.kind.as_str(), e.limit, e.program())).collect();
        assert_eq!(twice, [("unix", Some(4), "lmtp"), ("inet", Some(3), "smtpd")]);
        assert!(parse("pickup unix n - y 60").unwrap_err().to_string().contains("fewer than 8"));
        assert!(parse("pickup unix n - y x 1 pickup").unwrap_err().to_string().contains("wakeup"));
        assert!(parse("pickup unix n - y 60 x pickup").unwrap_err().to_string().contains("maxproc"));
    }

    #[test]
    fn a_process_belongs_to_the_entry_its_command_line_names() {
        let entries = parse(POSTCONF_M).unwrap();
        let of = |text| {
            let process = cmdline(text)?;
            let mut fitting = entries.iter().filter(|e| e.is_served_by(&process));
            let first = fitting.next()?;
            assert!(fitting.next().is_none(), "{text} fits two");
            Some(first.name.as_str())
        };
        assert_eq!(of("pickup|-l|-t|unix|-u|"), Some("pickup"));
        assert_eq!(of("cleanup|-z|-t|unix|-u|"), Some("cleanup"));
        assert_eq!(of("postlogd|-l|-n|postlog|-t|unix-dgram|-u|"), Some("postlog"));
        assert_eq!(of("smtpd|-n|127.0.0.1:23025|-t|inet|-u|-o|stress=|"), Some("127.0.0.1:23025"));
        assert_eq!(of("smtpd|-n|23026|-t|inet|-u|-o|smtpd_banner = hello world|-v|"), Some("23026"));
        assert_eq!(of("smtp|-n|relay|-t|unix|-u|"), Some("relay"));
        assert_eq!(of("smtpd|-n|[::1]:25|-t|inet|-u|-c|-o|stress=yes|-s|2|"), Some("[::1]:25"));
        assert_eq!(of("smtpd|-t|pass|-u|"), Some("smtpd"));
        assert_eq!(of("smtpd|-t|pass|-d|-v|-u|"), Some("smtpd"), "master -d -v");
        assert_eq!(of("pickup|-l|-t|fifo|-u|"), None, "the entry is of another type");
        assert_eq!(of("smtp|-t|unix|-u|"), None, "an entry that is gone");
        assert_eq!(of("postscreen|-l|-n|23026|-t|inet|-u|"), None, "the entry's command has changed");
        assert_eq!(of("/usr/lib/postfix/sbin/master|-w|"), None, "forked and not executed yet");
    }

    #[test]
    fn odd_command_lines() {
        assert_eq!(cmdline(""), None);
        assert_eq!(cmdline("qmgr"), None);
        assert_eq!(cmdline("qmgr|-l|-n"), None);
        assert_eq!(cmdline("qmgr|-l|-t"), None);
        assert_eq!(cmdline("/opt/filter|-x|-t|unix"), None);
        let process = CommandLine::parse(b"../x/smtpd\0-n\0m\xe9l\0-t\0inet\0").unwrap();
        assert_eq!((process.program(), process.name.as_str()), ("smtpd", "m\u{fffd}l"));
    }
}
