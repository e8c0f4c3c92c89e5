//! The state directory: small files that are replaced as a whole, and the lock that keeps a second agent out.
//!
//! A file begins with one line, `postfix-agentx NAME VERSION CRC32 LENGTH`, so that a torn or foreign file is recognised
//! and never half believed. It is written under another name first, synced, and renamed to its own.
//!
//! A file of an older version is brought to the present one when it is loaded ([`MIGRATIONS`]). One of a newer version is
//! refused and kept as it is: nothing is saved under its name, and the daemon does not start. A damaged one is set aside. One
//! that is there and cannot be read is kept as well: whoever needs it waits until it can be.
//!
//! No symbolic link is followed here, and no file that exists is opened to be written but the lock: the directory is the
//! agent's user's, and root may be who runs `check`.

use crate::{advice, limits, regular};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Turns a file's content into that of the next version; `None` where it cannot be understood.
type Migration = fn(&[u8]) -> Option<Vec<u8>>;

/// How a file of an older version is brought to the next one, by its name and the version it has. Whoever raises a file's
/// version adds a line here and a test with a file as the older agent wrote it: counters must outlive an upgrade.
const MIGRATIONS: &[(&str, u32, Migration)] =
    &[("instances", 1, instances_1), ("instances", 2, instances_2), ("log", 1, log_1), ("process", 1, process_1)];

/// Version 1 had the names of the instances only, not those of their services.
fn instances_1(payload: &[u8]) -> Option<Vec<u8>> {
    let instances: serde_json::Value = serde_json::from_slice(payload).ok()?;
    serde_json::to_vec(&serde_json::json!({ "instances": instances, "services": {} })).ok()
}

/// Version 2 had indices by name. A directory takes that of its name over.
fn instances_2(payload: &[u8]) -> Option<Vec<u8>> {
    let mut saved: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let instances: crate::collect::registry::Registry = serde_json::from_value(saved.get("instances")?.clone()).ok()?;
    let named: std::collections::BTreeMap<&str, u32> = instances.iter().map(|(index, name)| (name, index)).collect();
    saved.as_object_mut()?.insert("named".into(), serde_json::json!(named));
    serde_json::to_vec(&saved).ok()
}

/// Version 1 had the instances by name; those are taken over as their instances come.
fn log_1(payload: &[u8]) -> Option<Vec<u8>> {
    Some(payload.to_vec())
}

/// Version 1 had the indices of the services as well, which the instances take over; what is left reads as it is.
fn process_1(payload: &[u8]) -> Option<Vec<u8>> {
    Some(payload.to_vec())
}

/// What is behind the name of a file that was set aside.
const DAMAGED: &str = ".damaged";

/// Octets of a state file. The log's has 9 MB when every queue id it can remember is remembered.
const LARGEST: u64 = 64 << 20;

/// What is wrong with the state directory or a file in it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refuses.
    #[error("{path}: {source}; {}", remedy(source))]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent works with it.
    #[error(
        "{path} is in use by {holder}; two agents on one state would count everything twice: stop that one, or give this one a state_directory of its own"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Process id as the holder wrote it.
        holder: String,
    },
    /// The content is not what was written.
    #[error("{path} is damaged ({what}); {} and counting starts anew", aside(path, *kept))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
        /// Whether it is still under its name: it could not be renamed, or this is a command that only reads.
        kept: bool,
    },
    /// It is there and cannot be read.
    #[error(
        "{path}: {why}. It is kept as it is; what is in it is needed, and nothing is counted before it can be read"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said, and what to do.
        why: String,
    },
    /// The directory is another user's.
    #[error(
        "{path} belongs to user {owner} and this process runs as user {user}: run it as that user, or give it a state_directory of its own"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// A later release wrote it.
    #[error(
        "{path} was written by a newer postfix-agentx (version {found} of this file, {known} is known here) and is kept as it is: install that release again, or move the file away to begin counting anew"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this program writes.
        known: u32,
    },
}

fn aside(path: &Path, kept: bool) -> String {
    if kept { "it was left where it is".into() } else { format!("it was set aside as {}.damaged", path.display()) }
}

fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

fn remedy(error: &io::Error) -> &'static str {
    limits::remedy(error).unwrap_or(
        "the directory and what is in it must belong to the agent's user (see state_directory in the configuration)",
    )
}

