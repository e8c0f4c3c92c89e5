//! Objects by their MIB descriptor.

use super::ROOT;
use postfix_agentx::{collect, smi::Oid};

/// The OID of an instance, e.g. `oid("postfixMailSent", &[1])`; a scalar's index is `&[0]`.
#[track_caller]
pub fn oid(descriptor: &str, index: &[u32]) -> String {
    let found = collect::catalogue().into_iter().find_map(|table| {
        let column = table.columns().into_iter().find(|c| c.name == descriptor)?;
        let root: Oid = ROOT.parse().expect("an OID");
        Some(table.module().root(&root).child(table.entry()).child(&[column.number]).child(index))
    });
    let found = found.unwrap_or_else(|| panic!("no table serves {descriptor}"));
    found.to_string().trim_start_matches('.').to_owned()
}
