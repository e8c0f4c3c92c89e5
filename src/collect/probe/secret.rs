//! Passwords: from a file that others cannot read, or from systemd's credentials directory; read for every run.
//!
//! A [`Secret`] has no Display, its Debug says nothing, and its memory is cleared. What a server answers goes through
//! [`Secret::hide`] before anyone sees it, because some servers repeat what they were given.

use super::fault::remedy;
use crate::config::probe::PasswordAt;
use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// More octets than this are no password.
const LONGEST: u64 = 4_096;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("password file {path}: {source}; {}", remedy(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everyone can read it, or write it.
    #[error("password file {0} can be read or changed by others; chmod o= it")]
    Open(PathBuf),
    /// A directory, a FIFO, a device.
    #[error("password file {0} is no regular file")]
    NoFile(PathBuf),
    /// Nothing in it, or more than a line.
    #[error("password file {0} must hold one line of 1 to 4096 octets")]
    NoLine(PathBuf),
    /// Not started by systemd with LoadCredential=.
    #[error(
        "credential `{0}`: there is no credentials directory; add LoadCredential={0}:/path to the unit (systemctl edit)"
    )]
    NoCredentials(String),
}

/// A password.
pub struct Secret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads it from where the configuration says.
    pub fn read(at: &PasswordAt, credentials: Option<&Path>) -> Result<Self, SecretError> {
        match at {
            PasswordAt::File(path) => Self::from_file(path),
            PasswordAt::Credential(name) => {
                let directory = credentials.ok_or_else(|| SecretError::NoCredentials(name.clone()))?;
                Self::from_file(&directory.join(name))
            }
        }
    }

    /// The first and only line of a file.
    fn from_file(path: &Path) -> Result<Self, SecretError> {
        let failed = |source: io::Error| SecretError::Read { path: path.to_owned(), source };
        // Non-blocking, for the case that it is a FIFO.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?);
        // Of the open file, not of the path, which may change meanwhile.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(SecretError::NoFile(path.to_owned()));
        }
        if metadata.mode() & 0o006 != 0 {
            return Err(SecretError::Open(path.to_owned()));
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 2));
        file.take(LONGEST + 2).read_to_end(&mut octets).map_err(failed)?;
        let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.len() as u64 > LONGEST || line.iter().any(|b| matches!(b, b'\n' | b'\r' | 0)) {
            return Err(SecretError::NoLine(path.to_owned()));
        }
        Ok(Self(Zeroizing::new(line.to_vec())))
    }

    /// For the connection, and for nothing else.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Replaces the password in what a server said, plain and in the forms in which it was sent.
    pub fn hide(&self, user: &str, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        let plain = plain(user, self);
        for form in [&*base64(&plain), &*base64(&self.0), &*self.0] {
            // A password of one or two letters would blot out half of every sentence and tell it by that.
            if form.len() >= 3 {
                text = replace(&text, form);
            }
        }
        text
    }
}

fn replace(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, secret) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(b"***");
        rest = rest.get(at + secret.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// SASL PLAIN (RFC 4616).
pub fn plain(user: &str, secret: &Secret) -> Zeroizing<Vec<u8>> {
    // One piece of memory that never moves: what is left behind would not be cleared.
    let mut octets = Zeroizing::new(Vec::with_capacity(user.len() + secret.0.len() + 2));
    octets.push(0);
    octets.extend_from_slice(user.as_bytes());
    octets.push(0);
    octets.extend_from_slice(&secret.0);
    octets
}

/// Base64 that is cleared.
pub fn base64(octets: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(data_encoding::BASE64.encode(octets).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pw");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
        Secret::read(&PasswordAt::File(path.to_owned()), None).map(|secret| secret.octets().to_vec())
    }

    #[test]
    fn a_file_for_owner_and_group_is_read_and_one_for_others_refused() {
        for mode in [0o400, 0o600, 0o640] {
            let (_directory, path) = file(b"s3cret \xc3\xa4\r\n", mode);
            assert_eq!(read(&path).unwrap(), "s3cret ä".as_bytes());
        }
        for mode in [0o644, 0o604, 0o602, 0o666] {
            let (_directory, path) = file(b"s3cret\n", mode);
            let error = read(&path).unwrap_err();
            assert!(matches!(error, SecretError::Open(_)), "{mode:o}: {error}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn what_is_no_password_is_refused_without_waiting() {
        for content in [&b""[..], b"\n", b"a\nb\n", b"a\0b", &[b'x'; 5_000]] {
            let (_directory, path) = file(content, 0o600);
            assert!(matches!(read(&path), Err(SecretError::NoLine(_))), "{} octets", content.len());
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path()), Err(SecretError::NoFile(_))));
        assert!(matches!(read(&directory.path().join("none")), Err(SecretError::Read { .. })));
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(matches!(read(&fifo), Err(SecretError::NoFile(_))));
    }

    #[test]
    fn credentials_come_from_systemds_directory() {
        let (directory, _) = file(b"x\n", 0o600);
        let at = PasswordAt::Credential("pw".into());
        assert_eq!(Secret::read(&at, Some(directory.path())).unwrap().octets(), b"x");
        let error = Secret::read(&at, None).unwrap_err().to_string();
        assert!(error.contains("LoadCredential=pw:"), "{error}");
    }

    #[test]
    fn a_server_that_repeats_the_password_does_not_spread_it() {
        let (_directory, path) = file(b"hunter22\n", 0o600);
        let secret = Secret::read(&PasswordAt::File(path), None).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        let said = b"535 hunter22 AHByb2JlAGh1bnRlcjIy aHVudGVyMjI= no";
        assert_eq!(secret.hide("probe", said), b"535 *** *** *** no");
        assert_eq!(secret.hide("probe", b"535 no"), b"535 no");
    }
}