/// The directory. Clones share the lock, which lasts until the last one is gone.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// `None`: opened to read only (`dump`, `check`), and saving does nothing.
    lock: Option<Arc<[File; 2]>>,
    /// Files of a newer version, which must not be overwritten: name, and the version it has.
    newer: Arc<Mutex<Vec<Newer>>>,
    /// What is wrong with damaged files that were left where they are.
    left: Arc<Mutex<Vec<String>>>,
    /// Files that are there and could not be read, which must not be overwritten either: name, and why.
    unreadable: Arc<Mutex<BTreeMap<String, String>>>,
    migrations: &'static [(&'static str, u32, Migration)],
}

#[derive(Clone, Debug)]
struct Newer {
    name: String,
    found: u32,
    known: u32,
}

impl StateDirectory {
    /// Creates it where it is missing and locks it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(io(path))?;
        own(path)?;
        let name = path.join("lock");
        let mut file = lock(&name, true)?;
        // The directory as well: whoever removes the file does not let a second agent in. File systems that have locks of
        // their own may refuse this one.
        let directory = File::open(path).map_err(io(path))?;
        if let Err(rustix::io::Errno::WOULDBLOCK) = flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            return Err(StateError::Locked { path: path.to_owned(), holder: "another process".into() });
        }
        // Who it is that holds it is for the message only.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        match try_to_write(path) {
            // What is full or read-only now may be mended while we run: no reason not to start.
            Err(StateError::Io { source, .. }) if may_pass(&source) => {}
            result => result?,
        }
        Ok(Self { lock: Some([file, directory].into()), ..Self::read_only(path) })
    }

    /// Whether [`open`](Self::open) would succeed. Leaves nothing behind: a lock file that root made is closed to the
    /// agent's user.
    pub fn probe(path: &Path) -> Result<(), StateError> {
        own(path)?;
        match lock(&path.join("lock"), false) {
            Ok(_) => {}
            Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            // An agent that runs there may be unable to save what it counts.
            Err(locked @ StateError::Locked { .. }) => return try_to_write(path).and(Err(locked)),
            Err(e) => return Err(e),
        }
        try_to_write(path)
    }

    /// For `dump` and `check`: reads what a daemon saved, locks and writes nothing.
    pub fn read_only(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lock: None,
            newer: Arc::default(),
            left: Arc::default(),
            unreadable: Arc::default(),
            migrations: MIGRATIONS,
        }
    }

    /// Whether it was opened to be written: a daemon runs with it.
    pub fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// A file that was loaded and refused because a newer release wrote it ([`StateError::Newer`]).
    pub fn refused(&self) -> Option<StateError> {
        let newer = self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        newer.first().map(|newer| self.is_newer(newer))
    }

    /// As this one, but it remembers of itself alone what could not be read: for one collector.
    pub(crate) fn of_one(&self) -> Self {
        Self { unreadable: Arc::default(), ..self.clone() }
    }

    /// Files that were loaded and could not be read ([`StateError::Unreadable`]).
    pub fn unreadable(&self) -> Vec<StateError> {
        let error =
            |(name, why): (&String, &String)| StateError::Unreadable { path: self.path.join(name), why: why.clone() };
        self.unread().iter().map(error).collect()
    }

    fn unread(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_newer(&self, Newer { name, found, known }: &Newer) -> StateError {
        StateError::Newer { path: self.path.join(name), found: *found, known: *known }
    }

    /// Replaces the file `name` at once and durably.
    pub fn save_bytes(&self, name: &str, version: u32, payload: &[u8]) -> Result<(), StateError> {
        if self.lock.is_none() {
            return Ok(());
        }
        let newer = self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = newer.iter().find(|newer| newer.name == name) {
            return Err(self.is_newer(newer));
        }
        drop(newer);
        let path = self.path.join(name);
        if let Some(why) = self.unread().get(name) {
            return Err(StateError::Unreadable { path, why: why.clone() });
        }
        let new = self.path.join(format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file = anew(&new)?;
            writeln!(file, "{}", header(name, version, payload))?;
            file.write_all(payload)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            // The rename is durable once the directory is.
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&new);
            StateError::Io { path: path.clone(), source }
        })
    }

    /// What was saved last under `name`, brought to `version` where an older release wrote it; `None` where nothing was.
    pub fn load_bytes(&self, name: &str, version: u32) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(name);
        let read_all = || regular::read_open(regular::open_at(CWD, path.as_path(), OFlags::NOFOLLOW)?, LARGEST);
        let bytes = match read_all() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if regular::is_not_regular(&e) => return Err(self.set_aside(name, "it is not a regular file")),
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                return Err(self.set_aside(name, "it is larger than it can be"));
            }
            Err(e) => {
                let why = format!("{e}; {}", remedy(&e));
                self.unread().insert(name.to_owned(), why.clone());
                return Err(StateError::Unreadable { path, why });
            }
        };
        let (found, payload) = read(name, &bytes).map_err(|what| self.set_aside(name, what))?;
        if found > version {
            let newer = Newer { name: name.to_owned(), found, known: version };
            let error = self.is_newer(&newer);
            self.newer.lock().unwrap_or_else(PoisonError::into_inner).push(newer);
            return Err(error);
        }
        let mut payload = payload.to_vec();
        for older in found..version {
            let step = self.migrations.iter().find(|(of, from, _)| *of == name && *from == older);
            payload = step
                .and_then(|(_, _, migrate)| migrate(&payload))
                .ok_or_else(|| self.set_aside(name, "it is of an older version and cannot be understood"))?;
        }
        if found < version {
            tracing::info!(file = %path.display(), from = found, to = version, "the state of an older postfix-agentx was taken over");
        }
        Ok(Some(payload))
    }

    /// Sets a file aside that cannot be understood, so that the next save does not overwrite what may be repaired or
    /// reported.
    pub fn set_aside(&self, name: &str, what: &'static str) -> StateError {
        let path = self.path.join(name);
        let kept = self.lock.is_none() || fs::rename(&path, self.path.join(format!("{name}{DAMAGED}"))).is_err();
        let error = StateError::Damaged { path, what, kept };
        if kept {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
        }
        error
    }

    /// What was lost with damaged files, for as long as they lie there: each with what to do.
    pub fn damaged(&self) -> Vec<String> {
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        aside.retain(|path| path.extension().is_some_and(|extension| extension == &DAMAGED[1..]));
        aside.sort();
        all.extend(aside.iter().map(|path| {
            let what = format!(
                "{} was damaged when the agent began, and what was counted in it began anew; when you have seen it, take it away",
                path.with_extension("").display()
            );
            advice::advise(what, &[format!("rm {}", advice::quoted(path))])
        }));
        all
    }

    /// [`save_bytes`](Self::save_bytes) of JSON.
    pub fn save<T: Serialize>(&self, name: &str, version: u32, value: &T) -> Result<(), StateError> {
        let payload = serde_json::to_vec(value)
            .map_err(|e| StateError::Io { path: self.path.join(name), source: io::Error::other(e) })?;
        debug_assert!(is_plausible(&payload), "{name} would be refused when it is loaded");
        self.save_bytes(name, version, &payload)
    }

    /// [`load_bytes`](Self::load_bytes) of JSON.
    pub fn load<T: DeserializeOwned>(&self, name: &str, version: u32) -> Result<Option<T>, StateError> {
        let Some(payload) = self.load_bytes(name, version)? else { return Ok(None) };
        match serde_json::from_slice(&payload) {
            Ok(content) if is_plausible(&payload) => Ok(Some(content)),
            _ => Err(self.set_aside(name, "the content cannot be read")),
        }
    }
}

