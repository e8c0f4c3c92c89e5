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
    let mut modules = mib::modules(&collect::catalogue());
    modules.retain(|module| {
        let librenms = std::ptr::eq(*module, &raw const collect::standard::NET_SNMP_EXTEND_MIB);
        (config.standard_mibs || !module.is_standard()) && (config.librenms || !librenms)
    });
    link.regions = regions(config, &modules);
    // POSTFIX-AGENTCAPS-MIB: postfixAgentCapabilities { postfixMIB 3 1 } and postfixStandardCapabilities { postfixMIB 3 2 }.
    let capabilities = |number, description: &str| agentx::Capabilities {
        id: config.agentx.root.child(&[3, number]),
        description: description.into(),
    };
    link.capabilities.push(capabilities(1, description));
    if config.standard_mibs {
        link.capabilities.push(capabilities(
            2,
            concat!("NETWORK-SERVICES-MIB and MTA-MIB by postfix-agentx ", env!("CARGO_PKG_VERSION")),
        ));
    }
    link
}

/// One region a module that is served as a whole, and one for each of its nodes. What is configured of priorities is about
/// POSTFIX-MIB; another module's is its own.
fn regions(config: &Config, modules: &[&Module]) -> Vec<agentx::Region> {
    let region = |module: &Module, node: &[u32]| {
        let region = agentx::Region::new(module.root(&config.agentx.root).child(node));
        match module.priority {
            Some(priority) => agentx::Region { priority, ..region },
            None => agentx::Region { priority: config.agentx.priority, takeover: config.agentx.takeover, ..region },
        }
    };
    let nodes = |module: &Module| {
        let root = module.whole.then_some(&[][..]);
        root.into_iter().chain(module.nodes.iter().copied()).collect::<Vec<_>>()
    };
    modules.iter().flat_map(|module| nodes(module).into_iter().map(|node| region(module, node))).collect()
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
        static OTHER: Module = Module {
            name: "OTHER-MIB",
            root: Some(&[1, 3, 6, 1, 2, 1, 27]),
            priority: Some(100),
            whole: true,
            nodes: &[&[1, 1, 4]],
        };
        let mut config = Config::default();
        config.agentx.priority = 120;
        config.agentx.takeover = Some(110);
        let regions = regions(&config, &[&mib::POSTFIX_MIB, &OTHER]);
        let shown: Vec<_> = regions.iter().map(|r| (r.subtree.to_string(), r.priority, r.takeover)).collect();
        let root = config.agentx.root.to_string();
        let other = [".1.3.6.1.2.1.27", ".1.3.6.1.2.1.27.1.1.4"].map(|name| (name.to_owned(), 100, None));
        assert_eq!(shown[0], (root, 120, Some(110)));
        assert_eq!(shown[1..], other);
        config.standard_mibs = false;
        assert_eq!(link_config(&config).regions, regions[..1], "what is switched off is not registered");
        config.standard_mibs = true;
        let standard = link_config(&config).regions;
        let names: Vec<_> = standard.iter().map(|region| region.subtree.to_string()).collect();
        assert_eq!(names[1..3], [".1.3.6.1.2.1.27", ".1.3.6.1.2.1.28"]);
        assert_eq!(standard.len(), 3 + 15, "and every column that net-snmp's sendmail module has: {names:?}");
        config.standard_mibs = false;
        config.librenms = true;
        let extend: Vec<_> =
            link_config(&config).regions[1..].iter().map(|region| region.subtree.to_string()).collect();
        assert_eq!(extend.len(), 4, "of NET-SNMP-EXTEND-MIB our instances alone: {extend:?}");
        assert!(extend[2].ends_with(".8072.1.3.2.3.1.2.5.109.97.105.108.113"), "{extend:?}");
    }
}
