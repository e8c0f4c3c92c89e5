//! What a subagent tells its master about itself.

use super::Address;
use crate::smi::Oid;
use std::time::Duration;

/// Everything the link needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where a master may listen, tried in this order.
    pub addresses: Vec<Address>,
    /// The subtrees to serve. snmpd looks names up fastest with few of them: one is best.
    pub regions: Vec<Region>,
    /// o.id: what this subagent is; may be null (empty).
    pub id: Oid,
    /// o.descr: the same for people.
    pub description: String,
    /// A row for sysORTable.
    pub capabilities: Vec<Capabilities>,
    /// How many notifications may go out.
    pub notifications: Rate,
}

impl Config {
    /// One region at the default priority, no capabilities.
    pub fn new(addresses: Vec<Address>, subtree: Oid, description: impl Into<String>) -> Self {
        Self {
            addresses,
            id: subtree.clone(),
            regions: vec![Region::new(subtree)],
            description: description.into(),
            capabilities: Vec::new(),
            notifications: Rate::default(),
        }
    }
}

/// One registration (RFC 2741 §7.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The node everything served stands under.
    pub subtree: Oid,
    /// 1 to 255; of two registrations of one subtree the smaller number wins.
    pub priority: u8,
    /// A smaller one, tried at once when `priority` is taken: a hung predecessor then loses its place instead of being
    /// waited out.
    pub takeover: Option<u8>,
    /// The subtree is one complete instance (INSTANCE_REGISTRATION).
    pub instance: bool,
}

impl Region {
    /// RFC 2741's default priority.
    pub const DEFAULT_PRIORITY: u8 = 127;

    /// `subtree` at the default priority.
    pub fn new(subtree: Oid) -> Self {
        Self { subtree, priority: Self::DEFAULT_PRIORITY, takeover: None, instance: false }
    }
}

/// One row of sysORTable (AddAgentCaps).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// sysORID: the value of an AGENT-CAPABILITIES.
    pub id: Oid,
    /// sysORDescr.
    pub description: String,
}

/// A token bucket: `burst` at once, then one every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Notifications that may go out at once after a pause.
    pub burst: u32,
    /// Time until one more may go.
    pub interval: Duration,
    /// Notifications that may wait; the oldest is dropped for one more.
    pub queue: usize,
}

impl Default for Rate {
    fn default() -> Self {
        Self { burst: 50, interval: Duration::from_millis(200), queue: 1000 }
    }
}
