//! Certificates for tests: an authority, a server and a client certificate under it, and a foreign authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
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
    /// Its key.
    pub server_key: PathBuf,
    /// A client's certificate, for mutual TLS.
    pub client_cert: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
    /// Another authority, which signed neither.
    pub wrong_ca_cert: PathBuf,
    /// A client certificate that the other authority signed.
    pub wrong_client_cert: PathBuf,
    /// Its key.
    pub wrong_client_key: PathBuf,
    _dir: Arc<TempDir>,
}

impl TestTls {
    /// Makes all of them anew.
    pub fn generate() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sterna-tls-").tempdir()?;
        let put = |name: &str, text: String| -> Result<PathBuf> {
            let path = dir.path().join(name);
            fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
            Ok(path)
        };
        let right = authority("Sterna test authority")?;
        let wrong = authority("Some other authority")?;
        let (server_cert, server_key) = leaf(&right, "server", ExtendedKeyUsagePurpose::ServerAuth)?;
        let (client_cert, client_key) = leaf(&right, "client", ExtendedKeyUsagePurpose::ClientAuth)?;
        let (wrong_cert, wrong_key) = leaf(&wrong, "stranger", ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self {
            ca_cert: put("ca.pem", right.pem())?,
            server_cert: put("server.pem", server_cert)?,
            server_key: put("server.key", server_key)?,
            client_cert: put("client.pem", client_cert)?,
            client_key: put("client.key", client_key)?,
            wrong_ca_cert: put("wrong-ca.pem", wrong.pem())?,
            wrong_client_cert: put("wrong-client.pem", wrong_cert)?,
            wrong_client_key: put("wrong-client.key", wrong_key)?,
            _dir: Arc::new(dir),
        })
    }

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

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Certificate and key, in PEM.
///
/// Server nodes use their one certificate as clients too when they replicate, so every leaf may do both; `purpose`
/// only comes first.
fn leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params =
        CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        purpose,
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.extended_key_usages.dedup();
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
