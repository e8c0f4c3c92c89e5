//! `postfix-agentx dump`: collects once and prints the whole tree, without snmpd. It locks and writes nothing, so that it
//! may run beside the daemon.

use crate::{
    collect::{
        self, Collector, Context,
        health::{AgentCounters, Health},
    },
    config::Config,
    daemon::{Failure, collectors},
    mib::Publisher,
    state::StateDirectory,
};
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

/// One `OID = TYPE: value` a line, as `snmpwalk -On` prints it.
pub fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let once = Once::collect(Config::load(file)?);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = once
        .context
        .publisher
        .view()
        .walk(Instant::now())
        .try_for_each(|(name, value)| writeln!(out, "{name} = {value}"))
        .and_then(|()| out.flush());
    match written {
        // `dump | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Every collector once, on a state directory that is only read. They stay, because their sources last as long as they do.
pub(crate) struct Once {
    pub(crate) context: Context,
    _collectors: Vec<Box<dyn Collector>>,
}

impl Once {
    pub(crate) fn collect(config: Config) -> Self {
        let publisher = Publisher::new(config.agentx.root.clone(), &collect::catalogue());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        let state = StateDirectory::read_only(&config.state_directory);
        let context = Context::new(Arc::new(config), publisher, health, state);
        let mut collectors = collectors(&context);
        collectors.iter_mut().for_each(|collector| collect::run_once(&mut **collector));
        Self { context, _collectors: collectors }
    }
}
