//! Is an instance running, and which process is its master?
//!
//! master(8) holds an exclusive flock on pid/master.pid for as long as it lives; /proc/locks shows that to everyone as
//! `FLOCK … WRITE pid major:minor:inode`. The lock file is only stat'ed: opening or locking it could make a `postfix start`
//! fail, its content outlives the master, and `master -t` answers 1 to an ordinary user whatever is the case.
//!
//! One look is no look. The kernel lists locks page by page, and one that is held all the time can be missing from a reading
//! while others come and go (fs/locks.c, `seq_hlist_start_percpu`). So a lock that is not seen says "stopped" only where
//! nothing speaks against it: the master known before is gone from /proc, and nobody listens on master's sockets
//! ([`listener`]). The collectors look twice before they believe even that.

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::{linux::fs::MetadataExt, unix::fs::FileTypeExt},
    path::{Path, PathBuf},
};

/// What /proc/self/ns/pid links to outside of containers (PROC_PID_INIT_INO of the kernel).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
const ELSEWHERE: &str =
    "master runs in another pid namespace; run the agent in the same one (in a container: share it)";
/// Sockets of master's that cost nobody anything to connect to: postlog's is a datagram socket, and qmgr runs anyway. Only
/// where there is neither is showq's asked, which makes master start one.
const SOCKETS: [&str; 3] = ["public/postlog", "public/qmgr", "public/showq"];

/// What can be said of an instance's master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Master {
    /// This process holds the lock.
    Running(u32),
    /// Nobody holds it.
    Stopped,
    /// It could not be looked at, and why.
    Unknown(String),
}

/// A process and no other one that has its pid later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// Clock ticks from boot to its start.
    pub start: u64,
}

/// One line of /proc/locks that can be a master's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lock {
    pid: i64,
    major: u32,
    minor: u32,
    inode: u64,
}

/// All exclusive flocks of this host: read once for all instances.
#[derive(Debug)]
pub struct Locks {
    held: Result<Vec<Lock>, String>,
    proc: PathBuf,
}

impl Locks {
    /// Reads /proc/locks.
    pub fn read() -> Self {
        Self::read_at(Path::new("/proc"))
    }

    /// Reads another /proc: that of the host in a container, or a test's.
    pub fn read_at(proc: &Path) -> Self {
        let file = proc.join("locks");
        let held = fs::read_to_string(&file).map(|text| parse(&text)).map_err(|e| unlisted(&file, &e));
        Self { held, proc: proc.to_owned() }
    }

    /// The state of the instance whose spool is `queue_directory`. `known` is its master as it was seen last.
    pub fn master(&self, queue_directory: &Path, known: Option<Identity>) -> Master {
        let file = queue_directory.join("pid/master.pid");
        let locks = match &self.held {
            Ok(locks) => locks,
            Err(e) => return Master::Unknown(e.clone()),
        };
        let meta = match fs::metadata(&file) {
            Ok(meta) => meta,
            // Never started since the directory was made, which is Postfix's first step.
            Err(e) if e.kind() == io::ErrorKind::NotFound && queue_directory.join("pid").is_dir() => {
                return self.not_held(queue_directory, known);
            }
            Err(e) => return Master::Unknown(unseen(queue_directory, &file, &e)),
        };
        let (major, minor) = (rustix::fs::major(meta.st_dev()), rustix::fs::minor(meta.st_dev()));
        let of_inode: Vec<&Lock> = locks.iter().filter(|l| l.inode == meta.st_ino()).collect();
        let exact = of_inode.iter().find(|l| (l.major, l.minor) == (major, minor));
        match (exact, of_inode.as_slice()) {
            (Some(lock), _) => holder(lock),
            (None, []) => self.not_held(queue_directory, known),
            // btrfs and overlayfs show another device in /proc/locks than in stat(2): then the process has to be a master,
            // and the only one. Several overlays can have a file with this number.
            (None, candidates) => match candidates.iter().filter(|l| self.is_master(l.pid)).collect::<Vec<_>>()[..] {
                [] => self.not_held(queue_directory, known),
                [lock] => holder(lock),
                _ => Master::Unknown(format!(
                    "several masters hold a lock that could be {}; run the agent in the container of this Postfix",
                    file.display()
                )),
            },
        }
    }

