//! What the system gives no more of, and where that is changed: descriptors, threads, memory, room.

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::io;

/// With fewer descriptors than these nothing can be promised: sockets, the log and its rotations, pipes of a child.
const LEAST: u64 = 64;
/// As many as are wanted where the hard limit lets us: many instances with logs of their own, and rotated ones beside.
const WANTED: u64 = 4_096;

/// Raises the soft limit of open files as far as it is useful, and refuses to work with next to none: what a library then
/// cannot open it answers with a panic.
pub(crate) fn descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    let best = limit.maximum.unwrap_or(u64::MAX).min(WANTED);
    let now = match now < best {
        true if setrlimit(Resource::Nofile, Rlimit { current: Some(best), maximum: limit.maximum }).is_ok() => best,
        _ => now,
    };
    if now < LEAST {
        return Err(Errno::MFILE.into());
    }
    Ok(())
}

/// What to do about an error that says that a limit is reached; `None` where it says something else.
pub(crate) fn remedy(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE => "the agent has no file descriptor left: raise LimitNOFILE= of its unit or its ulimit -n",
        Errno::NFILE => "the host has no file descriptor left: see fs.file-max",
        Errno::AGAIN => {
            "the system gives the agent no more threads or processes: raise TasksMax= of its unit or its ulimit -u"
        }
        Errno::NOMEM => "memory is short: see MemoryMax= of its unit, its ulimit -v and free(1)",
        Errno::FBIG => "no file may become that large: raise LimitFSIZE= of its unit or its ulimit -f",
        Errno::NOSPC | Errno::DQUOT => "make room there",
        Errno::ROFS => "mount it for writing",
        Errno::IO => "the disk or the file system is faulty: see dmesg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_their_own_remedies() {
        for (errno, word) in [
            (Errno::MFILE, "LimitNOFILE"),
            (Errno::AGAIN, "TasksMax"),
            (Errno::NOMEM, "MemoryMax"),
            (Errno::FBIG, "LimitFSIZE"),
            (Errno::NOSPC, "room"),
        ] {
            assert!(remedy(&errno.into()).is_some_and(|text| text.contains(word)), "{errno}");
        }
        assert_eq!(remedy(&Errno::ACCESS.into()), None);
        assert_eq!(remedy(&io::Error::other("x")), None);
        descriptors().unwrap();
    }
}
