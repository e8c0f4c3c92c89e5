//! snmpd, asked as a manager asks it: is the tree there, and if not, who hides it?
//!
//! A registered agent is still invisible where snmpd's access control (RFC 3415, VACM) does not show its subtree; that is how
//! Debian (view `systemonly`) and RHEL (`systemview`) ship it. sysORTable, which these views do show, tells whether an agent
//! of ours is registered; snmpd.conf, where it may be read, tells which line is missing.

use super::{
    super::asking::{How, announced},
    report::Finding,
};
use crate::{
    advice,
    agentx::CheckError,
    config::Config,
    mib::{Dictionary, View},
    smi::{Oid, Value},
    snmp::{
        Answer, Client, SnmpError,
        snmpd_conf::{Reader, Scope, SnmpdConf},
    },
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

/// What a manager got.
#[derive(Debug)]
pub(super) enum Seen {
    /// Our objects, by name.
    Tree(Tree),
    /// An answer without them.
    Nothing {
        /// The first object below the root, which is not ours.
        foreign: Option<Oid>,
        /// The roots that agents of ours announced; `None`: sysORTable is not shown.
        announced: Option<Vec<Oid>>,
    },
    /// No answer, or none that helps.
    Unanswered(SnmpError),
    /// Nobody to ask as.
    Unasked(String),
}

/// What the running agent says of itself.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) version: String,
    pub(super) health: Option<i32>,
    pub(super) text: String,
    pub(super) uptime: Option<u32>,
    /// Tables without a row there.
    empty: BTreeSet<&'static str>,
}

/// Asks, as the first of these that is answered.
pub(super) async fn look(hows: &[How], dictionary: &Dictionary, local: Option<&View>) -> (Seen, usize) {
    let mut last = Seen::Unasked(String::new());
    for (number, how) in hows.iter().enumerate() {
        match one(how, dictionary, local).await {
            Ok(seen) => return (seen, number),
            Err(error) => last = Seen::Unanswered(error),
        }
    }
    (last, hows.len().saturating_sub(1))
}

