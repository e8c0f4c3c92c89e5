//! `patterns:` of the configuration: regular expressions of one's own that lines of the log are counted by.

use regex::bytes::{RegexBuilder, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Deserializer, de};

/// So many patterns may be given.
pub const MOST: usize = 64;
/// Octets of a pattern's name.
const LONGEST_NAME: usize = 64;
/// What one expression may take when it is compiled; `.{1000}` takes some 100 KiB.
const LARGEST: usize = 1 << 20;
/// What all of them may take together.
const LARGEST_SET: usize = 16 << 20;
/// What the automaton of all of them remembers of its states.
const CACHE: usize = 8 << 20;

/// One entry of `patterns:`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// postfixPatternName; what was counted is kept under it.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The regular expression, in linear time (no backreferences); it may match anywhere in a line, as `grep -E` has it.
    #[serde(deserialize_with = "expression")]
    pub regex: String,
    /// Only lines of this program, e.g. `smtpd`, `postfix/smtpd` or `amavis`.
    #[serde(default)]
    pub program: Option<String>,
    /// Only lines of this instance, by its name.
    #[serde(default)]
    pub instance: Option<String>,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.trim().is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(de::Error::custom(format!("a pattern's name must have 1 to {LONGEST_NAME} octets")));
    }
    Ok(name)
}

fn expression<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let regex = String::deserialize(deserializer)?;
    // Octets, not characters: a log is not always UTF-8.
    match RegexBuilder::new(&regex).unicode(false).size_limit(LARGEST).build() {
        Ok(one) if one.is_match(b"") => {
            Err(de::Error::custom(format!("`{regex}` matches every line; say what has to stand in one")))
        }
        Ok(_) => Ok(regex),
        Err(e) => Err(de::Error::custom(format!("`{regex}`: {}", reason(&e)))),
    }
}

/// The last line of regex's picture of the fault.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

/// All expressions in one automaton.
pub fn set(patterns: &[Pattern]) -> Result<RegexSet, String> {
    RegexSetBuilder::new(patterns.iter().map(|pattern| &pattern.regex))
        .unicode(false)
        .size_limit(LARGEST_SET)
        .dfa_size_limit(CACHE)
        .build()
        .map_err(|e| format!("patterns: together: {}", reason(&e)))
}

/// What is wrong with all together: which one, and why.
pub(super) fn contradiction(patterns: &[Pattern]) -> Option<(Option<usize>, String)> {
    if patterns.len() > MOST {
        return Some((None, format!("{} patterns; give {MOST} at most", patterns.len())));
    }
    if let Some((at, name)) = super::second(patterns.iter().map(|pattern| Some(pattern.name.as_str()))) {
        return Some((Some(at), format!("pattern `{name}` stands twice; give each a name of its own")));
    }
    set(patterns).err().map(|e| (None, format!("{e}; make them shorter")))
}
