//! Which parts there are and how they are put together, for every command alike.

use crate::{
    agentx,
    collect::{
        self, Collector, Context, Registration,
        health::{AgentCounters, Health},
        runner,
    },
    config::Config,
    mib::Publisher,
    state::StateDirectory,
};
use std::sync::Arc;

/// What snmpd is told and asked for.
pub(crate) fn link_config(config: &Config) -> agentx::Config {
    let description = concat!("postfix-agentx ", env!("CARGO_PKG_VERSION"));
    let mut link = agentx::Config::new(config.agentx.address.clone(), config.agentx.root.clone(), description);
    link.regions[0].priority = config.agentx.priority;
    link.regions[0].takeover = config.agentx.takeover;
    // postfixAgentCapabilities in POSTFIX-AGENTCAPS-MIB: { postfixMIB 3 1 }.
    let id = config.agentx.root.child(&[3, 1]);
    link.capabilities = Some(agentx::Capabilities { id, description: description.into() });
    link
}

/// All collectors. Which instances there are is found before anyone asks.
pub(crate) fn collectors(context: &Context) -> Vec<Box<dyn Collector>> {
    let make = |registration: &&'static Registration| {
        let mut collector = registration.collector(context);
        if registration.name == collect::instance::REGISTRATION.name {
            collector.refresh();
        }
        collector
    };
    collect::COLLECTORS.iter().map(make).collect()
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
        collectors.iter_mut().for_each(|collector| runner::run_once(&mut **collector));
        Self { context, _collectors: collectors }
    }
}
