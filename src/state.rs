//! The state directory: small files that are replaced as a whole, and the lock that keeps a second agent out.
//!
//! A file begins with one line, `postfix-agentx NAME VERSION CRC32 LENGTH`, so that a torn or foreign file is recognised
//! and never half believed. It is written beside its name, synced, and renamed over it.

use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

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
    #[error("{path} is damaged ({what}); it was set aside as {path}.damaged and counting starts anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
}

fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there; it is tried again",
        io::ErrorKind::ReadOnlyFilesystem => "mount it for writing; it is tried again",
        _ => {
            "the directory and what is in it must belong to the agent's user (see state_directory in the configuration)"
        }
    }
}

/// The directory. Clones share the lock, which lasts until the last one is gone.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// `None`: opened to read only (`dump`, `check`), and saving does nothing.
    lock: Option<std::sync::Arc<File>>,
}

impl StateDirectory {
    /// Creates it where it is missing and locks it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(io(path))?;
        let name = path.join("lock");
        let mut file = lock(&name, true)?;
        // Who it is that holds it is for the message only.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        match try_to_write(path) {
            // What is full or read-only now may be mended while we run: no reason not to start.
            Err(StateError::Io { source, .. }) if may_pass(&source) => {}
            result => result?,
        }
        Ok(Self { path: path.to_owned(), lock: Some(file.into()) })
    }

    /// Whether [`open`](Self::open) would succeed. Leaves nothing behind: a lock file that root made is closed to the
    /// agent's user.
    pub fn probe(path: &Path) -> Result<(), StateError> {
        match lock(&path.join("lock"), false) {
            Ok(_) => {}
            Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        try_to_write(path)
    }

    /// For `dump` and `check`: reads what a daemon saved, locks and writes nothing.
    pub fn read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    /// Whether [`save`](Self::save) does anything.
    pub fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// Replaces the file `name` at once and durably.
    pub fn save_bytes(&self, name: &str, version: u32, payload: &[u8]) -> Result<(), StateError> {
        if self.lock.is_none() {
            return Ok(());
        }
        let path = self.path.join(name);
        let new = self.path.join(format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
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

    /// What was saved last under `name`; `None` where nothing was or another version wrote it.
    pub fn load_bytes(&self, name: &str, version: u32) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Io { path, source }),
        };
        let damaged = |what| {
            if self.lock.is_some() {
                let _ = fs::rename(&path, self.path.join(format!("{name}.damaged")));
            }
            StateError::Damaged { path: path.clone(), what }
        };
        let end = bytes.iter().position(|&b| b == b'\n').ok_or_else(|| damaged("no header"))?;
        let (first, payload) = (&bytes[..end], &bytes[end + 1..]);
        if first == header(name, version, payload).as_bytes() {
            Ok(Some(payload.to_vec()))
        } else if first.starts_with(format!("postfix-agentx {name} {version} ").as_bytes()) {
            Err(damaged("the checksum does not fit"))
        } else if first.starts_with(format!("postfix-agentx {name} ").as_bytes()) {
            tracing::warn!(file = %path.display(), "written by another version of postfix-agentx, starting anew");
            Ok(None)
        } else {
            Err(damaged("no header"))
        }
    }

    /// [`save_bytes`](Self::save_bytes) of JSON.
    pub fn save<T: Serialize>(&self, name: &str, version: u32, value: &T) -> Result<(), StateError> {
        let payload = serde_json::to_vec(value)
            .map_err(|e| StateError::Io { path: self.path.join(name), source: io::Error::other(e) })?;
        self.save_bytes(name, version, &payload)
    }

    /// [`load_bytes`](Self::load_bytes) of JSON.
    pub fn load<T: DeserializeOwned>(&self, name: &str, version: u32) -> Result<Option<T>, StateError> {
        let Some(payload) = self.load_bytes(name, version)? else { return Ok(None) };
        serde_json::from_slice(&payload)
            .map(Some)
            .map_err(|_| StateError::Damaged { path: self.path.join(name), what: "the content cannot be read" })
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, source }
}

/// The lock file, locked.
fn lock(name: &Path, create: bool) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(0o640);
    let file = match options.open(name) {
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

/// A lock file that can be written does not mean that others can be made beside it.
fn try_to_write(directory: &Path) -> Result<(), StateError> {
    let name = directory.join("probe.new");
    File::create(&name).and_then(|_| fs::remove_file(&name)).map_err(io(directory))
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
        assert_eq!(state.load::<u32>("x", 2).unwrap(), None, "another version starts anew");
        let mut bytes = fs::read(dir.path().join("x")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.path().join("x"), bytes).unwrap();
        assert!(matches!(state.load::<u32>("x", 1), Err(StateError::Damaged { .. })));
        assert!(dir.path().join("x.damaged").exists());
        assert_eq!(state.load::<u32>("x", 1).unwrap(), None);
    }

    #[test]
    fn read_only_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        StateDirectory::read_only(dir.path()).save("x", 1, &7_u32).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
