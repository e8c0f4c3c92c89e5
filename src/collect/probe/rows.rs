//! Rows of the tables, from the configuration, what is saved and the last runs. Every probe has its rows, whether or not it
//! ran yet.

use super::{
    collector::Latest,
    counters::{Counters, Saved, millis},
    run::{Judged, unix_now},
    smtpd::Own,
    stage::Stage,
    tables::{
        CERTIFICATES, CertificateRow, KindNumber, MailCounts, PROBES, ProbeRow, STAGES, StageRow, StageStatus, Status,
        TOTALS, Tls, Totals,
    },
};
use crate::{
    collect::registry::Registry,
    config::probe::{CertificateAt, Kind, Probe, Protocol, Retrieve, Server, Submit, TlsMode},
    mib::Fragment,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// All rows of one publication.
pub(super) struct Rows {
    probes: Vec<ProbeRow>,
    stages: Vec<StageRow>,
    certificates: Vec<CertificateRow>,
}

impl Rows {
    pub(super) fn new(probes: &[Probe], saved: &mut Saved, latest: &BTreeMap<String, Latest>, own: &[Own]) -> Self {
        let now = i64::try_from(unix_now()).unwrap_or(i64::MAX);
        saved.probes.turn(now);
        saved.certificates.turn(now);
        let mut rows = Self { probes: Vec::new(), stages: Vec::new(), certificates: Vec::new() };
        let none = Counters::default();
        for probe in probes {
            let Some(index) = saved.probes.claim(&probe.name).index else { continue };
            let counters = saved.counters.get(&probe.name).unwrap_or(&none);
            let latest = latest.get(&probe.name);
            rows.probes.push(probe_row(index, probe, counters, latest));
            rows.stages.extend(stage_rows(index, probe, counters, latest));
        }
        let mut names = BTreeSet::new();
        for own in own {
            let (registry, source) = (&mut saved.certificates, own.file.display().to_string());
            rows.certificate(registry, &mut names, [&own.key, &own.name], source, &own.judged);
        }
        for probe in probes {
            let Kind::Certificate(_) = &probe.kind else { continue };
            let judged = latest.get(&probe.name).and_then(|latest| latest.outcome.judged.as_ref());
            if let Some(judged) = judged {
                let (registry, source) = (&mut saved.certificates, target(probe));
                rows.certificate(registry, &mut names, [&probe.name, &probe.name], source, judged);
            }
        }
        rows
    }

    fn certificate(
        &mut self,
        registry: &mut Registry,
        names: &mut BTreeSet<String>,
        [key, name]: [&str; 2],
        source: String,
        judged: &Judged,
    ) {
        let mut name = name.to_owned();
        // A probe may be called as a parameter is.
        while !names.insert(name.clone()) {
            name.push_str(" (probe)");
        }
        let Some(index) = registry.claim(key).index else { return };
        let days_left = judged.certificate.as_ref().map(|certificate| certificate.days_left(unix_now()));
        self.certificates.push(CertificateRow {
            index,
            name,
            source,
            certificate: judged.certificate.clone(),
            days_left,
            status: judged.status,
            error: judged.error.clone(),
        });
    }

    pub(super) fn fragments(&self) -> [Fragment; 4] {
        let totals = Totals { days_left: self.certificates.iter().filter_map(|row| row.days_left).min() };
        [
            TOTALS.fragment(&[totals]),
            PROBES.fragment(&self.probes),
            STAGES.fragment(&self.stages),
            CERTIFICATES.fragment(&self.certificates),
        ]
    }
}

fn probe_row(index: u32, probe: &Probe, counters: &Counters, latest: Option<&Latest>) -> ProbeRow {
    let latest = latest.filter(|_| probe.enabled);
    let failure = latest.and_then(|latest| latest.outcome.failure.as_ref());
    let status = match (probe.enabled, latest, failure) {
        (false, ..) => Status::Disabled,
        (true, None, _) => Status::Unknown,
        (true, Some(_), None) => Status::Up,
        (true, Some(_), Some(_)) => Status::Down,
    };
    let mail = matches!(probe.kind, Kind::RoundTrip(_)).then(|| MailCounts {
        pending: counters.pending.len() as u64,
        late: counters.late,
        lost: counters.lost,
    });
    ProbeRow {
        index,
        name: Arc::from(probe.name.as_str()),
        kind: kind(probe),
        target: target(probe),
        status,
        latency: latest.filter(|_| failure.is_none()).map(|latest| millis(latest.outcome.latency)),
        reply_code: latest.and_then(|latest| latest.outcome.reply_code).map(u64::from),
        ran: latest.map(|latest| latest.ran),
        succeeded: latest.and_then(|latest| latest.succeeded),
        successes: counters.successes,
        failures: counters.failures,
        error: failure.map(|(stage, why)| format!("{}: {why}", stage.label())).unwrap_or_default(),
        latency_sum: counters.latency_sum,
        mail,
        tls: tls(probe),
    }
}

fn stage_rows(index: u32, probe: &Probe, counters: &Counters, latest: Option<&Latest>) -> Vec<StageRow> {
    let timed = latest.filter(|_| probe.enabled).map(|latest| latest.outcome.trace.stages()).unwrap_or_default();
    let name: Arc<str> = Arc::from(probe.name.as_str());
    let all: BTreeSet<Stage> = stages(probe).into_iter().chain(timed.iter().map(|timed| timed.stage)).collect();
    let row = |stage: Stage| {
        let timed = timed.iter().find(|timed| timed.stage == stage);
        let status = match timed.map(|timed| timed.passed) {
            Some(true) => StageStatus::Passed,
            Some(false) => StageStatus::Failed,
            None => StageStatus::NotReached,
        };
        let latency = timed.filter(|timed| timed.passed).map(|timed| millis(timed.took));
        let failures = counters.stage_failures.get(&(stage as u32)).copied().unwrap_or(0);
        StageRow { probe: index, name: name.clone(), stage, latency, status, failures }
    };
    all.into_iter().map(row).collect()
}

fn kind(probe: &Probe) -> KindNumber {
    match &probe.kind {
        Kind::Smtp(_) => KindNumber::Smtp,
        Kind::Certificate(_) => KindNumber::Certificate,
        Kind::RoundTrip(trip) => match trip.retrieve {
            Retrieve::Imap { .. } => KindNumber::ImapRoundTrip,
            Retrieve::Pop3(_) => KindNumber::Pop3RoundTrip,
            Retrieve::Maildir(_) => KindNumber::MaildirRoundTrip,
        },
    }
}

/// Where it goes, without a user's name.
fn target(probe: &Probe) -> String {
    match &probe.kind {
        Kind::Smtp(smtp) => smtp.server.target(),
        Kind::Certificate(certificate) => match &certificate.at {
            CertificateAt::File(file) => file.display().to_string(),
            CertificateAt::Server(server, _) => server.target(),
        },
        Kind::RoundTrip(trip) => {
            let from = match &trip.submit {
                Submit::Smtp(server) => server.target(),
                Submit::Sendmail(program) => program.display().to_string(),
            };
            let to = match &trip.retrieve {
                Retrieve::Imap { server, folder } => format!("{} {folder}", server.target()),
                Retrieve::Pop3(server) => server.target(),
                Retrieve::Maildir(path) => path.display().to_string(),
            };
            format!("{from} to {to}")
        }
    }
}

/// The weakest of its connections; `None` where it has none.
fn tls(probe: &Probe) -> Option<Tls> {
    let verify = match &probe.kind {
        // It judges what is presented itself.
        Kind::Certificate(certificate) => certificate.verify,
        Kind::Smtp(_) | Kind::RoundTrip(_) => false,
    };
    let one = |server: &Server| match server.tls {
        TlsMode::None => Tls::None,
        _ if server.verify || verify => Tls::Verified,
        _ => Tls::Unverified,
    };
    probe.servers().into_iter().map(one).min()
}

/// The stages it can go through.
fn stages(probe: &Probe) -> Vec<Stage> {
    let with = |server: &Server, all: &[Stage], tls: Stage, auth: Stage| {
        let more = [(server.tls != TlsMode::None, tls), (server.login.is_some(), auth)];
        let more = more.into_iter().filter(|(does, _)| *does).map(|(_, stage)| stage);
        all.iter().copied().chain(more).collect::<Vec<_>>()
    };
    let smtp = |server: &Server| {
        let all = [Stage::Resolve, Stage::Connect, Stage::Banner, Stage::Ehlo, Stage::Quit];
        with(server, &all, Stage::Starttls, Stage::Auth)
    };
    match &probe.kind {
        Kind::Smtp(s) => smtp(&s.server).into_iter().chain(s.rcpt.is_some().then_some(Stage::Recipient)).collect(),
        Kind::Certificate(certificate) => match &certificate.at {
            CertificateAt::File(_) => vec![Stage::Certificate],
            CertificateAt::Server(server, Protocol::Smtp) => {
                smtp(server).into_iter().chain([Stage::Certificate]).collect()
            }
            CertificateAt::Server(server, Protocol::Imap | Protocol::Pop3) => {
                let mut all = vec![Stage::Resolve, Stage::Connect, Stage::Banner, Stage::Starttls, Stage::Certificate];
                all.extend((server.tls == TlsMode::Starttls).then_some(Stage::Ehlo));
                all
            }
        },
        Kind::RoundTrip(trip) => {
            let mut all = vec![Stage::Submit, Stage::Deliver, Stage::Retrieve, Stage::Remove, Stage::MailboxFolder];
            if let Submit::Smtp(server) = &trip.submit {
                all.extend(smtp(server));
                all.push(Stage::Recipient);
            }
            if let Retrieve::Imap { server, .. } | Retrieve::Pop3(server) = &trip.retrieve {
                let mailbox = [Stage::MailboxResolve, Stage::MailboxConnect, Stage::MailboxBanner];
                all.extend(with(server, &mailbox, Stage::MailboxStarttls, Stage::MailboxAuth));
            }
            all
        }
    }
}
