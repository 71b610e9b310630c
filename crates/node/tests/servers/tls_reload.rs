//! TLS files that change while they are in use, as a renewed certificate changes them.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sterna_node::tls::{TlsSettings, problems, refresh};
use sterna_node::{ClientTls, Dialer, NodeAddress, ServerTls, Stream};
use sterna_testkit::TestTls;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(10);

/// Files behind a symbolic link to their directory, which is swapped for another as cert-manager's volumes are.
struct Live {
    dir: TempDir,
}

impl Live {
    fn of(tls: &TestTls) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let live = Self { dir };
        live.swap(tls);
        live
    }

    fn swap(&self, tls: &TestTls) {
        let (next, live) = (self.dir.path().join("next"), self.dir.path().join("live"));
        symlink(tls.server_cert.parent().expect("a directory"), &next).expect("linked");
        std::fs::rename(next, live).expect("swapped");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("live").join(name)
    }

    fn server(&self) -> ServerTls {
        ServerTls::new(&self.file("server.pem"), &self.file("server.key"), None).expect("good files")
    }
}

/// Gives back what it is sent, on every connection.
async fn echo(server: ServerTls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = server.accept(tcp, PATIENCE).await else {
                    return;
                };
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    drop(stream.write_all(&byte).await);
                    drop(stream.flush().await);
                }
            });
        }
    });
    address
}

fn trusting(ca: &Path) -> ClientTls {
    let settings = TlsSettings {
        ca: Some(ca.to_owned()),
        ..TlsSettings::default()
    };
    ClientTls::new(&settings).expect("good settings")
}

/// A connection on which a byte went there and back.
async fn connect(address: SocketAddr, tls: &ClientTls) -> Option<Stream> {
    let dialer = Dialer {
        tls: Some(tls.clone()),
        ..Dialer::new(NodeAddress::new("127.0.0.1", address.port()))
    };
    let mut stream = dialer.dial().await.ok()?;
    answers(&mut stream).await.then_some(stream)
}

async fn answers(stream: &mut Stream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok() && byte == *b"x"
}

fn certificates() -> TestTls {
    TestTls::generate().expect("certificates")
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_who_connects_and_nobody_is_dropped() {
    let (old, new) = (certificates(), certificates());
    let live = Live::of(&old);
    let address = echo(live.server()).await;
    let (trusts_old, trusts_new) = (trusting(&old.ca_cert), trusting(&new.ca_cert));
    let mut before = connect(address, &trusts_old).await.expect("connected");
    assert!(connect(address, &trusts_new).await.is_none());
    live.swap(&new);
    refresh();
    assert!(connect(address, &trusts_new).await.is_some());
    assert!(connect(address, &trusts_old).await.is_none());
    assert!(answers(&mut before).await, "it stays");
}

#[tokio::test]
async fn another_authority_is_trusted_once_its_certificate_is_in_the_file() {
    let (old, new) = (certificates(), certificates());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ca = dir.path().join("ca.pem");
    std::fs::copy(&old.ca_cert, &ca).expect("copied");
    let client = trusting(&ca);
    let address = echo(Live::of(&new).server()).await;
    assert!(connect(address, &client).await.is_none());
    std::fs::copy(&new.ca_cert, &ca).expect("copied");
    refresh();
    assert!(connect(address, &client).await.is_some());
    assert_eq!(client, client.clone(), "whoever follows with it goes on");
}

#[tokio::test]
async fn files_that_are_of_no_use_leave_the_old_ones_in_use_and_are_told_when_they_stay_so() {
    let (old, new) = (certificates(), certificates());
    let live = Live::of(&old);
    let address = echo(live.server()).await;
    let trusts_old = trusting(&old.ca_cert);
    let key = live.file("server.key").display().to_string();
    let told = || problems().iter().any(|problem| problem.contains(&key));

    // The certificate is there, its key is not yet.
    let own = std::fs::read(&new.server_key).expect("read");
    std::fs::write(&new.server_key, &own[..own.len() / 2]).expect("written");
    live.swap(&new);
    refresh();
    assert!(connect(address, &trusts_old).await.is_some());
    assert!(!told(), "they may be half replaced");
    refresh();
    assert!(told(), "{:?}", problems());
    assert!(connect(address, &trusts_old).await.is_some());

    std::fs::write(&new.server_key, &own).expect("written");
    refresh();
    assert!(!told());
    assert!(connect(address, &trusting(&new.ca_cert)).await.is_some());
}
