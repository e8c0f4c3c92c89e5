//! Whole columns, by GETBULK.

use super::{
    client::{Client, SnmpError},
    message::{Answer, Binding},
};
use crate::smi::Oid;
use std::time::{Duration, Instant};

/// How many bindings a walk asks for at once. snmpd gives what fits.
const AT_ONCE: usize = 50;
/// How many columns are asked for at once.
const ABREAST: usize = 12;

/// How much a walk may bring before it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bindings.
    pub bindings: usize,
    /// From first to last.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bindings: 100_000, time: Duration::from_secs(60) }
    }
}

/// One column on its way.
struct Column<'a> {
    root: &'a Oid,
    last: Oid,
    ended: bool,
}

impl Client {
    /// All values below `root`, in order.
    pub async fn walk(&mut self, root: &Oid, limits: Limits) -> Result<Vec<Binding>, SnmpError> {
        self.columns(std::slice::from_ref(root), limits).await
    }

    /// All values below each of these, several columns in one question: what a table of few rows takes is one answer.
    pub async fn columns(&mut self, roots: &[Oid], limits: Limits) -> Result<Vec<Binding>, SnmpError> {
        let deadline = Instant::now() + limits.time;
        let mut found = Vec::new();
        for part in roots.chunks(ABREAST) {
            let mut open: Vec<Column<'_>> =
                part.iter().map(|root| Column { root, last: root.clone(), ended: false }).collect();
            let mut at_once = AT_ONCE;
            while !open.is_empty() {
                let names: Vec<Oid> = open.iter().map(|column| column.last.clone()).collect();
                let repetitions = u32::try_from((at_once / names.len()).max(1)).unwrap_or(1);
                match self.get_bulk(0, repetitions, &names).await {
                    Err(SnmpError::Status { status: 1, .. }) if at_once > 1 => at_once /= 2,
                    answer => advance(&mut open, answer?, &mut found)?,
                }
                if found.len() > limits.bindings || Instant::now() > deadline {
                    return Err(SnmpError::TooMuch(limits.bindings, limits.time));
                }
            }
        }
        Ok(found)
    }
}

// An error that names two OIDs is made once a host, and nowhere in a hurry.
#[expect(clippy::result_large_err)]
/// RFC 3416 §4.2.3: an answer has the names' successors in turn, and may end anywhere.
fn advance(open: &mut Vec<Column<'_>>, answer: Vec<Binding>, found: &mut Vec<Binding>) -> Result<(), SnmpError> {
    if answer.is_empty() {
        return Err(SnmpError::Mismatch);
    }
    let width = open.len();
    for (number, binding) in answer.into_iter().enumerate() {
        let Some(column) = open.get_mut(number % width).filter(|column| !column.ended) else { continue };
        if binding.answer == Answer::EndOfMibView || !binding.name.starts_with(column.root) {
            column.ended = true;
            continue;
        }
        if binding.name <= column.last {
            return Err(SnmpError::NotIncreasing { before: column.last.clone(), after: binding.name });
        }
        column.last = binding.name.clone();
        found.push(binding);
    }
    open.retain(|column| !column.ended);
    Ok(())
}
