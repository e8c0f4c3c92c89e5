//! Whose a row is: every row of an instance has its name in front, so that a manager's label tells two instances apart.

use crate::{mib::text, smi::Octets};
use std::sync::Arc;

/// An instance as its rows carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// postfixInstanceIndex.
    pub index: u32,
    /// postfixInstanceName.
    pub name: Arc<str>,
}

impl Owner {
    /// The name of a row that is not its only one in a table: `postfix deferred`.
    pub fn row(&self, name: impl AsRef<[u8]>) -> Octets {
        text([self.name.as_bytes(), b" ", name.as_ref()].concat(), 255)
    }

    /// The name of its only row in a table.
    pub fn only_row(&self) -> Octets {
        text(&*self.name, 64)
    }
}
