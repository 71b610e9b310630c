//! Certificates for tests: an authority, a server and a client certificate under it, and a foreign authority.

#[cfg(feature = "tls")]
mod generate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use crate::client::ClientTls;

/// PEM files in a folder that lives as long as the last clone.
#[derive(Debug, Clone)]
pub struct TestTls {
    /// The authority that signed both certificates.
    pub ca_cert: PathBuf,
    /// Certificate for `localhost`, `127.0.0.1` and `::1`.
    pub server_cert: PathBuf,
    pub server_key: PathBuf,
    /// A client's certificate, for mutual TLS.
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    /// Another authority, which signed neither.
    pub wrong_ca_cert: PathBuf,
    /// A client certificate that the other authority signed.
    pub wrong_client_cert: PathBuf,
    pub wrong_client_key: PathBuf,
    _dir: Arc<TempDir>,
}

impl TestTls {
    /// A client that trusts the right authority and has no certificate of its own.
    pub fn client(&self) -> Result<ClientTls> {
        client_trusting(&self.ca_cert)
    }

    /// A client with the right certificate, for mutual TLS.
    pub fn client_with_certificate(&self) -> Result<ClientTls> {
        client_showing(&self.ca_cert, &self.client_cert, &self.client_key)
    }

    /// A client whose certificate the wrong authority signed: a server that asks for one must refuse it.
    pub fn client_with_wrong_certificate(&self) -> Result<ClientTls> {
        client_showing(&self.ca_cert, &self.wrong_client_cert, &self.wrong_client_key)
    }

    /// A client that trusts only the wrong authority: its handshake must fail.
    pub fn client_trusting_wrong_ca(&self) -> Result<ClientTls> {
        client_trusting(&self.wrong_ca_cert)
    }
}

fn client_trusting(authority: &Path) -> Result<ClientTls> {
    let config = ClientConfig::builder()
        .with_root_certificates(roots(authority)?)
        .with_no_client_auth();
    ClientTls::new(config, "localhost")
}

fn client_showing(authority: &Path, certificate: &Path, key: &Path) -> Result<ClientTls> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let config = ClientConfig::builder()
        .with_root_certificates(roots(authority)?)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    ClientTls::new(config, "localhost")
}

fn roots(authority: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    Ok(roots)
}
