//! What the service manager is told, as sd_notify(3) has it: ready, reloading, stopping, a line of status, and that the
//! watchdog need not bite. A datagram each to the socket that NOTIFY_SOCKET names; without one nothing is told.
//!
//! Never waits: what the manager does not take at once is offered again at the next opportunity, the newest of each kind.

use crate::shown::escaped;
use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

/// Octets of a line of status; `systemctl status` shows one line of the terminal.
const STATUS: usize = 300;

/// What has to reach the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Reloading,
    Stopping,
}

/// The connection to the manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Service {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that we live.
    watchdog: Option<Duration>,
    /// Since when it has not heard it.
    fed: Option<Instant>,
    status: String,
    /// Not taken yet.
    states: Vec<State>,
    told: String,
    ready: bool,
}

impl Service {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        let pid = std::process::id().to_string();
        Self::new(env::var_os("NOTIFY_SOCKET"), |name| env::var(name).ok(), &pid)
    }

    fn new(socket: Option<OsString>, variable: impl Fn(&str) -> Option<String>, pid: &str) -> Self {
        let socket = socket.filter(|name| !name.is_empty()).and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(e) => {
                tracing::warn!("the service manager is told nothing: NOTIFY_SOCKET={}: {e}", name.display());
                None
            }
        });
        let ours = variable("WATCHDOG_PID").is_none_or(|of| of == pid);
        let period = variable("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|usec: &u64| *usec > 0);
        let watchdog = period.filter(|_| ours && socket.is_some()).map(Duration::from_micros);
        Self { socket, watchdog, ..Self::default() }
    }

    /// Whether the manager watches, and it is time to tell it that we live.
    pub(crate) fn is_hungry(&self, now: Instant) -> bool {
        // Twice a period is what sd_watchdog_enabled(3) asks for; a machine under load gets one chance more.
        self.watchdog.is_some_and(|period| self.fed.is_none_or(|fed| now.duration_since(fed) >= period / 3))
    }

    /// All threads live.
    pub(crate) fn alive(&mut self, now: Instant) {
        if self.send("WATCHDOG=1") {
            self.fed = Some(now);
        }
    }

    /// It serves, or would if snmpd let it.
    pub(crate) fn ready(&mut self) {
        self.ready = true;
        self.states.retain(|state| *state != State::Ready);
        self.states.push(State::Ready);
        self.flush();
    }

    /// Whether it was said so.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// SIGHUP came. [`ready`](Self::ready) ends it.
    pub(crate) fn reloading(&mut self) {
        self.states.push(State::Reloading);
        self.flush();
    }

    /// SIGTERM came.
    pub(crate) fn stopping(&mut self) {
        self.states = vec![State::Stopping];
        self.flush();
    }

    /// One line for `systemctl status`.
    pub(crate) fn status(&mut self, text: &str) {
        if self.socket.is_none() {
            return;
        }
        self.status.clear();
        for c in escaped(text).chars().take(STATUS) {
            self.status.push(c);
        }
        self.flush();
    }

    /// Offers what was not taken yet.
    pub(crate) fn flush(&mut self) {
        while let Some(state) = self.states.first() {
            let mut text = match state {
                State::Ready => "READY=1".to_owned(),
                // systemd takes the reload for the one it asked for if it was later.
                State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic()),
                State::Stopping => "STOPPING=1".to_owned(),
            };
            let status = self.status.clone();
            // Writing to a String does not fail.
            let _ = write!(text, "\nSTATUS={status}");
            if !self.send(&text) {
                return;
            }
            self.told = status;
            self.states.remove(0);
        }
        if self.told != self.status && self.send(&format!("STATUS={}", self.status)) {
            self.told.clone_from(&self.status);
        }
    }

    /// Whether it need not be sent again.
    fn send(&self, text: &str) -> bool {
        let Some(socket) = &self.socket else { return true };
        match socket.send(text.as_bytes()) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => false,
            Err(e) => {
                tracing::debug!("the service manager was not told {text:?}: {e}");
                true
            }
            Ok(_) => true,
        }
    }
}

/// A path, or a name in the abstract namespace, which `@` stands for.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// CLOCK_MONOTONIC in microseconds.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn each_state_is_a_datagram_with_the_status() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut service = Service::new(Some(path.into()), nothing, "1");
        service.status("waits\nREADY=1");
        assert_eq!(received(&manager), "STATUS=waits\\x0aREADY=1", "a status is one line, whatever it quotes");
        service.ready();
        assert_eq!(received(&manager), "READY=1\nSTATUS=waits\\x0aREADY=1");
        service.status("waits\nREADY=1");
        service.reloading();
        let told = received(&manager);
        let usec: i64 =
            told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().lines().next().unwrap().parse().unwrap();
        assert!((1..=monotonic()).contains(&usec), "{told}");
        service.stopping();
        assert!(received(&manager).starts_with("STOPPING=1\n"));
        assert!(!service.is_hungry(Instant::now()), "nobody watches");
    }

    #[test]
    fn an_abstract_name_is_a_socket_too_and_a_wrong_one_is_none() {
        let name = format!("postfix-agentx-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let watchdog = |name: &str| (name == "WATCHDOG_USEC").then(|| "3000000".to_owned());
        let mut service = Service::new(Some(format!("@{name}").into()), watchdog, "1");
        let now = Instant::now();
        assert!(service.is_hungry(now));
        service.alive(now);
        assert_eq!(received(&manager), "WATCHDOG=1");
        assert!(!service.is_hungry(now) && service.is_hungry(now + Duration::from_secs(1)));
        for wrong in ["", "vsock:2:1", "/nonexistent/notify"] {
            let mut service = Service::new(Some(wrong.into()), watchdog, "1");
            service.ready();
            assert!(service.socket.is_none() && !service.is_hungry(now) && service.is_ready(), "{wrong}");
        }
        let of_another = |name: &str| Some(if name == "WATCHDOG_PID" { "2" } else { "3000000" }.to_owned());
        let service = Service::new(Some(format!("@{name}").into()), of_another, "1");
        assert!(!service.is_hungry(now), "the watchdog is another process's");
    }

    #[test]
    fn what_is_not_taken_at_once_is_offered_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut service = Service::new(Some(path.into()), nothing, "1");
        let mut sent = 0;
        while service.send("X=1") {
            sent += 1;
        }
        service.status("one");
        service.ready();
        service.status("two");
        for _ in 0..sent {
            assert_eq!(received(&manager), "X=1");
        }
        service.flush();
        assert_eq!(received(&manager), "READY=1\nSTATUS=two");
        manager.set_nonblocking(true).unwrap();
        assert!(manager.recv(&mut [0; 9]).is_err(), "nothing is told twice");
    }
}
