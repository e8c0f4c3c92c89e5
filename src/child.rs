//! Child processes: postconf(1), journalctl(1) and sendmail(1). No other file may start one (`clippy.toml`).
//!
//! A child is an absolute path, or a name that is looked up where strangers cannot put a program ([`find`]). It starts with an
//! environment made here, without the agent's ambient capabilities, in `/`, and as the leader of a process group of its own.
//! Nobody waits for it longer than the deadline, and what it or its own children do with its pipes does not change that: they
//! are read without blocking by whoever waits, so that no thread is needed. What it writes is bounded. At its end, or when
//! it is dropped, its whole group is killed and it is reaped.

// The one place.
#![allow(clippy::disallowed_types)]

use crate::{limits, stop::Stop};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Access, MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
    time::Timespec,
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{MetadataExt, PermissionsExt},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{self, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Where programs are looked up, and the PATH a child gets.
const DIRECTORIES: [&str; 6] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
/// Octets of standard output that [`run`] takes.
const OUTPUT: usize = 16 << 20;
/// Octets of standard error that are kept: the end of it, where programs say what they died of.
const SAID: usize = 16 << 10;
/// How often a stop is looked for while a child runs.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed child may take to go. One that waits for a disk is reaped later.
const KILLED: Duration = Duration::from_millis(500);
/// Children that were started and not yet killed.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Why a child gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// There is no such program.
    #[error("{program}: no such program in {}, nor in a directory of the agent's PATH that only root can write to", DIRECTORIES.join(", "))]
    Missing {
        /// Its name.
        program: String,
    },
    /// It cannot be started.
    #[error("{program}: {source}; {}", remedy(source))]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not end; it was killed.
    #[error("{command}: no answer within {} s; run it by hand as the agent's user to see what it waits for", after.as_secs())]
    Timeout {
        /// The program and its first arguments.
        command: String,
        /// The deadline.
        after: Duration,
    },
    /// It wrote more than 16 MiB; it was killed.
    #[error("{0}: more output than it can have; run it by hand as the agent's user to see what it writes")]
    TooMuch(String),
    /// The agent stops, or has read its configuration anew; the child was killed.
    #[error("{0}: ended because the agent stops")]
    Stopped(String),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "the agent's user must be able to execute it",
        _ => limits::remedy(error).unwrap_or("is it installed completely?"),
    }
}

/// What a child that ended had to say.
#[derive(Debug)]
pub(crate) struct Output {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// The end of standard error.
    pub(crate) said: Vec<u8>,
}

/// Runs `program` to its end, at most until the deadline or the stop.
pub(crate) fn run(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    deadline: Duration,
    stop: &Stop,
) -> Result<Output, ChildError> {
    finish(Asked::start(program, arguments, deadline)?, stop)
}

/// As [`run`], with `input` as its standard input: a file in memory, so that nobody waits for it to be read.
pub(crate) fn feed(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    input: &[u8],
    deadline: Duration,
    stop: &Stop,
) -> Result<Output, ChildError> {
    let file = || -> io::Result<fs::File> {
        let mut file = fs::File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
        file.write_all(input)?;
        file.rewind()?;
        Ok(file)
    };
    let start = |source| ChildError::Start { program: program.display().to_string(), source };
    let child = Child::start_on(program, arguments, file().map_err(start)?.into())?;
    finish(Asked { child, out: Vec::new(), begun: Instant::now(), deadline }, stop)
}

fn finish(mut asked: Asked, stop: &Stop) -> Result<Output, ChildError> {
    loop {
        if let Some(output) = asked.poll(LOOK)? {
            return Ok(output);
        }
        if stop.is_stopped() {
            return Err(ChildError::Stopped(asked.child.command.clone()));
        }
    }
}

/// A child that is to say something and end.
#[derive(Debug)]
pub(crate) struct Asked {
    child: Child,
    out: Vec<u8>,
    begun: Instant,
    deadline: Duration,
}

impl Asked {
    /// Starts it.
    pub(crate) fn start(
        program: &Path,
        arguments: &[impl AsRef<OsStr>],
        deadline: Duration,
    ) -> Result<Self, ChildError> {
        let child = Child::start(program, arguments)?;
        Ok(Self { child, out: Vec::new(), begun: Instant::now(), deadline })
    }