async fn one(how: &How, dictionary: &Dictionary, local: Option<&View>) -> Result<Seen, SnmpError> {
    let mut patience = how.credentials.patience;
    // This host: who does not answer within two seconds hangs.
    patience.retries = patience.retries.min(1);
    let mut client = Client::connect(&how.target, how.credentials.identity.clone(), patience).await?;
    let names = ["postfixAgentVersion", "postfixHealth", "postfixHealthText", "postfixAgentUptime"];
    let names: Vec<Oid> = names.iter().filter_map(|name| dictionary.oid(name, &[0])).collect();
    let found = client.get(&names).await?;
    let value = |n: usize| found.get(n).and_then(|binding| binding.answer.value());
    if let Some(Value::OctetString(version)) = value(0) {
        let text = |n| match value(n) {
            Some(Value::OctetString(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let mut tree =
            Tree { version: String::from_utf8_lossy(version).into_owned(), text: text(2), ..Tree::default() };
        if let Some(Value::Integer(health)) = value(1) {
            tree.health = Some(*health);
        }
        if let Some(Value::TimeTicks(uptime)) = value(3) {
            tree.uptime = Some(*uptime);
        }
        if let Some(local) = local {
            tree.empty = hidden(&mut client, dictionary, local).await?;
        }
        return Ok(Seen::Tree(tree));
    }
    let root = dictionary.root().clone();
    let next = client.get_next(std::slice::from_ref(&root)).await?;
    let foreign = next.first().filter(|b| b.answer.value().is_some() && b.name.starts_with(&root));
    let foreign = foreign.map(|binding| binding.name.clone());
    let announced = announced(&mut client).await;
    Ok(Seen::Nothing { foreign, announced })
}

/// Tables that have rows when this process looks and none over SNMP.
async fn hidden(
    client: &mut Client,
    dictionary: &Dictionary,
    local: &View,
) -> Result<BTreeSet<&'static str>, SnmpError> {
    // POSTFIX-MIB's: whoever shows that alone has chosen to leave out what the standard's modules repeat of it.
    let own = |name: &Oid| name.starts_with(dictionary.root());
    let tables = local.walk(Instant::now()).filter(|(name, _)| own(name));
    let tables: BTreeSet<&'static str> =
        tables.filter_map(|(name, _)| Some(dictionary.object(&name)?.0.table)).collect();
    let tables: Vec<(&'static str, Oid)> =
        tables.into_iter().filter_map(|table| Some((table, dictionary.node(table)?))).collect();
    let mut empty = BTreeSet::new();
    for part in tables.chunks(20) {
        let names: Vec<Oid> = part.iter().map(|(_, node)| node.clone()).collect();
        let found = client.get_next(&names).await?;
        for ((table, node), binding) in part.iter().zip(&found) {
            if binding.answer == Answer::EndOfMibView || !binding.name.starts_with(node) {
                empty.insert(*table);
            }
        }
    }
    Ok(empty)
}

/// What is known when the answer is judged.
pub(super) struct Circumstances<'a> {
    pub(super) config: &'a Config,
    pub(super) conf: &'a SnmpdConf,
    /// An agent of this configuration runs.
    pub(super) running: bool,
    /// How a session with snmpd went.
    pub(super) session: &'a Result<String, CheckError>,
}

/// The finding about what a manager sees.
pub(super) fn judge(seen: &Seen, how: Option<&How>, about: &Circumstances<'_>) -> Finding {
    let (id, subject) = ("snmp", "SNMP");
    let root = &about.config.agentx.root;
    let asked = how.map(|how| format!("asked {} as {}", how.target, how.shown)).unwrap_or_default();
    match seen {
        Seen::Tree(tree) => tree_finding(tree, how, &asked, about),
        Seen::Unasked(why) => {
            let files: Vec<String> = about.conf.closed.iter().map(|file| file.display().to_string()).collect();
            let why = if why.is_empty() && about.conf.is_known() {
                "snmpd.conf lets nobody ask from this host whose secrets are known here".to_owned()
            } else if files.is_empty() {
                why.clone()
            } else {
                format!("{} may not be read here", files.join(", "))
            };
            Finding::note(id, subject, &format!("not asked as a manager: {why}; give --community NAME or -u NAME"))
        }
        Seen::Unanswered(error) => {
            let given = how.is_some_and(|how| how.credentials.given || how.reader.is_some());
            let text = format!("{asked}: {error}");
            match (given, about.session) {
                // snmpd is there, and only our guess `public` may be wrong.
                (false, Ok(_)) => {
                    Finding::note(id, subject, &format!("{text}; give --community NAME or -u NAME of a manager"))
                }
                (_, Ok(_)) => Finding::wrong(id, subject, &text),
                // That it is not there has been said.
                (_, Err(_)) => Finding::note(id, subject, &text),
            }
        }
        Seen::Nothing { foreign, announced } => {
            let announced_here = announced.as_ref().is_some_and(|roots| roots.contains(root));
            let elsewhere = announced.as_ref().and_then(|roots| roots.iter().find(|other| *other != root));
            let shown_by_conf = how
                .and_then(|how| how.reader.as_ref())
                .map(|reader| about.conf.shows(&reader.scope, &root.child(&[1, 1, 2, 1, 0])));
            if let Some(name) = foreign {
                let text = format!(
                    "{asked}: below {root} there is {name}, which is not ours: snmpd itself or another subagent serves that part of the tree. {}",
                    advice_for_root(root)
                );
                return Finding::wrong(id, subject, &text);
            }
            let duplicate = matches!(about.session, Err(CheckError::Duplicate(_)));
            match (announced_here, elsewhere, shown_by_conf) {
                (true, _, Some(true)) => Finding::wrong(
                    id,
                    subject,
                    &format!(
                        "{asked}: the agent is registered and the view that the files have now shows {root}, and still nothing is there: snmpd was not started since they were changed; if that is not it, another subagent has registered the same at a smaller priority, or the agent does not answer, and its log tells; do: {} && journalctl -u {} -n 20",
                        advice::restart("snmpd"),
                        advice::SERVICE
                    ),
                ),
                (true, ..) | (_, None, Some(false)) => view(how, &asked, about, announced_here || about.running),
                (false, Some(other), _) => {
                    let text = format!("{asked}: the agent that runs serves {other}, the configuration says {root}: it has to be started anew");
                    Finding::wrong(id, subject, &text).with([advice::restart(advice::SERVICE)])
                }
                (false, None, _) if duplicate => Finding::wrong(
                    id,
                    subject,
                    &format!("{asked}: nothing is shown, and whoever has registered {root} is no postfix-agentx"),
                ),
                (false, None, Some(true)) if !about.running => {
                    Finding::note(id, subject, &format!("{asked}: the view shows {root}, and nothing is there before the agent runs"))
                        .with(start())
                }
                (false, None, None) if !about.running => Finding::note(
                    id,
                    subject,
                    &format!("{asked}: nothing is at {root} before the agent runs; whether the view will show it is told then"),
                )
                .with(start()),
                // It runs, and is not registered: the session said why.
                (false, None, _) if announced.is_some() && about.session.is_err() => {
                    Finding::note(id, subject, &format!("{asked}: nothing is at {root}, because the agent is not registered"))
                }
                (false, None, _) if announced.is_some() => Finding::wrong(
                    id,
                    subject,
                    &format!("{asked}: nothing is at {root}: the agent runs and is not registered at this snmpd; do: journalctl -u {} -n 20", advice::SERVICE),
                ),
                (false, None, _) => view(how, &asked, about, about.running),
            }
        }
    }
}

fn start() -> Vec<String> {
    if advice::has_unit("postfix-agentx.service") {
        vec![format!("systemctl enable --now {}", advice::SERVICE)]
    } else {
        Vec::new()
    }
}

fn tree_finding(tree: &Tree, how: Option<&How>, asked: &str, about: &Circumstances<'_>) -> Finding {
    let (id, subject) = ("snmp", "SNMP");
    let health = match tree.health {
        Some(1) => "ok",
        Some(2) => "warning",
        Some(3) => "critical",
        _ => "unknown",
    };
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "{asked}: the tree is visible at {}, agent {}, health {health}",
        about.config.agentx.root, tree.version
    );
    if tree.version != version {
        let text = format!("{text}; this is {version}, so the agent that runs is of another release");
        return Finding::note(id, subject, &text).with([advice::restart(advice::SERVICE)]);
    }
    if tree.empty.is_empty() {
        return Finding::ok(id, subject, &text);
    }
    let list = tree.empty.iter().copied().collect::<Vec<_>>().join(", ");
    let dictionary = Dictionary::new(&about.config.agentx.root, &crate::collect::catalogue());
    let excluded = |reader: &Reader| {
        let nodes = tree.empty.iter().filter_map(|table| dictionary.node(table));
        nodes.filter(|node| !about.conf.shows(&reader.scope, node)).count()
    };
    match how.and_then(|how| how.reader.as_ref()).map(|reader| (reader, excluded(reader))) {
        Some((reader, hidden)) if hidden > 0 => {
            let text = format!("{text}; but {} hides a part of it: {list}", scope(&reader.scope));
            Finding::wrong(id, subject, &text).with(include(reader, about, true))
        }
        _ => Finding::note(
            id,
            subject,
            &format!("{text}; not shown, by the view or because the agent cannot read it: {list}"),
        ),
    }
}

fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Everything => "snmpd.conf".to_owned(),
        Scope::Below(root) => format!("the restriction to {root}"),
        Scope::View(view) => format!("the view {view}"),
    }
}

