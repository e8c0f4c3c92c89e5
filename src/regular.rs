//! The one way to open a file that somebody else could have put something else in the place of: logs, queue files, the
//! state directory, the configuration.
//!
//! A FIFO or a terminal makes open(2) wait for its other end, a device may act when it is opened (a watchdog, a tape), and
//! /dev/zero never ends. So the type is looked at first, what is opened does not wait (O_NONBLOCK, O_NOCTTY), and its type is
//! looked at again, of what is open now. What is read is bounded in octets.

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, statat};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
};

/// What a file is that is no regular one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is {}, not a regular file", name(*.0))]
pub(crate) struct NotRegular(FileType);

/// Whether something else than a regular file was met.
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotRegular>())
}

fn name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile | FileType::Unknown => "of an unknown type",
    }
}

/// Opens a regular file for reading. The error is [`NotRegular`] where it is another thing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_at(CWD, path, OFlags::empty())
}

/// As [`open`], below an open directory, with further flags (`NOFOLLOW`, `NOATIME`).
pub(crate) fn open_at(directory: impl AsFd, path: impl rustix::path::Arg + Copy, flags: OFlags) -> io::Result<File> {
    let follow = if flags.contains(OFlags::NOFOLLOW) {
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW
    } else {
        rustix::fs::AtFlags::empty()
    };
    refuse(statat(&directory, path, follow)?.st_mode)?;
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(&directory, path, flags, Mode::empty())?);
    check(&file)?;
    Ok(file)
}

/// Whether an open file is a regular one. The error is [`NotRegular`].
pub(crate) fn check(file: &File) -> io::Result<()> {
    refuse(fstat(file)?.st_mode)
}

fn refuse(mode: u32) -> io::Result<()> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(()),
        other => Err(io::Error::other(NotRegular(other))),
    }
}

/// The content of a regular file of at most `limit` octets.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_open(open(path)?, limit)
}

/// As [`read`], of an open file.
pub(crate) fn read_open(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let text = format!("is larger than {limit} octets, which it cannot be");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::net::UnixListener};

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("endless")).unwrap();
        rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        assert_eq!(read(&path("file"), 4).unwrap(), b"text");
        assert_eq!(read(&path("link"), 4).unwrap(), b"text");
        assert_eq!(read(&path("file"), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        for (name, what) in [
            ("fifo", "is a FIFO, not a regular file"),
            ("socket", "is a socket, not a regular file"),
            (".", "is a directory, not a regular file"),
            ("endless", "is a character device, not a regular file"),
        ] {
            assert_eq!(open(&path(name)).unwrap_err().to_string(), what);
        }
        assert_eq!(open(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let nofollow = open_at(CWD, &path("link"), OFlags::NOFOLLOW).unwrap_err();
        assert_eq!(nofollow.to_string(), "is a symbolic link, not a regular file");
    }
}
