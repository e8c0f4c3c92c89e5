//! One run of one probe: what it is given, what it goes through, what comes out of it.

use super::{
    certificate::{self, Certificate, Status},
    fault::Fault,
    imap, maildir,
    message::{self, Stamp},
    offload::Offload,
    pop3,
    secret::Secret,
    smtp::Smtp,
    stage::{Stage, Trace},
    tls::{self, Seen, TrustCache},
    trip,
};
use crate::config::probe::{self, CertificateAt, Kind, Login, Probe, Protocol};
use rustls::pki_types::ServerName;
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::time::timeout;

/// Host name and port to addresses; may take as long as it likes.
pub type Resolver = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// What all probes share.
pub struct Environment {
    /// How names become addresses: the system's resolver.
    pub resolve: Resolver,
    /// The system's trust store.
    pub trust: TrustCache,
    /// $CREDENTIALS_DIRECTORY.
    pub credentials: Option<PathBuf>,
    /// This host's name.
    pub hostname: String,
}

impl Environment {
    /// This system's.
    pub fn system() -> Self {
        let resolve = |host: &str, port: u16| (host, port).to_socket_addrs().map(Iterator::collect);
        Self {
            resolve: Arc::new(resolve),
            trust: TrustCache::default(),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

/// What a probe keeps from run to run, in memory only.
#[derive(Debug, Default)]
pub struct Memory {
    /// Its one thread for calls that may hang.
    pub offload: Offload,
    /// Messages of the POP3 mailbox that are not ours.
    pub pop3: pop3::Foreign,
    /// Messages of the Maildir that are not ours.
    pub maildir: maildir::Foreign,
}

/// What a message with a stamp is to this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The one that was sent.
    Current,
    /// One of an earlier run that is still waited for.
    Late,
    /// Ours, and of no use any more.
    LeftOver,
    /// Ours, but perhaps of another run that goes on now (`postfix-agentx probe`).
    Keep,
    /// Somebody else's.
    Foreign,
}

/// The message of a round trip, and those of earlier runs.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// Whose messages are ours.
    pub owner: String,
    /// Of the message of this run.
    pub stamp: Option<Stamp>,
    /// Whether it may be on its way.
    pub sent: bool,
    /// Whether it was seen in the mailbox.
    pub arrived: bool,
    /// Sent by earlier runs and not seen yet.
    pub pending: Vec<Stamp>,
    /// Those of them that were found.
    pub late: Vec<Stamp>,
    /// How its server took it: ` as 4XYZ`.
    pub queued: String,
    /// Seconds for which a message of an unknown run is left alone.
    pub keep: u64,
}

impl Mail {
    /// What to do with a message that has this stamp.
    pub fn verdict(&self, stamp: &Stamp) -> Verdict {
        if stamp.owner != self.owner {
            Verdict::Foreign
        } else if Some(stamp) == self.stamp.as_ref() {
            Verdict::Current
        } else if self.pending.contains(stamp) {
            Verdict::Late
        } else if stamp.sent.saturating_add(self.keep) < unix_now() {
            Verdict::LeftOver
        } else {
            Verdict::Keep
        }
    }
}

/// A certificate, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What is in it, where it could be read.
    pub certificate: Option<Certificate>,
    /// postfixCertificateStatus.
    pub status: Status,
    /// Why it is not ok(1); empty where it is.
    pub error: String,
}

impl Judged {
    /// There is none to judge.
    pub fn unreadable(error: String) -> Self {
        Self { certificate: None, status: Status::Unreadable, error }
    }
}

