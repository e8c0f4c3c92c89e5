//! One host, asked: its scalars in one GET, the tables behind the screen if they are wanted, and the counters once more.

use super::{
    super::asking::announced,
    model::{Flow, Mail},
    read::{self, COUNTERS, SCALARS, TABLES, rounded},
    tree::Tree,
};
use crate::{
    mib::Dictionary,
    smi::Oid,
    snmp::{Client, Limits, Patience, SnmpError, Target, session::Identity},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// More than a host with hundreds of instances has, and no more than an agent of ill will may cost.
const LIMITS: Limits = Limits { bindings: 50_000, time: Duration::from_secs(30) };
/// What one GET asks besides the counters, to know how much time is between two.
const CLOCK: [&str; 2] = ["postfixAgentUptime", "postfixTotalDiscontinuities"];

/// Where and as whom to ask.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) target: Target,
    pub(super) identity: Identity,
    pub(super) patience: Patience,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Snmp(#[from] SnmpError),
    #[error(
        "snmpd answers, and no postfix-agentx is registered with it: it does not run there, or not with this snmpd; on that host: postfix-agentx check"
    )]
    NoAgent,
    #[error(
        "postfix-agentx is registered with this snmpd, but the view of whoever asks hides {root}; on that host, in snmpd.conf: view VIEW included {root}"
    )]
    Hidden { root: Oid },
    #[error(
        "snmpd answers and shows nothing at {root}: either no postfix-agentx runs there, or the view of whoever asks hides it; on that host: postfix-agentx check"
    )]
    Nothing { root: Oid },
}

impl Trouble {
    /// In few words, for a list of hosts.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Snmp(SnmpError::Timeout { waited, .. }) => format!("no answer within {:.0} s", waited.as_secs_f64()),
            Self::Snmp(SnmpError::Refused(_)) => "nobody listens there".to_owned(),
            Self::Snmp(SnmpError::Resolve { .. }) => "the name has no address".to_owned(),
            Self::Snmp(error) => error.to_string(),
            Self::NoAgent => "no postfix-agentx is registered there".to_owned(),
            Self::Hidden { .. } => "the view hides POSTFIX-MIB".to_owned(),
            Self::Nothing { .. } => "no postfix-agentx, or the view hides it".to_owned(),
        }
    }
}

/// What was asked when, for what passes between two looks.
#[derive(Clone, Copy)]
struct Sample {
    ticks: u32,
    discontinuities: Option<u32>,
    counters: [Option<u32>; COUNTERS.len()],
}

/// A host that is asked again and again.
pub(super) struct Asker {
    /// As it was written.
    pub(super) host: String,
    ways: Vec<Way>,
    dictionary: Arc<Dictionary>,
    client: Option<Client>,
    before: Option<Sample>,
}

/// What came of it.
pub(super) struct Answered {
    pub(super) mail: Mail,
    pub(super) notes: Vec<String>,
}

impl Asker {
    pub(super) fn new(host: String, ways: Vec<Way>, dictionary: Arc<Dictionary>) -> Self {
        Self { host, ways, dictionary, client: None, before: None }
    }

    /// Who answered last.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.client.as_ref().map(Client::address)
    }

    /// Everything that is told of this host. `full`: with the tables. `sample`: how long mail is counted; without it since
    /// the look before, if there was one.
    pub(super) async fn ask(&mut self, full: bool, sample: Option<Duration>) -> Result<Answered, Trouble> {
        let asked = self.look(full, sample).await;
        if asked.is_err() {
            // The next look resolves the name anew.
            self.client = None;
            self.before = None;
        }
        asked
    }

    async fn look(&mut self, full: bool, sample: Option<Duration>) -> Result<Answered, Trouble> {
        let mut notes = Vec::new();
        let tree = match self.client.take() {
            Some(mut client) => {
                let tree = self.scalars(&mut client).await;
                self.client = Some(client);
                tree?
            }
            None => self.begin(&mut notes).await?,
        };
        let began = Instant::now();
        let mut tree = tree;
        let first = Sample::of(&tree);
        if let (true, Some(client)) = (full, &mut self.client) {
            for table in TABLES {
                let columns: Vec<Oid> = table.iter().filter_map(|name| self.dictionary.oid(name, &[])).collect();
                match client.columns(&columns, LIMITS).await {
                    Ok(bindings) => tree.add(bindings),
                    Err(error) if error.is_silence() => return Err(error.into()),
                    Err(error) => notes.push(format!("{} and what stands beside it: {error}", table[0])),
                }
            }
            if read::is_first_revision(&tree) {
                let version = tree.text("postfixAgentVersion").unwrap_or_default();
                notes.push(format!(
                    "the agent there ({version}) serves the first revision of POSTFIX-MIB: what came later is not shown; install {} there",
                    env!("CARGO_PKG_VERSION")
                ));
            }
        }
        let mut mail = if full { read::full(&tree) } else { read::brief(&tree) };
        let (before, after) = match (sample, &mut self.client) {
            (Some(sample), Some(client)) => {
                tokio::time::sleep((began + sample).saturating_duration_since(Instant::now())).await;
                let mut later = Tree::new(self.dictionary.clone());
                later.add(client.get(&names(&self.dictionary, CLOCK.iter().chain(&COUNTERS))).await?);
                (first, Sample::of(&later))
            }
            _ => (self.before, first),
        };
        rates(&mut mail.flow, before, after);
        self.before = first;
        Ok(Answered { mail, notes })
    }

    /// The first look at a host: as whom one is answered, and where our tree is.
    async fn begin(&mut self, notes: &mut Vec<String>) -> Result<Tree, Trouble> {
        let mut silence = None;
        for way in self.ways.clone() {
            let opened = Client::connect(&way.target, way.identity.clone(), way.patience).await;
            let answered = match opened {
                Ok(mut client) => self.scalars(&mut client).await.map(|tree| (client, tree)),
                Err(error) => Err(error),
            };
            match answered {
                Ok((mut client, tree)) => {
                    let tree = match tree.text("postfixAgentVersion") {
                        Some(_) => tree,
                        None => self.elsewhere(&mut client, notes).await?,
                    };
                    self.client = Some(client);
                    return Ok(tree);
                }
                Err(error) => silence = Some(error),
            }
        }
        // There is always a way.
        Err(silence.map_or(Trouble::NoAgent, Trouble::Snmp))
    }

    /// Nothing is at the root: who knows where it is?
    async fn elsewhere(&mut self, client: &mut Client, notes: &mut Vec<String>) -> Result<Tree, Trouble> {
        let root = self.dictionary.root().clone();
        let Some(roots) = announced(client).await else { return Err(Trouble::Nothing { root }) };
        for other in roots.iter().filter(|other| **other != root) {
            let dictionary = Arc::new(Dictionary::new(other, &crate::collect::catalogue()));
            let ours = std::mem::replace(&mut self.dictionary, dictionary);
            let tree = self.scalars(client).await?;
            if tree.text("postfixAgentVersion").is_some() {
                notes.push(format!("its POSTFIX-MIB is at {other}, not at {root}"));
                return Ok(tree);
            }
            self.dictionary = ours;
        }
        match roots.first() {
            Some(hidden) => Err(Trouble::Hidden { root: hidden.clone() }),
            None => Err(Trouble::NoAgent),
        }
    }

    async fn scalars(&self, client: &mut Client) -> Result<Tree, SnmpError> {
        let mut tree = Tree::new(self.dictionary.clone());
        tree.add(client.get(&names(&self.dictionary, &SCALARS)).await?);
        Ok(tree)
    }
}

