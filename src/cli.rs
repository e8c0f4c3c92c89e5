//! The command line, and nothing of the project besides: man pages and completions are made from it. What clap cannot judge
//! the commands do.

use clap::{Args, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

/// SNMP subagent for Postfix: serves POSTFIX-MIB to net-snmpd over AgentX.
///
/// Exit status: 0 done; 1 it failed, or `check` found something wrong; 2 wrong usage or configuration. `status` has those of
/// monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve POSTFIX-MIB until SIGTERM; SIGHUP takes a changed configuration over
    #[command(after_help = RUN)]
    Run(ConfigFile),
    /// Ask hosts over SNMP how the mail is: queues, mail flow, what waits and why, what is wrong and what to do
    #[command(after_help = STATUS)]
    Status(Box<Status>),
    /// Collect once and print every object as `snmpwalk` would, without snmpd and without any MIB installed
    #[command(after_help = DUMP)]
    Dump(Dump),
    /// Look at configuration, Postfix, rights, state directory and snmpd, and say what to do about each
    #[command(after_help = CHECK)]
    Check(Box<Check>),
    /// Run a configured probe once, now, or all of them, and print how long each stage took
    #[command(after_help = PROBE)]
    Probe(Probe),
    /// Send a test notification through snmpd, so that the way to the managers can be tried
    #[command(after_help = NOTIFY)]
    Notify(Notify),
    /// Count log files from start to end and print every counter
    #[command(after_help = COUNT)]
    Count(Count),
    /// Print the MIB modules, at another root if you like
    #[command(after_help = MIB)]
    Mib(Mib),
    /// Print the lines that snmpd's configuration lacks, write them where they belong, or take them away again
    #[command(after_help = SETUP_SNMPD)]
    SetupSnmpd(SetupSnmpd),
    /// Write the man pages and completions that stand in man/ and completions/
    #[command(hide = true)]
    Papers(Papers),
}

const RUN: &str = "Example: in the foreground, with more of what it does on standard error\n  \
    POSTFIX_AGENTX_LOG=debug postfix-agentx run -c /etc/postfix-agentx/config.yaml\n\n\
    Exit status: 0 told to end; 1 it failed; 2 wrong configuration, or a state directory of a newer release.";
const PROBE: &str = "Example: all of them, then one\n  \
    postfix-agentx probe\n  postfix-agentx probe submission\n\n\
    Exit status: 0 all are up; 1 one is down; 2 wrong usage or configuration.";
const COUNT: &str = "Example: yesterday and today, then what is not understood\n  \
    postfix-agentx count /var/log/mail.log.1 /var/log/mail.log\n  zcat mail.log.*.gz | postfix-agentx count --unrecognised -\n\n\
    Exit status: 0 counted; 1 a file could not be read; 2 wrong usage or configuration.";
const CHECK: &str = "Example: as root, which looks as the daemon's user and finds a community in snmpd.conf\n  \
    postfix-agentx check\n\nExit status: 0 all is well; 1 something is wrong; 2 wrong usage or configuration.";
const STATUS: &str = "Example: this host; two others as SNMPv3 user; a terminal that is left open; a monitoring plugin\n  \
    postfix-agentx status\n  postfix-agentx status --secrets ~/mail.conf -u monitor mx1.example mx2.example\n  \
    postfix-agentx status --watch\n  postfix-agentx status --nagios mx1.example\n\n\
    Exit status, of the worst host: 0 ok; 1 warning; 2 critical; 3 unknown: no answer, no agent there, or wrong usage.";
const DUMP: &str = "Example: the queues, then one number of them\n  \
    postfix-agentx dump postfixQueueTable\n  postfix-agentx dump --numeric postfixTotalDeferred\n\n\
    Exit status: 0 done; 1 it failed; 2 wrong usage or configuration.";
const MIB: &str = "Example: below an enterprise number of your own, as `agentx: root:` then has to say\n  \
    postfix-agentx mib --root 1.3.6.1.4.1.32473.25 --directory /usr/share/snmp/mibs\n\n\
    Exit status: 0 done; 1 it failed; 2 wrong usage or configuration.";

const SETUP_SNMPD: &str = "Example: see, do, and undo\n  \
    postfix-agentx setup-snmpd\n  postfix-agentx setup-snmpd --write\n  postfix-agentx setup-snmpd --remove\n\n\
    Exit status: 0 done, or nothing to change; 1 a file could not be read or written; 2 wrong usage or configuration.";

const NOTIFY: &str = "Example: while snmptrapd or the manager listens\n  postfix-agentx notify --test\n\n\
    Exit status: 0 snmpd has taken it; 1 it has not; 2 wrong usage or configuration.";

/// Which configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigFile {
    /// Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to count and how to print it.
