//! What `check` and `status` have in common: what the command line says of how to ask snmpd, judged; whom that asks, as
//! whom; and which agents of ours a host has.

use super::Failure;
use crate::{
    cli,
    smi::{Oid, Value},
    snmp::{
        self, Access, Binding, Client, Credentials, Limits, Target,
        session::Identity,
        snmpd_conf::{Reader, SnmpdConf, Who},
        usm::User,
    },
};
use std::{fmt::Display, str::FromStr, time::Duration};

/// sysORID and sysORDescr (SNMPv2-MIB): what subagents announced.
const SYS_OR: [[u32; 10]; 2] = [[1, 3, 6, 1, 2, 1, 1, 9, 1, 2], [1, 3, 6, 1, 2, 1, 1, 9, 1, 3]];
/// How our agents describe themselves there.
const OURS: &str = "postfix-agentx ";
/// { postfixMIB 3 1 }, postfixAgentCapabilities, is what they announce.
const CAPABILITIES: [u32; 2] = [3, 1];

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

/// With what, whom, and by whose word.
pub(super) struct How {
    pub(super) credentials: Credentials,
    pub(super) target: Target,
    /// Who that is in snmpd.conf.
    pub(super) reader: Option<Reader>,
    /// For people; no secret is in it.
    pub(super) shown: String,
}

/// Decides how to ask: arguments, environment and snmp.conf first, then what snmpd.conf lets from here, then `public`.
pub(super) fn how(access: &Access, host: Option<&Target>, conf: &SnmpdConf) -> Result<Vec<How>, String> {
    let given = access.credentials().map_err(|e| e.to_string())?;
    let targets = match host {
        Some(host) => vec![host.clone()],
        None => conf.addresses().iter().filter_map(|address| address.parse().ok()).collect(),
    };
    // One that is bound to a single foreign address is asked there as well as the others; the first is enough.
    let local: Target = "127.0.0.1".parse().map_err(|e: crate::snmp::TargetError| e.to_string())?;
    let target = targets.into_iter().next().unwrap_or(local).or_port(given.port);
    let known = |identity: &Identity| {
        conf.readers().into_iter().find(|reader| match (&reader.who, identity) {
            (Who::Community(name), Identity::Community(community)) => name.as_bytes() == community.as_slice(),
            (Who::User { name, .. }, Identity::User(user)) => name.as_bytes() == user.name(),
            _ => false,
        })
    };
    let describe = |identity: &Identity, reader: Option<&Reader>| match (identity, reader) {
        (Identity::Community(_), Some(reader)) => format!("the community of {}", reader.place),
        (Identity::Community(c), None) if c == b"public" => "community public".to_owned(),
        (Identity::Community(_), None) => "the community given".to_owned(),
        (Identity::User(user), _) => format!("SNMPv3 user {} ({})", String::from_utf8_lossy(user.name()), user.level()),
    };
    let make = |identity: Identity, reader: Option<Reader>| How {
        shown: describe(&identity, reader.as_ref()),
        credentials: Credentials { identity, ..given.clone() },
        target: target.clone(),
        reader,
    };
    if given.given {
        let reader = known(&given.identity);
        return Ok(vec![make(given.identity.clone(), reader)]);
    }
    let found = conf.readers().into_iter().filter_map(|reader| Some(make(identity(&reader.who)?, Some(reader))));
    let mut all: Vec<How> = found.collect();
    if all.is_empty() && !conf.is_known() {
        all.push(make(given.identity.clone(), None));
    }
    Ok(all)
}

fn identity(who: &Who) -> Option<Identity> {
    match who {
        Who::Community(name) => Some(Identity::Community(name.clone().into_bytes())),
        Who::User { name, level, auth, privacy } => {
            let mut user = User::new(name.as_str()).ok()?;
            let wanted = !level.starts_with("noauth");
            if let Some((protocol, phrase)) = auth.as_ref().filter(|_| wanted) {
                user = user.signed(*protocol, phrase.as_bytes()).ok()?;
                if let Some((protocol, phrase)) = privacy {
                    user = user.sealed(*protocol, phrase.as_bytes()).ok()?;
                }
            } else if wanted {
                // Its passphrases are in snmpd's own state, as keys that are of no use elsewhere.
                return None;
            }
            Some(Identity::User(user))
        }
    }
}

/// The roots of all agents of ours that are registered, by sysORTable.
pub(super) async fn announced(client: &mut Client) -> Option<Vec<Oid>> {
    let limits = Limits { bindings: 2_000, time: Duration::from_secs(5) };
    let ids = client.walk(&SYS_OR[0].into(), limits).await.ok()?;
    let texts = client.walk(&SYS_OR[1].into(), limits).await.ok()?;
    if ids.is_empty() {
        return None;
    }
    let ours = |binding: &&Binding| {
        let index = binding.name.get(SYS_OR[0].len()..);
        let text = texts.iter().find(|text| text.name.get(SYS_OR[1].len()..) == index)?.answer.value()?;
        match text {
            Value::OctetString(text) => text.starts_with(OURS.as_bytes()).then_some(()),
            _ => None,
        }
    };
    let root = |binding: &Binding| match binding.answer.value()? {
        Value::ObjectId(id) => Some(Oid::from(id.strip_suffix(&CAPABILITIES[..])?)),
        _ => None,
    };
    Some(ids.iter().filter(|binding| ours(binding).is_some()).filter_map(root).collect())
}
