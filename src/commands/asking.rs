//! What the command line says of how to ask snmpd, judged.

use super::Failure;
use crate::{cli, snmp};
use std::{fmt::Display, str::FromStr};

/// A value that clap took as a word.
pub(super) fn value<T: FromStr<Err: Display>>(option: &str, word: Option<&String>) -> Result<Option<T>, Failure> {
    word.map(|word| word.parse().map_err(|e: T::Err| Failure::Usage(format!("{option} {word}: {e}")))).transpose()
}

/// How to ask.
pub(super) fn access(args: &cli::Access) -> Result<snmp::Access, Failure> {
    let seconds = |text: &String| snmp::seconds(text).map_err(|e| Failure::Usage(format!("--timeout: {e}")));
    Ok(snmp::Access {
        community: args.community.clone(),
        security_name: args.security_name.clone(),
        level: value("--level", args.level.as_ref())?,
        auth_protocol: value("--auth-protocol", args.auth_protocol.as_ref())?,
        priv_protocol: value("--priv-protocol", args.priv_protocol.as_ref())?,
        secrets: args.secrets.clone(),
        timeout: args.timeout.as_ref().map(seconds).transpose()?,
        retries: args.retries,
    })
}
