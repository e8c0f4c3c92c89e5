//! snmpd.conf(5), as far as it says who may see what: communities and users, groups, access, views; and where snmpd listens.
//!
//! Which directives there are, their defaults and what snmpd makes of them is net-snmp's agent/mibgroup/mibII/vacm_conf.c
//! and snmpd.conf(5); how a view decides is RFC 3415 §4 and its vacmViewTreeFamilyTable. Files named by includeFile and
//! includeDir are followed. Everything else in the file is left alone. Nothing is written.

use super::usm::{Sealing, Signing};
use crate::smi::Oid;
use std::{
    collections::BTreeSet,
    env, fmt, fs,
    path::{Path, PathBuf},
    rc::Rc,
};

/// The largest file that is read, octets.
const MAX_FILE: u64 = 1 << 20;
/// Files, all includes together.
const MAX_FILES: usize = 100;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: Rc<Path>,
    /// Which line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One directive.
#[derive(Clone, Debug)]
struct Line {
    place: Place,
    /// Token and arguments, quotation marks removed.
    words: Vec<String>,
}

impl Line {
    fn token(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Everything snmpd was told.
#[derive(Clone, Debug, Default)]
pub struct SnmpdConf {
    lines: Vec<Line>,
    /// What was read.
    pub files: Vec<PathBuf>,
    /// What is there and may not be read.
    pub closed: Vec<PathBuf>,
    /// Directories whose *.conf are read as well.
    pub directories: Vec<PathBuf>,
}

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// SNMPv2c.
    Community(String),
    /// SNMPv3: name, and the passphrases where a createUser line has them.
    User {
        /// Its name.
        name: String,
        /// The least level it must use: noauth, auth, priv.
        level: String,
        /// Protocol and passphrase that sign.
        auth: Option<(Signing, String)>,
        /// Protocol and passphrase that encrypt.
        privacy: Option<(Sealing, String)>,
    },
}

/// What somebody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All there is.
    Everything,
    /// What is below this.
    Below(Oid),
    /// What a view shows.
    View(String),
}

/// Somebody who may read from this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub who: Who,
    /// What.
    pub scope: Scope,
    /// The line that says so.
    pub place: Place,
}

/// snmpd's files in the order it reads them; SNMPCONFPATH is net-snmp's own way to name other directories.
pub fn files() -> Vec<PathBuf> {
    let directories = match env::var_os("SNMPCONFPATH") {
        Some(path) => env::split_paths(&path).collect(),
        None => ["/etc/snmp", "/usr/share/snmp", "/var/lib/snmp", "/var/lib/net-snmp"].map(PathBuf::from).to_vec(),
    };
    let names = ["snmpd.conf", "snmpd.local.conf"];
    directories.iter().flat_map(|directory| names.map(|name| directory.join(name))).collect()
}

impl SnmpdConf {
    /// Reads these files, and what they include. What is not there is nothing; what may not be read is noted.
    pub fn read(files: &[PathBuf]) -> Self {
        let mut conf = Self::default();
        let mut seen = BTreeSet::new();
        files.iter().for_each(|file| conf.file(file, &mut seen));
        conf
    }

