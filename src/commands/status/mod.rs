//! `postfix-agentx status [HOST…]`: how is the mail, here and elsewhere? Asks POSTFIX-MIB over SNMP as any manager would: no
//! root, no state, nothing installed but this program.
//!
//! [`gather`] asks one host, [`tree`] holds what it answered, [`read`] makes of it what is known ([`model`]), [`problems`]
//! what is not well. That is shown as one screen ([`screen`], [`sections`]), a list of hosts ([`list`]), a screen that stays
//! ([`watch`]), JSON, or the line of a monitoring plugin ([`nagios`]).

mod gather;
mod list;
mod model;
mod nagios;
mod paint;
mod problems;
mod read;
mod screen;
mod sections;
mod tree;
mod watch;

use super::{Failure, asking, complain};
use crate::{
    cli::Status,
    collect,
    config::{self, Config, ConfigError},
    mib::{Dictionary, ROOT},
    smi::Oid,
    snmp::{
        self, Target,
        snmpd_conf::{self, SnmpdConf},
    },
};
use gather::{Asker, Way};
use model::{Report, Severity};
use paint::{Line, Style};
use serde_json::json;
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet};

/// The version of the JSON: goes up when a key changes its meaning or goes, not when one is added.
const JSON_VERSION: u32 = 1;
/// How many hosts are asked at once; each takes a socket.
const AT_ONCE: usize = 400;
/// How long mail is counted for the numbers a minute.
const SAMPLE: Duration = Duration::from_secs(3);
/// No screen is drawn more often.
const LEAST_WATCH: Duration = Duration::from_millis(500);

/// Exit status 0 to 3 as monitoring plugins have it, also where nobody could be asked.
pub(super) fn run(args: &Status) -> ExitCode {
    go(args).unwrap_or_else(|failure| {
        if args.nagios {
            println!("{}", nagios::head(Severity::Unknown, &failure.to_string()));
        } else {
            complain(&failure);
        }
        ExitCode::from(Severity::Unknown.exit_status())
    })
}

fn go(args: &Status) -> Result<ExitCode, Failure> {
    let mut hosts = args.hosts.clone();
    let every = args.watch.as_ref().map(|word| match snmp::seconds(word) {
        Ok(every) => every.max(LEAST_WATCH),
        // `--watch HOST`.
        Err(_) => {
            hosts.insert(0, word.clone());
            Duration::from_secs(2)
        }
    });
    if args.nagios && hosts.len() > 1 {
        return Err(Failure::Usage("--nagios is about one HOST".into()));
    }
    if every.is_some() && !io::stdout().is_terminal() {
        return Err(Failure::Usage("--watch draws on a terminal, and standard output is none; leave it out".into()));
    }
    let sample = match args.sample.as_deref() {
        Some("0" | "0s") => None,
        Some(text) => Some(snmp::seconds(text).map_err(|e| Failure::Usage(format!("--sample: {e}")))?),
        None => (!args.nagios).then_some(SAMPLE),
    };
    let dictionary = Arc::new(Dictionary::new(&root(args)?, &collect::catalogue()));
    let askers = askers(args, &hosts, &dictionary)?;
    let style = Style::of_stdout(args.verbose);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start a runtime", e))?;
    let code = match every {
        Some(every) => watch::watch(&runtime, askers, every, &style),
        None => once(&runtime, args, askers, sample, &style),
    };
    // A name server that hangs keeps nobody.
    runtime.shutdown_background();
    code
}

/// Where postfixMIB is. A configuration that this user may not read is the daemon's business.
fn root(args: &Status) -> Result<Oid, Failure> {
    if let Some(text) = &args.root {
        return config::root(text).map_err(|e| Failure::Usage(format!("--root {text}: {e}")));
    }
    match Config::load(args.file.config.as_deref()) {
        Ok(config) => Ok(config.agentx.root),
        Err(ConfigError::Read { .. }) if args.file.config.is_none() => Ok(ROOT.into()),
        Err(error) => Err(error.into()),
    }
}

/// Everybody who is to be asked, and as whom.
fn askers(args: &Status, hosts: &[String], dictionary: &Arc<Dictionary>) -> Result<Vec<Asker>, Failure> {
    let access = asking::access(&args.access)?;
    let usage = |e: snmp::AccessError| Failure::Usage(e.to_string());
    let given = access.credentials().map_err(usage)?;
    let way = |target: Target| Way { target, identity: given.identity.clone(), patience: given.patience };
    if hosts.is_empty() {
        let conf = SnmpdConf::read(&snmpd_conf::files());
        let hows = asking::how(&access, None, &conf).map_err(Failure::Usage)?;
        let mut ways: Vec<Way> = hows
            .into_iter()
            .map(|how| Way {
                target: how.target,
                identity: how.credentials.identity,
                patience: how.credentials.patience,
            })
            .collect();
        if ways.is_empty() {
            let local: Target = "127.0.0.1".parse().map_err(|e: snmp::TargetError| Failure::Usage(e.to_string()))?;
            ways.push(way(local.or_port(given.port)));
        }
        for way in ways.iter_mut().skip(usize::from(given.given)) {
            // This host: who does not answer within two seconds hangs.
            way.patience.retries = way.patience.retries.min(1);
        }
        let host = ways.first().map(|way| way.target.to_string()).unwrap_or_default();
        return Ok(vec![Asker::new(host, ways, dictionary.clone())]);
    }
    let asker = |host: &String| {
        let target: Target = host.parse().map_err(|e: snmp::TargetError| Failure::Usage(e.to_string()))?;
        Ok(Asker::new(host.clone(), vec![way(target.or_port(given.port))], dictionary.clone()))
    };
    hosts.iter().map(asker).collect()
}

fn once(
    runtime: &Runtime,
    args: &Status,
    askers: Vec<Asker>,
    sample: Option<Duration>,
    style: &Style,
) -> Result<ExitCode, Failure> {
    let full = askers.len() == 1 || args.verbose || args.json;
    let reports = runtime.block_on(ask_all(askers, full, sample));
    let worst = reports.iter().map(|report| report.status).max().unwrap_or(Severity::Unknown);
    let text = if args.json {
        format!("{:#}\n", json!({ "version": JSON_VERSION, "status": worst, "hosts": reports }))
    } else if args.nagios {
        reports.iter().map(nagios::line).collect()
    } else {
        style.text(lines(&reports, style))
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `status | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::from(worst.exit_status())),
    }
}

fn lines(reports: &[Report], style: &Style) -> Vec<Line> {
    let all: Vec<&Report> = reports.iter().collect();
    if let [report] = all[..] {
        return screen::screen(report, style, None);
    }
    let mut lines = list::list(&all, style);
    if style.verbose {
        for report in list::order(&all).into_iter().filter_map(|at| all.get(at)) {
            lines.push(Line::new());
            lines.extend(screen::screen(report, style, None));
        }
    }
    lines
}

/// All at once, in the order of the command line.
async fn ask_all(askers: Vec<Asker>, full: bool, sample: Option<Duration>) -> Vec<Report> {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for (number, mut asker) in askers.into_iter().enumerate() {
        let free = free.clone();
        asked.spawn(async move {
            // Nobody closes it.
            let _slot = free.acquire().await;
            let answer = asker.ask(full, sample).await;
            (number, problems::report(&asker.host, asker.address(), answer))
        });
    }
    let mut reports = asked.join_all().await;
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}
