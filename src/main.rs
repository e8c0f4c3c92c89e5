//! Arguments, logging, exit codes; no logic.
fn main() {}