    /// What it said, once it has ended; waits `patience` for that. An error is the end of it as well.
    pub(crate) fn poll(&mut self, patience: Duration) -> Result<Option<Output>, ChildError> {
        let left = self.deadline.saturating_sub(self.begun.elapsed());
        self.child.wait(patience.min(left));
        // In this order: what it wrote before it ended is in the pipe once it has.
        let status = self.child.ended();
        while let Some(1..) = self.child.read(&mut self.out) {
            if self.out.len() > OUTPUT {
                return Err(ChildError::TooMuch(self.child.command.clone()));
            }
        }
        match status {
            Some(status) => {
                let out = std::mem::take(&mut self.out);
                Ok(Some(Output { status, out, said: std::mem::take(&mut self.child.said) }))
            }
            None if self.begun.elapsed() >= self.deadline => {
                Err(ChildError::Timeout { command: self.child.command.clone(), after: self.deadline })
            }
            None => Ok(None),
        }
    }
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Child {
    /// The program and its first arguments, for messages.
    command: String,
    /// `None` once it was reaped.
    process: Option<process::Child>,
    /// Readable once it has ended; kernels before 5.3 have none.
    end: Option<OwnedFd>,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    said: Vec<u8>,
}

impl Child {
    /// Starts it. Its standard output and standard error are for [`read`](Self::read) and [`said`](Self::said).
    pub(crate) fn start(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Self, ChildError> {
        Self::start_on(program, arguments, Stdio::null())
    }

    fn start_on(program: &Path, arguments: &[impl AsRef<OsStr>], input: Stdio) -> Result<Self, ChildError> {
        reap(None);
        let path = find(program)?;
        let name = program.display().to_string();
        let error = |source: io::Error| ChildError::Start { program: name.clone(), source };
        // Of this thread, and so of what it starts. What the agent may do itself does not change.
        match rustix::thread::clear_ambient_capability_set() {
            // Kernels before 4.3 have no ambient capabilities.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(e) => return Err(error(e.into())),
        }
        let mut process = Command::new(path)
            .args(arguments)
            .env_clear()
            .env("PATH", DIRECTORIES.join(":"))
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(error)?;
        let (out, err) = (process.stdout.take(), process.stderr.take());
        let words = arguments.iter().take(3).map(|argument| argument.as_ref().to_string_lossy());
        let command = [name.as_str().into()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
        let end = pid(&process).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // From here on it is ended whatever happens.
        RUNNING.fetch_add(1, Ordering::SeqCst);
        let child = Self { command, process: Some(process), end, out, err, said: Vec::new() };
        let pipes = child.out.as_ref().map(AsFd::as_fd).into_iter().chain(child.err.as_ref().map(AsFd::as_fd));
        for pipe in pipes {
            fcntl_getfl(pipe)
                .and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK))
                .map_err(|e| ChildError::Start { program: child.command.clone(), source: e.into() })?;
        }
        Ok(child)
    }

    /// Waits until there is something to be read or it has ended, for `patience` at most.
    pub(crate) fn wait(&self, patience: Duration) {
        let pipes = self.out.as_ref().map(AsFd::as_fd).into_iter().chain(self.err.as_ref().map(AsFd::as_fd));
        let mut all: Vec<PollFd<'_>> = pipes
            .chain(self.end.as_ref().map(AsFd::as_fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        // Without a descriptor for its end it is asked often enough.
        let patience = if self.end.is_none() { patience.min(Duration::from_millis(5)) } else { patience };
        let timeout = Timespec::try_from(patience).ok();
        // An interrupted wait is a short one.
        let _ = poll(&mut all, timeout.as_ref());
    }

    /// Appends what it has written to standard output since, 64 KiB at most, and says how much that was: `None` where there is
    /// nothing now, 0 where nothing will come any more.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> Option<usize> {
        self.listen();
        take(&mut self.out, buffer)
    }

    /// The end of what it has written to standard error so far.
    pub(crate) fn said(&mut self) -> &[u8] {
        self.listen();
        &self.said
    }

    fn listen(&mut self) {
        while let Some(1..) = take(&mut self.err, &mut self.said) {
            let surplus = self.said.len().saturating_sub(SAID);
            self.said.drain(..surplus);
        }
    }

    /// How it ended, if it has; what it had started is ended with it.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        // Not reaped yet it still holds the number of its group, which no other one can have meanwhile.
        let looked = rustix::process::waitid(
            WaitId::Pid(pid(process)?),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        );
        if let Ok(None) = looked {
            return None;
        }
        kill(process);
        let status = process.try_wait().ok().flatten()?;
        self.process = None;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        Some(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            kill(&process);
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            reap(Some(process));
        }
    }
}

/// Waits until no child runs any more, for `patience` at most: the process is about to end.
pub(crate) fn wait_for_all(patience: Duration) {
    let deadline = Instant::now() + patience;
    while RUNNING.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}

fn pid(process: &process::Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process.id()).ok()?)
}