/// Whether every number in this JSON has 18 digits at most: no counter of an agent gets there in a thousand years, and adding to
/// one that is there would run over.
pub(crate) fn is_plausible(json: &[u8]) -> bool {
    let (mut text, mut escaped, mut digits) = (false, false, 0);
    json.iter().all(|byte| {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            _ => {}
        }
        digits = if !text && byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits <= 18
    })
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, source }
}

/// Whether the directory is this user's, or root's: whoever owns it can put anything there at any time, so nobody else's is
/// written to, least of all by root.
fn own(path: &Path) -> Result<(), StateError> {
    let (owner, user) = (fs::metadata(path).map_err(io(path))?.uid(), rustix::process::geteuid().as_raw());
    match owner == user || owner == 0 {
        true => Ok(()),
        false => Err(StateError::Foreign { path: path.to_owned(), owner, user }),
    }
}

/// A new file to be written, in the place of whatever is left of an earlier one.
fn anew(name: &Path) -> io::Result<File> {
    match fs::remove_file(name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    // Never through a link that came in between.
    OpenOptions::new().write(true).create_new(true).mode(0o640).open(name)
}

/// The lock file, locked.
fn lock(name: &Path, create: bool) -> Result<File, StateError> {
    let open = |access: OFlags| -> io::Result<File> {
        let create = if create { OFlags::CREATE } else { OFlags::empty() };
        let flags = access | create | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(name, flags, Mode::from_raw_mode(0o640))?);
        regular::check(&file).map(|()| file)
    };
    let file = match open(OFlags::RDWR) {
        Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(name).map_err(|_| e),
        file => file,
    };
    let mut file = file.map_err(io(name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // What the holder wrote is for the message only.
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".into(),
                pid => format!("process {pid}"),
            };
            Err(StateError::Locked { path: name.to_owned(), holder })
        }
        Err(e) => Err(io(name)(e.into())),
    }
}

