//! `postfix-agentx check`: looks at everything the daemon needs, as the daemon's user, asks snmpd as a manager would, and says
//! what to do about what is wrong. It collects once, exactly as the daemon would, so that it can't be of another opinion.
//!
//! It changes nothing: an agent that runs keeps its registration and its state, and snmpd's log stays as it is.

mod agents;
mod ask;
mod probes;
mod report;
mod sources;
mod user;

use super::{Failure, asking, stop_on_signals};
use crate::{
    advice, agentx,
    cli::Check,
    collect,
    config::{self, Config, ConfigError, DEFAULT_PATH},
    mib::Dictionary,
    snmp::{
        Target,
        snmpd_conf::{self, SnmpdConf},
    },
    state::{StateDirectory, StateError},
    wiring::{Once, link_config},
};
use report::{Finding, Style};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Prints a line a finding; exit status 1 where one is wrong.
pub(super) fn run(args: &Check) -> Result<ExitCode, Failure> {
    // What only root may see is looked at first.
    let agents = agents::running();
    let named: Vec<PathBuf> = args.snmpd_conf.clone();
    if let Some(file) = named.first() {
        advice::set_snmpd_conf(file);
    }
    let conf = SnmpdConf::read(if named.is_empty() { snmpd_conf::files() } else { named }.as_slice());
    let host = asking::value::<Target>("--host", args.host.as_ref())?;
    let named_user = asking::value::<user::UserName>("--user", args.user.as_ref())?;
    let hows = asking::how(&asking::access(&args.access)?, host.as_ref(), &conf);
    let file = args.file.config.clone().or_else(user::configured);
    let mut findings = vec![user::take_on(named_user.as_ref())];
    // Only now: a thread has the user that it was started with.
    let stop = stop_on_signals()?;

    let config = match Config::load(file.as_deref()) {
        Ok(config) => config,
        Err(error) => return unconfigured(error, file.as_deref(), findings, args),
    };
    findings.push(Finding::ok("configuration", "configuration", &configuration(file.as_deref())));
    findings.push(state(&config));

    let mut runs: Vec<String> = agents
        .iter()
        .filter(|agent| agent.is_same(&config, file.as_deref()))
        .map(|agent| format!("process {}", agent.pid))
        .collect();
    if runs.is_empty()
        && let Err(StateError::Locked { holder, .. }) = StateDirectory::probe(&config.state_directory)
    {
        runs.push(holder);
    }
    let dictionary = Dictionary::new(&config.agentx.root, &collect::catalogue());
    let link = link_config(&config);
    let once = Once::collect(config.clone(), stop);
    let view = once.context.publisher.view();
    let (hows, unasked) = match hows {
        Ok(hows) => (hows, String::new()),
        Err(why) => (Vec::new(), why),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start a runtime", e))?;
    let (seen, session, number) = runtime.block_on(async {
        let (seen, number) = ask::look(&hows, &dictionary, Some(&view)).await;
        let serves = !runs.is_empty() || matches!(seen, ask::Seen::Tree(_));
        let session = if serves { agentx::try_open(link).await } else { agentx::try_register(link).await };
        (seen, session, number)
    });
    let seen = match seen {
        ask::Seen::Unasked(_) => ask::Seen::Unasked(unasked),
        seen => seen,
    };
    let tree = if let ask::Seen::Tree(tree) = &seen { Some(tree) } else { None };
    findings.push(agent(&runs, tree));
    findings.push(snmpd(&config, &session, !runs.is_empty() || tree.is_some(), &conf));
    let state = &once.context.state;
    // Where the directory itself is closed that is said already, once.
    let open = matches!(StateDirectory::probe(&config.state_directory), Ok(()) | Err(StateError::Locked { .. }));
    let bad = state.refused().into_iter().chain(state.unreadable().into_iter().filter(|_| open));
    findings.extend(bad.map(|e| Finding::wrong("state", "state directory", &e.to_string())));
    probes::probes(&config, &mut findings);
    sources::sources(&once.context, &dictionary, &view, &mut findings);
    let instances = once.context.instances.current();
    let enabled = instances.iter().filter(|instance| !instance.is_disabled());
    enabled.for_each(|instance| sources::labels(instance, &instances, &mut findings));
    let about = ask::Circumstances { config: &config, conf: &conf, running: !runs.is_empty(), session: &session };
    findings.push(ask::judge(&seen, hows.get(number), &about));
    print(&findings, args)
}

/// All findings on standard output, and what they make of the exit status.
fn print(findings: &[Finding], args: &Check) -> Result<ExitCode, Failure> {
    let text = if args.json {
        format!("{:#}\n", report::as_json(findings))
    } else {
        report::text(findings, Style::of_stdout())
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ if findings.iter().any(|finding| finding.mark == report::Mark::Wrong) => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Without a configuration there is nothing more to look at.
fn unconfigured(
    error: ConfigError,
    file: Option<&Path>,
    mut findings: Vec<Finding>,
    args: &Check,
) -> Result<ExitCode, Failure> {
    let file = file.unwrap_or(config::default_path());
    let remedy = match &error {
        ConfigError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            user::readable_by_daemon(file)
        }
        _ => Vec::new(),
    };
    if !args.json && remedy.is_empty() {
        return Err(error.into());
    }
    findings.push(Finding::wrong("configuration", "configuration", &error.to_string()).with(remedy));
    print(&findings, args)?;
    Ok(Failure::from(error).exit_code())
}

fn configuration(file: Option<&Path>) -> String {
    match file {
        Some(file) => file.display().to_string(),
        None if config::default_path().exists() => config::default_path().display().to_string(),
        None => format!("built-in defaults ({DEFAULT_PATH} does not exist)"),
    }
}

/// A running agent holds the lock; that is how it should be.
fn state(config: &Config) -> Finding {
    let (id, subject) = ("state", "state directory");
    let path = &config.state_directory;
    let (shown, quoted) = (path.display(), advice::quoted(path));
    if !path.is_dir() {
        let make = format!("install -d -m 750 -o {} -g {} {quoted}", advice::user(), advice::group());
        let units = path == Path::new("/var/lib").join(advice::SERVICE).as_path();
        if units && advice::has_unit("postfix-agentx.service") {
            return Finding::note(
                id,
                subject,
                &format!("{shown} does not exist yet; the unit makes it when it starts"),
            )
            .with([advice::restart(advice::SERVICE)]);
        }
        return Finding::wrong(id, subject, &format!("{shown} does not exist")).with([make]);
    }
    match StateDirectory::probe(path) {
        Ok(()) => Finding::ok(id, subject, &format!("{shown}, {} can write to it", advice::user())),
        Err(StateError::Locked { holder, .. }) => {
            Finding::ok(id, subject, &format!("{shown}, in use by the agent that is running ({holder})"))
        }
        Err(e @ StateError::Io { .. }) => {
            let denied =
                matches!(&e, StateError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied);
            let chown = format!("chown -R {}:{} {quoted}", advice::user(), advice::group());
            Finding::wrong(id, subject, &e.to_string()).with(denied.then_some(chown))
        }
        Err(e @ StateError::Foreign { .. }) => {
            let chown = format!("chown -R {}:{} {quoted}", advice::user(), advice::group());
            Finding::wrong(id, subject, &e.to_string()).with(Some(chown))
        }
        Err(e) => Finding::wrong(id, subject, &e.to_string()),
    }
}

/// Whether one runs, and what it says of itself.
fn agent(runs: &[String], tree: Option<&ask::Tree>) -> Finding {
    let (id, subject) = ("agent", "agent");
    match (runs, tree) {
        ([_, _, ..], _) => {
            let text = format!(
                "{} run with the same snmpd and the same subtree, and only one of them is served; stop the others",
                runs.join(" and ")
            );
            Finding::wrong(id, subject, &text)
        }
        ([], None) => {
            let remedy = advice::has_unit("postfix-agentx.service")
                .then(|| format!("systemctl enable --now {}", advice::SERVICE));
            Finding::note(id, subject, "not running").with(remedy)
        }
        (_, None) => Finding::ok(id, subject, &format!("{} runs", runs.join(""))),
        (_, Some(tree)) => {
            let since =
                tree.uptime.map(|ticks| format!(", up {}", sources::age(u64::from(ticks) / 100))).unwrap_or_default();
            let who = runs.first().cloned().unwrap_or_else(|| "a process that is not seen from here".to_owned());
            let text = format!("{who} runs{since}: {}", tree.text);
            // What is wrong there has a finding of its own, unless this one cannot see it.
            if tree.health == Some(1) { Finding::ok(id, subject, &text) } else { Finding::note(id, subject, &text) }
        }
    }
}

/// How the session went.
fn snmpd(config: &Config, session: &Result<String, agentx::CheckError>, serves: bool, conf: &SnmpdConf) -> Finding {
    let (id, subject) = ("snmpd", "snmpd");
    let root = &config.agentx.root;
    let error = match session {
        Ok(address) if serves => {
            return Finding::ok(
                id,
                subject,
                &format!("opens a session at {address}; the agent that runs keeps {root}"),
            );
        }
        Ok(address) => return Finding::ok(id, subject, &format!("{root} can be registered at {address}")),
        Err(error) => error,
    };
    let text = error.to_string();
    if !matches!(error, agentx::CheckError::Connect(_)) || !text.contains("snmpd is not running") || !conf.is_known() {
        return Finding::wrong(id, subject, &text);
    }
    // Nobody listens, and snmpd.conf says why.
    if !conf.is_master() {
        let text = "snmpd lets no subagent connect: there is no `master agentx` in its configuration";
        return Finding::wrong(id, subject, text).with(advice::snmpd_line("master agentx"));
    }
    let told = conf.agentx_socket().unwrap_or("/var/agentx/master");
    match agentx::Address::list(told) {
        Ok(list) if !list.iter().any(|address| config.agentx.address.contains(address)) => {
            let text = format!(
                "snmpd listens for subagents on {told}, the configuration looks for it elsewhere: write `agentx: {{ address: \"{told}\" }}`"
            );
            Finding::wrong(id, subject, &text)
        }
        _ => Finding::wrong(id, subject, &text),
    }
}
