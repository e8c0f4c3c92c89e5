//! A temporary directory that takes its processes with it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Ends the sandbox's processes and removes it if the test process dies without doing so (Ctrl-C, SIGKILL): then its end of the pipe closes.
const WATCHDOG: &str = r#"
read -r finished && exit 0
for pass in 1 2; do
    for cwd in /proc/[0-9]*/cwd; do
        case $(readlink "$cwd") in
            "$1" | "$1"/*) pid=${cwd#/proc/}; kill -9 "${pid%/cwd}" ;;
        esac
    done
done
rm -rf "$1"
"#;

/// A private directory below /tmp, with a path short enough for a unix socket (108 bytes) and open enough for Postfix's and the agent's uid.
///
/// A process belongs to the sandbox when its working directory lies inside. Postfix's daemons work in their queue directory, all others are started
/// with [`Sandbox::command`]; so exactly the processes we started are found again, without trusting pids that may have been used twice.
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
    watchdog: Child,
}

impl Sandbox {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix(&format!("pa-{name}-"))
            .tempdir_in("/tmp")
            .expect("a directory in /tmp")
            .keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "sandbox-watchdog"])
            .arg(&dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C must not reach it: it is there for what happens afterwards.
            .process_group(0)
            .spawn()
            .expect("start /bin/sh");
        Self { dir, watchdog }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file (0644) and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Makes a directory with this mode and, if given, owner.
    pub fn mkdir(&self, name: &str, mode: u32, owner: Option<u32>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        if owner.is_some() {
            std::os::unix::fs::chown(&path, owner, owner).unwrap();
        }
        path
    }

    /// A command that belongs to this sandbox. Ctrl-C in a terminal does not reach it: its guard, or the watchdog, ends it in good order.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).stdin(Stdio::null()).process_group(0);
        command
    }

    /// The living processes that work inside.
    pub fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            // A zombie has no working directory, and a process of another user can't be one of ours unless we are root.
            if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.dir)) {
                found.push(pid);
            }
        }
        found
    }

    /// Ends whatever still works inside.
    pub fn end_processes(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let pids = self.processes();
            if pids.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                let _gone_already = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end_processes();
        if std::env::var_os("KEEP_SANDBOX").is_some() {
            eprintln!("kept {}", self.dir.display());
        } else if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays behind: {error}", self.dir.display());
        }
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            let _dead_already = pipe.write_all(b"finished\n");
        }
        let _reaped = self.watchdog.wait();
    }
}
