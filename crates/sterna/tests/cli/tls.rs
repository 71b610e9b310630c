//! The API over TLS, and with client certificates.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sterna_testkit::TestTls;

use crate::gateway::Gateway;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn gateway(tls: &TestTls, client_ca: bool) -> Gateway {
    set_permissions(&tls.server_key, Permissions::from_mode(0o600)).expect("chmod");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut lines = vec![
        "[api]".to_owned(),
        format!("tls_cert = {:?}", text(&tls.server_cert)),
        format!("tls_key = {:?}", text(&tls.server_key)),
    ];
    if client_ca {
        lines.push(format!("tls_client_ca = {:?}", text(&tls.ca_cert)));
    }
    std::fs::write(dir.path().join("c.toml"), lines.join("\n")).expect("written");
    Gateway::start_in(dir, &["--config", "c.toml"])
}

#[test]
fn the_api_is_verified_before_the_token_goes_out() {
    let tls = TestTls::generate().expect("certificates");
    let gateway = gateway(&tls, false);
    assert!(gateway.api.starts_with("https://"), "{}", gateway.api);
    gateway.run(&["status", "--ca-file", text(&tls.ca_cert)]).good();
    for (args, expected) in [
        (&["status", "--ca-file", text(&tls.wrong_ca_cert)][..], "TLS with"),
        (&["status", "--ca-file", "none.crt"], "none.crt can't be read"),
        (&["status", "--ca-file", "c.toml"], "holds no certificate"),
    ] {
        let said = gateway.run(args);
        assert!(said.err.contains(expected), "{}", said.err);
        assert!(said.code == 4 || said.code == 5, "{}", said.code);
    }
    let plain = gateway.api.replace("https://", "http://");
    let said = gateway.run_with(&["status", "--api", &plain], &[]).failed(4);
    assert!(said.contains("error: "), "{said}");
}

#[test]
fn a_client_certificate_is_shown_where_the_api_demands_one() {
    let tls = TestTls::generate().expect("certificates");
    let gateway = gateway(&tls, true);
    let ca = text(&tls.ca_cert);
    let with = |cert: &Path, key: &Path| {
        gateway.run(&[
            "status",
            "--ca-file",
            ca,
            "--client-cert",
            text(cert),
            "--client-key",
            text(key),
        ])
    };
    with(&tls.client_cert, &tls.client_key).good();
    with(&tls.wrong_client_cert, &tls.wrong_client_key).failed(4);
    gateway.run(&["status", "--ca-file", ca]).failed(4);
    gateway
        .run(&["status", "--ca-file", ca, "--client-cert", text(&tls.client_cert)])
        .failed(2);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let tls = TestTls::generate().expect("certificates");
    set_permissions(&tls.server_key, Permissions::from_mode(0o644)).expect("chmod");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let env = [
        ("STERNA_API_TLS_CERT", text(&tls.server_cert)),
        ("STERNA_API_TLS_KEY", text(&tls.server_key)),
    ];
    let said = crate::gateway::sterna_in(dir.path(), &["config", "check"], &env).failed(5);
    assert!(
        said.contains("api.tls_key") && said.contains("chmod 600"),
        "{said}"
    );
}