    fn file(&mut self, path: &Path, seen: &mut BTreeSet<PathBuf>) {
        if seen.len() >= MAX_FILES || !seen.insert(path.to_owned()) {
            return;
        }
        let Ok(meta) = fs::metadata(path) else {
            // A directory that may not be searched hides whether there is one.
            if path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) {
                self.closed.push(path.to_owned());
            }
            return;
        };
        if !meta.is_file() || meta.len() > MAX_FILE {
            return;
        }
        let Ok(octets) = fs::read(path) else { return self.closed.push(path.to_owned()) };
        self.files.push(path.to_owned());
        let file: Rc<Path> = path.into();
        for (number, line) in (1..).zip(String::from_utf8_lossy(&octets).lines()) {
            let words = words(line);
            let Some(token) = words.first() else { continue };
            let argument = words.get(1).map(|name| path.parent().unwrap_or(path).join(name));
            match (token.to_ascii_lowercase().as_str(), argument) {
                ("includefile", Some(name)) => self.file(&name, seen),
                ("includedir", Some(name)) => self.directory(&name, seen),
                _ => self.lines.push(Line { place: Place { file: Rc::clone(&file), line: number }, words }),
            }
        }
    }

    fn directory(&mut self, path: &Path, seen: &mut BTreeSet<PathBuf>) {
        self.directories.push(path.to_owned());
        match fs::read_dir(path) {
            Ok(entries) => {
                let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
                files.retain(|file| file.extension().is_some_and(|ext| ext == "conf"));
                files.sort();
                files.iter().for_each(|file| self.file(file, seen));
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => self.closed.push(path.to_owned()),
            Err(_) => {}
        }
    }

    /// The same without the lines that are to be left out.
    pub fn without(&self, leave_out: impl Fn(&Place) -> bool) -> Self {
        let lines = self.lines.iter().filter(|line| !leave_out(&line.place)).cloned().collect();
        Self { lines, ..self.clone() }
    }

    /// Where a directive stands that counts: the last of its kind.
    pub fn place(&self, token: &str) -> Option<&Place> {
        let mut lines = self.lines.iter().filter(|line| line.token().eq_ignore_ascii_case(token));
        lines.next_back().map(|line| &line.place)
    }

    /// Whether anything was read at all.
    pub fn is_known(&self) -> bool {
        !self.files.is_empty()
    }

    fn directives<'a>(&'a self, token: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.token().eq_ignore_ascii_case(token))
    }

    fn last(&self, token: &str) -> Option<&str> {
        let mut lines = self.lines.iter().filter(|line| line.token().eq_ignore_ascii_case(token));
        lines.next_back().and_then(|line| line.words.get(1)).map(String::as_str)
    }

    /// Whether subagents may connect.
    pub fn is_master(&self) -> bool {
        self.last("master")
            .is_some_and(|word| ["agentx", "all", "yes", "on", "1"].contains(&word.to_ascii_lowercase().as_str()))
    }

    /// Where they may: agentXSocket's comma-separated addresses, as written.
    pub fn agentx_socket(&self) -> Option<&str> {
        self.last("agentXSocket")
    }

    /// Where snmpd answers: what agentAddress names, as one asks it from this host. Empty: nothing is said, UDP 161.
    pub fn addresses(&self) -> Vec<String> {
        let words = self.directives("agentAddress").flat_map(|line| line.words.iter().skip(1));
        words.flat_map(|word| word.split(',')).filter_map(local).collect()
    }

    /// Whom snmpd lets read from this host by SNMPv2c or SNMPv3, the plainest first: communities, then users.
    pub fn readers(&self) -> Vec<Reader> {
        let mut readers: Vec<Reader> = Vec::new();
        for line in &self.lines {
            let found = match line.token().to_ascii_lowercase().as_str() {
                "rocommunity" | "rwcommunity" | "rocommunity6" | "rwcommunity6" => community(line),
                "com2sec" | "com2sec6" => self.com2sec(line),
                "rouser" | "rwuser" => Some(self.user(line)),
                "group" if line.words.get(2).is_some_and(|model| model == "usm") => self.group_user(line),
                _ => None,
            };
            // snmpd heeds the first line that fits a community.
            if let Some(reader) = found
                && !readers.iter().any(|known| known.who == reader.who)
            {
                readers.push(reader);
            }
        }
        readers.sort_by_key(|reader| match &reader.who {
            Who::Community(_) => 0,
            Who::User { auth: Some(_), .. } => 1,
            Who::User { .. } => 2,
        });
        readers
    }

    /// `com2sec [-Cn CONTEXT] SECNAME SOURCE COMMUNITY`.
    fn com2sec(&self, line: &Line) -> Option<Reader> {
        let words = line.words.get(1..)?;
        let words = if words.first()?.starts_with("-C") { words.get(2..)? } else { words };
        let [security, source, community, ..] = words else { return None };
        let scope = self.scope_of(security, "v2c")?;
        let who = Who::Community(community.clone());
        from_here(source).then(|| Reader { who, scope, place: line.place.clone() })
    }

    /// `group GROUP MODEL SECNAME`, then `access GROUP CONTEXT MODEL LEVEL PREFIX READ WRITE NOTIFY`.
    fn scope_of(&self, security: &str, model: &str) -> Option<Scope> {
        let mut groups = self.directives("group").filter(|line| {
            let of = |n: usize| line.words.get(n).map(String::as_str).unwrap_or_default();
            of(2) == model && of(3) == security
        });
        let group = groups.next()?.words.get(1)?;
        let access = self.directives("access").find(|line| {
            let of = |n: usize| line.words.get(n).map(String::as_str).unwrap_or_default();
            of(1) == group && of(2).is_empty() && [model, "any"].contains(&of(3))
        })?;
        Some(Scope::View(access.words.get(6)?.clone()))
    }

    fn group_user(&self, line: &Line) -> Option<Reader> {
        let name = line.words.get(3)?;
        let scope = self.scope_of(name, "usm")?;
        Some(Reader { who: self.who(name, "noauth"), scope, place: line.place.clone() })
    }

    /// `rouser [-s SECMODEL] NAME [LEVEL [OID | -V VIEW [CONTEXT]]]`.
    fn user(&self, line: &Line) -> Reader {
        let words = line.arguments();
        let words =
            if words.first().is_some_and(|word| word == "-s") { words.get(2..).unwrap_or_default() } else { words };
        let name = words.first().map(String::as_str).unwrap_or_default();
        let level = words.get(1).map_or("auth", String::as_str);
        Reader {
            who: self.who(name, level),
            scope: scope(words.get(2..).unwrap_or_default()),
            place: line.place.clone(),
        }
    }

    /// `createUser [-e ENGINE] NAME [PROTOCOL PASSPHRASE [PROTOCOL [PASSPHRASE]]]`.
    fn who(&self, name: &str, level: &str) -> Who {
        let created = self.directives("createUser").find_map(|line| {
            let words = line.words.get(1..)?;
            let words = if words.first()? == "-e" { words.get(2..)? } else { words };
            (words.first()? == name).then(|| words.get(1..).unwrap_or_default().to_vec())
        });
        let created = created.unwrap_or_default();
        let plain = |word: &String| word != "-m" && word != "-l";
        let auth = created.first().zip(created.get(1)).filter(|(_, phrase)| plain(phrase));
        let auth = auth.and_then(|(protocol, phrase)| Some((protocol.parse().ok()?, phrase.clone())));
        let privacy = created.get(2).filter(|_| auth.is_some()).and_then(|protocol| {
            // Without a passphrase of its own it is the one that signs.
            let phrase = created.get(3).or(created.get(1)).filter(|phrase| plain(phrase))?;
            Some((protocol.parse().ok()?, phrase.clone()))
        });
        Who::User { name: name.to_owned(), level: level.to_ascii_lowercase(), auth, privacy }
    }

    /// Whether this instance is in what somebody sees.
    pub fn shows(&self, scope: &Scope, name: &Oid) -> bool {
        match scope {
            Scope::Everything => true,
            Scope::Below(root) => name.starts_with(root),
            Scope::View(view) => match view.as_str() {
                "_all_" => true,
                "_none_" | "none" => false,
                view => self.view_shows(view, name),
            },
        }
    }

    /// The longest of the families that the name is in decides; of two equally long ones the later by name.
    fn view_shows(&self, view: &str, name: &Oid) -> bool {
        let families = self.directives("view").filter(|line| line.words.get(1).is_some_and(|word| word == view));
        let mut best: Option<(usize, Oid, bool)> = None;
        for line in families {
            let Some(root) = line.words.get(3).and_then(|text| oid(text)) else { continue };
            let included = match line.words.get(2).map(|word| word.to_ascii_lowercase()).as_deref() {
                Some("included") => true,
                Some("excluded") => false,
                _ => continue,
            };
            let mask = line.words.get(4).map(|text| mask(text)).unwrap_or_default();
            let longer = best.as_ref().is_none_or(|(length, other, _)| (root.len(), &root) >= (*length, other));
            if longer && in_family(name, &root, &mask) {
                best = Some((root.len(), root, included));
            }
        }
        best.is_some_and(|(_, _, included)| included)
    }

    /// A line of this view, where one more can be put.
    pub fn view_place(&self, view: &str) -> Option<&Place> {
        let mut lines = self.directives("view").filter(|line| line.words.get(1).is_some_and(|word| word == view));
        lines.next().map(|line| &line.place)
    }
}