fn names<'a>(dictionary: &Dictionary, names: impl IntoIterator<Item = &'a &'a str>) -> Vec<Oid> {
    names.into_iter().filter_map(|name| dictionary.oid(name, &[0])).collect()
}

impl Sample {
    fn of(tree: &Tree) -> Option<Self> {
        let ticks = tree.number("postfixAgentUptime")?;
        let discontinuities = tree.number("postfixTotalDiscontinuities");
        Some(Self { ticks, discontinuities, counters: COUNTERS.map(|name| tree.number(name)) })
    }
}

/// By the agent's own clock, so that a slow network changes nothing. After a restart of the agent, or when lines of the log
/// were lost, there is no rate for once.
fn rates(flow: &mut Flow, before: Option<Sample>, after: Option<Sample>) {
    let (Some(before), Some(after)) = (before, after) else { return };
    let Some(ticks) = after.ticks.checked_sub(before.ticks).filter(|ticks| *ticks > 0) else { return };
    if before.discontinuities != after.discontinuities {
        return;
    }
    let seconds = f64::from(ticks) / 100.0;
    flow.sample_seconds = Some(rounded(seconds));
    for ((count, before), after) in flow.counts_mut().into_iter().zip(before.counters).zip(after.counters) {
        count.count = after.or(count.count);
        // Counter32 begins anew after 2^32 - 1.
        let passed = before.zip(after).map(|(before, after)| after.wrapping_sub(before));
        count.per_minute = passed.map(|passed| rounded(f64::from(passed) * 60.0 / seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ticks: u32, lost: u32, received: u32) -> Option<Sample> {
        let mut counters = [None; COUNTERS.len()];
        counters[0] = Some(received);
        Some(Sample { ticks, discontinuities: Some(lost), counters })
    }

    /// A name that is misspelt would be a section that is never shown.
    #[test]
    fn every_object_that_is_asked_for_is_one() {
        let dictionary = Dictionary::new(&crate::mib::ROOT.into(), &crate::collect::catalogue());
        // In the plan of POSTFIX-MIB, and shown as soon as an agent serves them.
        let planned = [
            "postfixProbe",
            "postfixCertificate",
            "postfixAlarm",
            "postfixDestination",
            "postfixDomainReason",
            "postfixDomainNextRetry",
        ];
        for name in SCALARS.iter().chain(&CLOCK).chain(TABLES.iter().copied().flatten()) {
            let planned = planned.iter().any(|begin| name.starts_with(begin));
            assert!(dictionary.oid(name, &[]).is_some() || planned, "{name}");
        }
    }

    #[test]
    fn rates_are_by_the_agents_clock_and_not_after_a_restart() {
        let per_minute = |before, after| {
            let mut flow = Flow::default();
            rates(&mut flow, before, after);
            (flow.received.per_minute, flow.delivered.per_minute)
        };
        assert_eq!(per_minute(sample(1000, 0, 5), sample(1300, 0, 8)), (Some(60.0), None));
        assert_eq!(per_minute(sample(1000, 0, u32::MAX), sample(7000, 0, 1)), (Some(2.0), None), "wrapped");
        assert_eq!(per_minute(sample(1000, 0, 5), sample(900, 0, 8)), (None, None), "restarted");
        assert_eq!(per_minute(sample(1000, 0, 5), sample(1300, 1, 8)), (None, None), "lines were lost");
        assert_eq!(per_minute(None, sample(1300, 1, 8)), (None, None));
    }
}
