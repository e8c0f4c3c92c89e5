//! The User-based Security Model: from passphrases to keys, signatures and ciphers. No messages in here, no engine's clock.
//!
//! RFC 3414 §A.2 makes keys of passphrases, §6 signs (MD5, SHA-1) and §8 encrypts (DES); RFC 7860 adds SHA-2, RFC 3826 AES
//! with 128 bits. AES with 192 and 256 bits was never more than a draft: keys are lengthened as
//! draft-blumenthal-aes-usm-04 §3.1.2.1 says (net-snmp's `AES-256`) or as draft-reeder-snmpv3-usm-3desede-00 §2.1 does
//! (`AES-256-C`, Cisco's).

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::Des;
use hmac::{
    Mac, SimpleHmac,
    digest::{Digest, KeyInit, block_api::BlockSizeUser},
};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use std::{fmt, str::FromStr, sync::Arc};

/// RFC 3414 §11.2, and net-snmp refuses shorter ones.
pub const SHORTEST_PASSPHRASE: usize = 8;
/// What a passphrase is repeated to before it is hashed, octets (RFC 3414 §A.2).
const STRETCHED: usize = 1 << 20;

/// How messages are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// HMAC-MD5-96.
    Md5,
    /// HMAC-SHA-96.
    Sha1,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

/// How messages are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// CBC-DES.
    Des,
    /// CFB128-AES-128.
    Aes128,
    /// With 192 bits, by Blumenthal's draft.
    Aes192,
    /// With 256 bits, by Blumenthal's draft.
    Aes256,
    /// With 192 bits, by Reeder's draft.
    Aes192Cisco,
    /// With 256 bits, by Reeder's draft.
    Aes256Cisco,
}

/// A name that is no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No digest.
    #[error("`{0}` is no authentication protocol; there are MD5, SHA, SHA-224, SHA-256, SHA-384, SHA-512")]
    Signing(String),
    /// No cipher.
    #[error("`{0}` is no privacy protocol; there are DES, AES, AES-192, AES-256, AES-192-C, AES-256-C")]
    Sealing(String),
}

/// net-snmp's names, with and without hyphen, in any case.
impl FromStr for Signing {
    type Err = ProtocolError;
    fn from_str(name: &str) -> Result<Self, ProtocolError> {
        match name.to_ascii_uppercase().replace('-', "").as_str() {
            "MD5" => Ok(Self::Md5),
            "SHA" | "SHA1" => Ok(Self::Sha1),
            "SHA224" => Ok(Self::Sha224),
            "SHA256" => Ok(Self::Sha256),
            "SHA384" => Ok(Self::Sha384),
            "SHA512" => Ok(Self::Sha512),
            _ => Err(ProtocolError::Signing(name.to_owned())),
        }
    }
}

/// net-snmp's names, with and without hyphen, in any case.
impl FromStr for Sealing {
    type Err = ProtocolError;
    fn from_str(name: &str) -> Result<Self, ProtocolError> {
        match name.to_ascii_uppercase().replace('-', "").as_str() {
            "DES" => Ok(Self::Des),
            "AES" | "AES128" => Ok(Self::Aes128),
            "AES192" => Ok(Self::Aes192),
            "AES256" => Ok(Self::Aes256),
            "AES192C" => Ok(Self::Aes192Cisco),
            "AES256C" => Ok(Self::Aes256Cisco),
            _ => Err(ProtocolError::Sealing(name.to_owned())),
        }
    }
}

impl Signing {
    /// How many octets of the HMAC are sent.
    pub(super) fn signature_length(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 => 12,
            Self::Sha224 => 16,
            Self::Sha256 => 24,
            Self::Sha384 => 32,
            Self::Sha512 => 48,
        }
    }

    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            parts.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize().to_vec()
        }
        match self {
            Self::Md5 => of::<Md5>(parts),
            Self::Sha1 => of::<Sha1>(parts),
            Self::Sha224 => of::<Sha224>(parts),
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// Ku: what is independent of the engine, and dear: 1 MiB is hashed.
    fn stretch(self, passphrase: &[u8]) -> Vec<u8> {
        let repeated: Vec<u8> = passphrase.iter().copied().cycle().take(STRETCHED).collect();
        self.digest(&[&repeated])
    }

    /// Kul: the key for one engine.
    fn localize(self, key: &[u8], engine: &[u8]) -> Vec<u8> {
        self.digest(&[key, engine, key])
    }
}

