//! `postfix-agentx papers DIRECTORY` (hidden): the man pages and completions, from the command line's own definition and the
//! configuration's own structs. What it writes is committed; tests/papers.rs compares.

mod yaml;

use super::Failure;
use crate::cli::{Cli, Papers};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};
use std::{fs, io, path::Path, process::ExitCode};

const NAME: &str = "postfix-agentx";
/// What a user of the host may run is in section 1; the rest administers it.
const USERS: [&str; 3] = ["count", "mib", "status"];
/// What every page refers to besides the others.
const ALSO: [(&str, &str); 3] = [("postfix-agentx.yaml", "5"), ("snmpd.conf", "5"), ("postfix", "1")];

/// Writes all of them.
pub(super) fn run(args: &Papers) -> Result<ExitCode, Failure> {
    for (name, content) in all().map_err(|e| Failure::System("cannot write into memory", e))? {
        let file = args.directory.join(name);
        let failed = |e| Failure::File(file.display().to_string(), e);
        fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        fs::write(&file, content).map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every file by its path.
fn all() -> io::Result<Vec<(String, Vec<u8>)>> {
    let program = program();
    let mut files = vec![(format!("man/{NAME}.8"), page(&program, &program, None)?)];
    for command in program.get_subcommands() {
        let section = section(command.get_name());
        let name = format!("man/{NAME}-{}.{section}", command.get_name());
        files.push((name, page(command, &program, Some(command.get_name()))?));
    }
    files.push((format!("man/{NAME}.yaml.5"), yaml::page()?));
    for (shell, name) in
        [(Shell::Bash, format!("{NAME}.bash")), (Shell::Zsh, format!("_{NAME}")), (Shell::Fish, format!("{NAME}.fish"))]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut self::program(), NAME, &mut text);
        files.push((format!("completions/{name}"), text));
    }
    Ok(files)
}

/// The program as its users see it, without what is hidden.
fn program() -> Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let about = whole.get_about().cloned().unwrap_or_default();
    let long = whole.get_long_about().cloned().unwrap_or_default();
    let mut program = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .long_about(long)
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands(shown.collect::<Vec<_>>());
    // Now each command knows how it is called.
    program.build();
    program
}

fn section(command: &str) -> &'static str {
    if USERS.contains(&command) { "1" } else { "8" }
}

fn page(command: &Command, program: &Command, name: Option<&str>) -> io::Result<Vec<u8>> {
    let title = name.map_or(NAME.to_owned(), |name| format!("{NAME}-{name}"));
    let section = name.map_or("8", section);
    let man = Man::new(command.clone()).title(title.to_uppercase()).section(section).source(source());
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut out)?;
    }
    let mut roff = Roff::new();
    if name.is_none() {
        roff.control("SH", ["COMMANDS"]);
        for command in program.get_subcommands() {
            let section = self::section(command.get_name());
            roff.control("TP", []);
            roff.text(vec![bold(format!("{NAME}-{}", command.get_name())), roman(format!("({section})"))]);
            roff.text(words(&command.get_about().map(ToString::to_string).unwrap_or_default()));
        }
        surroundings(&mut roff);
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    after.split("\n\n").for_each(|paragraph| self::paragraph(&mut roff, paragraph));
    see_also(&mut roff, program, name);
    roff.to_writer(&mut out)?;
    Ok(out)
}

fn source() -> String {
    format!("{NAME} {}", env!("CARGO_PKG_VERSION"))
}

/// `Example: …` with commands below it, or `Exit status: …`.
fn paragraph(roff: &mut Roff, text: &str) {
    let (title, rest) = text.split_once(':').unwrap_or(("", text));
    let (Some(heading), mut lines) = (heading(title), rest.lines()) else { return };
    roff.control("SH", [heading]);
    roff.text(words(lines.next().unwrap_or_default().trim()));
    let commands: Vec<&str> = lines.map(str::trim).collect();
    if !commands.is_empty() {
        example(roff, &commands);
    }
}

fn heading(title: &str) -> Option<&'static str> {
    match title.split(',').next()? {
        "Example" => Some("EXAMPLES"),
        "Exit status" => Some("EXIT STATUS"),
        _ => None,
    }
}

/// Lines as they are.
fn example(roff: &mut Roff, lines: &[&str]) {
    roff.control("PP", []);
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(*line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}

/// What is between backticks is bold.
fn words(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

/// Files and the environment.
fn surroundings(roff: &mut Roff) {
    let files = [
        ("/etc/postfix-agentx/config.yaml", "The configuration; see postfix-agentx.yaml(5)."),
        ("/var/lib/postfix-agentx", "What is counted and numbered, so that a restart loses nothing."),
        ("/usr/share/snmp/mibs/POSTFIX-MIB.txt", "What every object means; `postfix-agentx mib` prints it."),
        ("/usr/share/postfix-agentx/snmpd.conf", "What snmpd has to be told, with the reasons."),
    ];
    let variables = [
        ("POSTFIX_AGENTX_LOG", "How much is logged to standard error: error, warn, info, debug, trace."),
        ("POSTFIX_AGENTX_COMMUNITY", "Community of SNMPv2c for check and status."),
        ("POSTFIX_AGENTX_AUTH_PASSPHRASE", "Passphrase of SNMPv3 that signs."),
        ("POSTFIX_AGENTX_PRIV_PASSPHRASE", "Passphrase of SNMPv3 that encrypts."),
        ("NO_COLOR", "Set and not empty: nothing is coloured."),
    ];
    for (heading, entries) in [("FILES", &files[..]), ("ENVIRONMENT", &variables[..])] {
        roff.control("SH", [heading]);
        for (name, text) in entries {
            roff.control("TP", []);
            roff.text([bold(*name)]);
            roff.text(words(text));
        }
    }
}

fn see_also(roff: &mut Roff, program: &Command, name: Option<&str>) {
    let own = program.get_subcommands().map(Command::get_name).filter(|other| Some(*other) != name);
    let mut pages: Vec<(String, &str)> = own.map(|other| (format!("{NAME}-{other}"), section(other))).collect();
    if name.is_some() {
        pages.insert(0, (NAME.to_owned(), "8"));
    }
    pages.extend(ALSO.map(|(page, section)| (page.to_owned(), section)));
    references(roff, &pages);
}

fn references(roff: &mut Roff, pages: &[(String, &str)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut text = Vec::new();
    for (number, (page, section)) in pages.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        text.extend([roman(comma), bold(page.clone()), roman(format!("({section})"))]);
    }
    roff.text(text);
}