/// A run that goes on.
pub struct Run {
    /// What all probes share.
    pub environment: Arc<Environment>,
    /// The probe's thread.
    pub offload: Offload,
    /// The probe's deadline, from the beginning.
    pub timeout: Duration,
    /// The stages.
    pub trace: Trace,
    /// The SMTP server's last reply code before it was left.
    pub reply_code: Option<u16>,
    /// Of a round trip.
    pub mail: Mail,
    /// postfixProbeLatency, once it is known.
    pub latency: Option<Duration>,
    /// When what is measured began.
    pub began: Instant,
    /// Of a certificate probe.
    pub judged: Option<Judged>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All stages that were reached.
    pub trace: Trace,
    /// Where and why it failed.
    pub failure: Option<(Stage, String)>,
    /// postfixProbeLatency.
    pub latency: Duration,
    /// postfixProbeReplyCode.
    pub reply_code: Option<u16>,
    /// Of a round trip.
    pub mail: Mail,
    /// Of a certificate probe.
    pub judged: Option<Judged>,
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Runs a probe once, within its deadline.
pub async fn run(probe: &Probe, environment: Arc<Environment>, memory: &mut Memory, pending: Vec<Stamp>) -> Outcome {
    let mut run = Run::new(probe, environment, memory.offload.clone(), pending);
    let result = timeout(probe.timeout, work(probe, &mut run, memory)).await;
    let stage = run.trace.current();
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(fault)) => Some(fault),
        // Everything was done but the farewell.
        Err(_) if stage.is_none_or(|stage| stage == Stage::Quit) => None,
        Err(_) if stage == Some(Stage::Deliver) => Some(Fault::NotDelivered {
            queued: run.mail.queued.clone(),
            place: trip::place(probe),
            within: probe.timeout,
        }),
        Err(_) => Some(Fault::Deadline(probe.timeout)),
    };
    run.trace.end(failure.is_none());
    let failed_at = run.trace.stages().iter().rfind(|timed| !timed.passed && timed.stage != Stage::Quit);
    let failed_at = stage.or(failed_at.map(|timed| timed.stage)).unwrap_or(Stage::Connect);
    let failure = failure.map(|fault| (failed_at, fault.to_string()));
    if let (Some((_, why)), Kind::Certificate(_), None) = (&failure, &probe.kind, &run.judged) {
        run.judged = Some(Judged::unreadable(why.clone()));
    }
    Outcome {
        latency: run.latency.unwrap_or_else(|| run.began.elapsed()),
        trace: run.trace,
        failure,
        reply_code: run.reply_code,
        mail: run.mail,
        judged: run.judged,
    }
}

async fn work(probe: &Probe, run: &mut Run, memory: &mut Memory) -> Result<(), Fault> {
    match &probe.kind {
        Kind::Smtp(smtp) => smtp_probe(smtp, run).await,
        Kind::RoundTrip(round_trip) => trip::run(&probe.name, round_trip, run, memory).await,
        Kind::Certificate(certificate) => certificate_probe(certificate, run).await,
    }
}

async fn smtp_probe(probe: &probe::Smtp, run: &mut Run) -> Result<(), Fault> {
    let banner = if probe.rcpt.is_some() { 220 } else { probe.expect };
    let mut smtp = Smtp::open(run, &probe.server, banner).await?;
    if let Some(rcpt) = &probe.rcpt {
        let reply = smtp.recipient(run, &probe.from, rcpt).await?;
        if reply.code != probe.expect {
            return Err(Fault::Unexpected { command: "RCPT TO", reply: reply.words(), expected: probe.expect });
        }
    }
    run.latency = Some(run.began.elapsed());
    smtp.quit(run, probe.rcpt.is_some()).await;
    Ok(())
}

