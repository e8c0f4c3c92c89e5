//! Text from outside on its way to people: nothing in it may steer a terminal, forge a line of the log, or be read in another
//! order than it is written.
//!
//! What comes from logs, queue files, configurations and peers passes here before it is printed or logged. Where a reader is
//! to see what was there it is escaped ([`escaped`]), where only a name is shown it is replaced ([`is_hidden`]).

use std::{
    fmt::Write as _,
    io::{self, Write},
};

/// Control characters (Unicode's Cc), and format characters (Cf) and separators that are not to be seen or turn the
/// direction of what follows.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// The octets as one line: what is hidden as `\x1b` or `\u{202e}`, what is no UTF-8 as `\xff`. A tab is a space.
pub fn escaped(bytes: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for chunk in bytes.as_ref().utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a String cannot fail.
            let _ = match c {
                '\t' => out.write_char(' '),
                c if is_hidden(c) && c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
                c if is_hidden(c) => write!(out, "\\u{{{:x}}}", u32::from(c)),
                c => out.write_char(c),
            };
        }
        for octet in chunk.invalid() {
            let _ = write!(out, "\\x{octet:02x}");
        }
    }
    out
}

/// Where lines of the log go: each one that is written has its newline and otherwise nothing that is hidden. Colours are the
/// formatter's own, so a log in colour is not to pass here.
#[derive(Debug)]
pub struct Lines<W>(pub W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let newline = if text.len() == line.len() { "" } else { "\n" };
        self.0.write_all(format!("{}{newline}", escaped(text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_hidden_is_seen() {
        assert_eq!(escaped("a\x1b[2Jb\nc\td"), "a\\x1b[2Jb\\x0ac d");
        assert_eq!(escaped("x\u{202e}y\u{85}z\u{200b}"), "x\\u{202e}y\\u{85}z\\u{200b}");
        assert_eq!(escaped(b"m\xfcller \xc3\xbc"), "m\\xfcller \u{fc}");
    }

    #[test]
    fn a_line_of_the_log_stays_one() {
        let mut out = Vec::new();
        writeln!(Lines(&mut out), "first\nsecond\x07").unwrap();
        assert_eq!(out, b"first\\x0asecond\\x07\n");
    }

    proptest! {
        #[test]
        fn nothing_hidden_gets_through(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,50}") {
            prop_assert!(!escaped(&bytes).chars().any(is_hidden));
            prop_assert!(!escaped(&text).chars().any(is_hidden));
        }
    }
}
