//! From the options of `sterna service` to what the API is told of a service.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sterna_model::{ConfigRewrite, Secrets, SentinelSpec, ServiceName, ServiceSpec, TlsSpec};
use sterna_node::secret::SecretSource;
use sterna_node::{Endpoints, ServiceUrl, TlsSettings};
use sterna_protocol::Secret;

use crate::cli::ServiceOptions;
use crate::exit::{Classify as _, CommandError, Failure};
use crate::output;

/// The variable that may hold the nodes' password.
pub(super) const PASSWORD_VARIABLE: &str = "STERNA_SERVICE_PASSWORD";
/// The variable that may hold the Sentinels' password.
pub(super) const SENTINEL_PASSWORD_VARIABLE: &str = "STERNA_SENTINEL_PASSWORD";

/// A service as the options say it.
pub(super) fn new(
    name: &ServiceName,
    options: &ServiceOptions,
) -> Result<(ServiceSpec, Secrets), CommandError> {
    if options.url.is_none() && options.node.is_empty() {
        return Err(Failure::Refused.because(
            "a service needs nodes\nhint: say --url redis://HOST:PORT, with a comma between several",
        ));
    }
    let empty = ServiceSpec {
        name: name.clone(),
        site: None,
        nodes: Vec::new(),
        sentinel: None,
        username: None,
        tls: None,
        client_addresses: Vec::new(),
        config_rewrite: ConfigRewrite::default(),
    };
    change(empty, options)
}

/// A service with what the options say put in; passwords only where some were given.
pub(super) fn change(
    mut spec: ServiceSpec,
    options: &ServiceOptions,
) -> Result<(ServiceSpec, Secrets), CommandError> {
    let mut secrets = Secrets::default();
    if let Some(text) = &options.url {
        let mut url: ServiceUrl = text
            .parse()
            .context("--url can't be understood")
            .class(Failure::Refused)?;
        if url.has_password_in_text() {
            return Err(Failure::Refused.because(format!(
                "--url has a password in it, which `ps` shows to everybody on this machine; it should be changed\n\
                 hint: put it in a file and say --password-file FILE, or set {PASSWORD_VARIABLE}"
            )));
        }
        for warning in url.load_secrets().class(Failure::Local)? {
            output::warn(&warning);
        }
        take_url(&mut spec, &mut secrets, &url)?;
    }
    if !options.node.is_empty() {
        if options.url.is_none() {
            spec.nodes.clear();
        }
        spec.nodes.extend(options.node.iter().cloned());
    }
    if let Some(site) = &options.site {
        spec.site = Some(site.clone());
    }
    if !options.client_address.is_empty() {
        spec.client_addresses.clone_from(&options.client_address);
    }
    if let Some(rewrite) = options.config_rewrite {
        spec.config_rewrite = rewrite.into();
    }
    let given = password(options.password_file.as_deref(), PASSWORD_VARIABLE)?;
    secrets.password = given.or(secrets.password);
    let given = password(
        options.sentinel_password_file.as_deref(),
        SENTINEL_PASSWORD_VARIABLE,
    )?;
    secrets.sentinel_password = given.or(secrets.sentinel_password);
    if secrets.sentinel_password.is_some() && spec.sentinel.is_none() {
        return Err(Failure::Refused.because(
            "a password for Sentinels was given, but the service has none\nhint: say --url redis+sentinel://HOST:PORT,…/NAME",
        ));
    }
    Ok((spec, secrets))
}

fn take_url(spec: &mut ServiceSpec, secrets: &mut Secrets, url: &ServiceUrl) -> Result<(), CommandError> {
    spec.username.clone_from(&url.user);
    spec.tls = url.tls.as_ref().map(tls).transpose()?;
    secrets.password = url.password.as_ref().map(text).transpose()?;
    match &url.endpoints {
        Endpoints::Nodes(nodes) => {
            spec.nodes.clone_from(nodes);
            spec.sentinel = None;
        }
        Endpoints::Sentinel {
            sentinels,
            master_name,
        } => {
            let access = url.sentinel.as_ref();
            spec.nodes.clear();
            spec.sentinel = Some(SentinelSpec {
                nodes: sentinels.clone(),
                master_name: master_name.clone(),
                username: access.and_then(|access| access.user.clone()),
                tls: access.is_some_and(|access| access.tls),
            });
            let password = access.and_then(|access| access.password.as_ref());
            secrets.sentinel_password = password.map(text).transpose()?;
        }
    }
    Ok(())
}

