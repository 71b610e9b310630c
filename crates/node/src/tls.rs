//! TLS in both directions: to nodes and Sentinels as a client, and for the relay's listener as a server.
//!
//! Verified by default, against the system's roots or a given CA. What goes wrong is told in the words of the
//! certificates concerned (see [`TlsError`]), not in those of the library. Files that change are read again ([`keep_fresh`]).

mod error;
mod reload;
mod unverified;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::files;
use reload::FromFiles;

pub use error::TlsError;
pub use reload::{RELOAD_INTERVAL, keep_fresh, problems, refresh};

/// The largest file of certificates or of a key, in bytes.
const PEM_BYTES_MAX: usize = 1 << 20;

/// How to speak TLS to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsSettings {
    /// A PEM file with the CA certificates to trust; none means the system's roots.
    pub ca: Option<PathBuf>,
    /// A PEM file with our certificate chain, where the server wants one.
    pub client_cert: Option<PathBuf>,
    /// The PEM file with its private key.
    pub client_key: Option<PathBuf>,
    /// The name that the certificate must carry and that is sent as SNI; none means the address's host.
    pub server_name: Option<String>,
    /// Whether to verify the server at all. `false` leaves the link open to anybody who can get in between.
    pub verify: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            ca: None,
            client_cert: None,
            client_key: None,
            server_name: None,
            verify: true,
        }
    }
}

/// A client's TLS, loaded and ready to connect.
#[derive(Clone)]
pub struct ClientTls {
    files: Arc<FromFiles<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    verified: bool,
}

/// The same, loaded once: what somebody else makes of the same files is another.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.files, &other.files)
            && (&self.server_name, self.verified) == (&other.server_name, other.verified)
    }
}

impl Eq for ClientTls {}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls")
            .field("server_name", &self.server_name)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads the files that the settings name and checks that they fit together.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let server_name = match &settings.server_name {
            Some(name) => Some(server_name(name)?),
            None => None,
        };
        let files = [&settings.ca, &settings.client_cert, &settings.client_key];
        let files = files.into_iter().flatten().cloned().collect();
        let verified = settings.verify;
        let settings = settings.clone();
        Ok(Self {
            files: FromFiles::new(files, move || Self::config(&settings))?,
            server_name,
            verified,
        })
    }

    fn config(settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup {
                what: "protocol versions".to_owned(),
                source: error,
            })?;
        let builder = if settings.verify {
            builder.with_root_certificates(roots(settings.ca.as_deref())?)
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(unverified::AcceptAny::new(provider)))
        };
        match (&settings.client_cert, &settings.client_key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|source| TlsError::Setup {
                    what: pair(cert, key),
                    source,
                }),
            (Some(_), None) => Err(TlsError::Incomplete {
                given: "certificate",
                missing: "key",
            }),
            (None, Some(_)) => Err(TlsError::Incomplete {
                given: "key",
                missing: "certificate",
            }),
        }
    }

    /// Whether the server's certificate is verified.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.files.current())
    }

    /// The name to verify for a connection to `host`.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host),
        }
    }
}

/// A listener's TLS, loaded and ready to accept.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<FromFiles<ServerConfig>>,
    asks_clients: bool,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("asks_clients", &self.asks_clients)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads the certificate chain and key; with `client_ca` only clients with a certificate from it get in.
    pub fn new(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let asks_clients = client_ca.is_some();
        let (cert, key, client_ca) = (cert.to_owned(), key.to_owned(), client_ca.map(Path::to_owned));
        let files = [Some(&cert), Some(&key), client_ca.as_ref()];
        let files = files.into_iter().flatten().cloned().collect();
        let make = move || Self::config(&cert, &key, client_ca.as_deref());
        Ok(Self {
            files: FromFiles::new(files, make)?,
            asks_clients,
        })
    }

    fn config(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<ServerConfig, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup {
                what: "protocol versions".to_owned(),
                source: error,
            })?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(Some(ca))?), provider)
                        .build()
                        .map_err(|error| TlsError::BadFile {
                            path: ca.to_owned(),
                            problem: error.to_string(),
                        })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder
            .with_single_cert(certificates(cert)?, private_key(key)?)
            .map_err(|source| TlsError::Setup {
                what: pair(cert, key),
                source,
            })
    }

    /// Turns an accepted connection into one that speaks TLS; says why where it comes to nothing.
    pub async fn accept<S>(&self, stream: S, within: Duration) -> Result<TlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.files.current());
        match tokio::time::timeout(within, acceptor.accept(stream)).await {
            Ok(accepted) => accepted.map_err(|error| format!("TLS failed: {error}")),
            Err(_) => Err("TLS took too long".to_owned()),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn pair(cert: &Path, key: &Path) -> String {
    format!(
        "the certificate {} with the key {}",
        cert.display(),
        key.display()
    )
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::BadServerName {
        name: name.to_owned(),
    })
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca else {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "a system root certificate could not be read");
        }
        store.add_parsable_certificates(loaded.certs);
        return if store.is_empty() {
            Err(TlsError::NoSystemRoots)
        } else {
            Ok(store)
        };
    };
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| TlsError::BadFile {
            path: path.to_owned(),
            problem: format!("it holds a certificate that can't be used as a CA: {error}"),
        })?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |problem| TlsError::BadFile {
        path: path.to_owned(),
        problem,
    };
    let text = files::read_small(path, PEM_BYTES_MAX).map_err(|error| bad(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(pem_problem(&error)))?;
    if found.is_empty() {
        return Err(bad(
            "it holds no PEM certificate (-----BEGIN CERTIFICATE-----)".to_owned()
        ));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bad = |problem| TlsError::BadFile {
        path: path.to_owned(),
        problem,
    };
    let text = files::read_small(path, PEM_BYTES_MAX).map_err(|error| bad(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        bad(match error {
            rustls_pki_types::pem::Error::NoItemsFound => {
                "it holds no unencrypted PEM private key (-----BEGIN PRIVATE KEY-----)".to_owned()
            }
            other => pem_problem(&other),
        })
    })
}

fn pem_problem(error: &rustls_pki_types::pem::Error) -> String {
    match error {
        rustls_pki_types::pem::Error::Io(error) => error.to_string(),
        other => format!("it is not a valid PEM file: {other}"),
    }
}
