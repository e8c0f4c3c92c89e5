//! TLS by rustls with the provider ring, and whether a certificate is trusted: by the system's store or a given file.
//!
//! Whatever a server presents is recorded before it is judged, so that a certificate probe sees the one that is wrong. With
//! `verify: false` nothing is judged, the signature of the handshake included: old and odd servers can then be looked at, but
//! nothing proves who they are.
//!
//! There is no revocation check and no session resumption: every run is a whole handshake.

use super::{certificate, connection::Stream, fault::Fault, run::Run};
use crate::config::probe::Server;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The system's store is read again after this time.
const FRESH: Duration = Duration::from_secs(3_600);

/// What a server presented, the leaf first.
#[derive(Clone, Debug)]
pub struct Seen {
    /// DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whether it is trusted and for the expected name, or why not.
    pub trust: Result<(), String>,
}

/// Whom to believe.
#[derive(Debug)]
pub struct Trust {
    roots: RootCertStore,
    /// Of a `ca_file`: a certificate that is in it is trusted by itself, whether or not it is an authority's.
    given: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// The system's store (SSL_CERT_FILE and SSL_CERT_DIR are honoured).
    pub fn system() -> Result<Self, Fault> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(|| "the store is empty".into(), ToString::to_string);
            return Err(Fault::NoAuthorities(why));
        }
        Ok(Self { roots, given: Vec::new() })
    }

    /// The certificates of a PEM file.
    pub fn file(path: &Path) -> Result<Self, Fault> {
        let failed = |e: certificate::ReadError| Fault::CaFile(e.to_string());
        let given: Vec<_> = certificate::read_file(path).map_err(failed)?.into_iter().flatten().collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        Ok(Self { roots, given })
    }

    /// Whether the first of `chain` is trusted now and, where a name is given, for that name.
    pub fn judge(&self, chain: &[CertificateDer<'_>], name: Option<&ServerName<'_>>) -> Result<(), String> {
        self.judge_at(chain, name, UnixTime::now())
    }

    fn judge_at(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), String> {
        let (leaf, rest) = chain.split_first().ok_or("the server presents no certificate")?;
        let describe = |error: Error| describe(&error, leaf, name);
        let given = self.given.iter().any(|given| given.as_ref() == leaf.as_ref());
        let parsed = ParsedCertificate::try_from(leaf).map_err(describe)?;
        if given {
            certificate::Certificate::parse(leaf).map_err(|e| e.to_string())?.valid_at(now.as_secs())?;
        } else {
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, rest, now, algorithms().all)
                .map_err(describe)?;
        }
        match name {
            Some(name) => verify_server_name(&parsed, name).map_err(describe),
            None => Ok(()),
        }
    }
}

/// What rustls says, in words, with what to do.
fn describe(error: &Error, leaf: &CertificateDer<'_>, name: Option<&ServerName<'_>>) -> String {
    let known = certificate::Certificate::parse(leaf).ok();
    let issuer = known.as_ref().map_or("?", |c| c.issuer.as_str());
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("not trusted: no authority of this host's store (or ca_file) signed it; its issuer is {issuer}")
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            let wanted = name.map_or_else(|| "this name".into(), |name| name.to_str().into_owned());
            let names = known.as_ref().map_or("?", |c| c.names.as_str());
            format!("not for {wanted} but for {names}; set server_name, or get one for this name")
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "it has expired, or an authority's in its chain has".into()
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "it is not valid yet; is this host's clock right?".into()
        }
        Error::InvalidCertificate(other) => format!("not trusted: {other}"),
        other => other.to_string(),
    }
}

/// The system's store, read when it is first needed, for all probes together.
#[derive(Debug, Default)]
pub struct TrustCache(Mutex<Option<(Instant, Arc<Trust>)>>);

impl TrustCache {
    /// Reads it where that is due. May block on a file system.
    pub fn system(&self) -> Result<Arc<Trust>, Fault> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match cached.as_ref() {
            Some((when, trust)) if when.elapsed() < FRESH => Ok(trust.clone()),
            _ => {
                let trust = Arc::new(Trust::system()?);
                *cached = Some((Instant::now(), trust.clone()));
                Ok(trust)
            }
        }
    }
}

/// The store a server is judged by.
pub async fn trust(run: &Run, ca_file: Option<PathBuf>) -> Result<Arc<Trust>, Fault> {
    let environment = run.environment.clone();
    run.offload
        .run("the trust store", move || match ca_file {
            Some(file) => Trust::file(&file).map(Arc::new),
            None => environment.trust.system(),
        })
        .await?
}

/// A handshake as the client.
pub async fn handshake(
    run: &mut Run,
    server: &Server,
    stream: Box<dyn Stream>,
) -> Result<(TlsStream<Box<dyn Stream>>, Seen), Fault> {
    let trust = if server.verify { Some(trust(run, server.ca_file.clone()).await?) } else { None };
    let name = ServerName::try_from(server.expected_name().to_owned()).map_err(|_| {
        Fault::Tls(format!("`{}` can be no name in a certificate; set server_name", server.expected_name()))
    })?;
    let recorder = Arc::new(Recorder { trust, seen: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Fault::Tls(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let result = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (result, seen) {
        (Ok(stream), Some(seen)) => Ok((stream, seen)),
        // Our own verdict has better words than the alert that followed it.
        (Err(_), Some(Seen { trust: Err(why), .. })) => Err(Fault::Tls(why)),
        (Err(e), _) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Fault::Closed(" during the TLS handshake; does it have a certificate and a protocol of today?"))
        }
        (Err(e), _) => Err(Fault::Tls(handshake_error(&e))),
        (Ok(_), None) => Err(Fault::Tls("the server presents no certificate".into())),
    }
}

fn handshake_error(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(_)) => {
            "what the server sent is no TLS; is tls: starttls or implicit right for this port?".into()
        }
        Some(Error::AlertReceived(alert)) => {
            format!("the server refused the handshake ({alert:?}); TLS 1.2 and 1.3 are spoken here")
        }
        Some(Error::PeerIncompatible(why)) => {
            format!("the server speaks no TLS of today ({why:?}); 1.2 and 1.3 are spoken here")
        }
        _ => error.to_string(),
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// Records the chain, then judges it where there is a store to judge it by.
#[derive(Debug)]
struct Recorder {
    trust: Option<Arc<Trust>>,
    seen: Mutex<Option<Seen>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).map(|c| c.clone().into_owned()).collect();
        let trust = self.trust.as_ref().map_or(Ok(()), |trust| trust.judge_at(&chain, Some(name), now));
        let verdict = trust.clone();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { chain, trust });
        match verdict {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            // The words are in what was seen.
            Err(_) => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Some(_) => verify_tls12_signature(message, certificate, signature, &algorithms()),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Some(_) => verify_tls13_signature(message, certificate, signature, &algorithms()),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = algorithms().supported_schemes();
        if self.trust.is_none() {
            schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        }
        schemes
    }
}