fn kill(process: &process::Child) {
    if let Some(pid) = pid(process) {
        // A group that is gone has nobody left to kill.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Reaps those that were killed, this one too; one that does not go now is kept for the next time.
fn reap(killed: Option<process::Child>) {
    static LEFT: Mutex<Vec<process::Child>> = Mutex::new(Vec::new());
    let gone = |process: &mut process::Child| !matches!(process.try_wait(), Ok(None));
    if let Some(mut process) = killed {
        let deadline = Instant::now() + KILLED;
        while !gone(&mut process) {
            if Instant::now() >= deadline {
                LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(process);
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|process| !gone(process));
}

/// Appends what is in the pipe, 64 KiB at most. A broken one is at its end.
fn take(pipe: &mut Option<impl Read>, buffer: &mut Vec<u8>) -> Option<usize> {
    let Some(open) = pipe else { return Some(0) };
    let filled = buffer.len();
    buffer.resize(filled + (64 << 10), 0);
    let read = open.read(buffer.get_mut(filled..).unwrap_or_default());
    buffer.truncate(filled + read.as_ref().map_or(0, |read| *read));
    match read {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
        Ok(0) | Err(_) => {
            *pipe = None;
            Some(0)
        }
        Ok(read) => Some(read),
    }
}

/// A name is looked up in the agent's own PATH, in those of its directories that only root or the agent's user can write to, so
/// that a Postfix in /opt is found; then in the usual ones.
fn find(program: &Path) -> Result<PathBuf, ChildError> {
    if program.is_absolute() {
        return Ok(program.to_owned());
    }
    let own: OsString = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&own).filter(|directory| directory.is_absolute());
    let own = own.map(|directory| directory.join(program)).filter(|path| is_closed_to_strangers(path));
    let usual = DIRECTORIES.iter().map(|directory| Path::new(directory).join(program));
    let mut found = own.chain(usual).filter(|path| path.is_file() && may_execute(path));
    found.next().ok_or_else(|| ChildError::Missing { program: program.display().to_string() })
}

fn may_execute(path: &Path) -> bool {
    rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, rustix::fs::AtFlags::EACCESS).is_ok()
}

/// Whether nobody but root and the agent's user can put another file there: the file and every directory above it are theirs,
/// and others may write to none but a sticky one (/tmp), in which nobody can replace what is not his.
fn is_closed_to_strangers(path: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    let user = rustix::process::geteuid().as_raw();
    let Ok(path) = fs::canonicalize(path) else { return false };
    path.ancestors().all(|part| {
        fs::metadata(part).is_ok_and(|meta| {
            let mode = meta.permissions().mode();
            let closed = mode & 0o022 == 0 || meta.is_dir() && mode & STICKY != 0;
            (meta.uid() == 0 || meta.uid() == user) && closed
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str, deadline: Duration) -> Result<Output, ChildError> {
        run(Path::new("sh"), &["-c", script], deadline, &Stop::default())
    }

    /// Waits until no process has this number, or is about to: killed ones of a group are somebody else's to reap.
    fn gone(pid: &str) -> bool {
        let deadline = Instant::now() + LONG;
        let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        while Instant::now() < deadline {
            let state = state();
            if state.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z")) {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    #[test]
    fn what_it_writes_and_how_it_ends_is_known() {
        let output = shell("echo out; echo one >&2; echo two >&2; exit 3", LONG).unwrap();
        assert_eq!((output.out, output.status.code()), (b"out\n".to_vec(), Some(3)));
        assert_eq!(output.said, b"one\ntwo\n");
        let much = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo end >&2", LONG).unwrap();
        assert_eq!((much.out.len(), much.said.len()), (1_000_000, SAID));
        assert!(much.said.ends_with(b"end\n"));
        assert!(matches!(shell("cat /dev/zero", LONG), Err(ChildError::TooMuch(_))));
    }

    #[test]
    fn its_environment_is_made_here_and_it_leads_its_own_group() {
        let output =
            shell("tr '\\0' '\\n' < /proc/self/environ; pwd; echo $$ $(cut -d' ' -f5 /proc/$$/stat)", LONG).unwrap();
        let text = String::from_utf8(output.out).unwrap();
        let mut lines = text.lines();
        let mut environment = [lines.next().unwrap(), lines.next().unwrap()];
        environment.sort_unstable();
        // The shell adds PWD to the environment of what it starts.
        let rest: Vec<&str> = lines.filter(|line| !line.starts_with("PWD=") && !line.starts_with('_')).collect();
        assert!(environment[0] == "LC_ALL=C" && environment[1].starts_with("PATH=/usr/sbin:"), "{text}");
        let [directory, numbers] = rest[..] else { panic!("{text}") };
        let (own, group) = numbers.split_once(' ').unwrap();
        assert_eq!((directory, own), ("/", group));
    }

    #[test]
    fn a_deadline_holds_whatever_is_done_with_the_pipes() {
        for script in [
            "echo $$; exec sleep 1000",
            "echo $$; exec >&- 2>&-; exec sleep 1000",
            "sleep 1000 & echo $!; wait",
            "trap '' TERM INT HUP; echo $$; while :; do sleep 1000; done",
        ] {
            let mut asked = Asked::start(Path::new("sh"), &["-c", script], Duration::from_millis(300)).unwrap();
            let error = loop {
                match asked.poll(LONG) {
                    Err(e) => break e,
                    Ok(output) => assert!(output.is_none(), "{script}: it did not end"),
                }
            };
            assert!(matches!(error, ChildError::Timeout { .. }), "{script}: {error}");
            let pid = String::from_utf8(asked.out.clone()).unwrap();
            drop(asked);
            assert!(gone(&pid), "{script}: {pid} is still there");
        }
    }

    #[test]
    fn what_a_child_leaves_behind_with_its_pipes_is_not_waited_for() {
        let output = shell("sleep 1000 & echo $!", LONG).unwrap();
        assert!(output.status.success());
        assert!(gone(std::str::from_utf8(&output.out).unwrap()));
    }

    #[test]
    fn what_it_is_fed_need_not_be_read() {
        let feed = |script, input: &[u8]| feed(Path::new("sh"), &["-c", script], input, LONG, &Stop::default());
        assert_eq!(feed("cat", &vec![b'x'; 300_000]).unwrap().out.len(), 300_000);
        assert_eq!(feed("exit 75", &vec![b'x'; 300_000]).unwrap().status.code(), Some(75));
    }

    #[test]
    fn a_stop_ends_it() {
        let stop = Stop::default();
        stop.stop();
        assert!(matches!(run(Path::new("sleep"), &["1000"], LONG, &stop), Err(ChildError::Stopped(_))));
    }

    #[test]
    fn only_what_strangers_cannot_replace_is_found() {
        assert!(matches!(find(Path::new("no-such-program")), Err(ChildError::Missing { .. })));
        assert!(find(Path::new("sh")).unwrap().is_absolute());
        assert_eq!(find(Path::new("/x/y")).unwrap(), Path::new("/x/y"));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("program");
        fs::write(&file, "").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(directory.path(), 0o755);
        mode(&file, 0o755);
        assert!(is_closed_to_strangers(&file));
        mode(&file, 0o775);
        assert!(!is_closed_to_strangers(&file));
        mode(&file, 0o755);
        mode(directory.path(), 0o757);
        assert!(!is_closed_to_strangers(&file));
        mode(directory.path(), 0o755);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("program", &link).unwrap();
        assert!(is_closed_to_strangers(&link));
        assert!(!is_closed_to_strangers(&directory.path().join("none")));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_533), None).unwrap();
            assert!(!is_closed_to_strangers(&file));
        }
    }
}