/// `rocommunity NAME [SOURCE [OID | -V VIEW [CONTEXT]]]`.
fn community(line: &Line) -> Option<Reader> {
    let words = line.arguments();
    let name = words.first()?;
    let source = words.get(1).map_or("default", String::as_str);
    let six = line.token().ends_with('6');
    let scope = scope(words.get(2..).unwrap_or_default());
    let who = Who::Community(name.clone());
    // ::1 is asked only where snmpd is given no address of IPv4.
    (!six && from_here(source)).then(|| Reader { who, scope, place: line.place.clone() })
}

/// What an `[OID | -V VIEW]` at the end of a line restricts to.
fn scope(words: &[String]) -> Scope {
    match words {
        [flag, view, ..] if flag == "-V" => Scope::View(view.clone()),
        [text, ..] => oid(text).map_or(Scope::Everything, Scope::Below),
        [] => Scope::Everything,
    }
}

/// Whether a community's source is, or contains, 127.0.0.1.
fn from_here(source: &str) -> bool {
    let (address, bits) = source.split_once('/').unwrap_or((source, "32"));
    if source == "default" || address == "localhost" {
        return true;
    }
    let Ok(network) = address.parse::<std::net::Ipv4Addr>() else { return false };
    let mask = match (bits.parse::<u32>(), bits.parse::<std::net::Ipv4Addr>()) {
        (Ok(bits @ 0..=32), _) => u32::MAX.checked_shl(32 - bits).unwrap_or(0),
        (_, Ok(mask)) => u32::from(mask),
        _ => return false,
    };
    u32::from(std::net::Ipv4Addr::LOCALHOST) & mask == u32::from(network) & mask
}

