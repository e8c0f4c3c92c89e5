//! Which SMTP codes refused commands were answered with: postfixRejectCodeTable. Header checks and some milters log none.

use super::{engine::Instance, tables::Of};
use crate::{
    collect::instance::Owner,
    mib::{
        Fragment,
        Get::{Counter32, Text},
        Index, Table, column,
    },
    postfix::log::text::number,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Commands by code, 400 to 599.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Codes(pub BTreeMap<u16, u64>);

impl Codes {
    /// So many commands were refused with the code that `reply` begins with; one without counts nowhere.
    pub(super) fn count(&mut self, reply: &[u8], times: u64) {
        let [a, b, c, rest @ ..] = reply else { return };
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return;
        }
        let code = number(&[*a, *b, *c]).and_then(|code| u16::try_from(code).ok());
        if let Some(code @ 400..=599) = code {
            *self.0.entry(code).or_default() += times;
        }
    }
}

pub(super) static REJECT_CODES: Table<Of<(u16, u64)>> = Table {
    name: "postfixRejectCodeTable",
    entry: &[1, 5, 11, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.value.0.into()]),
    columns: &[
        column(2, "postfixRejectCodeName", Text(|r| Some(r.owner.row(r.value.0.to_string())))),
        column(3, "postfixRejectCodeCommands", Counter32(|r| Some(r.value.1))),
    ],
};

/// The rows of all.
pub(super) fn fragments(instances: &[(Owner, &Instance)]) -> Vec<Fragment> {
    let codes = |(owner, instance): &(Owner, &Instance)| {
        let owner = owner.clone();
        let codes: Vec<_> = instance.state.codes.0.iter().map(|(code, n)| (*code, *n)).collect();
        codes.into_iter().map(move |value| Of { owner: owner.clone(), value })
    };
    let rows: Vec<_> = instances.iter().flat_map(codes).collect();
    vec![REJECT_CODES.fragment(&rows)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_counts_nowhere() {
        let mut codes = Codes::default();
        for reply in ["550 5.1.1 x", "550-x", "550", "450 x", "5501", "250 x", "5.7.1 x", "x", "", "55", "660 x"] {
            codes.count(reply.as_bytes(), 1);
        }
        assert_eq!(codes.0.into_iter().collect::<Vec<_>>(), [(450, 1), (550, 3)]);
    }
}