/// The finding that the access control hides us.
fn view(how: Option<&How>, asked: &str, about: &Circumstances<'_>, registered: bool) -> Finding {
    let (id, subject) = ("snmp", "SNMP");
    let root = &about.config.agentx.root;
    let state = if registered { "the agent is registered, but" } else { "" };
    let Some(reader) = how.and_then(|how| how.reader.as_ref()) else {
        let text = format!(
            "{asked}: {state} the view hides {root} (No Such Object). Debian's view is systemonly, RHEL's systemview; which one, the lines rocommunity, rouser and access say (run this as root and it will name the line)"
        );
        return Finding::wrong(id, subject, text.trim())
            .with(["grep -rE '^ *(rocommunity|rwcommunity|rouser|access|view|com2sec)' /etc/snmp".to_string()]);
    };
    let moved = match default_is_shown(reader, about) {
        true => format!("; it shows {}, which is not the root of this configuration", Oid::from(crate::mib::ROOT)),
        false => String::new(),
    };
    let text = format!("{asked}: {state} {} ({}) hides {root}{moved}", scope(&reader.scope), reader.place);
    Finding::wrong(id, subject, &text.replace(":  ", ": ")).with(include(reader, about, false))
}

fn default_is_shown(reader: &Reader, about: &Circumstances<'_>) -> bool {
    let default = Oid::from(crate::mib::ROOT);
    default != about.config.agentx.root && about.conf.shows(&reader.scope, &default.child(&[1, 1, 2, 1, 0]))
}

/// The commands that let this reader see the tree. `part`: what is excluded deeper down has to go by hand.
fn include(reader: &Reader, about: &Circumstances<'_>, part: bool) -> Vec<String> {
    let root = &about.config.agentx.root;
    let file = place(about.conf, reader);
    let quoted = advice::quoted(&file);
    let mut commands = match &reader.scope {
        Scope::View(view) if part => vec![format!("grep -n 'view *{view} *excluded' {quoted}")],
        Scope::View(view) => vec![format!("echo 'view {view} included {root}' >> {quoted}")],
        // snmpd heeds the first line of a community, so that one has to become one with a view.
        Scope::Below(shown) => {
            let line = advice::quoted(&reader.place.file);
            vec![
                format!("sed -i '{}s/[^ \\t]*[ \\t]*$/-V postfixview/' {line}", reader.place.line),
                format!("printf 'view postfixview included {shown}\\nview postfixview included {root}\\n' >> {line}"),
            ]
        }
        Scope::Everything => return Vec::new(),
    };
    commands.push(advice::restart("snmpd"));
    commands
}

/// Where a line of ours goes: the directory of pieces where there is one, else the file that has the view.
fn place(conf: &SnmpdConf, reader: &Reader) -> PathBuf {
    let view = match &reader.scope {
        Scope::View(view) => conf.view_place(view),
        _ => None,
    };
    match conf.directories.iter().find(|directory| directory.is_dir()) {
        Some(directory) => advice::own_piece(directory),
        None => view.map_or_else(|| reader.place.file.to_path_buf(), |place| Path::new(&*place.file).to_owned()),
    }
}

/// Why a root is no good place.
pub(super) fn advice_for_root(root: &Oid) -> String {
    let enterprise = root.starts_with(&[1, 3, 6, 1, 4, 1]) && root.len() > 7;
    if enterprise {
        "Give `agentx: { root: … }` a place that is nobody else's, below an enterprise number of your own".to_owned()
    } else {
        format!(
            "`agentx: {{ root: {root} }}` is not below an enterprise number (1.3.6.1.4.1.NUMBER.…): leave `root` out, or give a place of your own"
        )
    }
}