/// An agentAddress as one asks it from this host; `None` for what is no UDP.
fn local(address: &str) -> Option<String> {
    let address = address.trim();
    let rest = ["udp6:", "udpv6:", "udpipv6:", "udp:"].iter().find_map(|p| address.strip_prefix(p)).unwrap_or(address);
    if ["tcp", "unix:", "dtls", "tls", "ssh", "alias:", "ipx", "/"].iter().any(|p| rest.starts_with(p)) {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        _ if rest.chars().all(|c| c.is_ascii_digit()) && !rest.is_empty() => ("", rest),
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (rest, "161"),
    };
    let host = match host {
        "" | "0.0.0.0" | "*" => "127.0.0.1",
        "[::]" | "::" => "[::1]",
        host => host,
    };
    // A device or a namespace behind `@` or `%` is how snmpd binds, not whom one asks.
    let host = host.split(['@', '%']).next().unwrap_or(host);
    Some(format!("{host}:{port}"))
}

/// The few names that are written in snmpd.conf, and numbers.
fn oid(text: &str) -> Option<Oid> {
    let name = text.trim_start_matches('.');
    let name = match name {
        "iso" => "1",
        "internet" | "iso.org.dod.internet" => "1.3.6.1",
        "mib-2" => "1.3.6.1.2.1",
        "system" => "1.3.6.1.2.1.1",
        "private" => "1.3.6.1.4",
        "enterprises" => "1.3.6.1.4.1",
        name => name,
    };
    name.parse().ok()
}