impl Sealing {
    fn key_length(self) -> usize {
        match self {
            Self::Des | Self::Aes128 => 16,
            Self::Aes192 | Self::Aes192Cisco => 24,
            Self::Aes256 | Self::Aes256Cisco => 32,
        }
    }

    /// `key` as long as this cipher needs it.
    fn lengthen(self, mut key: Vec<u8>, signing: Signing, engine: &[u8]) -> Vec<u8> {
        while key.len() < self.key_length() {
            let more = match self {
                Self::Aes192Cisco | Self::Aes256Cisco => signing.localize(&signing.stretch(&key), engine),
                _ => signing.digest(&[&key]),
            };
            key.extend(more);
        }
        key.truncate(self.key_length());
        key
    }
}

/// Who asks, and how the messages are protected.
#[derive(Clone)]
pub struct User {
    pub(super) name: Vec<u8>,
    signing: Option<(Signing, Arc<[u8]>)>,
    sealing: Option<(Sealing, Arc<[u8]>)>,
}

/// Keys are nobody's business.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("signing", &self.signing.as_ref().map(|(protocol, _)| protocol))
            .field("sealing", &self.sealing.as_ref().map(|(protocol, _)| protocol))
            .finish_non_exhaustive()
    }
}

/// What is wrong with a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// RFC 3414 §11.2.
    #[error("the {0} passphrase has fewer than {SHORTEST_PASSPHRASE} characters, which SNMPv3 does not allow")]
    Short(&'static str),
    /// RFC 3411: SnmpAdminString (SIZE (0..32)).
    #[error("a user name of SNMPv3 has 1 to 32 octets")]
    Name,
}

impl User {
    /// noAuthNoPriv.
    pub fn new(name: impl Into<Vec<u8>>) -> Result<Self, UserError> {
        let name = name.into();
        if (1..=32).contains(&name.len()) {
            Ok(Self { name, signing: None, sealing: None })
        } else {
            Err(UserError::Name)
        }
    }

    /// authNoPriv: signs. Takes some milliseconds, once for all engines.
    pub fn signed(mut self, protocol: Signing, passphrase: &[u8]) -> Result<Self, UserError> {
        if passphrase.len() < SHORTEST_PASSPHRASE {
            return Err(UserError::Short("authentication"));
        }
        self.signing = Some((protocol, protocol.stretch(passphrase).into()));
        self.sealing = None;
        Ok(self)
    }

    /// authPriv: encrypts as well. For a user that signs; others cannot encrypt (RFC 3414 §1.4.3), and stay as they are.
    pub fn sealed(mut self, protocol: Sealing, passphrase: &[u8]) -> Result<Self, UserError> {
        if passphrase.len() < SHORTEST_PASSPHRASE {
            return Err(UserError::Short("privacy"));
        }
        if let Some((signing, _)) = self.signing {
            self.sealing = Some((protocol, signing.stretch(passphrase).into()));
        }
        Ok(self)
    }

    /// The same user that only signs.
    pub(super) fn without_privacy(&self) -> Self {
        Self { sealing: None, ..self.clone() }
    }

    /// securityName.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// noAuthNoPriv, authNoPriv or authPriv.
    pub fn level(&self) -> &'static str {
        match (&self.signing, &self.sealing) {
            (None, _) => "noAuthNoPriv",
            (_, None) => "authNoPriv",
            _ => "authPriv",
        }
    }

    /// msgFlags of this level, without reportable (RFC 3412 §6.4).
    pub(super) fn flags(&self) -> u8 {
        u8::from(self.signing.is_some()) | u8::from(self.sealing.is_some()) << 1
    }

    /// This user's keys for one engine.
    pub(super) fn keys(&self, engine: &[u8]) -> Keys {
        Keys {
            signing: self.signing.as_ref().map(|(protocol, key)| (*protocol, protocol.localize(key, engine))),
            sealing: self.signing.as_ref().zip(self.sealing.as_ref()).map(|((signing, _), (protocol, key))| {
                (*protocol, protocol.lengthen(signing.localize(key, engine), *signing, engine))
            }),
        }
    }
}

/// What is secret between a user and one engine.
#[derive(Clone, Default)]
pub(super) struct Keys {
    signing: Option<(Signing, Vec<u8>)>,
    sealing: Option<(Sealing, Vec<u8>)>,
}

impl Keys {
    /// 0 where nothing is signed.
    pub(super) fn signature_length(&self) -> usize {
        self.signing.as_ref().map_or(0, |(protocol, _)| protocol.signature_length())
    }

