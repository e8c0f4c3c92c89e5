//! Submission through a local sendmail(1): the message on its standard input, its complaints on standard error.

use crate::{child, stop::Stop};
use std::{path::Path, time::Duration};

/// Runs the program with the recipient on its command line; on failure its last words. It is killed at the deadline.
pub fn run(program: &Path, from: &str, to: &str, message: &[u8], deadline: Duration) -> Result<(), String> {
    let name = program.display();
    let sender = if from.is_empty() { "<>" } else { from };
    let output = child::feed(program, &["-i", "-f", sender, "--", to], message, deadline, &Stop::default());
    let output = output.map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let last = output.said.split(|octet| *octet == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    Err(format!("{name} ended with {}: {}", output.status, super::fault::words(last)))
}
