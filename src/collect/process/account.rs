//! What must outlive processes, master and agent: CPU time that never goes back, restarts, the services' indices.
//!
//! All times are clock ticks. It is saved before it is published, so that not even a kill -9 of the agent makes a counter
//! go back: what was served stands in the state directory.

use super::sample::{Identity, Process, Sample};
use crate::collect::{
    instance::service_key,
    registry::{NAMES, Registry},
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Accounts {
    /// Start times of another boot say nothing.
    boot: String,
    /// By postfixInstanceIndex; those of an instance that is gone wait for its return.
    instances: BTreeMap<u32, Account>,
}

impl Accounts {
    /// What was saved, in the boot it is taken over in.
    pub(super) fn resume(saved: Option<Self>, boot: String) -> Self {
        let mut accounts = saved.unwrap_or_default();
        if accounts.boot != boot {
            accounts.instances.values_mut().for_each(Account::reboot);
            accounts.boot = boot;
        }
        accounts
    }

    pub(super) fn of(&mut self, instance: u32) -> &mut Account {
        self.instances.entry(instance).or_default()
    }
}

/// The accounts of one instance.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Account {
    total: Total,
    /// CPU time by `name/type`.
    service_cpu: BTreeMap<String, u64>,
    daemons: BTreeMap<u8, Daemon>,
    /// CPU time of each living process that was counted already.
    #[serde(with = "counted")]
    counted: FxHashMap<Identity, u64>,
}

/// CPU time of the instance, its ended processes included: the kernel adds those up in their master.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Total {
    /// Of the masters before.
    base: u64,
    /// The most seen under this master.
    last: u64,
    master: Option<Identity>,
}

/// One row of postfixDaemonTable.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Daemon {
    pub(super) cpu: u64,
    pub(super) restarts: u64,
    last: Option<Identity>,
}

impl Account {
    /// No process of before is one of now, whatever its numbers are.
    fn reboot(&mut self) {
        self.counted.clear();
        let nobody = Identity { pid: 0, start: 0 };
        for last in self.daemons.values_mut().map(|d| &mut d.last).chain([&mut self.total.master]) {
            *last = last.map(|_| nobody);
        }
    }

    /// Takes a sample in. CPU time is kept of the entries of master.cf (`is_entry`, by key).
    pub(super) fn add(
        &mut self,
        sample: &Sample,
        kind_of: impl Fn(&Process) -> Option<u8>,
        is_entry: impl Fn(&str) -> bool,
    ) {
        let processes = || std::iter::once(&sample.master).chain(&sample.children);
        let sum = sample.children.iter().map(|p| p.cpu + p.reaped_cpu).sum::<u64>()
            + sample.master.cpu
            + sample.master.reaped_cpu;
        self.total.add(sample.master.id, sum);
        let mut counted = FxHashMap::default();
        for process in processes() {
            // Of two samples the later can be the smaller where a process was ending.
            let before = self.counted.get(&process.id).copied().unwrap_or(0);
            counted.insert(process.id, process.cpu.max(before));
            let more = process.cpu.saturating_sub(before);
            if let Some(kind) = kind_of(process) {
                self.daemons.entry(kind).or_default().cpu += more;
            }
            if let Some(serves) = &process.serves {
                let key = service_key(&serves.name, &serves.kind);
                let room = self.service_cpu.len() < NAMES;
                match self.service_cpu.get_mut(&key) {
                    Some(cpu) => *cpu += more,
                    None if room && is_entry(&key) => drop(self.service_cpu.insert(key, more)),
                    None => {}
                }
            }
        }
        self.counted = counted;
    }

    /// The instance's CPU time.
    pub(super) fn total(&self) -> u64 {
        self.total.base + self.total.last
    }

    /// A service's CPU time.
    pub(super) fn service_cpu(&self, name: &str, kind: &str) -> u64 {
        self.service_cpu.get(&service_key(name, kind)).copied().unwrap_or(0)
    }

    /// CPU time and restarts of a daemon.
    pub(super) fn daemon(&self, kind: u8) -> (u64, u64) {
        self.daemons.get(&kind).map_or((0, 0), |d| (d.cpu, d.restarts))
    }

    /// This process is the daemon now.
    pub(super) fn daemon_is(&mut self, kind: u8, process: Identity) {
        let daemon = self.daemons.entry(kind).or_default();
        if daemon.last.is_some_and(|last| last != process) {
            daemon.restarts += 1;
        }
        daemon.last = Some(process);
    }
}

impl Total {
    fn add(&mut self, master: Identity, sum: u64) {
        if self.master != Some(master) {
            self.base += self.last;
            self.last = 0;
            self.master = Some(master);
        }
        // A child reaped between two reads is missing until the next sample.
        self.last = self.last.max(sum);
    }
}

/// The services' indices as 0.1.0 kept them in this file: by instance.
#[derive(Deserialize)]
struct Version1 {
    instances: BTreeMap<u32, AccountVersion1>,
}

#[derive(Deserialize)]
struct AccountVersion1 {
    services: Registry,
}

/// Out of a file of version 1; of later ones nothing.
pub(super) fn indices_of_version_1(payload: &[u8]) -> BTreeMap<u32, Registry> {
    let version_1 = serde_json::from_slice::<Version1>(payload);
    version_1.map_or_else(|_| BTreeMap::new(), |old| old.instances.into_iter().map(|(i, a)| (i, a.services)).collect())
}

/// JSON has no maps by pid and start time.
mod counted {
    use super::Identity;
    use rustc_hash::FxHashMap;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &FxHashMap<Identity, u64>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list: Vec<(u32, u64, u64)> = map.iter().map(|(id, cpu)| (id.pid, id.start, *cpu)).collect();
        // One state is one file, so that an unchanged one need not be written.
        list.sort_unstable();
        serializer.collect_seq(list)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashMap<Identity, u64>, D::Error> {
        let list = Vec::<(u32, u64, u64)>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|(pid, start, cpu)| (Identity { pid, start }, cpu)).collect())
    }
}
