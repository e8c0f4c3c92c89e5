//! Certificates (RFC 5280): what is in one, which ones a file holds, and how its days are judged.
//!
//! A file may hold the private key as well (smtpd_tls_chain_files does): its octets are cleared from memory, and only
//! certificates leave this module.

use rustix::fs::{Mode, OFlags};
use rustls::pki_types::{
    CertificateDer,
    pem::{self, SectionKind},
};
use std::{
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, public_key::PublicKey, x509::X509Name,
};
use zeroize::Zeroizing;

/// A bundle of all authorities is 250 KiB.
const LARGEST: u64 = 4 << 20;
const DAY: i64 = 86_400;

/// What is shown of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `CN=mx.example.com`
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Subject alternative names, else the common name, separated by blanks.
    pub names: String,
    /// `RSA 2048`, `EC P-256`
    pub key: String,
}

/// postfixCertificateStatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Valid, with more days than the configured ones.
    Ok = 1,
    /// Valid, but not for long.
    Expiring = 2,
    /// Its end is past.
    Expired = 3,
    /// Its beginning is to come.
    NotYetValid = 4,
    /// Valid, but signed by nobody that is trusted, or for another name.
    Untrusted = 5,
    /// There is none to be read.
    Unreadable = 6,
}

/// Why a file or its content is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{path}: {source}; {}", remedy(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a FIFO, a device.
    #[error("{0} is no regular file")]
    NoFile(PathBuf),
    /// More than a bundle of all authorities.
    #[error("{0} has more than 4 MiB; that is no certificate")]
    TooLarge(PathBuf),
    /// No certificate in it.
    #[error("{0} holds no certificate (-----BEGIN CERTIFICATE-----)")]
    None(PathBuf),
    /// Broken PEM.
    #[error("{0}: its PEM is damaged: {1}")]
    Pem(PathBuf, String),
    /// Not DER.
    #[error("no certificate: its DER is damaged")]
    Der,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "let the agent's user read it, or watch what the server presents (a probe of kind certificate with host and port)"
        }
        io::ErrorKind::NotFound => "is the path right?",
        _ => "is the file system well?",
    }
}

/// All chains of a PEM file, each with its leaf first; a DER file is one certificate. Several chains are only in a file that
/// begins with a key and has a key before each (postconf(5) smtpd_tls_chain_files).
pub fn read_file(path: &Path) -> Result<Vec<Vec<CertificateDer<'static>>>, ReadError> {
    let failed = |source: io::Error| ReadError::File { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ReadError::NoFile(path.to_owned()));
    }
    if metadata.len() > LARGEST {
        return Err(ReadError::TooLarge(path.to_owned()));
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(LARGEST).read_to_end(&mut octets).map_err(failed)?;
    let chains = chains(&octets).map_err(|e| ReadError::Pem(path.to_owned(), e))?;
    if chains.is_empty() { Err(ReadError::None(path.to_owned())) } else { Ok(chains) }
}

/// The chains in the octets of a file.
pub fn chains(octets: &[u8]) -> Result<Vec<Vec<CertificateDer<'static>>>, String> {
    // SEQUENCE with a length of two octets: DER. No PEM begins with a 0x30 and an 0x82.
    if octets.starts_with(&[0x30, 0x82]) {
        return Ok(vec![vec![CertificateDer::from(octets.to_vec())]]);
    }
    let mut chains: Vec<Vec<CertificateDer<'static>>> = Vec::new();
    let (mut rest, mut key_first, mut key_since) = (octets, false, false);
    loop {
        match pem::from_buf(&mut rest).map_err(|e| format!("{e:?}"))? {
            None => return Ok(chains),
            Some((SectionKind::Certificate, der)) => {
                match chains.last_mut() {
                    Some(chain) if !(key_first && key_since) => chain.push(der.into()),
                    _ => chains.push(vec![der.into()]),
                }
                key_since = false;
            }
            Some((kind, content)) => {
                drop(Zeroizing::new(content));
                if matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey) {
                    key_first |= chains.is_empty();
                    key_since = true;
                }
            }
        }
    }
}

impl Certificate {
    /// What is in a DER certificate.
    pub fn parse(der: &[u8]) -> Result<Self, ReadError> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| ReadError::Der)?;
        let validity = parsed.validity();
        Ok(Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            names: names(&parsed),
            key: key(&parsed),
        })
    }

    /// Whole days until its end; negative when that is past, 0 on its last day.
    pub fn days_left(&self, now: u64) -> i32 {
        let left = self.not_after.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
        i32::try_from(left.div_euclid(DAY)).unwrap_or(if left < 0 { i32::MIN } else { i32::MAX })
    }

    /// Whether its days have begun and are not over. RFC 5280 §4.1.2.5: both ends belong to it.
    pub fn valid_at(&self, now: u64) -> Result<(), String> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        if now < self.not_before {
            Err("it is not valid yet; is this host's clock right?".into())
        } else if now > self.not_after {
            Err("it has expired".into())
        } else {
            Ok(())
        }
    }

    /// Its days first: an expired one is expired, whoever signed it.
    pub fn judge(&self, now: u64, expiring: u32, trust: &Result<(), String>) -> (Status, String) {
        let second = i64::try_from(now).unwrap_or(i64::MAX);
        let days = self.days_left(now);
        if second > self.not_after {
            return (Status::Expired, format!("expired {} days ago; renew it and reload the server", -i64::from(days)));
        }
        if second < self.not_before {
            return (Status::NotYetValid, "not valid yet; is this host's clock right?".into());
        }
        if let Err(why) = trust {
            return (Status::Untrusted, why.clone());
        }
        if i64::from(days) < i64::from(expiring) {
            return (Status::Expiring, format!("expires in {days} days; renew it and reload the server"));
        }
        (Status::Ok, String::new())
    }
}

fn name(name: &X509Name<'_>) -> String {
    name.to_string()
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let mut all: Vec<String> = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => all.push((*name).to_owned()),
                GeneralName::IPAddress(octets) => all.extend(address(octets)),
                GeneralName::RFC822Name(name) => all.push((*name).to_owned()),
                _ => {}
            }
        }
    }
    if all.is_empty() {
        all.extend(certificate.subject().iter_common_name().filter_map(|cn| cn.as_str().ok().map(str::to_owned)));
    }
    all.join(" ")
}

fn address(octets: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(octets).ok().map(|v6| Ipv6Addr::from(v6).to_string())
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let info = certificate.public_key();
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
            match curve.as_deref() {
                Some("1.2.840.10045.3.1.7") => "EC P-256".into(),
                Some("1.3.132.0.34") => "EC P-384".into(),
                Some("1.3.132.0.35") => "EC P-521".into(),
                _ => format!("EC {}", point.key_size()),
            }
        }
        Ok(PublicKey::DSA(_)) => "DSA".into(),
        _ => match info.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => "Ed25519".into(),
            "1.3.101.113" => "Ed448".into(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
