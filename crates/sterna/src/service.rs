//! From the URLs and password files of the command line to services that can be talked to.

use std::path::Path;

use anyhow::Context as _;
use sterna_node::secret::SecretSource;
use sterna_node::{Dialer, Endpoints, ServiceUrl, Upstream};

use crate::exit::{Classify as _, CommandError, Failure};
use crate::output;

/// A service as the command line names it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) url: ServiceUrl,
    pub(crate) upstream: Upstream,
}

/// Reads a URL and its password, which comes from a file or the environment and never from the command line.
pub(crate) fn read(
    option: &str,
    text: &str,
    password_file: Option<&Path>,
    variable: &str,
) -> Result<Service, CommandError> {
    let mut url: ServiceUrl = text
        .parse()
        .with_context(|| format!("{option} can't be understood"))
        .class(Failure::Refused)?;
    let from_environment =
        std::env::var(variable.trim_end_matches("_PASSWORD")).is_ok_and(|value| value.contains(text));
    if url.has_password_in_text() && !from_environment {
        return Err(Failure::Refused.because(format!(
            "{option} has a password in it, which `ps` shows to everybody on this machine\n\
             hint: put it in a file and say {option}-password-file FILE, or set {variable}"
        )));
    }
    if let Some(file) = password_file {
        url.password_source = Some(SecretSource::File(file.to_owned()));
    } else if url.password.is_none() && url.password_source.is_none() && std::env::var_os(variable).is_some()
    {
        url.password_source = Some(SecretSource::Env(variable.to_owned()));
    }
    for warning in url.load_secrets().class(Failure::Local)? {
        output::warn(&warning);
    }
    let upstream = Upstream::new(&url)
        .with_context(|| format!("{option}: TLS can't be set up"))
        .class(Failure::Local)?;
    Ok(Service { url, upstream })
}

/// The nodes that a `--to` names.
pub(crate) fn nodes(service: &Service) -> Result<Vec<Dialer>, CommandError> {
    match &service.url.endpoints {
        Endpoints::Nodes(nodes) => {
            Ok(nodes.iter().map(|address| service.upstream.node.at(address.clone())).collect())
        }
        Endpoints::Sentinel { .. } => Err(Failure::Refused.because(
            "--to names nodes, not Sentinels\nhint: say --to redis://HOST:PORT for every node that shall be a replica",
        )),
    }
}
