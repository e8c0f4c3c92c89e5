//! What outlives the agent: positions, counters, queue ids and index registries, in one file that is replaced as a whole, so
//! that no line is counted twice or left out whenever it ends.
//!
//! Layout: length of the JSON part (u32, little endian), JSON, then the ids of each instance in binary, in the order of the
//! instances' indices in the JSON, then of the names.

use super::{
    counters::{State, Totals},
    engine::SourceCounters,
    follow,
    ids::Ids,
    patterns,
    strangers::Strangers,
    template::Template,
};
use crate::{collect::registry::Registry, state};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file's name in the state directory.
pub(super) const FILE: &str = "log";
/// Changes when an older agent's state cannot be understood any more.
pub(super) const VERSION: u32 = 2;

/// One stream, by its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SavedStream {
    /// A file's position.
    pub file: Option<follow::Saved>,
    /// The journal's.
    pub cursor: Option<String>,
    /// What was read.
    pub counters: SourceCounters,
    /// For `last message repeated`.
    pub previous: Vec<u8>,
    /// What was nobody's.
    pub strangers: Strangers,
    /// Seconds since 1970.
    pub last_line: i64,
}

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Everything {
    /// Host-wide patterns.
    pub template: Template,
    /// The configuration's.
    pub patterns: patterns::Saved,
    /// postfixTotals.
    pub totals: Totals,
    /// Since when they are whole, seconds since 1970.
    pub totals_since: i64,
    /// By postfixInstanceIndex.
    pub by_index: BTreeMap<u32, State>,
    /// By instance name, as 0.1.0 had them: those whose instance has not come yet.
    pub instances: BTreeMap<String, State>,
    /// By path, or `journal`.
    pub streams: BTreeMap<String, SavedStream>,
    /// postfixLogFileIndex.
    pub files: Option<Registry>,
}

impl Everything {
    /// In one piece.
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_vec(self)?;
        debug_assert!(state::is_plausible(&json), "this state would be refused when it is loaded");
        let mut bytes = Vec::with_capacity(json.len() + 4_096);
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json);
        self.by_index.values().chain(self.instances.values()).for_each(|state| state.ids.save(&mut bytes));
        Ok(bytes)
    }

    /// What [`encode`](Self::encode) made; `None` where it is not understood.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (json, mut ids) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        if !state::is_plausible(json) {
            return None;
        }
        let mut everything: Self = serde_json::from_slice(json).ok()?;
        let states = || everything.by_index.values().chain(everything.instances.values());
        if !states().all(State::is_plausible) {
            return None;
        }
        for state in everything.by_index.values_mut().chain(everything.instances.values_mut()) {
            state.ids = Ids::load(&mut ids)?;
        }
        ids.is_empty().then_some(everything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut serde_json::Value)) -> Option<Everything> {
        let mut everything = Everything::default();
        everything.by_index.insert(1, State::default());
        let bytes = everything.encode().unwrap();
        let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
        let (json, ids) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let mut json: serde_json::Value = serde_json::from_slice(json).unwrap();
        change(&mut json);
        let json = serde_json::to_vec(&json).unwrap();
        let mut bytes = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(json);
        bytes.extend(ids);
        Everything::decode(&bytes)
    }

    /// Each made the agent end at every start: a row stands at its index, so these were allocations of gigabytes.
    #[test]
    fn absurd_values_are_refused() {
        assert!(with(|_| {}).is_some());
        for (place, value) in [
            ("/by_index/1/smtpd/names/first", 4_294_967_290_u64),
            ("/by_index/1/smtpd/names/next", 4_294_967_290),
            ("/by_index/1/messages/names/next", 5_000),
            ("/by_index/1/transports/names/first", 0),
            ("/by_index/1/mail/sent", u64::MAX),
            ("/totals/received", 10_u64.pow(18)),
        ] {
            let refused = with(|json| *json.pointer_mut(place).unwrap() = value.into());
            assert!(refused.is_none(), "{place} {value}");
        }
        let name = serde_json::json!([["x", 4_000_000_000_u32, 0]]);
        assert!(with(|json| *json.pointer_mut("/by_index/1/dnsbl/names/names").unwrap() = name).is_none());
        // What strangers call themselves has digits as well.
        let name = serde_json::json!([["1234567890123456789012345678901234567890\"1", 2, 0]]);
        assert!(with(|json| *json.pointer_mut("/by_index/1/dnsbl/names/names").unwrap() = name).is_some());
    }
}
