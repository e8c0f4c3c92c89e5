//! A Maildir, read with the rights the agent has: for hosts without IMAP. Plain blocking calls, on the probe's own thread.
//!
//! Files are not moved from new to cur, so that nothing looks as if it had been seen, and only our own is unlinked. Names that
//! were looked at once are remembered: a name in a Maildir is never used again.

use super::{
    fault::Fault,
    message::Stamp,
    run::{Mail, Verdict},
};
use rustc_hash::{FxHashMap, FxHasher};
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::{CString, OsStr},
    fs::File,
    hash::{Hash, Hasher},
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// More names than this are not looked through.
const ENTRIES: usize = 100_000;
/// Files that are opened in one look.
const LOOKS: usize = 1_000;
/// Ours is smaller, with the headers of its way.
const LARGEST: u64 = 64 << 10;

/// Names that are known not to be ours, by their hash, with the number of the look that saw them last.
#[derive(Debug, Default)]
pub struct Foreign(FxHashMap<u64, u32>, u32);

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// Our message, whole.
    pub message: Option<(PathBuf, Vec<u8>)>,
    /// Of earlier runs, to be removed.
    pub old: Vec<PathBuf>,
    /// Those among them that are waited for.
    pub late: Vec<Stamp>,
}

/// Looks through new and cur.
pub fn look(maildir: &Path, mail: &Mail, foreign: &mut Foreign) -> Result<Look, Fault> {
    let mut found = Look::default();
    foreign.1 = foreign.1.wrapping_add(1);
    let now = foreign.1;
    let mut budget = LOOKS;
    for part in ["new", "cur"] {
        let path = maildir.join(part);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(&path, e))?;
        let names = list(&directory).map_err(|e| failed(&path, e))?;
        for name in names {
            let key = hash(&name);
            if let Some(seen) = foreign.0.get_mut(&key) {
                *seen = now;
                continue;
            }
            if budget == 0 {
                break;
            }
            budget -= 1;
            // A file that vanished was moved or read by somebody: not ours to worry about.
            let Ok(head) = read(&directory, &name) else { continue };
            let file = path.join(OsStr::from_bytes(name.as_bytes()));
            match head.as_deref().and_then(Stamp::of) {
                None => {
                    foreign.0.insert(key, now);
                }
                Some(stamp) => match mail.verdict(&stamp) {
                    Verdict::Foreign => {
                        foreign.0.insert(key, now);
                    }
                    Verdict::Current => found.message = head.map(|message| (file, message)),
                    Verdict::Late => {
                        found.late.push(stamp);
                        found.old.push(file);
                    }
                    Verdict::LeftOver => found.old.push(file),
                    Verdict::Keep => {}
                },
            }
        }
    }
    foreign.0.retain(|_, seen| *seen == now);
    Ok(found)
}

fn hash(name: &CString) -> u64 {
    let mut hasher = FxHasher::default();
    // The flags after the colon change when somebody reads it.
    name.as_bytes().split(|octet| *octet == b':').next().hash(&mut hasher);
    hasher.finish()
}

/// Names, the newest last as Maildir names sort by time; looked at from the end.
fn list(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !entry.file_name().to_bytes().starts_with(b".") {
            names.push(entry.file_name().to_owned());
            if names.len() >= ENTRIES {
                break;
            }
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// A small regular file; `None` for anything else.
fn read(directory: &OwnedFd, name: &CString) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Ok(None);
    }
    let mut octets = Vec::with_capacity(metadata.len() as usize);
    file.take(LARGEST).read_to_end(&mut octets)?;
    Ok(Some(octets))
}

/// Unlinks our messages, wherever a reader has moved them meanwhile. One that is gone already is gone.
pub fn remove(files: &[PathBuf]) -> Result<(), Fault> {
    for file in files {
        match rustix::fs::unlinkat(rustix::fs::CWD, file, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => remove_moved(file)?,
            Err(e) => return Err(failed(file, e)),
        }
    }
    Ok(())
}

/// So often it may be moved while we look for it.
const MOVES: usize = 3;

/// A reader moves a message from new to cur and changes the flags behind its name whenever it likes; what stands before them
/// stays.
fn remove_moved(file: &Path) -> Result<(), Fault> {
    let (Some(name), Some(maildir)) = (file.file_name(), file.parent().and_then(Path::parent)) else { return Ok(()) };
    let wanted = unique(name.as_bytes());
    for _ in 0..MOVES {
        let mut is_there = false;
        // In the order in which it moves.
        for part in ["new", "cur"] {
            let path = maildir.join(part);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(&path, e))?;
            let names = list(&directory).map_err(|e| failed(&path, e))?;
            for name in names.iter().filter(|name| unique(name.as_bytes()) == wanted) {
                is_there = true;
                match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
                    Ok(()) => return Ok(()),
                    Err(Errno::NOENT) => {}
                    Err(e) => return Err(failed(&path, e)),
                }
            }
        }
        if !is_there {
            break;
        }
    }
    Ok(())
}

/// A name without what readers add: flags behind a colon, Dovecot's sizes behind a comma.
fn unique(name: &[u8]) -> &[u8] {
    name.split(|octet| matches!(octet, b':' | b',')).next().unwrap_or(name)
}

fn failed(path: &Path, error: Errno) -> Fault {
    Fault::File { path: path.display().to_string(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A reader was quicker: the message is in cur by now, with flags.
    #[test]
    fn what_a_reader_has_moved_is_removed_where_it_is_and_nothing_else() {
        let maildir = tempfile::tempdir().unwrap();
        for part in ["new", "cur"] {
            fs::create_dir(maildir.path().join(part)).unwrap();
        }
        let file = |name: &str| maildir.path().join(name);
        for name in ["cur/1.a.vm:2,", "cur/2.a.vm,S=5,W=6:2,S", "cur/1.a.vmx:2,", "new/1.a.vm.other", "cur/3.a.vm:2,S"]
        {
            fs::write(file(name), "x").unwrap();
        }
        remove(&[file("new/1.a.vm"), file("new/2.a.vm"), file("cur/3.a.vm:2,"), file("new/4.a.vm")]).unwrap();
        let left = |part: &str| {
            let names = fs::read_dir(file(part)).unwrap().flatten();
            names.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((left("new"), left("cur")), (vec!["1.a.vm.other".into()], vec!["1.a.vmx:2,".into()]));
    }
}