#[derive(Clone, Debug, Default, Args)]
pub struct Count {
    /// Log files, oldest first; .gz are decompressed, - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print the lines that are not understood instead, up to 10,000 of them: please send them with a report
    #[arg(long, conflicts_with = "json")]
    pub unrecognised: bool,
    /// Configuration file with log.hosts, log.filters, log.reinject_labels and patterns; without it none of them
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// As whom to look, and how to ask.
#[derive(Debug, Args)]
pub struct Check {
    /// Which configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The user the daemon runs as, by name or uid, perhaps with :GROUP; only root can look as another one [default: what
    /// the unit postfix-agentx.service says]
    #[arg(long, value_name = "USER", value_hint = ValueHint::Username)]
    pub user: Option<String>,
    /// Where snmpd answers SNMP [default: what agentAddress in snmpd.conf says, else 127.0.0.1]
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub host: Option<String>,
    /// Read this file, and others given so, instead of snmpd's own
    #[arg(long, value_name = "FILE")]
    pub snmpd_conf: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where neither says who asks, snmpd.conf does, if it may be read
    #[command(flatten)]
    pub access: Access,
}

/// Whom to ask, and what to show.
#[derive(Clone, Debug, Default, Args)]
pub struct Status {
    /// Whom to ask.
    #[arg(
        value_name = "HOST",
        value_hint = ValueHint::Hostname,
        // rustdoc would take the address for a link.
        help = "Hosts, as snmpget takes them: mail.example, 192.0.2.1:1161, [2001:db8::1]:161 [default: 127.0.0.1]",
        long_help = None
    )]
    pub hosts: Vec<String>,
    /// Everything: every instance's queues, every domain, probe, certificate and service; of several hosts more than a line
    /// each
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Stay, and ask again every so often [default of SECONDS: 2s]; q ends it
    #[arg(short = 'w', long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2s",
        conflicts_with_all = ["json", "nagios"])]
    pub watch: Option<String>,
    /// Print one JSON object, described in docs/status.md
    #[arg(long, conflicts_with = "nagios")]
    pub json: bool,
    /// Print one line with performance data, as monitoring plugins do; one HOST only
    #[arg(long)]
    pub nagios: bool,
    /// How long mail is counted for the numbers a minute; 0 does not wait for them [default: 3s]
    #[arg(short = 's', long, value_name = "SECONDS")]
    pub sample: Option<String>,
    /// Where postfixMIB is [default: what the configuration here says, if it may be read, else 1.3.6.1.4.1.8072.9999.9999.25;
    /// an agent elsewhere is found by what it announced]
    #[arg(long, value_name = "OID")]
    pub root: Option<String>,
    /// Of which `agentx: root:` is taken.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Where neither says who asks, and no HOST is given, snmpd.conf here does, if it may be read
    #[command(flatten)]
    pub access: Access,
}

/// Which probe.
#[derive(Debug, Args)]
pub struct Probe {
    /// Its name in the configuration; all where none is given
    pub name: Option<String>,
    /// Which configuration.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// What to send.
#[derive(Debug, Args)]
pub struct Notify {
    /// Configuration file
    #[command(flatten)]
    pub file: ConfigFile,
    /// Send postfixTestNotification; there is nothing else to send by hand
    #[arg(long, required = true)]
    pub test: bool,
}

/// What of the tree, and how.
#[derive(Debug, Args)]
pub struct Dump {
    /// Which configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Tables, groups or objects of POSTFIX-MIB (postfixQueueTable, postfixTotals, postfixHealth.0) or OIDs; all where none
    /// is given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Print numbers instead of names, as `snmpwalk -On` does
    #[arg(short = 'n', long)]
    pub numeric: bool,
}

/// Where to put the tree.
#[derive(Debug, Args)]
pub struct Mib {
    /// Configuration file, whose `agentx: root:` is taken where --root is not given
    /// Which configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Where postfixMIB is to be
    #[arg(long, value_name = "OID")]
    pub root: Option<String>,
    /// Write a file for each module into this directory instead of printing them
    #[arg(short = 'd', long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// What to do with snmpd's configuration.
#[derive(Debug, Args)]
pub struct SetupSnmpd {
    /// Write them: into a file of their own where snmpd.conf includes a directory (Debian 12 and newer), else into a marked
    /// part at its end (RHEL)
    #[arg(long, conflicts_with = "remove")]
    pub write: bool,
    /// Take away what --write wrote
    #[arg(long)]
    pub remove: bool,
    /// snmpd's main file [default: /etc/snmp/snmpd.conf]
    #[arg(long, value_name = "FILE")]
    pub snmpd_conf: Option<PathBuf>,
    /// Which configuration: its root is what the view has to show.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// Where to write.
#[derive(Debug, Args)]
pub struct Papers {
    /// In which man/ and completions/ are, or will be
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
}

/// How to ask snmpd.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How to ask snmpd")]
pub struct Access {
    /// SNMPv2c with this community; everybody on this host can read it while the command runs, so for one that is secret
    /// use the environment's POSTFIX_AGENTX_COMMUNITY or --secrets
    #[arg(long, value_name = "NAME", conflicts_with = "security_name")]
    pub community: Option<String>,
    /// SNMPv3 as this user; passphrases come from POSTFIX_AGENTX_AUTH_PASSPHRASE and POSTFIX_AGENTX_PRIV_PASSPHRASE,
    /// --secrets or snmp.conf
    #[arg(short = 'u', long, value_name = "NAME")]
    pub security_name: Option<String>,
    /// noAuthNoPriv, authNoPriv or authPriv [default: what there are passphrases for]
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 [default: SHA]
    #[arg(short = 'a', long, value_name = "PROTOCOL")]
    pub auth_protocol: Option<String>,
    /// DES, AES, AES-192, AES-256, AES-192-C or AES-256-C [default: AES]
    #[arg(short = 'x', long, value_name = "PROTOCOL")]
    pub priv_protocol: Option<String>,
    /// Communities and passphrases, written as in snmp.conf: defCommunity, defAuthPassphrase, defPrivPassphrase …
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// Seconds to wait for each answer [default: 1]
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub timeout: Option<String>,
    /// How often to ask again [default: 5]
    #[arg(short = 'r', long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: Option<u32>,
}
