//! A connection to a stranger: bounded input, TLS on top at any moment, every wait ended by the probe's deadline.

use super::{
    fault::Fault,
    input::Input,
    run::Run,
    stage::Side,
    tls::{self, Seen},
};
use crate::config::probe::{Family, Server};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// At most this many addresses of a name are tried.
const ADDRESSES: usize = 8;

/// TCP, TLS, or a test's pipe.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A line protocol's connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    input: Input,
    local: Option<IpAddr>,
}

impl Connection {
    /// On a stream that is open already.
    pub fn new(stream: Box<dyn Stream>, longest: usize) -> Self {
        Self { stream, input: Input::new(longest), local: None }
    }

    /// Resolves and connects, in the stages of `side`.
    pub async fn open(run: &mut Run, server: &Server, side: Side, longest: usize) -> Result<Self, Fault> {
        run.trace.begin(side.resolve);
        let addresses = resolve(run, server).await?;
        run.trace.begin(side.connect);
        // Each address has its share, so that a dead one leaves time for the next.
        let share = run.timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut last = None;
        for address in addresses {
            let failed = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Small answers at once; without it they are late, not wrong.
                    let _ = stream.set_nodelay(true);
                    let local = stream.local_addr().ok().map(|address| address.ip());
                    return Ok(Self { stream: Box::new(stream), input: Input::new(longest), local });
                }
                Ok(Err(source)) => source,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            last = Some(Fault::Connect { address: address.to_string(), source: failed });
        }
        Err(last.unwrap_or_else(|| Fault::NoAddress(server.host.clone(), "usable")))
    }

    /// The address the server sees.
    pub fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            if let Some(line) = self.input.line()? {
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// Exactly `count` octets, which must not be more than the longest line.
    pub async fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        if count > self.input.longest() {
            return Err(Fault::Literal(count.to_string()));
        }
        loop {
            if let Some(octets) = self.input.exactly(count) {
                return Ok(octets);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Fault> {
        // Polled with the deadline around it; a whole page costs a 4 KiB future a connection.
        let mut octets = [0; 4_096];
        match self.stream.read(&mut octets).await {
            Ok(0) => Err(Fault::Closed("")),
            Ok(count) => self.input.feed(octets.get(..count).unwrap_or_default()),
            Err(e) => Err(broken(e)),
        }
    }

    /// Sends all of it.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.stream.write_all(octets).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// TLS from here on, as `server` wants it verified.
    pub async fn start_tls(self, run: &mut Run, server: &Server) -> Result<(Self, Seen), Fault> {
        if !self.input.is_empty() {
            return Err(Fault::Injected);
        }
        let longest = self.input.longest();
        let (stream, seen) = tls::handshake(run, server, self.stream).await?;
        Ok((Self { stream: Box::new(stream), input: Input::new(longest), local: self.local }, seen))
    }
}

fn broken(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Closed(""),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Fault::Closed(" abruptly"),
        _ => Fault::Broken(error),
    }
}

/// An address needs no resolver.
fn resolve<'a>(run: &'a Run, server: &'a Server) -> impl Future<Output = Result<Vec<SocketAddr>, Fault>> + 'a {
    async move {
        let (host, port) = (server.host.clone(), server.port);
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let lookup = run.environment.resolve.clone();
                let name = host.clone();
                run.offload
                    .run("the name server's answer", move || lookup(&name, port))
                    .await?
                    .map_err(|source| Fault::Resolve { host: host.clone(), source })?
            }
        };
        let wanted = |address: &SocketAddr| match server.ip {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        };
        let addresses: Vec<SocketAddr> = found.into_iter().filter(wanted).take(ADDRESSES).collect();
        if addresses.is_empty() {
            let family = match server.ip {
                Family::Any => "usable",
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            };
            return Err(Fault::NoAddress(host, family));
        }
        Ok(addresses)
    }
}