    /// Of a whole message whose signature is zeroes; empty where nothing is signed.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        fn of<D: Digest + BlockSizeUser>(key: &[u8], message: &[u8]) -> Vec<u8> {
            // An HMAC's key may have any length.
            SimpleHmac::<D>::new_from_slice(key).map_or_else(
                |_| Vec::new(),
                |mut mac| {
                    Mac::update(&mut mac, message);
                    mac.finalize().into_bytes().to_vec()
                },
            )
        }
        let Some((protocol, key)) = &self.signing else { return Vec::new() };
        let mut signature = match protocol {
            Signing::Md5 => of::<Md5>(key, message),
            Signing::Sha1 => of::<Sha1>(key, message),
            Signing::Sha224 => of::<Sha224>(key, message),
            Signing::Sha256 => of::<Sha256>(key, message),
            Signing::Sha384 => of::<Sha384>(key, message),
            Signing::Sha512 => of::<Sha512>(key, message),
        };
        signature.truncate(protocol.signature_length());
        signature
    }

    /// Whether this is the message's signature; takes as long whatever differs.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let own = self.sign(message);
        own.len() == signature.len() && own.iter().zip(signature).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }

    /// Encrypts in place (DES pads with zeroes) and gives msgPrivacyParameters. `salt` must never repeat.
    pub(super) fn seal(&self, data: &mut Vec<u8>, boots: u32, time: u32, salt: u64) -> Option<Vec<u8>> {
        let (protocol, key) = self.sealing.as_ref()?;
        let salt = match protocol {
            // RFC 3414 §8.1.1.1: the engine's boots, then a counter of ours.
            Sealing::Des => (u64::from(boots) << 32 | salt & 0xffff_ffff).to_be_bytes(),
            _ => salt.to_be_bytes(),
        };
        match protocol {
            Sealing::Des => des(key, &salt, data, true),
            Sealing::Aes128 => aes::<Aes128>(key, &iv(boots, time, salt), data, true),
            Sealing::Aes192 | Sealing::Aes192Cisco => aes::<Aes192>(key, &iv(boots, time, salt), data, true),
            Sealing::Aes256 | Sealing::Aes256Cisco => aes::<Aes256>(key, &iv(boots, time, salt), data, true),
        }?;
        Some(salt.to_vec())
    }

    /// What was encrypted; what DES padded stays. None: wrong lengths, or this user does not encrypt.
    pub(super) fn open(&self, data: &[u8], boots: u32, time: u32, parameters: &[u8]) -> Option<Vec<u8>> {
        let (protocol, key) = self.sealing.as_ref()?;
        let salt: [u8; 8] = parameters.try_into().ok()?;
        let mut data = data.to_vec();
        match protocol {
            Sealing::Des if !data.len().is_multiple_of(8) => None,
            Sealing::Des => des(key, &salt, &mut data, false),
            Sealing::Aes128 => aes::<Aes128>(key, &iv(boots, time, salt), &mut data, false),
            Sealing::Aes192 | Sealing::Aes192Cisco => aes::<Aes192>(key, &iv(boots, time, salt), &mut data, false),
            Sealing::Aes256 | Sealing::Aes256Cisco => aes::<Aes256>(key, &iv(boots, time, salt), &mut data, false),
        }?;
        Some(data)
    }
}

/// RFC 3826 §3.1.2.1.
fn iv(boots: u32, time: u32, salt: [u8; 8]) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..4].copy_from_slice(&boots.to_be_bytes());
    iv[4..8].copy_from_slice(&time.to_be_bytes());
    iv[8..].copy_from_slice(&salt);
    iv
}

fn aes<C>(key: &[u8], iv: &[u8], data: &mut [u8], encrypt: bool) -> Option<()>
where
    C: cbc::cipher::BlockCipherEncrypt + cbc::cipher::KeyInit,
{
    if encrypt {
        cfb_mode::Encryptor::<C>::new_from_slices(key, iv).ok()?.encrypt(data);
    } else {
        cfb_mode::Decryptor::<C>::new_from_slices(key, iv).ok()?.decrypt(data);
    }
    Some(())
}

