//! Loopback ports that nobody else uses while a test holds them.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below Linux's ephemeral range, so that no outgoing connection takes a port between the test that reserved it and the daemon that binds it.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1, free for TCP and UDP, reserved among all tests of this machine until dropped.
///
/// The reservation is an abstract socket: the kernel ends it with the process, however the process ends, and it leaves no file.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UnixListener,
}

impl Port {
    pub fn reserve() -> Self {
        // Where to begin does not matter for correctness; parallel test processes just should not all queue up for the same first port.
        let width = RANGE.end - RANGE.start;
        let seed = (std::process::id() as u16).wrapping_mul(257) % width;
        for step in 0..width {
            let number = RANGE.start + (seed + step) % width;
            let name =
                SocketAddr::from_abstract_name(format!("postfix-agentx-test-port-{number}")).expect("short name");
            let Ok(reservation) = UnixListener::bind_addr(&name) else { continue };
            let free =
                TcpListener::bind(("127.0.0.1", number)).is_ok() && UdpSocket::bind(("127.0.0.1", number)).is_ok();
            if free {
                return Self { number, _reservation: reservation };
            }
        }
        panic!("no free port in {RANGE:?}");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number.fmt(f)
    }
}