    /// No lock to be seen. That of the master known before was overlooked if that one is still there: it holds the lock for as
    /// long as it lives. Else whether somebody listens on a socket of master's is the second witness. Locks of processes in
    /// another pid namespace are not shown at all (fs/locks.c), so that a container cannot do without it.
    fn not_held(&self, queue_directory: &Path, known: Option<Identity>) -> Master {
        if let Some(known) = known
            && self.start(known.pid) == Some(known.start)
            && self.is_master(known.pid.into())
        {
            return Master::Running(known.pid);
        }
        let namespace = fs::read_link(self.proc.join("self/ns/pid"));
        let sees_all = namespace.map_or(true, |link| link.as_os_str() == INITIAL_PID_NAMESPACE);
        match listener(queue_directory) {
            Ok(false) => Master::Stopped,
            Ok(true) if sees_all => Master::Unknown(format!(
                "somebody listens on the sockets in {0}/public, but no lock on {0}/pid/master.pid is seen; is that file the one of the Postfix that runs, and mounted from the same spool?",
                queue_directory.display()
            )),
            Ok(true) => Master::Unknown(ELSEWHERE.into()),
            // The sockets are closed to us, or not there. Here every lock is seen.
            Err(_) if sees_all => Master::Stopped,
            // Neither the file that a start makes nor one of its sockets.
            Err((_, e)) if e.kind() == io::ErrorKind::NotFound && is_untouched(queue_directory) => Master::Stopped,
            Err((socket, e)) => Master::Unknown(format!(
                "no lock of master's is seen from this pid namespace, and {} does not tell whether it runs: {e}; share master's pid namespace, or put the agent's user into group postdrop",
                socket.display()
            )),
        }
    }

    /// The process, if it is there to be seen.
    pub fn identity(&self, pid: u32) -> Option<Identity> {
        Some(Identity { pid, start: self.start(pid)? })
    }

    /// Its start time, the 22nd field of its stat: the 20th behind its name, which may hold anything.
    fn start(&self, pid: u32) -> Option<u64> {
        let stat = fs::read_to_string(self.proc.join(format!("{pid}/stat"))).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
    }

    fn is_master(&self, pid: i64) -> bool {
        fs::read_to_string(self.proc.join(format!("{pid}/comm"))).is_ok_and(|comm| comm.trim_end() == "master")
    }
}

/// Whether Postfix was never started since its directories were made, no socket having been found.
fn is_untouched(queue_directory: &Path) -> bool {
    let none = |name: &str| matches!(queue_directory.join(name).try_exists(), Ok(false));
    none("pid/master.pid") && queue_directory.join("public").is_dir()
}

/// Whether somebody listens on a socket of master's; where that cannot be told, which socket and why.
fn listener(queue_directory: &Path) -> Result<bool, (PathBuf, io::Error)> {
    let mut missing = None;
    for name in SOCKETS {
        let path = queue_directory.join(name);
        match connect(&path) {
            Ok(listens) => return Ok(listens),
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing = missing.or(Some((path, e))),
            Err(e) => return Err((path, e)),
        }
    }
    missing.map_or(Ok(false), Err)
}

/// Whether somebody listens there. Sends nothing, and does not wait.
fn connect(path: &Path) -> io::Result<bool> {
    // Until Postfix 3.5 qmgr's can be a FIFO.
    if fs::symlink_metadata(path)?.file_type().is_fifo() {
        return match rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NXIO) => Ok(false),
            Err(e) => Err(e.into()),
        };
    }
    let to = super::socket::address(path)?;
    for kind in [SocketType::STREAM, SocketType::DGRAM] {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
        match rustix::net::connect(&socket, &to.address) {
            // A full backlog is somebody's.
            Ok(()) | Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::CONNREFUSED) => return Ok(false),
            Err(Errno::PROTOTYPE) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(true)
}

/// Why the locks cannot be listed, and what to do.
fn unlisted(file: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "this /proc shows processes only: set ProcSubset=all in the agent's unit, or mount it without subset=pid"
        }
        _ => "the agent's user must be able to read it, as it is everywhere by default",
    };
    format!("{}: {error}; {remedy}", file.display())
}