/// The most that is written to see whether there is room, octets.
const TRIAL: u64 = 16 << 20;

/// A lock file that can be written does not mean that others can be made beside it, nor that there is room for them: a file
/// as long as the longest that is replaced here is written and synced, as saving does.
fn try_to_write(directory: &Path) -> Result<(), StateError> {
    let longest = fs::read_dir(directory).map_err(io(directory))?.flatten();
    let longest = longest.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or(0);
    let name = directory.join(format!("probe.{}.new", std::process::id()));
    let write = || {
        let mut file = anew(&name)?;
        io::copy(&mut io::repeat(0).take(longest.clamp(4_096, TRIAL)), &mut file)?;
        file.sync_all()
    };
    let written = write();
    let removed = match fs::remove_file(&name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    written.and(removed).map_err(io(directory))
}

/// Version and content of a state file called `name`; the checksum says that they are what was written.
fn read<'a>(name: &str, bytes: &'a [u8]) -> Result<(u32, &'a [u8]), &'static str> {
    let end = bytes.iter().position(|&b| b == b'\n').ok_or("no header")?;
    let (first, payload) = (&bytes[..end], &bytes[end + 1..]);
    let version = std::str::from_utf8(first)
        .ok()
        .and_then(|first| first.strip_prefix("postfix-agentx ")?.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .ok_or("no header")?;
    if first == header(name, version, payload).as_bytes() {
        Ok((version, payload))
    } else {
        Err("the checksum does not fit")
    }
}

fn header(name: &str, version: u32, payload: &[u8]) -> String {
    format!("postfix-agentx {name} {version} {:08x} {}", crc32fast::hash(payload), payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(dir.path()).unwrap();
        let refused = StateDirectory::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        StateDirectory::open(dir.path()).unwrap();
    }

    #[test]
    fn without_its_lock_file_a_second_agent_is_kept_out_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let _first = StateDirectory::open(dir.path()).unwrap();
        fs::remove_file(dir.path().join("lock")).unwrap();
        assert!(matches!(StateDirectory::open(dir.path()), Err(StateError::Locked { .. })));
    }

    /// As the agent's user could make them, for root to run into.
    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        let link = |name: &str| std::os::unix::fs::symlink(&victim, state.join(name)).unwrap();
        link(&format!("probe.{}.new", std::process::id()));
        link("x.new");
        link("x");
        let untouched = || fs::read_to_string(&victim).unwrap() == "precious";
        StateDirectory::probe(&state).unwrap();
        assert!(untouched());
        link("lock");
        assert!(StateDirectory::probe(&state).is_err() && StateDirectory::open(&state).is_err() && untouched());
        fs::remove_file(state.join("lock")).unwrap();
        let open = StateDirectory::open(&state).unwrap();
        // It is no state of ours, and what it leads to is not looked at.
        assert!(matches!(open.load::<u32>("x", 1), Err(StateError::Damaged { kept: false, .. })));
        open.save("x", 1, &7_u32).unwrap();
        assert_eq!(open.load("x", 1).unwrap(), Some(7_u32));
        assert!(untouched());
        assert!(fs::symlink_metadata(state.join("x")).unwrap().is_file());
    }

    #[test]
    fn another_users_directory_is_not_written_to() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(64_999), None).unwrap();
        for told in [StateDirectory::probe(dir.path()), StateDirectory::open(dir.path()).map(drop)] {
            let told = told.unwrap_err().to_string();
            assert!(told.contains("belongs to user 64999") && told.contains("runs as user 0"), "{told}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn numbers_that_nobody_counted_are_seen() {
        let text = br#"{"a":[0.30000000000000004,999999999999999999],"b\"1234567890123456789":"1234567890123456789"}"#;
        assert!(is_plausible(text));
        assert!(!is_plausible(br#"{"a":1000000000000000000}"#));
        assert!(!is_plausible(br#"{"a\\":1000000000000000000}"#));
    }

    #[test]
    fn a_probe_says_what_open_would_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        StateDirectory::probe(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let held = StateDirectory::open(dir.path()).unwrap();
        assert!(matches!(StateDirectory::probe(dir.path()), Err(StateError::Locked { .. })));
        drop(held);
        StateDirectory::probe(dir.path()).unwrap();
        assert!(matches!(StateDirectory::probe(&dir.path().join("none")), Err(StateError::Io { .. })));
    }

    #[test]
    fn what_was_saved_is_loaded_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(dir.path()).unwrap();
        assert_eq!(state.load::<u32>("x", 1).unwrap(), None);
        state.save("x", 1, &7_u32).unwrap();
        assert_eq!(state.load("x", 1).unwrap(), Some(7_u32));
        let mut bytes = fs::read(dir.path().join("x")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.path().join("x"), bytes).unwrap();
        assert!(matches!(state.load::<u32>("x", 1), Err(StateError::Damaged { .. })));
        assert!(dir.path().join("x.damaged").exists());
        let told = state.damaged();
        let remove = format!("; do: rm {}/x.damaged", dir.path().display());
        assert!(told.len() == 1 && told[0].ends_with(&remove), "{told:?}");
        fs::remove_file(dir.path().join("x.damaged")).unwrap();
        assert_eq!(state.damaged(), Vec::<String>::new(), "told for as long as it lies there");
        assert_eq!(state.load::<u32>("x", 1).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_a_command_that_reads_only_does_not_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let state = StateDirectory::open(dir.path()).unwrap();
        // Whole and with a checksum, but not what is expected.
        state.save("x", 1, &"text").unwrap();
        let told = StateDirectory::read_only(dir.path()).load::<u32>("x", 1).unwrap_err().to_string();
        assert!(told.contains("left where it is") && file.exists(), "{told}");
        let told = state.load::<u32>("x", 1).unwrap_err().to_string();
        assert!(told.contains("x.damaged"), "{told}");
        assert!(!file.exists() && dir.path().join("x.damaged").exists(), "it was set aside, as was said");
        assert_eq!(state.load::<u32>("x", 1).unwrap(), None);
        for foreign in [
            &b""[..],
            b"\n",
            b"postfix-agentx x",
            b"postfix-agentx y 1 0 0\n",
            b"\xff 1\n",
            b"postfix-agentx x -1 0 0\n",
        ] {
            fs::write(&file, foreign).unwrap();
            assert!(matches!(state.load::<u32>("x", 1), Err(StateError::Damaged { kept: false, .. })), "{foreign:?}");
        }
    }

    #[test]
    fn an_older_version_is_brought_up_step_by_step_and_a_newer_one_is_kept() {
        fn doubled(bytes: &[u8]) -> Option<Vec<u8>> {
            let number: u32 = serde_json::from_slice(bytes).ok()?;
            serde_json::to_vec(&(number * 2)).ok()
        }
        fn named(bytes: &[u8]) -> Option<Vec<u8>> {
            let number: u32 = serde_json::from_slice(bytes).ok()?;
            serde_json::to_vec(&("n", number)).ok()
        }
        let dir = tempfile::tempdir().unwrap();
        let mut state = StateDirectory::open(dir.path()).unwrap();
        state.migrations = &[("y", 1, named), ("x", 2, named), ("x", 1, doubled)];
        state.save("x", 1, &7_u32).unwrap();
        assert_eq!(state.load("x", 3).unwrap(), Some(("n".to_owned(), 14_u32)));
        assert!(state.refused().is_none());
        // No way from there: nothing is half believed.
        assert!(matches!(state.load::<u32>("x", 4), Err(StateError::Damaged { kept: false, .. })));

        state.save("x", 3, &7_u32).unwrap();
        let written = fs::read(dir.path().join("x")).unwrap();
        let told = state.load::<u32>("x", 2).unwrap_err().to_string();
        assert!(
            told.contains("newer") && told.contains("version 3") && told.contains("install that release"),
            "{told}"
        );
        assert_eq!(state.clone().refused().unwrap().to_string(), told, "clones know it as well");
        assert_eq!(state.save("x", 2, &8_u32).unwrap_err().to_string(), told);
        assert_eq!(fs::read(dir.path().join("x")).unwrap(), written, "kept");
        state.save("y", 1, &8_u32).unwrap();
    }

    #[test]
    fn read_only_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        StateDirectory::read_only(dir.path()).save("x", 1, &7_u32).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