/// The gateway reads the files, perhaps on another machine: a path that begins here means nothing there.
fn tls(settings: &TlsSettings) -> Result<TlsSpec, CommandError> {
    let absolute = |path: &Option<PathBuf>| {
        match path {
        Some(path) if path.is_relative() => Err(Failure::Refused.because(format!(
            "{} is read by the gateway, which does not run in this directory\nhint: give the absolute path of the file on \
             the gateway's machine",
            path.display()
        ))),
        other => Ok(other.clone()),
    }
    };
    Ok(TlsSpec {
        ca_file: absolute(&settings.ca)?,
        cert_file: absolute(&settings.client_cert)?,
        key_file: absolute(&settings.client_key)?,
        server_name: settings.server_name.clone(),
        insecure: !settings.verify,
    })
}

fn password(file: Option<&Path>, variable: &str) -> Result<Option<String>, CommandError> {
    let source = match file {
        Some(file) => SecretSource::File(file.to_owned()),
        None if std::env::var_os(variable).is_some() => SecretSource::Env(variable.to_owned()),
        None => return Ok(None),
    };
    let loaded = source.load().class(Failure::Local)?;
    if let Some(warning) = loaded.warning {
        output::warn(&warning);
    }
    text(&loaded.secret).map(Some)
}

fn text(secret: &Secret) -> Result<String, CommandError> {
    std::str::from_utf8(secret.expose())
        .map(str::to_owned)
        .map_err(|_| Failure::Refused.because("the password is not UTF-8, and the API takes no other"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn with_url(url: &str) -> ServiceOptions {
        ServiceOptions {
            url: Some(url.to_owned()),
            ..ServiceOptions::default()
        }
    }

    fn name() -> ServiceName {
        "eu".parse().expect("a name")
    }

    #[test]
    fn a_url_becomes_a_spec() {
        let options = ServiceOptions {
            site: Some("eu-west".parse().expect("a name")),
            ..with_url("rediss://sterna@a:7000,b?cacert=/etc/ca.crt&sni=db")
        };
        let (spec, secrets) = new(&name(), &options).expect("good");
        assert_eq!(
            serde_json::to_value(&spec).expect("JSON"),
            json!({
                "name": "eu", "site": "eu-west", "nodes": ["a:7000", "b:6379"], "username": "sterna",
                "tls": { "ca_file": "/etc/ca.crt", "cert_file": null, "key_file": null, "server_name": "db",
                         "insecure": false }
            })
        );
        assert_eq!(secrets, Secrets::default());
    }

    #[test]
    fn sentinels_are_told_apart_from_nodes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("password");
        std::fs::write(&file, "hunter2\n").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        let options = ServiceOptions {
            node: vec!["n1:6379".parse().expect("an address")],
            password_file: Some(file.clone()),
            sentinel_password_file: Some(file),
            ..with_url("redis+sentinel://s1,s2:1/orders?sentinel-user=watch")
        };
        let (spec, secrets) = new(&name(), &options).expect("good");
        assert_eq!(
            serde_json::to_value(&spec).expect("JSON"),
            json!({
                "name": "eu", "nodes": ["n1:6379"],
                "sentinel": { "nodes": ["s1:26379", "s2:1"], "master_name": "orders", "username": "watch", "tls": false }
            })
        );
        assert_eq!(secrets.password.as_deref(), Some("hunter2"));
        assert_eq!(secrets.sentinel_password.as_deref(), Some("hunter2"));
    }

    #[test]
    fn what_is_not_said_stays() {
        let (kept, _) = new(&name(), &with_url("redis://sterna@a,b")).expect("good");
        let options = ServiceOptions {
            site: Some("new".parse().expect("a name")),
            ..ServiceOptions::default()
        };
        let (changed, _) = change(kept.clone(), &options).expect("good");
        assert_eq!(
            changed.site.as_ref().map(ToString::to_string).as_deref(),
            Some("new")
        );
        assert_eq!((changed.nodes, changed.username), (kept.nodes, kept.username));
    }

    #[test]
    fn passwords_in_the_open_and_paths_from_here_are_refused() {
        for (url, expected) in [
            ("redis://:secret@a", "--password-file"),
            ("rediss://a?cacert=ca.crt", "absolute path"),
            ("http://a", "--url can't be understood"),
        ] {
            let error = new(&name(), &with_url(url)).expect_err(url);
            assert_eq!(error.failure, Failure::Refused);
            let text = format!("{:#}", error.error);
            assert!(text.contains(expected) && !text.contains("secret@"), "{text}");
        }
        assert!(new(&name(), &ServiceOptions::default()).is_err());
    }
}