/// RFC 3414 §8.1.1: half of the key is no key but goes into the initialisation vector.
fn des(key: &[u8], salt: &[u8; 8], data: &mut Vec<u8>, encrypt: bool) -> Option<()> {
    let (key, before) = key.split_at_checked(8)?;
    let iv: Vec<u8> = before.iter().zip(salt).map(|(a, b)| a ^ b).collect();
    data.resize(data.len().next_multiple_of(8), 0);
    if encrypt {
        let mut cipher = cbc::Encryptor::<Des>::new_from_slices(key, &iv).ok()?;
        data.chunks_exact_mut(8).try_for_each(|block| block.try_into().ok().map(|block| cipher.encrypt_block(block)))
    } else {
        let mut cipher = cbc::Decryptor::<Des>::new_from_slices(key, &iv).ok()?;
        data.chunks_exact_mut(8).try_for_each(|block| block.try_into().ok().map(|block| cipher.decrypt_block(block)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    const ENGINE: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    /// RFC 3414 §A.3.1 and §A.3.2.
    #[test]
    fn keys_are_those_of_rfc_3414() {
        let ku = Signing::Md5.stretch(b"maplesyrup");
        assert_eq!(ku, hex("9faf3283884e92834ebc9847d8edd963"));
        assert_eq!(Signing::Md5.localize(&ku, &ENGINE), hex("526f5eed9fcce26f8964c2930787d82b"));
        let ku = Signing::Sha1.stretch(b"maplesyrup");
        assert_eq!(ku, hex("9fb5cc0381497b3793528939ff788d5d79145211"));
        assert_eq!(Signing::Sha1.localize(&ku, &ENGINE), hex("6695febc9288e36282235fc7151f128497b38f3f"));
    }

    /// draft-reeder-snmpv3-usm-3desede-00 §B.1, whose 32 octets are what a key of 256 bits is made of.
    #[test]
    fn a_key_lengthened_as_reeder_does() {
        let kul = Signing::Md5.localize(&Signing::Md5.stretch(b"maplesyrup"), &ENGINE);
        let long = Sealing::Aes256Cisco.lengthen(kul, Signing::Md5, &ENGINE);
        assert_eq!(long, hex("526f5eed9fcce26f8964c2930787d82b 79eff44a90650ee0a3a40abfac5acc12"));
    }

    #[test]
    fn every_pair_of_protocols_opens_what_it_sealed_and_knows_its_signature() {
        let signing = [Signing::Md5, Signing::Sha1, Signing::Sha224, Signing::Sha256, Signing::Sha384, Signing::Sha512];
        let sealing = [
            Sealing::Des,
            Sealing::Aes128,
            Sealing::Aes192,
            Sealing::Aes256,
            Sealing::Aes192Cisco,
            Sealing::Aes256Cisco,
        ];
        for (signing, sealing) in signing.into_iter().flat_map(|s| sealing.map(|p| (s, p))) {
            let user = User::new("me").unwrap().signed(signing, b"maplesyrup").unwrap();
            let keys = user.sealed(sealing, b"otherphrase").unwrap().keys(&ENGINE);
            let mut data = b"a scoped PDU of 21 by".to_vec();
            let salt = keys.seal(&mut data, 3, 1000, 77).unwrap();
            assert_ne!(&data[..21], b"a scoped PDU of 21 by");
            assert_eq!(
                &keys.open(&data, 3, 1000, &salt).unwrap()[..21],
                b"a scoped PDU of 21 by",
                "{signing:?} {sealing:?}"
            );
            assert!(keys.open(&data, 3, 1000, &salt[1..]).is_none());
            let signature = keys.sign(b"message");
            assert_eq!(signature.len(), signing.signature_length());
            assert!(keys.verify(b"message", &signature) && !keys.verify(b"massage", &signature));
            assert!(!keys.verify(b"message", &[]) && !keys.verify(b"message", &signature[1..]));
        }
    }

    #[test]
    fn what_is_no_user_or_protocol_is_refused_and_secrets_are_not_shown() {
        assert_eq!(User::new("").unwrap_err(), UserError::Name);
        assert_eq!(User::new("x".repeat(33)).unwrap_err(), UserError::Name);
        let user = User::new("me").unwrap();
        assert_eq!(user.clone().signed(Signing::Md5, b"short").unwrap_err(), UserError::Short("authentication"));
        let user = user.signed(Signing::Md5, b"maplesyrup").unwrap();
        assert_eq!(format!("{user:?}"), r#"User { name: "me", signing: Some(Md5), sealing: None, .. }"#);
        assert_eq!((user.level(), user.flags()), ("authNoPriv", 1));
        for (name, protocol) in [("sha-256", Signing::Sha256), ("SHA", Signing::Sha1), ("SHA512", Signing::Sha512)] {
            assert_eq!(name.parse(), Ok(protocol));
        }
        assert_eq!(("AES".parse(), "aes-256-c".parse()), (Ok(Sealing::Aes128), Ok(Sealing::Aes256Cisco)));
        assert!("ROT13".parse::<Sealing>().is_err() && "".parse::<Signing>().is_err());
    }
}
