//! How large mail is: postfixSizeTable, of what postfixMailReceivedMessages counts.

use super::engine::Instance;
use crate::{
    collect::instance::Owner,
    mib::{
        Fragment,
        Get::{Counter32, Text, Unsigned32},
        Index, Table, column,
    },
};
use serde::{Deserialize, Serialize};

/// The upper bounds of the buckets in KiB; the last bucket has none.
const LIMITS_KIB: [u64; 8] = [4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536];

/// What was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sizes {
    /// Messages by bucket.
    pub messages: [u64; LIMITS_KIB.len() + 1],
    /// Their recipients.
    pub recipients: [u64; LIMITS_KIB.len() + 1],
}

impl Sizes {
    /// So many messages of so many octets, each to so many recipients.
    pub(super) fn count(&mut self, octets: u64, recipients: u64, times: u64) {
        let bucket = LIMITS_KIB.partition_point(|limit| limit * 1_024 < octets);
        self.messages[bucket] += times;
        self.recipients[bucket] = self.recipients[bucket].saturating_add(recipients.saturating_mul(times));
    }
}

/// One bucket.
pub(super) struct SizeRow {
    owner: Owner,
    bucket: u32,
    limit: Option<u64>,
    messages: u64,
    recipients: u64,
}

pub(super) static SIZES: Table<SizeRow> = Table {
    name: "postfixSizeTable",
    entry: &[1, 5, 12, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.bucket]),
    columns: &[
        column(2, "postfixSizeName", Text(|r| Some(r.owner.row(name(r))))),
        column(3, "postfixSizeLimit", Unsigned32(|r| Some(r.limit.unwrap_or(u64::from(u32::MAX))))),
        column(4, "postfixSizeMessages", Counter32(|r| Some(r.messages))),
        column(5, "postfixSizeRecipients", Counter32(|r| Some(r.recipients))),
    ],
};

fn name(row: &SizeRow) -> String {
    match row.limit {
        Some(kib) if kib % 1_024 == 0 => format!("up to {} MiB", kib / 1_024),
        Some(kib) => format!("up to {kib} KiB"),
        None => "larger".into(),
    }
}

/// The rows of all.
pub(super) fn fragments(instances: &[(Owner, &Instance)]) -> Vec<Fragment> {
    let mut rows = Vec::new();
    for (owner, instance) in instances {
        let sizes = &instance.state.sizes;
        let limits = LIMITS_KIB.into_iter().map(Some).chain([None]);
        for ((bucket, limit), (messages, recipients)) in
            (1..).zip(limits).zip(sizes.messages.iter().zip(&sizes.recipients))
        {
            rows.push(SizeRow { owner: owner.clone(), bucket, limit, messages: *messages, recipients: *recipients });
        }
    }
    vec![SIZES.fragment(&rows)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_upper_bound() {
        let mut sizes = Sizes::default();
        for octets in [0, 4_096, 4_097, 16_384, 65_536, 1 << 20, (1 << 20) + 1, 64 << 20, (64 << 20) + 1, u64::MAX] {
            sizes.count(octets, 2, 1);
        }
        assert_eq!(sizes.messages, [2, 2, 1, 0, 1, 1, 0, 1, 2]);
        assert_eq!(sizes.recipients, sizes.messages.map(|n| n * 2));
    }
}
