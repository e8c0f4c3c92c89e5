//! Objects by their MIB descriptor.

use super::ROOT;
use postfix_agentx::collect;

/// The OID of an instance, e.g. `oid("postfixMailSent", &[1])`; a scalar's index is `&[0]`.
#[track_caller]
pub fn oid(descriptor: &str, index: &[u32]) -> String {
    let found = collect::catalogue().into_iter().find_map(|table| {
        let column = table.columns().into_iter().find(|c| c.name == descriptor)?;
        Some([table.entry(), &[column.number], index].concat())
    });
    let found = found.unwrap_or_else(|| panic!("no table serves {descriptor}"));
    found.iter().fold(ROOT.to_owned(), |oid, subid| format!("{oid}.{subid}"))
}
