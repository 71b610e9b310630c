//! With which token, and over what TLS, the API is spoken to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::aws_lc_rs;
use sterna_node::LoadedSecret;
use sterna_protocol::Secret;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::cli::{ApiArgs, ConfigSource};
use crate::config::{Config, Layers};
use crate::exit::{Classify as _, CommandError, Failure};
use crate::output;

/// The variable that may hold the token.
const TOKEN_VARIABLE: &str = "STERNA_TOKEN";

/// A token and where it was found.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) from: String,
}

/// Whether and as whom we may ask.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) token: Option<Token>,
    /// Where we looked for one, in order, and what was there.
    pub(crate) looked: Vec<String>,
}

impl Access {
    /// Looks for a token.
    pub(crate) fn find(args: &ApiArgs) -> Result<Self, CommandError> {
        let host = host(&args.api)?;
        let local = is_loopback(host);
        let mut access = Self {
            token: None,
            looked: Vec::new(),
        };
        if let Some(file) = &args.token_file {
            access.token = Some(from_file(file)?);
        } else if let Some(text) = std::env::var_os(TOKEN_VARIABLE).filter(|text| !text.is_empty()) {
            access.token = Some(Token {
                secret: Secret::new(text.into_encoded_bytes()),
                from: TOKEN_VARIABLE.to_owned(),
            });
        } else {
            access.looked.push("--token-file: not given".to_owned());
            access.looked.push(format!("{TOKEN_VARIABLE}: not set"));
            if local {
                access.look_in_data_dir()?;
            } else {
                access.looked.push(format!(
                    "the data directory: not looked at, because {host} is not this machine"
                ));
            }
        }
        if access.token.is_some() && !local && args.api.starts_with("http://") {
            output::warn(&format!(
                "the token goes to {host} in the clear, readable by everybody on the way; use https://"
            ));
        }
        Ok(access)
    }

    /// The first admin token of a gateway on this machine.
    fn look_in_data_dir(&mut self) -> Result<(), CommandError> {
        let source = ConfigSource {
            config: std::env::var_os("STERNA_CONFIG").map(PathBuf::from),
        };
        let config = Layers::load(&source).and_then(|layers| Config::read(&layers));
        let path = match config {
            Ok(config) => config.admin_token_file(),
            Err(error) => {
                self.looked
                    .push(format!("the data directory: not known, because {error}"));
                return Ok(());
            }
        };
        let shown = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        match std::fs::metadata(&path) {
            Ok(_) => self.token = Some(from_file(&path)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.looked.push(format!("{}: not there", shown.display()));
            }
            Err(error) => self.looked.push(format!("{}: {error}", shown.display())),
        }
        Ok(())
    }

    /// What is needed for `https://`; none for `http://`.
    pub(crate) fn tls(args: &ApiArgs) -> Result<Option<TlsConfig>, CommandError> {
        if !args.api.starts_with("https://") {
            return Ok(None);
        }
        let roots = match &args.ca_file {
            Some(file) => certificates(file, "--ca-file")?,
            None => system_roots()?,
        };
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots));
        if let (Some(cert), Some(key)) = (&args.client_cert, &args.client_key) {
            let chain = certificates(cert, "--client-cert")?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, private_key(key)?)));
        }
        Ok(Some(tls.build()))
    }
}

fn from_file(path: &Path) -> Result<Token, CommandError> {
    let loaded = LoadedSecret::from_file(path)
        .context("the token can't be read")
        .class(Failure::Local)?;
    if let Some(warning) = loaded.warning {
        output::warn(&warning);
    }
    Ok(Token {
        secret: loaded.secret,
        from: path.display().to_string(),
    })
}

/// The host of the API's URL.
fn host(api: &str) -> Result<&str, CommandError> {
    let rest = api
        .strip_prefix("http://")
        .or_else(|| api.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    let host = authority.and_then(|authority| match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map(|(host, _)| host),
        None => Some(authority.split_once(':').map_or(authority, |(host, _)| host)),
    });
    match host {
        Some(host) if !host.is_empty() && !host.contains('@') => Ok(host),
        _ => Err(Failure::Refused.because(format!(
            "--api {api:?} is no address of an API\nhint: write http://127.0.0.1:7800 or https://gateway.example:7800"
        ))),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn certificates(file: &Path, option: &str) -> Result<Vec<Certificate<'static>>, CommandError> {
    let text = std::fs::read(file)
        .with_context(|| format!("{option} {} can't be read", file.display()))
        .class(Failure::Local)?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Failure::Local.because(format!("{option} {} holds no certificate (PEM)", file.display())));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKey<'static>, CommandError> {
    let text = std::fs::read(file)
        .with_context(|| format!("--client-key {} can't be read", file.display()))
        .class(Failure::Local)?;
    PrivateKey::from_pem(&text)
        .with_context(|| format!("--client-key {} holds no private key (PEM)", file.display()))
        .class(Failure::Local)
}

fn system_roots() -> Result<Vec<Certificate<'static>>, CommandError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Failure::Local.because(
            "this machine trusts no certificate authority\nhint: name the API's own with --ca-file FILE",
        ));
    }
    Ok(found
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_from_urls() {
        for (url, expected, local) in [
            ("http://127.0.0.1:7800", "127.0.0.1", true),
            ("https://[::1]:7800/", "::1", true),
            ("http://localhost", "localhost", true),
            ("https://gateway.example:7800/x", "gateway.example", false),
            ("http://127.0.0.1.example", "127.0.0.1.example", false),
        ] {
            assert_eq!(host(url).expect(url), expected);
            assert_eq!(is_loopback(expected), local, "{url}");
        }
        for bad in [
            "",
            "gateway:7800",
            "ftp://x",
            "http://",
            "http://a@b",
            "https://[::1",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
