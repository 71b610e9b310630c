//! Making certificates. Behind a feature, so that the demo, which needs none, is built without the library for them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::TestTls;

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
