//! `postfix-agentx mib`: the MIB modules as they are compiled in, at another root if wished.

use super::Failure;
use crate::{
    cli::Mib,
    config::{self, Config},
    mib::{AGENTCAPS_MIB_TEXT, POSTFIX_MIB_TEXT, ROOT},
    smi::Oid,
};
use std::{
    borrow::Cow,
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Prints both modules, or writes a file each.
pub(super) fn run(args: &Mib) -> Result<ExitCode, Failure> {
    let root = match &args.root {
        Some(text) => config::root(text).map_err(|e| Failure::Usage(format!("--root {text}: {e}")))?,
        None => Config::load(args.file.config.as_deref())?.agentx.root,
    };
    let modules = [("POSTFIX-MIB.txt", rooted(&root)), ("POSTFIX-AGENTCAPS-MIB.txt", AGENTCAPS_MIB_TEXT.into())];
    if let Some(directory) = &args.directory {
        for (name, text) in &modules {
            write(&directory.join(name), text)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    let written = modules.iter().try_for_each(|(_, text)| out.write_all(text.as_bytes())).and_then(|()| out.flush());
    match written {
        // `mib | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|e| Failure::File(file.display().to_string(), e))
}

/// POSTFIX-MIB with postfixMIB at `root`: below `enterprises` where it is a company's own, else by its numbers.
fn rooted(root: &Oid) -> Cow<'static, str> {
    if root.as_slice() == ROOT {
        return POSTFIX_MIB_TEXT.into();
    }
    let numbers = |arcs: &[u32]| arcs.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let (import, at) = match root.as_slice() {
        [1, 3, 6, 1, 4, 1, rest @ ..] if !rest.is_empty() => {
            (", enterprises", format!("enterprises {}", numbers(rest)))
        }
        [1, 3, 6, 1, 3, rest @ ..] if !rest.is_empty() => (", experimental", format!("experimental {}", numbers(rest))),
        [1, rest @ ..] => ("", format!("iso {}", numbers(rest))),
        all => ("", numbers(all)),
    };
    POSTFIX_MIB_TEXT
        .replacen("\n        FROM SNMPv2-SMI", &format!("{import}\n        FROM SNMPv2-SMI"), 1)
        .replacen("\n    netSnmpPlaypen\n        FROM NET-SNMP-MIB;", ";", 1)
        .replacen("::= { netSnmpPlaypen 25 }", &format!("::= {{ {at} }}"), 1)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_the_root_it_was_given() {
        let at = |root: &str| rooted(&root.parse().unwrap());
        assert_eq!(at("1.3.6.1.4.1.8072.9999.9999.25"), POSTFIX_MIB_TEXT);
        let own = at("1.3.6.1.4.1.32473.25");
        assert!(own.contains("::= { enterprises 32473 25 }") && own.contains(", enterprises\n"), "{}", &own[..1500]);
        assert!(!own.contains("netSnmpPlaypen"), "nothing is left of the playpen");
        assert!(at("1.3.6.1.3.7").contains("::= { experimental 7 }"));
        assert!(at("1.3.6.1.2.1.9999").contains("::= { iso 3 6 1 2 1 9999 }"));
    }
}
