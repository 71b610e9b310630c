//! The API over TLS.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sterna_api::ApiSettings;
use sterna_node::ServerTls;
use sterna_testkit::TestTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixture::{Fixture, settings};
use crate::http::{Http, Request};

#[tokio::test]
async fn over_tls_it_is_the_same_api_and_plain_text_gets_nothing() {
    let files = TestTls::generate().unwrap();
    let fixture = Fixture::with(ApiSettings {
        tls: Some(ServerTls::new(&files.server_cert, &files.server_key, None).unwrap()),
        ..settings()
    })
    .await;

    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&files.ca_cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(fixture.api.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap();
    let request = Request::new("GET", "/api/v1/groups")
        .token(&fixture.tokens.viewer)
        .header("Connection", "close");
    stream.write_all(request.text().as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("orders"), "{answer}");

    let mut plain = Http::connect(fixture.api.address()).await;
    plain.stream.write_all(request.text().as_bytes()).await.unwrap();
    let refused = plain.rest().await;
    assert!(!refused.contains("HTTP/"), "{refused}");
}
