//! TLS to real servers, and what is said when it fails.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use sterna_node::connect::Cause;
use sterna_node::tls::TlsSettings;
use sterna_node::{Client, ClientError, ClientTls, Dialer, NodeAddress, ServerTls, TlsError};
use sterna_testkit::{Server, TestTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::scripted::{says, silent};

/// The longest that a handshake with our own listener may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn trusting(ca: &Path) -> TlsSettings {
    TlsSettings {
        ca: Some(ca.to_owned()),
        ..TlsSettings::default()
    }
}

fn dialer(port: u16, settings: &TlsSettings) -> Dialer {
    Dialer {
        tls: Some(ClientTls::new(settings).expect("good settings")),
        connect_timeout: Duration::from_secs(2),
        ..Dialer::new(NodeAddress::new("127.0.0.1", port))
    }
}

async fn failure(port: u16, settings: &TlsSettings) -> TlsError {
    match Client::connect(&dialer(port, settings)).await {
        Err(ClientError::Connect(error)) => match error.cause {
            Cause::Tls(error) => error,
            other => panic!("{other}"),
        },
        Err(ClientError::Tls { source, .. }) => source,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test]
async fn a_server_is_verified_by_its_ca_and_its_name() {
    let tls = TestTls::generate().expect("certificates");
    let server = Server::builder().tls(&tls).start().expect("started");
    let port = server.tls_port().expect("a TLS port");

    let mut client = Client::connect(&dialer(port, &trusting(&tls.ca_cert)))
        .await
        .expect("verified");
    assert!(client.stream().is_tls());
    client.info().await.expect("INFO");
    let by_name = TlsSettings {
        server_name: Some("localhost".to_owned()),
        ..trusting(&tls.ca_cert)
    };
    Client::connect(&dialer(port, &by_name)).await.expect("verified");

    assert_eq!(
        failure(port, &trusting(&tls.wrong_ca_cert)).await,
        TlsError::UnknownCa
    );
    let by_other = TlsSettings {
        server_name: Some("db.example.com".to_owned()),
        ..trusting(&tls.ca_cert)
    };
    let error = failure(port, &by_other).await;
    let TlsError::NameMismatch { expected, presented } = &error else {
        panic!("{error}")
    };
    assert_eq!(expected, "db.example.com");
    assert!(presented.iter().any(|name| name == "localhost"), "{presented:?}");
    assert!(error.to_string().contains("localhost"), "{error}");

    let unverified = TlsSettings {
        verify: false,
        ..by_other
    };
    Client::connect(&dialer(port, &unverified))
        .await
        .expect("anybody will do");
}

#[tokio::test]
async fn mutual_tls_asks_for_the_right_certificate() {
    let tls = TestTls::generate().expect("certificates");
    let server = Server::builder()
        .tls(&tls)
        .config("tls-auth-clients", "yes")
        .start()
        .expect("started");
    let port = server.tls_port().expect("a TLS port");
    assert_eq!(
        failure(port, &trusting(&tls.ca_cert)).await,
        TlsError::ClientCertificateRequired
    );

    let with = |cert: &Path, key: &Path| TlsSettings {
        client_cert: Some(cert.to_owned()),
        client_key: Some(key.to_owned()),
        ..trusting(&tls.ca_cert)
    };
    Client::connect(&dialer(port, &with(&tls.client_cert, &tls.client_key)))
        .await
        .expect("let in");
    let error = failure(port, &with(&tls.wrong_client_cert, &tls.wrong_client_key)).await;
    assert!(
        matches!(error, TlsError::ClientCertificateRefused { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_port_without_tls_is_recognised() {
    let tls = TestTls::generate().expect("certificates");
    let settings = trusting(&tls.ca_cert);
    let web = says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(failure(web.address.port(), &settings).await, TlsError::NotTls);

    // A plain node waits for the end of what it takes for an inline command, or breaks off.
    let plain = Server::start();
    let error = failure(plain.port(), &settings).await;
    let known = matches!(
        error,
        TlsError::NoAnswer { .. } | TlsError::ClosedInHandshake | TlsError::NotTls
    );
    assert!(known && error.to_string().contains("not speak TLS"), "{error:?}");

    let quiet = silent().await;
    assert_eq!(
        failure(quiet.address.port(), &settings).await,
        TlsError::NoAnswer { waited_ms: 2000 }
    );
}

#[tokio::test]
async fn a_tls_port_tells_a_plain_client_so() {
    let tls = TestTls::generate().expect("certificates");
    let server = Server::builder().tls(&tls).start().expect("started");
    let port = server.tls_port().expect("a TLS port");
    let Err(error) = Client::connect(&Dialer::new(NodeAddress::new("127.0.0.1", port))).await else {
        panic!("connected")
    };
    assert!(
        matches!(
            error,
            ClientError::Closed { .. }
                | ClientError::NotRedis {
                    what: "a TLS server",
                    ..
                }
        ),
        "{error}"
    );
    assert!(error.hint().contains("rediss://"), "{}", error.hint());
}

#[tokio::test]
async fn our_own_listener_speaks_to_our_own_client() {
    let tls = TestTls::generate().expect("certificates");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let server = ServerTls::new(&tls.server_cert, &tls.server_key, Some(&tls.ca_cert)).expect("good files");
    let greeting = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let mut stream = server.accept(tcp, PATIENCE).await.expect("a handshake");
        stream.write_all(b"hello").await.expect("written");
        stream.shutdown().await.expect("closed");
    });
    let settings = TlsSettings {
        client_cert: Some(tls.client_cert.clone()),
        client_key: Some(tls.client_key.clone()),
        ..trusting(&tls.ca_cert)
    };
    let mut stream = dialer(port, &settings).dial().await.expect("connected");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("read");
    assert_eq!(text, "hello");
    greeting.await.expect("served");
}

/// Serves one handshake with a certificate that is valid between these years.
async fn refusal_of_a_certificate_valid(from_year: i32, until_year: i32) -> TlsError {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let put = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    leaf.not_before = date_time_ymd(from_year, 1, 1);
    leaf.not_after = date_time_ymd(until_year, 1, 1);
    let leaf = leaf.signed_by(&key, &authority).expect("signed");
    let ca = put("ca.pem", authority.pem());
    let server = ServerTls::new(
        &put("cert.pem", leaf.pem()),
        &put("key.pem", key.serialize_pem()),
        None,
    );
    let server = server.expect("good files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let handshake = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        server.accept(tcp, PATIENCE).await.map(drop)
    });
    let error = failure(port, &trusting(&ca)).await;
    assert!(handshake.await.expect("no panic").is_err());
    error
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_told_with_the_day() {
    let error = refusal_of_a_certificate_valid(2019, 2020).await;
    assert!(error.to_string().contains("has expired on 2020-01-01"), "{error}");
    let error = refusal_of_a_certificate_valid(2090, 2091).await;
    assert!(
        error.to_string().contains("not valid yet (from 2090-01-01)"),
        "{error}"
    );
}

#[test]
fn files_that_do_not_fit_are_named() {
    let tls = TestTls::generate().expect("certificates");
    let refused = |settings: TlsSettings| ClientTls::new(&settings).expect_err("refused").to_string();
    assert!(refused(trusting(Path::new("/no/such/ca.pem"))).contains("/no/such/ca.pem"));
    assert!(refused(trusting(&tls.server_key)).contains("no PEM certificate"));
    let half = TlsSettings {
        client_cert: Some(tls.client_cert.clone()),
        ..TlsSettings::default()
    };
    assert!(
        refused(TlsSettings {
            ca: Some(tls.ca_cert.clone()),
            ..half.clone()
        })
        .contains("without its key")
    );
    let crossed = TlsSettings {
        ca: Some(tls.ca_cert.clone()),
        client_key: Some(tls.server_key.clone()),
        ..half.clone()
    };
    assert!(refused(crossed).contains("client.pem"));
    let swapped = TlsSettings {
        ca: Some(tls.ca_cert.clone()),
        client_key: Some(tls.client_cert.clone()),
        ..half
    };
    assert!(refused(swapped).contains("no unencrypted PEM private key"));
    let nameless = TlsSettings {
        server_name: Some("a b".to_owned()),
        ..trusting(&tls.ca_cert)
    };
    assert!(refused(nameless).contains("neither a DNS name"));
    assert!(ServerTls::new(&tls.server_cert, &tls.client_key, None).is_err());
}