async fn certificate_probe(probe: &probe::Certificate, run: &mut Run) -> Result<(), Fault> {
    let (chain, name) = match &probe.at {
        CertificateAt::File(file) => {
            run.trace.begin(Stage::Certificate);
            let file = file.clone();
            let read = run.offload.run("the certificate's file", move || certificate::read_file(&file)).await?;
            let chains = read.map_err(|e| Fault::Certificate(e.to_string()))?;
            (chains.into_iter().next().unwrap_or_default(), probe.server_name.clone())
        }
        CertificateAt::Server(server, protocol) => {
            let seen: Option<Seen> = match protocol {
                Protocol::Smtp => {
                    let mut smtp = Smtp::open(run, server, 220).await?;
                    let seen = smtp.seen.take();
                    smtp.quit(run, false).await;
                    seen
                }
                Protocol::Imap => imap::certificate(run, server).await?,
                Protocol::Pop3 => pop3::certificate(run, server).await?,
            };
            run.trace.begin(Stage::Certificate);
            (seen.map(|seen| seen.chain).unwrap_or_default(), Some(server.expected_name().to_owned()))
        }
    };
    let trust = if probe.verify { Some(tls::trust(run, probe.ca_file.clone()).await?) } else { None };
    let judged = judge(&chain, name, probe.expiring, trust.as_deref())?;
    let verdict = match judged.status {
        Status::Ok | Status::Expiring => Ok(()),
        _ => Err(Fault::Certificate(judged.error.clone())),
    };
    run.judged = Some(judged);
    verdict
}

/// Judges a chain as of now; without a store only its days.
pub fn judge(
    chain: &[rustls::pki_types::CertificateDer<'_>],
    name: Option<String>,
    expiring: u32,
    trust: Option<&tls::Trust>,
) -> Result<Judged, Fault> {
    let failed = |e: certificate::ReadError| Fault::Certificate(e.to_string());
    let leaf = chain.first().ok_or_else(|| Fault::Certificate("the server presents no certificate".into()))?;
    let certificate = Certificate::parse(leaf).map_err(failed)?;
    let trusted = match (trust, name.map(ServerName::try_from).transpose()) {
        (None, _) => Ok(()),
        (Some(_), Err(_)) => Err("the expected name can be no name in a certificate; set server_name".into()),
        (Some(trust), Ok(name)) => trust.judge(chain, name.as_ref()),
    };
    let (status, error) = certificate.judge(unix_now(), expiring, &trusted);
    Ok(Judged { certificate: Some(certificate), status, error })
}

impl Run {
    /// At its beginning.
    pub fn new(probe: &Probe, environment: Arc<Environment>, offload: Offload, pending: Vec<Stamp>) -> Self {
        let owner = message::owner(&probe.name, &environment.hostname);
        let keep = (probe.timeout * 2).as_secs().max(600);
        Self {
            environment,
            offload,
            timeout: probe.timeout,
            trace: Trace::default(),
            reply_code: None,
            mail: Mail { owner, pending, keep, ..Mail::default() },
            latency: None,
            began: Instant::now(),
            judged: None,
        }
    }

    /// The password of a login.
    pub async fn secret(&self, login: &Login) -> Result<Secret, Fault> {
        let (at, environment) = (login.password.clone(), self.environment.clone());
        let read = move || Secret::read(&at, environment.credentials.as_deref());
        Ok(self.offload.run("the password's file", read).await??)
    }

    /// Whose messages are ours.
    pub fn owner(&self) -> &str {
        &self.mail.owner
    }

    /// What to do with a message.
    pub fn verdict(&self, stamp: &Stamp) -> Verdict {
        self.mail.verdict(stamp)
    }

    /// The message is in the mailbox.
    pub fn arrived(&mut self) {
        self.mail.arrived = true;
        self.latency = Some(self.began.elapsed());
        self.trace.end(true);
    }

    /// Whether the text of our message is in what came.
    pub fn has_text(&self, message: &[u8]) -> Result<(), Fault> {
        let token = self.mail.stamp.as_ref().map(|stamp| stamp.token.as_bytes()).unwrap_or_default();
        let body = memchr::memmem::find(message, b"\r\n\r\n").map(|at| at + 4);
        let body = body.or_else(|| memchr::memmem::find(message, b"\n\n").map(|at| at + 2));
        let text = body.and_then(|at| message.get(at..)).unwrap_or_default();
        if !token.is_empty() && memchr::memmem::find(text, token).is_some() {
            Ok(())
        } else {
            Err(Fault::Changed("something on its way"))
        }
    }
}
