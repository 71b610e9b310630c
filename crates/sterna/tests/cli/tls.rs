//! The API over TLS, and with client certificates.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use sterna_testkit::{Server, TestTls, wait_until};

use crate::gateway::Gateway;
use crate::support::{DEADLINE, url};

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

/// Puts the files of others in the place of those that are in use, as cert-manager's volumes do: by a symbolic link.
fn swap(dir: &Path, tls: &TestTls) {
    let next = dir.join("next");
    symlink(tls.server_cert.parent().expect("a directory"), &next).expect("linked");
    std::fs::rename(next, dir.join("live")).expect("swapped");
}

#[test]
fn a_renewed_certificate_is_taken_up_without_a_restart_and_one_of_no_use_is_told() {
    let (old, new) = (TestTls::generate(), TestTls::generate());
    let (old, new) = (old.expect("certificates"), new.expect("certificates"));
    for tls in [&old, &new] {
        set_permissions(&tls.server_key, Permissions::from_mode(0o600)).expect("chmod");
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    swap(dir.path(), &old);
    let lines = [
        "[api]",
        "tls_cert = \"live/server.pem\"",
        "tls_key = \"live/server.key\"",
    ];
    std::fs::write(dir.path().join("c.toml"), lines.join("\n")).expect("written");
    let gateway = Gateway::start_in(dir, &["--config", "c.toml"]);
    let status = |tls: &TestTls| gateway.run(&["status", "--ca-file", text(&tls.ca_cert)]);
    status(&old).good();
    swap(gateway.dir.path(), &new);
    wait_until(DEADLINE, "the new certificate", || match status(&new) {
        said if said.code == 0 => Ok(()),
        said => Err(said.err),
    });
    assert_ne!(status(&old).code, 0);
    std::fs::write(&new.server_cert, "no certificate").expect("written");
    let told = "TLS files have changed and can't be used";
    gateway.process.wait_for_line(told, DEADLINE).expect("told");
    status(&new).good();
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

/// What a service names as its files is read by the gateway: neither a pipe nor a device keeps the API from others.
#[test]
fn what_is_no_file_is_refused_and_keeps_nobody_waiting() {
    let gateway = Gateway::start();
    let server = Server::start();
    let pipe = gateway.dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let tls = url(&server).replace("redis://", "rediss://");
    for file in [pipe.to_str().expect("UTF-8"), "/dev/zero", "/"] {
        let with_file = format!("{tls}?cacert={file}");
        let said = gateway.run(&["service", "add", "eu", "--url", &with_file]);
        let said = format!("{}{}", said.out, said.err);
        assert!(said.contains("not a regular file"), "{file}: {said}");
    }
    gateway.run(&["status"]).good();
}
