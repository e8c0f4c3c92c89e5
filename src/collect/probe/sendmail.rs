//! Submission through a local sendmail(1): the message on its standard input, its complaints on standard error.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Runs the program with the recipient on its command line; on failure its last words. It is killed at the deadline.
pub fn run(program: &Path, from: &str, to: &str, message: &[u8], deadline: Duration) -> Result<(), String> {
    let name = program.display();
    let failed = |e: std::io::Error| format!("{name}: {e}; is it installed, and may the agent's user run it?");
    let sender = if from.is_empty() { "<>" } else { from };
    let mut child = Command::new(program)
        .args(["-i", "-f", sender, "--", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // A probe's message is smaller than a pipe: this waits for nobody.
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(message));
    let until = Instant::now() + deadline;
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                // It may have ended by itself in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} did not end within {} s; is maildrop full or locked?", deadline.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.success() {
        return written.map_err(failed);
    }
    let mut words = Vec::new();
    if let Some(pipe) = child.stderr.take() {
        // What came before a broken pipe is still worth reading.
        let _ = pipe.take(4_096).read_to_end(&mut words);
    }
    let last = words.split(|octet| *octet == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    Err(format!("{name} ended with {status}: {}", super::fault::words(last)))
}
