//! Why mail bounces: postfixBounceReasonTable. What decides is in [`crate::postfix::reason`].

use super::{engine::Instance, tables::ReasonRow};
use crate::{
    collect::instance::Owner,
    mib::{
        Fragment,
        Get::{Counter32, Text},
        Table, column,
    },
    postfix::{bounce_reason::BounceReason, log::delivery::Delivery, reason::Cause},
};
use serde::{Deserialize, Serialize};

/// By postfixBounceReason - 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bounces(pub [u64; BounceReason::ALL.len()]);

impl Bounces {
    /// So many deliveries ended like this.
    pub(super) fn count(&mut self, delivery: &Delivery<'_>, times: u64) {
        let cause = Cause::of(delivery.dsn, delivery.reason, delivery.recipient);
        self.0[BounceReason::from(cause) as usize - 1] += times;
    }
}

pub(super) static BOUNCE_REASONS: Table<ReasonRow> = Table {
    name: "postfixBounceReasonTable",
    entry: &[1, 5, 10, 1],
    index: ReasonRow::index,
    columns: &[
        column(2, "postfixBounceReasonName", Text(|r| Some(r.owner.row(r.name)))),
        column(3, "postfixBounceReasonBounces", Counter32(|r| Some(r.counts[0]))),
    ],
};

/// The rows of all.
pub(super) fn fragments(instances: &[(Owner, &Instance)]) -> Vec<Fragment> {
    let rows: Vec<_> = instances
        .iter()
        .flat_map(|(owner, instance)| {
            BounceReason::ALL.into_iter().zip(&instance.state.bounces.0).map(|(reason, bounces)| ReasonRow {
                owner: owner.clone(),
                reason: reason as u32,
                name: reason.label(),
                counts: [*bounces, 0],
            })
        })
        .collect();
    vec![BOUNCE_REASONS.fragment(&rows)]
}
