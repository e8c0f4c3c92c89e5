//! `postfix-agentx setup-snmpd`: the lines that snmpd lacks, printed, or written where its files are, or taken away again.
//!
//! What is written is a file of its own where snmpd.conf includes a directory, else a marked part at the end of snmpd.conf.
//! Nothing else is changed, doing it twice changes nothing, and `--remove` leaves what was there before.

mod plan;

use super::Failure;
use crate::{
    advice::{self, SOCKET_GROUP},
    cli::SetupSnmpd,
    config::Config,
    snmp::snmpd_conf::{Place, SnmpdConf},
};
use plan::{Host, Plan};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    ops::RangeInclusive,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The file of its own. The package's own is postfix-agentx.conf.
const PIECE: &str = "postfix-agentx-setup.conf";
const BEGIN: &str =
    "# BEGIN postfix-agentx setup-snmpd: written by it, and taken away by `postfix-agentx setup-snmpd --remove`";
const END: &str = "# END postfix-agentx setup-snmpd";
const USUAL: &str = "/etc/snmp/snmpd.conf";

/// Prints what it would write, writes it, or takes it away.
pub(super) fn run(args: &SetupSnmpd) -> Result<ExitCode, Failure> {
    let main = args.snmpd_conf.clone().unwrap_or_else(|| USUAL.into());
    // A link stays one.
    let main = fs::canonicalize(&main).map_err(|e| {
        let install = "install snmpd (RHEL: net-snmp), or name its file with --snmpd-conf";
        Failure::File(main.display().to_string(), io::Error::new(e.kind(), format!("{e}; {install}")))
    })?;
    let all = SnmpdConf::read(std::slice::from_ref(&main));
    if let Some(closed) = all.closed.first() {
        let why = io::Error::new(io::ErrorKind::PermissionDenied, "permission denied; run this as root");
        return Err(Failure::File(closed.display().to_string(), why));
    }
    let text = fs::read_to_string(&main).map_err(|e| Failure::File(main.display().to_string(), e))?;
    let place = Ours::of(&all, &main, &text);
    let mut out = String::new();
    if args.remove {
        place.remove(&text, &mut out)?;
    } else {
        let config = Config::load(args.file.config.as_deref())?;
        let host = Host {
            selinux: Path::new("/etc/selinux/config").exists(),
            firewalld: advice::has_unit("firewalld.service"),
        };
        let plan = Plan::new(&all.without(|at| place.has(at)), &config, &host);
        place.set(&text, &plan, &host, args.write, &mut out)?;
    }
    match io::stdout().lock().write_all(out.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Where our lines are, or will be.
#[derive(Debug)]
enum Ours {
    /// A file of their own; whether it exists.
    Piece(PathBuf, Option<String>),
    /// A part of this file; from which line to which, where it exists.
    Part(PathBuf, Option<RangeInclusive<usize>>),
}

impl Ours {
    fn of(conf: &SnmpdConf, main: &Path, text: &str) -> Self {
        let begin = text.lines().position(|line| line == BEGIN);
        let end = text.lines().position(|line| line == END);
        let part = begin.zip(end).filter(|(begin, end)| begin < end).map(|(begin, end)| begin + 1..=end + 1);
        match conf.directories.iter().find(|directory| directory.is_dir()) {
            Some(directory) if part.is_none() => {
                let file = directory.join(PIECE);
                let text = fs::read_to_string(&file).ok();
                Self::Piece(file, text)
            }
            _ => Self::Part(main.to_owned(), part),
        }
    }

    /// Whether a line is one of them.
    fn has(&self, place: &Place) -> bool {
        match self {
            Self::Piece(file, _) => *place.file == **file,
            Self::Part(file, part) => {
                *place.file == **file && part.as_ref().is_some_and(|part| part.contains(&place.line))
            }
        }
    }

    fn file(&self) -> &Path {
        match self {
            Self::Piece(file, _) | Self::Part(file, _) => file,
        }
    }

    /// The file's new text.
    fn with(&self, text: &str, lines: &[String]) -> String {
        let block = |lines: &[String]| format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"));
        match self {
            Self::Piece(..) => block(lines),
            Self::Part(_, part) => {
                let rest = part.as_ref().map_or_else(|| text.to_owned(), |part| without(text, part));
                let end = if rest.is_empty() || rest.ends_with('\n') { "" } else { "\n" };
                format!("{rest}{end}{}", block(lines))
            }
        }
    }

    /// What its file has now; nothing where that is not there.
    fn before<'a>(&'a self, text: &'a str) -> &'a str {
        match self {
            Self::Piece(_, before) => before.as_deref().unwrap_or_default(),
            Self::Part(..) => text,
        }
    }

    fn exists(&self) -> bool {
        matches!(self, Self::Piece(_, Some(_)) | Self::Part(_, Some(_)))
    }

    fn set(&self, text: &str, plan: &Plan, host: &Host, write: bool, out: &mut String) -> Result<(), Failure> {
        let notes = |out: &mut String| plan.notes.iter().for_each(|note| say(out, &format!("# note: {note}")));
        if plan.lines.is_empty() {
            say(out, "# snmpd's configuration has all that postfix-agentx needs; nothing to change");
            if self.exists() {
                say(out, &format!("# ({} is not needed any more: --remove)", self.file().display()));
            }
            notes(out);
            return Ok(());
        }
        let new = self.with(text, &plan.lines);
        let mut commands = plan.commands(host);
        let needs_group =
            plan.lines.iter().any(|line| line.starts_with("agentXPerms")) && !advice::has_group(SOCKET_GROUP);
        if new == self.before(text) {
            say(out, &format!("# {} is as it should be; nothing to change", self.file().display()));
            notes(out);
            return Ok(());
        }
        if write {
            // snmpd goes on with a group that it does not know, and opens the socket to root alone.
            if needs_group {
                let what = format!("there is no group {SOCKET_GROUP}, for whom snmpd's socket is to be");
                return Err(Failure::Usage(advice::advise(what, &[plan::make_group()])));
            }
            replace(self.file(), &new)?;
            say(out, &format!("# written: {}", self.file().display()));
        } else {
            let how = if matches!(self, Self::Piece(..)) { "a file of its own" } else { "at its end" };
            say(out, &format!("# {}, {how} (--write does it):", self.file().display()));
            plan.lines.iter().for_each(|line| say(out, line));
            if needs_group {
                commands.insert(0, plan::make_group());
            }
        }
        say(out, "# then run:");
        commands.iter().for_each(|command| say(out, command));
        if host.firewalld {
            say(out, "# to be asked over the network, which firewalld closes:");
            say(out, "firewall-cmd --permanent --add-service=snmp");
            say(out, "firewall-cmd --reload");
        }
        notes(out);
        Ok(())
    }

    fn remove(&self, text: &str, out: &mut String) -> Result<(), Failure> {
        let file = self.file().display();
        match self {
            Self::Piece(path, Some(_)) => {
                fs::remove_file(path).map_err(|e| Failure::File(file.to_string(), e))?;
            }
            Self::Part(path, Some(part)) => replace(path, &without(text, part))?,
            Self::Piece(_, None) | Self::Part(_, None) => {
                say(out, &format!("# there is nothing of setup-snmpd in {file}; nothing to change"));
                return Ok(());
            }
        }
        say(out, &format!("# taken away from: {file}"));
        say(out, "# then run:");
        say(out, &advice::restart("snmpd"));
        Ok(())
    }
}

fn say(out: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}

/// A text without these lines, counted from 1.
fn without(text: &str, part: &RangeInclusive<usize>) -> String {
    let lines = text.split_inclusive('\n').zip(1..);
    lines.filter(|(_, number)| !part.contains(number)).map(|(line, _)| line).collect()
}

/// Replaces a file as a whole; owner, group and mode stay. A new one may be read by root's group: it can get passphrases.
fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |e| Failure::File(file.display().to_string(), e);
    let old = fs::metadata(file).ok();
    let mut name = file.file_name().unwrap_or_default().to_owned();
    // snmpd reads *.conf only.
    name.push(".new");
    let new = file.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mode = old.as_ref().map_or(0o640, |old| old.mode() & 0o7777);
        let mut out = options.write(true).create_new(true).open(&new)?;
        out.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Some(old) = &old {
            chown(&new, Some(old.uid()), Some(old.gid()))?;
        }
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, file)
    };
    // What a run that was killed left behind is no reason to give up.
    let _ = fs::remove_file(&new);
    write().inspect_err(|_| drop(fs::remove_file(&new))).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::snmpd_conf::shapes;

    const HOST: Host = Host { selinux: true, firewalld: true };

    fn done(main: &Path, write: bool, remove: bool) -> String {
        let all = SnmpdConf::read(&[main.to_owned()]);
        let text = fs::read_to_string(main).unwrap();
        let place = Ours::of(&all, main, &text);
        let mut out = String::new();
        if remove {
            place.remove(&text, &mut out).unwrap();
        } else {
            let conf = all.without(|at| place.has(at));
            // A group that this machine may not have is not asked for.
            let mut plan = Plan::new(&conf, &Config::default(), &HOST);
            plan.lines.retain(|line| !line.starts_with("agentXPerms"));
            place.set(&text, &plan, &HOST, write, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn rhels_file_gets_a_part_once_and_is_then_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let main = fs::canonicalize(directory.path()).unwrap().join("snmpd.conf");
        fs::write(&main, shapes::RHEL).unwrap();
        fs::set_permissions(&main, fs::Permissions::from_mode(0o600)).unwrap();
        let told = done(&main, false, false);
        assert!(told.contains("\nview systemview included .1.3.6.1.4.1.8072"), "{told}");
        assert!(told.contains("restorecon -R /var/agentx") && told.contains("firewall-cmd"), "{told}");
        assert_eq!(fs::read_to_string(&main).unwrap(), shapes::RHEL, "nothing was to be written");
        done(&main, true, false);
        let written = fs::read_to_string(&main).unwrap();
        assert!(written.starts_with(shapes::RHEL) && written.ends_with(&format!("{END}\n")), "{written}");
        assert_eq!(fs::metadata(&main).unwrap().mode() & 0o777, 0o600);
        let conf = SnmpdConf::read(std::slice::from_ref(&main));
        let root = crate::smi::Oid::from(crate::mib::ROOT);
        assert!(conf.is_master() && conf.shows(&conf.readers()[0].scope, &root.child(&[1])));
        assert!(done(&main, true, false).contains("nothing to change"));
        assert_eq!(fs::read_to_string(&main).unwrap(), written, "twice is once");
        // Lines that were changed, or are of another release, are put right.
        fs::write(&main, written.replace("master agentx\n", "")).unwrap();
        done(&main, true, false);
        assert_eq!(fs::read_to_string(&main).unwrap(), written);
        done(&main, true, true);
        assert_eq!(fs::read_to_string(&main).unwrap(), shapes::RHEL);
        assert!(done(&main, true, true).contains("nothing to change"));
    }

    #[test]
    fn debians_gets_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let main = fs::canonicalize(directory.path()).unwrap().join("snmpd.conf");
        let pieces = main.with_file_name("snmpd.conf.d");
        fs::create_dir(&pieces).unwrap();
        let text = shapes::DEBIAN.replace("/etc/snmp/snmpd.conf.d", "snmpd.conf.d");
        fs::write(&main, &text).unwrap();
        done(&main, true, false);
        let piece = pieces.join(PIECE);
        let written = fs::read_to_string(&piece).unwrap();
        assert!(written.contains("\nagentXSocket ") && written.contains("\nview systemonly included "), "{written}");
        assert_eq!(fs::metadata(&piece).unwrap().mode() & 0o777, 0o640);
        assert!(done(&main, true, false).contains("nothing to change"));
        assert_eq!((fs::read_to_string(&piece).unwrap(), fs::read_to_string(&main).unwrap()), (written, text));
        done(&main, true, true);
        assert_eq!(fs::read_dir(&pieces).unwrap().count(), 0);
        // With the package's own lines nothing is missing.
        let shipped = include_str!("../../../snmpd.conf.example");
        fs::write(pieces.join("postfix-agentx.conf"), shipped).unwrap();
        assert!(
            done(&main, true, false).contains("has all that postfix-agentx needs"),
            "{}",
            done(&main, false, false)
        );
    }
}
