//! TLS: which servers are trusted, and connections to them.
//!
//! rustls with ring does the work. Our part is the choice of trusted servers ([`Trust`]) and error messages for every
//! kind of failure ([`TlsError`]). The result of verifying a certificate is passed through rustls inside its own error,
//! from the `Judge` to [`connect`].

mod error;
mod trust;

pub use error::TlsError;
pub use trust::{Fingerprint, Trust};

use super::{Tcp, endpoint, is_timeout};
use error::said_by;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme, StreamOwned,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    io::{self, Read, Write},
    sync::Arc,
};

/// A TLS connection to a trusted server.
pub type Tls = StreamOwned<ClientConnection, Tcp>;

/// Makes a TLS connection out of a TCP connection to `port` of `host`.
///
/// # Errors
///
/// The reason why the server is not trusted, or why the connection failed.
pub fn connect(tcp: Tcp, host: &str, port: u16, trust: &Trust) -> Result<Tls, TlsError> {
    let failed = |what: String| TlsError::Failed { to: endpoint(host, port), what };
    let name = ServerName::try_from(host.to_string()).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let judge = Judge::new(trust, Arc::clone(&provider)).map_err(failed)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge))
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        let Err(error) = stream.conn.complete_io(&mut stream.sock) else { continue };
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Err(failed("the server closed the connection".into()));
        }
        return Err(match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            Some(error) => said_by(error, endpoint(host, port)),
            None if is_timeout(&error) => TlsError::TimedOut { to: endpoint(host, port) },
            None => failed(error.to_string()),
        });
    }
    Ok(stream)
}

/// Verifies certificates as configured.
#[derive(Debug)]
struct Judge {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    /// The verifier of certificate chains; not needed for fingerprints.
    chains: Option<Arc<WebPkiServerVerifier>>,
}

impl Judge {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match trust {
            Trust::WebRoots => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Trust::Authorities(authorities) => {
                for authority in authorities {
                    roots.add(authority.clone()).map_err(|error| error.to_string())?;
                }
            }
            Trust::Fingerprints(_) => {}
        }
        let chains = match trust {
            Trust::Fingerprints(_) => None,
            _ => {
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                Some(builder.build().map_err(|error| error.to_string())?)
            }
        };
        Ok(Judge { trust: trust.clone(), provider, chains })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(end_entity);
        let host = server_name.to_str();
        let error = match (&self.trust, &self.chains) {
            (Trust::Fingerprints(wanted), _) if wanted.contains(&seen) => return Ok(ServerCertVerified::assertion()),
            (Trust::Fingerprints(wanted), _) => {
                TlsError::OtherFingerprint { host: host.into(), seen, wanted: wanted.clone() }
            }
            (_, None) => return Err(rustls::Error::General("no certificate authorities are configured".into())),
            (trust, Some(chains)) => {
                match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                    Ok(verified) => return Ok(verified),
                    Err(rustls::Error::InvalidCertificate(error)) => {
                        TlsError::judged(&error, &host, seen, matches!(trust, Trust::WebRoots))
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS: anybody on the path can read it.
    Clear(Tcp),
    /// With TLS.
    Tls(Box<Tls>),
}

impl Stream {
    /// Returns the TCP connection, which bounds the waits.
    pub fn tcp(&mut self) -> &mut Tcp {
        match self {
            Stream::Clear(tcp) => tcp,
            Stream::Tls(tls) => &mut tls.sock,
        }
    }

    /// Returns the underlying TCP connection.
    pub fn into_tcp(self) -> Tcp {
        match self {
            Stream::Clear(tcp) => tcp,
            Stream::Tls(tls) => tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(tcp) => tcp.read(out),
            Stream::Tls(tls) => tls.read(out),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(tcp) => tcp.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Clear(tcp) => tcp.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}