/// `ff:a0`, `0xffa0` or `ffa0`: a bit for each sub-identifier, the most significant first.
fn mask(text: &str) -> Vec<u8> {
    let digits: String = text.trim_start_matches("0x").chars().filter(char::is_ascii_hexdigit).collect();
    digits
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// RFC 3415 vacmViewTreeFamilyMask: a bit that is 0 lets any sub-identifier pass; what the mask does not reach is 1.
fn in_family(name: &Oid, root: &Oid, mask: &[u8]) -> bool {
    name.len() >= root.len()
        && root.iter().zip(name.iter()).enumerate().all(|(n, (wanted, found))| {
            let any = mask.get(n / 8).is_some_and(|octet| octet & (0x80 >> (n % 8)) == 0);
            any || wanted == found
        })
}

/// The words of a line; what is in quotation marks is one of them, also when it is empty.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let end;
        if matches!(first, '"' | '\'') {
            let mut word = String::new();
            let mut escaped = false;
            end = rest.char_indices().skip(1).find_map(|(at, c)| {
                match c {
                    '\\' if !escaped => escaped = true,
                    c if c == first && !escaped => return Some(at + 1),
                    c => {
                        escaped = false;
                        word.push(c);
                    }
                }
                None
            });
            words.push(word);
        } else if first == '#' {
            break;
        } else {
            end = rest.find(char::is_whitespace);
            words.push(rest[..end.unwrap_or(rest.len())].to_owned());
        }
        rest = rest[end.unwrap_or(rest.len())..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> SnmpdConf {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("snmpd.conf");
        fs::write(&file, text).unwrap();
        SnmpdConf::read(&[file])
    }

    fn sees(conf: &SnmpdConf, name: &str) -> Vec<bool> {
        conf.readers().iter().map(|reader| conf.shows(&reader.scope, &name.parse().unwrap())).collect()
    }

    const OURS: &str = "1.3.6.1.4.1.8072.9999.9999.25.1.1.2.1.0";
    const DEBIAN: &str = "view   systemonly  included   .1.3.6.1.2.1.1\nview   systemonly  included   .1.3.6.1.2.1.25.1\n\
                          rocommunity  public default -V systemonly\nrocommunity6 public default -V systemonly\nrouser authPrivUser authpriv -V systemonly\n";
    const RHEL: &str = "com2sec notConfigUser  default       public\ngroup   notConfigGroup v1           notConfigUser\n\
                        group   notConfigGroup v2c           notConfigUser\nview    systemview    included   .1.3.6.1.2.1.1\n\
                        view    systemview    included   .1.3.6.1.2.1.25.1.1\naccess  notConfigGroup \"\"      any       noauth    exact  systemview none none\n";

    #[test]
    fn debians_and_rhels_files_hide_us_until_their_own_view_has_the_line() {
        for (text, view) in [(DEBIAN, "systemonly"), (RHEL, "systemview")] {
            let found = conf(text);
            let reader = &found.readers()[0];
            assert_eq!((&reader.who, &reader.scope), (&Who::Community("public".into()), &Scope::View(view.into())));
            assert!(!found.shows(&reader.scope, &OURS.parse().unwrap()), "{view}");
            assert!(found.shows(&reader.scope, &"1.3.6.1.2.1.1.5.0".parse().unwrap()), "{view}");
            assert_eq!(found.view_place(view).map(|place| place.line), Some(if view == "systemonly" { 1 } else { 4 }));
            let with = conf(&format!("{text}view {view} included .1.3.6.1.4.1.8072.9999.9999.25\n"));
            assert!(sees(&with, OURS)[0], "{view}");
            // The other distribution's line changes nothing.
            let other = if view == "systemonly" { "systemview" } else { "systemonly" };
            let with = conf(&format!("{text}view {other} included .1.3.6.1.4.1.8072.9999.9999.25\n"));
            assert!(!sees(&with, OURS)[0], "{view}");
        }
    }

    #[test]
    fn the_longest_family_decides_and_masks_let_pass() {
        let view = |lines: &str| sees(&conf(&format!("rocommunity c default -V v\n{lines}")), OURS)[0];
        assert!(view("view v included .1"));
        assert!(!view("view v included .1\nview v excluded .1.3.6.1.4.1.8072"));
        assert!(view(
            "view v excluded .1.3.6.1.4.1.8072\nview v included .1.3.6.1.4.1.8072.9999.9999.25\nview v included .1"
        ));
        assert!(view("view v included .1.3.6.1.4.1.8072.9999.0.25 ff:7f"), "the ninth is any");
        assert!(view("view v included enterprises") && view("view v included .iso") && !view("view v included system"));
        assert!(!view(""), "a view that is nowhere shows nothing");
    }

    #[test]
    fn who_may_ask_from_here() {
        let found = conf(
            "rocommunity far 192.0.2.0/24\nrocommunity near 127.0.0.0/8\nrwcommunity all\nrocommunity part localhost .1.3.6.1.2.1\n\
             rocommunity near default -V other\ncreateUser me SHA-256 \"the one that signs\" AES \"the other one\"\nrouser me priv\nrouser you\n# rocommunity not\n",
        );
        let readers = found.readers();
        let names: Vec<_> = readers
            .iter()
            .map(|r| match &r.who {
                Who::Community(name) | Who::User { name, .. } => name.as_str(),
            })
            .collect();
        assert_eq!(names, ["near", "all", "part", "me", "you"]);
        assert_eq!(readers[0].scope, Scope::Everything, "the first line of a community counts");
        assert_eq!(readers[2].scope, Scope::Below("1.3.6.1.2.1".parse().unwrap()));
        let Who::User { auth, privacy, level, .. } = &readers[3].who else { panic!() };
        assert_eq!(auth.as_ref().map(|(_, phrase)| phrase.as_str()), Some("the one that signs"));
        assert_eq!(privacy.as_ref().map(|(_, phrase)| phrase.as_str()), Some("the other one"));
        assert_eq!(level, "priv");
        for (source, here) in [
            ("default", true),
            ("127.0.0.1", true),
            ("0.0.0.0/0", true),
            ("127.0.0.0/255.0.0.0", true),
            ("10.0.0.0/8", false),
            ("127.0.0.2", false),
            ("x/y", false),
        ] {
            assert_eq!(from_here(source), here, "{source}");
        }
    }

    #[test]
    fn addresses_are_those_one_asks_from_here() {
        let found = conf(
            "agentAddress udp:127.0.0.1:1161,udp6:[::1]:161,tcp:127.0.0.1:161\nagentaddress 2161,unix:/x,0.0.0.0,[::]:99\n",
        );
        assert_eq!(found.addresses(), ["127.0.0.1:1161", "[::1]:161", "127.0.0.1:2161", "127.0.0.1:161", "[::1]:99"]);
    }

    #[test]
    fn includes_are_followed_and_what_is_closed_is_noted() {
        let directory = tempfile::tempdir().unwrap();
        let (main, d) = (directory.path().join("snmpd.conf"), directory.path().join("snmpd.conf.d"));
        fs::create_dir(&d).unwrap();
        fs::write(&main, "includeDir snmpd.conf.d\nincludeFile more\nincludeFile snmpd.conf\n").unwrap();
        fs::write(d.join("b.conf"), "rocommunity b").unwrap();
        fs::write(d.join("a.conf"), "master agentx\nagentXSocket /x,tcp:localhost:705\n").unwrap();
        fs::write(d.join("b.conf.dpkg-old"), "rocommunity old").unwrap();
        fs::write(directory.path().join("more"), "rocommunity more").unwrap();
        let found = SnmpdConf::read(&[main.clone(), directory.path().join("none")]);
        assert_eq!(found.readers().len(), 2);
        assert!(found.is_master() && found.is_known() && found.closed.is_empty());
        assert_eq!(found.agentx_socket(), Some("/x,tcp:localhost:705"));
        assert_eq!(found.directories, [d]);
        assert_eq!(
            found.readers()[0].place.to_string(),
            format!("{}:1", directory.path().join("snmpd.conf.d/b.conf").display())
        );
        assert!(!SnmpdConf::read(&[]).is_known());
    }

    #[test]
    fn lines_are_split_as_net_snmp_does() {
        assert_eq!(words("  access g \"\" any \"a b\" 'c' # rest"), ["access", "g", "", "any", "a b", "c"]);
        assert_eq!(words("x \"a \\\"b\\\"\" \"open"), ["x", "a \"b\"", "open"]);
        assert!(words("# all").is_empty() && words("").is_empty());
    }
}

/// What distributions ship, without their comments.
#[cfg(test)]
pub(crate) mod shapes {
    /// Debian 12 and 13.
    pub(crate) const DEBIAN: &str = "\
sysLocation    Sitting on the Dock of the Bay
sysContact     Me <me@example.org>
sysServices    72
master  agentx
agentaddress  127.0.0.1,[::1]
view   systemonly  included   .1.3.6.1.2.1.1
view   systemonly  included   .1.3.6.1.2.1.25.1
rocommunity  public default -V systemonly
rocommunity6 public default -V systemonly
rouser authPrivUser authpriv -V systemonly
includeDir /etc/snmp/snmpd.conf.d
";
    /// Debian testing's: rewritten, with the same view.
    pub(crate) const SID: &str = "\
master agentx
agentaddress udp:127.0.0.1:161,udp6:[::1]:161
view systemonly included .1.3.6.1.2.1.1
view systemonly included .1.3.6.1.2.1.25.1
rocommunity public localhost -V systemonly
rocommunity6 public ::1 -V systemonly
";
    /// RHEL 7 to 10 and their relatives.
    pub(crate) const RHEL: &str = "\
com2sec notConfigUser  default       public
group   notConfigGroup v1           notConfigUser
group   notConfigGroup v2c           notConfigUser
view    systemview    included   .1.3.6.1.2.1.1
view    systemview    included   .1.3.6.1.2.1.25.1.1
access  notConfigGroup \"\"      any       noauth    exact  systemview none none
syslocation Unknown (edit /etc/snmp/snmpd.conf)
syscontact Root <root@localhost> (configure /etc/snmp/snmp.local.conf)
dontLogTCPWrappersConnects yes
";
}
