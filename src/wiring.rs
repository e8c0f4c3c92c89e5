//! Which parts there are and how they are put together, for every command alike.

use crate::{
    agentx,
    collect::{
        self, Collector, Context, Registration,
        health::{AgentCounters, Health},
        runner,
    },
    config::Config,
    mib::{self, Module, Publisher},
    state::StateDirectory,
    stop::Stop,
};
use std::sync::Arc;

/// What snmpd is told and asked for.
pub(crate) fn link_config(config: &Config) -> agentx::Config {
    let description = concat!("postfix-agentx ", env!("CARGO_PKG_VERSION"));
    let mut link = agentx::Config::new(config.agentx.address.clone(), config.agentx.root.clone(), description);
    link.regions = regions(config, &mib::modules(&collect::catalogue()));
    // postfixAgentCapabilities in POSTFIX-AGENTCAPS-MIB: { postfixMIB 3 1 }.
    let id = config.agentx.root.child(&[3, 1]);
    link.capabilities = Some(agentx::Capabilities { id, description: description.into() });
    link
}

/// One region a module. What is configured of priorities is about POSTFIX-MIB; another module's is its own.
fn regions(config: &Config, modules: &[&Module]) -> Vec<agentx::Region> {
    let region = |module: &&Module| {
        let region = agentx::Region::new(module.root(&config.agentx.root));
        match module.priority {
            Some(priority) => agentx::Region { priority, ..region },
            None => agentx::Region { priority: config.agentx.priority, takeover: config.agentx.takeover, ..region },
        }
    };
    modules.iter().map(region).collect()
}

/// Every collector once, on a state directory that is only read. They stay, because their sources last as long as they do.
pub(crate) struct Once {
    pub(crate) context: Context,
    _collectors: Vec<Box<dyn Collector>>,
}

impl Once {
    /// Until the stop.
    pub(crate) fn collect(config: Config, stop: Stop) -> Self {
        let publisher = Publisher::new(config.agentx.root.clone(), &collect::catalogue());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        let state = StateDirectory::read_only(&config.state_directory);
        let context = Context { stop, ..Context::new(Arc::new(config), publisher, health, state) };
        let run = |registration: &&'static Registration| {
            let mut collector = registration.collector(&context);
            runner::run_once(&mut *collector);
            collector
        };
        let collectors = collect::COLLECTORS.iter().map(run).collect();
        Self { context, _collectors: collectors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_a_region_with_its_own_priority() {
        static OTHER: Module = Module { name: "OTHER-MIB", root: Some(&[1, 3, 6, 1, 2, 1, 27]), priority: Some(100) };
        let mut config = Config::default();
        config.agentx.priority = 120;
        config.agentx.takeover = Some(110);
        let regions = regions(&config, &[&mib::POSTFIX_MIB, &OTHER]);
        let shown: Vec<_> = regions.iter().map(|r| (r.subtree.to_string(), r.priority, r.takeover)).collect();
        let root = config.agentx.root.to_string();
        assert_eq!(shown, [(root, 120, Some(110)), (".1.3.6.1.2.1.27".to_owned(), 100, None)]);
        assert_eq!(link_config(&config).regions, regions[..1], "what no table names is not registered");
    }
}
