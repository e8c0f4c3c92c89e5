//! The socket: sends a question until it is answered or the patience is at its end.

use super::{
    message::{Binding, Kind, Request, Response},
    session::{Identity, Ids, Refusal, Reply, Session},
    target::Target,
};
use crate::smi::Oid;
use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, time::timeout};

/// The largest datagram.
const MAX_DATAGRAM: usize = 65_536;
/// How often an agent of SNMPv3 may say "ask again" about one question: it is discovered, its clock is set, once more.
const MAX_AGAIN: u32 = 4;
/// Of a name server that does not answer.
const RESOLVE: Duration = Duration::from_secs(5);

/// How long an answer may take and how often a question is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For each try.
    pub timeout: Duration,
    /// After the first try.
    pub retries: u32,
}

/// One second, and five more tries: net-snmp's.
impl Default for Patience {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(1), retries: 5 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SnmpError {
    /// The name has no address.
    #[error("{target}: {source}; is the name right?")]
    Resolve {
        /// As it was written.
        target: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The system sends nothing there.
    #[error("{address}: {source}")]
    Send {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// ICMP says that nobody listens.
    #[error(
        "nobody listens on UDP {0}: snmpd is not running there, or its agentAddress does not name this address and port"
    )]
    Refused(SocketAddr),
    /// Silence.
    #[error("no answer from {address} within {:.1} s: {}", .waited.as_secs_f64(), if *.discovered { TIMEOUT_LATER } else { .advice })]
    Timeout {
        /// Who is silent.
        address: SocketAddr,
        /// All tries together.
        waited: Duration,
        /// What it usually is.
        advice: &'static str,
        /// It did answer before.
        discovered: bool,
    },
    /// The agent does not accept our messages.
    #[error("{0}")]
    Denied(#[from] Refusal),
    /// error-status of a Response.
    #[error("the agent answers with {}{}", status_name(*.status), about(.name.as_ref()))]
    Status {
        /// RFC 3416 §3.
        status: u32,
        /// Which name it is about.
        name: Option<Oid>,
    },
    /// A walk would never end.
    #[error("the agent is broken: {after} does not come after {before}")]
    NotIncreasing {
        /// The name asked with.
        before: Oid,
        /// The next one, by its word.
        after: Oid,
    },
    /// A walk was left.
    #[error("the agent has more than {0} values or takes more than {1:?} for them")]
    TooMuch(usize, Duration),
    /// Fewer or other bindings than asked for.
    #[error("the agent is broken: it answers another question")]
    Mismatch,
}

const TIMEOUT_V2: &str = "a firewall, snmpd not listening there, a wrong community (SNMPv2c says nothing about it), or one \
                          that this address may not use";
const TIMEOUT_V3: &str = "a firewall, snmpd not listening there, or one without SNMPv3";
const TIMEOUT_LATER: &str = "it did answer before";

fn about(name: Option<&Oid>) -> String {
    name.map(|name| format!(" for {name}")).unwrap_or_default()
}

/// error-status as RFC 3416 names it.
fn status_name(status: u32) -> &'static str {
    match status {
        1 => "tooBig",
        2 => "noSuchName",
        5 => "genErr",
        6 => "noAccess",
        13 => "resourceUnavailable",
        16 => "authorizationError (this user or community may not read, or not at this security level)",
        _ => "an error that a reading manager does not expect",
    }
}

impl SnmpError {
    /// Nobody answers, as opposed to an answer one does not like.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Refused(_) | Self::Send { .. } | Self::Resolve { .. })
    }
}

