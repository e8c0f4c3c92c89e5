//! `postfix-agentx dump`: collects once and prints the whole tree or a part of it, without snmpd. It locks and writes
//! nothing, so that it may run beside the daemon.

use super::Failure;
use crate::{cli::Dump, collect, config::Config, mib::Dictionary, wiring::Once};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

/// One `NAME = TYPE: value` a line, as `snmpwalk` prints it with the MIB loaded; or `OID = TYPE: value`, as `snmpwalk -On`
/// does without any.
pub(super) fn run(args: &Dump) -> Result<ExitCode, Failure> {
    let config = Config::load(args.file.config.as_deref())?;
    let dictionary = Dictionary::new(&config.agentx.root, &collect::catalogue());
    let mut parts = Vec::new();
    for name in &args.names {
        parts.push(dictionary.node(name).ok_or_else(|| unknown(name, &dictionary))?);
    }
    let once = Once::collect(config);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = once
        .context
        .publisher
        .view()
        .walk(Instant::now())
        .filter(|(name, _)| parts.is_empty() || parts.iter().any(|part| name.starts_with(part)))
        .try_for_each(|(name, value)| {
            if args.numeric {
                writeln!(out, "{name} = {value}")
            } else {
                writeln!(out, "{}", dictionary.show(&name, &value))
            }
        })
        .and_then(|()| out.flush());
    match written {
        // `dump | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A name that the MIB does not have.
pub(super) fn unknown(name: &str, dictionary: &Dictionary) -> Failure {
    let similar = dictionary.similar(name);
    let hint = if similar.is_empty() {
        "`postfix-agentx mib` prints all of them".to_owned()
    } else {
        format!("there are {}", similar.join(", "))
    };
    Failure::Usage(format!("`{name}` is no table, group or object of POSTFIX-MIB; {hint}"))
}