/// Why master.pid cannot be found, and what to do.
fn unseen(queue_directory: &Path, file: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound if queue_directory.is_dir() => {
            "in a container mount the spool's directory pid as well, beside public; else this Postfix was never started"
        }
        io::ErrorKind::PermissionDenied => {
            "the agent's user must be able to enter its directories; Postfix makes both with mode 0755"
        }
        io::ErrorKind::NotFound => "is queue_directory right, and the spool mounted here?",
        _ => "is the file system of the spool in order?",
    };
    format!("{}: {error}; {remedy}", file.display())
}

fn holder(lock: &Lock) -> Master {
    match u32::try_from(lock.pid) {
        Ok(pid) if pid > 0 => Master::Running(pid),
        // Another pid namespace: held, but not by anyone we can see.
        _ => Master::Unknown(ELSEWHERE.into()),
    }
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:01:567 0 EOF`; lines of waiters have `->` behind the number.
fn parse(text: &str) -> Vec<Lock> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        if (words.next()?, words.next()?, words.next()?) != ("FLOCK", "ADVISORY", "WRITE") {
            return None;
        }
        let pid = words.next()?.parse().ok()?;
        let mut device = words.next()?.split(':');
        Some(Lock {
            pid,
            major: u32::from_str_radix(device.next()?, 16).ok()?,
            minor: u32::from_str_radix(device.next()?, 16).ok()?,
            inode: device.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(line).collect()
}

/// For the fuzzer: /proc/locks. Says how many locks were understood.
#[cfg(fuzzing)]
pub fn locks(text: &str) -> usize {
    parse(text).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, flock};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn only_exclusive_flocks_that_are_held() {
        let text = "1: FLOCK  ADVISORY  WRITE 77 fe:01:567 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 78 fe:01:567 0 EOF\n\
                    2: POSIX  ADVISORY  WRITE 79 00:2a:9 0 EOF\n3: FLOCK  ADVISORY  READ 80 00:2a:9 0 EOF\nrubbish\n";
        assert_eq!(parse(text), [Lock { pid: 77, major: 0xfe, minor: 1, inode: 567 }]);
    }

    #[test]
    fn another_device_in_proc_locks_needs_the_only_master() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, spool) = (dir.path().join("proc"), dir.path().join("spool"));
        for (pid, name) in [(7, "sleep"), (8, "master"), (9, "master")] {
            fs::create_dir_all(proc.join(pid.to_string())).unwrap();
            fs::write(proc.join(format!("{pid}/comm")), format!("{name}\n")).unwrap();
        }
        fs::create_dir_all(spool.join("pid")).unwrap();
        fs::write(spool.join("pid/master.pid"), "").unwrap();
        let inode = fs::metadata(spool.join("pid/master.pid")).unwrap().st_ino();
        let seen = |pids: &[u32]| {
            let line = |pid: &u32| format!("1: FLOCK  ADVISORY  WRITE {pid} fff:fff:{inode} 0 EOF\n");
            fs::write(proc.join("locks"), pids.iter().map(line).collect::<String>()).unwrap();
            Locks::read_at(&proc).master(&spool, None)
        };
        assert_eq!(seen(&[7]), Master::Stopped, "no master");
        assert_eq!(seen(&[7, 8]), Master::Running(8));
        assert!(matches!(seen(&[8, 9]), Master::Unknown(why) if why.contains("several masters")));
    }

    #[test]
    fn a_lock_that_is_not_listed_is_none_only_without_a_witness_against_it() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, spool) = (dir.path().join("proc"), dir.path().join("spool"));
        for part in ["proc/8", "spool/pid", "spool/public"] {
            fs::create_dir_all(dir.path().join(part)).unwrap();
        }
        fs::write(proc.join("locks"), "").unwrap();
        fs::write(spool.join("pid/master.pid"), "").unwrap();
        let stat = |name: &str, start: u64| {
            fs::write(proc.join("8/comm"), format!("{name}\n")).unwrap();
            let zeros = "0 ".repeat(18);
            fs::write(proc.join("8/stat"), format!("8 ({name}) S {zeros}{start} 0 0\n")).unwrap();
        };
        let known = Some(Identity { pid: 8, start: 77 });
        let seen = || Locks::read_at(&proc).master(&spool, known);
        assert_eq!(seen(), Master::Stopped, "nobody known is there");
        stat("master", 77);
        assert_eq!(Locks::read_at(&proc).identity(8), known);
        assert_eq!(seen(), Master::Running(8), "it was overlooked");
        stat("master", 78);
        assert_eq!(seen(), Master::Stopped, "another process with its number");
        stat("a) master (b", 77);
        assert_eq!(seen(), Master::Stopped, "another program");
        // The other witness.
        for service in SOCKETS {
            let socket = spool.join(service);
            let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert!(matches!(seen(), Master::Unknown(why) if why.contains("somebody listens")), "{service}");
            drop(listener);
            assert_eq!(seen(), Master::Stopped);
            fs::remove_file(&socket).unwrap();
        }
        // As older releases have it.
        let fifo = spool.join("public/qmgr");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(seen(), Master::Stopped);
        let _reader = rustix::fs::open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        assert!(matches!(seen(), Master::Unknown(_)));
        fs::remove_file(proc.join("locks")).unwrap();
        assert!(matches!(seen(), Master::Unknown(why) if why.contains("ProcSubset=all")));
    }

    #[test]
    fn in_another_pid_namespace_a_socket_of_master_tells() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, spool) = (dir.path().join("proc"), dir.path().join("spool"));
        for part in ["proc/self/ns", "spool/pid", "spool/public"] {
            fs::create_dir_all(dir.path().join(part)).unwrap();
        }
        fs::write(proc.join("locks"), "").unwrap();
        fs::write(spool.join("pid/master.pid"), "").unwrap();
        let seen = || Locks::read_at(&proc).master(&spool, None);
        let namespace = |link: &str| {
            let _ = fs::remove_file(proc.join("self/ns/pid"));
            std::os::unix::fs::symlink(link, proc.join("self/ns/pid")).unwrap();
        };
        namespace(INITIAL_PID_NAMESPACE);
        assert_eq!(seen(), Master::Stopped);
        namespace("pid:[4026532999]");
        assert!(matches!(seen(), Master::Unknown(why) if why.contains("postdrop")), "no socket, no answer");
        let socket = UnixDatagram::bind(spool.join("public/postlog")).unwrap();
        assert_eq!(seen(), Master::Unknown(ELSEWHERE.into()));
        drop(socket);
        assert_eq!(seen(), Master::Stopped);
        // Before Postfix 3.4 there was none.
        fs::remove_file(spool.join("public/postlog")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(spool.join("public/qmgr")).unwrap();
        assert_eq!(seen(), Master::Unknown(ELSEWHERE.into()));
        drop(socket);
        assert_eq!(seen(), Master::Stopped);
        fs::remove_file(spool.join("public/qmgr")).unwrap();
        fs::remove_file(spool.join("pid/master.pid")).unwrap();
        assert_eq!(seen(), Master::Stopped, "never started");
    }

    #[test]
    fn the_lock_and_not_the_file_tells_running_from_stopped() {
        let spool = tempfile::tempdir().unwrap();
        let only = Locks::read().master(spool.path(), None);
        assert!(matches!(only, Master::Unknown(why) if why.contains("directory pid")), "nothing was seen");
        let nowhere = Locks::read().master(Path::new("/nonexistent"), None);
        assert!(matches!(nowhere, Master::Unknown(why) if why.contains("mounted")));
        fs::create_dir(spool.path().join("pid")).unwrap();
        fs::create_dir(spool.path().join("public")).unwrap();
        assert_eq!(Locks::read().master(spool.path(), None), Master::Stopped, "never started");
        // A stopped Postfix leaves its sockets, which matters where this test runs in a container.
        drop(UnixDatagram::bind(spool.path().join("public/postlog")).unwrap());
        let file = fs::File::create(spool.path().join("pid/master.pid")).unwrap();
        assert_eq!(Locks::read().master(spool.path(), None), Master::Stopped);
        flock(&file, FlockOperation::LockExclusive).unwrap();
        // On overlayfs the device differs and we are no master; everywhere else the pid is ours.
        let seen = Locks::read().master(spool.path(), None);
        assert!(seen == Master::Running(std::process::id()) || seen == Master::Stopped, "{seen:?}");
    }
}