/// A conversation with one agent.
pub struct Client {
    session: Session,
    socket: UdpSocket,
    address: SocketAddr,
    /// Other addresses of the same host, while none has answered.
    others: Vec<SocketAddr>,
    patience: Patience,
    buffer: Vec<u8>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn open(address: SocketAddr) -> Result<UdpSocket, SnmpError> {
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let failed = |source| SnmpError::Send { address, source };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    // So that only this address may answer, and ICMP's complaints arrive here.
    socket.connect(address).await.map_err(failed)?;
    Ok(socket)
}

impl Client {
    /// Finds the address; nothing is sent yet.
    pub async fn connect(target: &Target, identity: Identity, patience: Patience) -> Result<Self, SnmpError> {
        let failed = |source| SnmpError::Resolve { target: target.to_string(), source };
        let found = timeout(RESOLVE, target.resolve()).await;
        let mut others = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        let mut why = failed(io::ErrorKind::NotFound.into());
        while !others.is_empty() {
            let address = others.remove(0);
            match open(address).await {
                Ok(socket) => {
                    let (session, buffer) = (Session::new(identity), vec![0; MAX_DATAGRAM]);
                    return Ok(Self { session, socket, address, others, patience, buffer });
                }
                // No route in this family; the next address may be of the other.
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Who answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next question on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The values of these instances, in this order.
    pub async fn get(&mut self, names: &[Oid]) -> Result<Vec<Binding>, SnmpError> {
        let bindings = self.ask(Request { kind: Kind::Get, names }).await?;
        let same = bindings.len() == names.len() && bindings.iter().zip(names).all(|(b, name)| b.name == *name);
        if same { Ok(bindings) } else { Err(SnmpError::Mismatch) }
    }

    /// What comes after each.
    pub async fn get_next(&mut self, names: &[Oid]) -> Result<Vec<Binding>, SnmpError> {
        self.ask(Request { kind: Kind::GetNext, names }).await
    }

    /// What comes after the first `non_repeaters` names once, and after each other one `repetitions` times.
    pub async fn get_bulk(
        &mut self,
        non_repeaters: u32,
        repetitions: u32,
        names: &[Oid],
    ) -> Result<Vec<Binding>, SnmpError> {
        self.ask(Request { kind: Kind::GetBulk { non_repeaters, repetitions }, names }).await
    }

    async fn ask(&mut self, request: Request<'_>) -> Result<Vec<Binding>, SnmpError> {
        let answered = loop {
            let answered = self.exchange(&request).await;
            let silent = answered.as_ref().is_err_and(SnmpError::is_silence);
            if silent && !self.session.is_discovered() && !self.others.is_empty() {
                self.address = self.others.remove(0);
                match open(self.address).await {
                    Ok(socket) => self.socket = socket,
                    Err(error) if self.others.is_empty() => return Err(error),
                    Err(_) => {}
                }
            } else {
                break answered;
            }
        };
        let response = match answered {
            Err(silence @ SnmpError::Timeout { .. }) => {
                let better = self.why_silent(&request).await;
                self.session.forget();
                return Err(better.unwrap_or(silence));
            }
            answered => answered?,
        };
        // Whoever has answered is the host.
        self.others.clear();
        if response.status == 0 {
            return Ok(response.bindings);
        }
        let at = usize::try_from(response.index).unwrap_or(usize::MAX).checked_sub(1);
        let name = at.and_then(|at| request.names.get(at)).cloned();
        Err(SnmpError::Status { status: response.status, name })
    }

    /// One question, with retries.
    async fn exchange(&mut self, request: &Request<'_>) -> Result<Response, SnmpError> {
        let ids = self.session.begin();
        let began = Instant::now();
        let mut refused = false;
        let (mut tries, mut again) = (0, 0);
        while tries <= self.patience.retries && again <= MAX_AGAIN {
            let datagram = self.session.datagram(ids, request, Instant::now());
            let sent = self.socket.send(&datagram).await;
            let reply = match sent {
                Ok(_) => timeout(self.patience.timeout, self.receive(ids)).await.unwrap_or(Ok(Reply::Stray)),
                Err(error) => Err(error),
            };
            match reply {
                Ok(Reply::Answer(response)) => return Ok(response),
                Ok(Reply::Refused(refusal)) => return Err(refusal.into()),
                Ok(Reply::Again) => again += 1,
                // Nothing that was ours came in time.
                Ok(Reply::Stray) => tries += 1,
                // An snmpd that is restarted is there again in a moment.
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused
                        && !refused
                        && tries < self.patience.retries =>
                {
                    refused = true;
                    tries += 1;
                    tokio::time::sleep(self.patience.timeout.min(Duration::from_millis(100))).await;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(SnmpError::Refused(self.address));
                }
                Err(source) => return Err(SnmpError::Send { address: self.address, source }),
            }
        }
        let advice = match self.session.identity() {
            Identity::Community(_) => TIMEOUT_V2,
            Identity::User(_) => TIMEOUT_V3,
        };
        let discovered = self.session.is_discovered();
        Err(SnmpError::Timeout { address: self.address, waited: began.elapsed(), advice, discovered })
    }

    /// Waits for a datagram that is not astray.
    async fn receive(&mut self, ids: Ids) -> io::Result<Reply> {
        loop {
            let length = self.socket.recv(&mut self.buffer).await?;
            let datagram = self.buffer.get(..length).unwrap_or_default();
            match self.session.receive(datagram, ids, Instant::now()) {
                Reply::Stray => {}
                reply => return Ok(reply),
            }
        }
    }

    /// What cannot be decrypted is dropped without a word (AES shows no error): an agent that answers the same user in the
    /// clear does not know our privacy passphrase.
    async fn why_silent(&mut self, request: &Request<'_>) -> Option<SnmpError> {
        if !self.session.is_discovered() {
            return None;
        }
        let clear = self.session.without_privacy()?;
        let sealed = std::mem::replace(&mut self.session, clear);
        let answered = self.exchange(request).await;
        let open = std::mem::replace(&mut self.session, sealed);
        let Identity::User(user) = open.identity() else { return None };
        match answered {
            Ok(_) => Some(Refusal::Sealing(String::from_utf8_lossy(&user.name).into_owned()).into()),
            Err(error @ SnmpError::Denied(_)) => Some(error),
            Err(_) => None,
        }
    }
}
