//! Is an instance running, and which process is its master?
//!
//! master(8) holds an exclusive flock on pid/master.pid for as long as it lives; /proc/locks shows that to everyone as
//! `FLOCK … WRITE pid major:minor:inode`. The lock file is only stat'ed: opening or locking it could make a `postfix start`
//! fail, its content outlives the master, and `master -t` answers 1 to an ordinary user whatever is the case.

use std::{
    fs, io,
    os::{linux::fs::MetadataExt, unix::net::UnixDatagram},
    path::{Path, PathBuf},
};

/// What /proc/self/ns/pid links to outside of containers (PROC_PID_INIT_INO of the kernel).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
const ELSEWHERE: &str =
    "master runs in another pid namespace; run the agent in the same one (in a container: share it)";

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
        let held = fs::read_to_string(&file).map(|text| parse(&text)).map_err(|e| format!("{}: {e}", file.display()));
        Self { held, proc: proc.to_owned() }
    }

    /// The state of the instance whose spool is `queue_directory`.
    pub fn master(&self, queue_directory: &Path) -> Master {
        let file = queue_directory.join("pid/master.pid");
        let locks = match &self.held {
            Ok(locks) => locks,
            Err(e) => return Master::Unknown(e.clone()),
        };
        let meta = match fs::metadata(&file) {
            Ok(meta) => meta,
            // Never started since the spool was made.
            Err(e) if e.kind() == io::ErrorKind::NotFound && queue_directory.is_dir() => return Master::Stopped,
            Err(e) => return Master::Unknown(unseen(&file, &e)),
        };
        let (major, minor) = (rustix::fs::major(meta.st_dev()), rustix::fs::minor(meta.st_dev()));
        let of_inode: Vec<&Lock> = locks.iter().filter(|l| l.inode == meta.st_ino()).collect();
        let exact = of_inode.iter().find(|l| (l.major, l.minor) == (major, minor));
        match (exact, of_inode.as_slice()) {
            (Some(lock), _) => holder(lock),
            (None, []) => self.not_held(queue_directory),
            // btrfs and overlayfs show another device in /proc/locks than in stat(2): then the process has to be a master,
            // and the only one. Several overlays can have a file with this number.
            (None, candidates) => match candidates.iter().filter(|l| self.is_master(l.pid)).collect::<Vec<_>>()[..] {
                [] => Master::Stopped,
                [lock] => holder(lock),
                _ => Master::Unknown(format!(
                    "several masters hold a lock that could be {}; run the agent in the container of this Postfix",
                    file.display()
                )),
            },
        }
    }

    /// No lock to be seen. Locks of processes in another pid namespace are not shown (fs/locks.c), so that a container
    /// cannot tell one held outside from none by them. There, whether somebody listens on a socket of master's tells:
    /// connecting a datagram socket to postlog's sends nothing and starts nothing.
    fn not_held(&self, queue_directory: &Path) -> Master {
        let namespace = fs::read_link(self.proc.join("self/ns/pid"));
        if namespace.map_or(true, |link| link.as_os_str() == INITIAL_PID_NAMESPACE) {
            return Master::Stopped;
        }
        let socket = queue_directory.join("public/postlog");
        match UnixDatagram::unbound().and_then(|mine| mine.connect(&socket)) {
            Ok(()) => Master::Unknown(ELSEWHERE.into()),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Master::Stopped,
            Err(e) => Master::Unknown(format!(
                "no lock of master's is seen from this pid namespace, and {} does not tell whether it runs: {e}; share master's pid namespace, or put the agent's user into group postdrop",
                socket.display()
            )),
        }
    }

    fn is_master(&self, pid: i64) -> bool {
        fs::read_to_string(self.proc.join(format!("{pid}/comm"))).is_ok_and(|comm| comm.trim_end() == "master")
    }
}

/// Why master.pid cannot be found, and what to do.
fn unseen(file: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, flock};

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
            Locks::read_at(&proc).master(&spool)
        };
        assert_eq!(seen(&[7]), Master::Stopped, "no master");
        assert_eq!(seen(&[7, 8]), Master::Running(8));
        assert!(matches!(seen(&[8, 9]), Master::Unknown(why) if why.contains("several masters")));
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
        let seen = || Locks::read_at(&proc).master(&spool);
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
    }

    #[test]
    fn the_lock_and_not_the_file_tells_running_from_stopped() {
        let spool = tempfile::tempdir().unwrap();
        assert_eq!(Locks::read().master(spool.path()), Master::Stopped, "never started");
        let nowhere = Locks::read().master(Path::new("/nonexistent"));
        assert!(matches!(nowhere, Master::Unknown(why) if why.contains("mounted")));
        fs::create_dir(spool.path().join("pid")).unwrap();
        // A stopped Postfix leaves its sockets, which matters where this test runs in a container.
        fs::create_dir(spool.path().join("public")).unwrap();
        drop(UnixDatagram::bind(spool.path().join("public/postlog")).unwrap());
        let file = fs::File::create(spool.path().join("pid/master.pid")).unwrap();
        assert_eq!(Locks::read().master(spool.path()), Master::Stopped);
        flock(&file, FlockOperation::LockExclusive).unwrap();
        // On overlayfs the device differs and we are no master; everywhere else the pid is ours.
        let seen = Locks::read().master(spool.path());
        assert!(seen == Master::Running(std::process::id()) || seen == Master::Stopped, "{seen:?}");
    }
}
