//! Reading a service URL.

use percent_encoding::percent_decode_str;
use sterna_protocol::Secret;

use super::{Endpoints, Scheme, SentinelAccess, ServiceUrl, UrlError};
use crate::address::{DEFAULT_PORT, DEFAULT_SENTINEL_PORT, InvalidAddress, NodeAddress};
use crate::secret::SecretSource;
use crate::tls::TlsSettings;

pub(super) fn parse(text: &str) -> Result<ServiceUrl, UrlError> {
    let (form, rest) = split_scheme(text)?;
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (userinfo, location) = match before_query.rsplit_once('@') {
        Some((userinfo, location)) => (userinfo, location),
        None => ("", before_query),
    };
    if userinfo.contains(['/', '#', '@']) {
        return Err(UrlError::Encoding);
    }
    let (hosts, path) = location.split_once('/').unwrap_or((location, ""));
    let (user, password) = split_userinfo(userinfo)?;
    // Only a `?` or `/` inside an unencoded password can leave an `@` behind it: then no part may be repeated.
    let may_hold_password = userinfo.is_empty() && rest.contains('@');
    let default_port = if form.sentinel {
        DEFAULT_SENTINEL_PORT
    } else {
        DEFAULT_PORT
    };
    let addresses = hosts
        .split(',')
        .map(|host| NodeAddress::parse(host, default_port))
        .collect::<Result<Vec<_>, InvalidAddress>>()
        .map_err(|error| {
            if may_hold_password {
                UrlError::Encoding
            } else {
                error.into()
            }
        })?;
    let endpoints = endpoints(form.sentinel, addresses, path).map_err(|error| match error {
        UrlError::Path { .. } if may_hold_password => UrlError::Encoding,
        other => other,
    })?;

    let mut url = ServiceUrl {
        scheme: form.scheme,
        endpoints,
        user,
        password_in_text: password.is_some(),
        password,
        password_source: None,
        tls: form.tls.then(TlsSettings::default),
        sentinel: form.sentinel.then_some(SentinelAccess {
            user: None,
            password: None,
            password_source: None,
            tls: form.tls,
        }),
    };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        apply_parameter(&mut url, parameter)?;
    }
    if url.password.is_some() && url.password_source.is_some() {
        return Err(UrlError::Twice { what: "the password" });
    }
    Ok(url)
}

struct Form {
    scheme: Scheme,
    tls: bool,
    sentinel: bool,
}

fn split_scheme(text: &str) -> Result<(Form, &str), UrlError> {
    let unknown = || UrlError::Scheme { shown: masked(text) };
    let (name, rest) = text.split_once("://").ok_or_else(unknown)?;
    let name = name.to_ascii_lowercase();
    let (base, sentinel) = match name.strip_suffix("+sentinel") {
        Some(base) => (base, true),
        None => (name.as_str(), false),
    };
    let (scheme, tls) = match base {
        "redis" => (Scheme::Redis, false),
        "rediss" => (Scheme::Redis, true),
        "valkey" => (Scheme::Valkey, false),
        "valkeys" => (Scheme::Valkey, true),
        _ => return Err(unknown()),
    };
    Ok((
        Form {
            scheme,
            tls,
            sentinel,
        },
        rest,
    ))
}

/// The text with everything masked that may be a password.
fn masked(text: &str) -> String {
    let (prefix, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    match rest.rsplit_once('@') {
        Some((_, location)) => format!("{prefix}***@{location}"),
        None => text.to_owned(),
    }
}

fn split_userinfo(userinfo: &str) -> Result<(Option<String>, Option<Secret>), UrlError> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let user = decode_text(user).ok_or(UrlError::Encoding)?;
    let password = match password {
        None | Some("") => None,
        Some(text) if bad_escape(text) => return Err(UrlError::Encoding),
        Some(text) => Some(Secret::new(percent_decode_str(text).collect::<Vec<u8>>())),
    };
    Ok(((!user.is_empty()).then_some(user), password))
}

/// Whether a `%` is not followed by two hexadecimal digits.
fn bad_escape(text: &str) -> bool {
    text.split('%').skip(1).any(|after| {
        !after
            .get(..2)
            .is_some_and(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

fn decode_text(text: &str) -> Option<String> {
    if bad_escape(text) {
        return None;
    }
    percent_decode_str(text)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

fn endpoints(sentinel: bool, addresses: Vec<NodeAddress>, path: &str) -> Result<Endpoints, UrlError> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let check_database = |database: &str| match database {
        "" | "0" => Ok(()),
        _ if is_number(database) => Err(UrlError::Database {
            database: database.to_owned(),
        }),
        _ => Err(UrlError::Path {
            path: database.to_owned(),
        }),
    };
    if !sentinel {
        check_database(path)?;
        return Ok(Endpoints::Nodes(addresses));
    }
    let (name, database) = path.split_once('/').unwrap_or((path, ""));
    check_database(database)?;
    let master_name = decode_text(name).ok_or(UrlError::Encoding)?;
    if master_name.is_empty() {
        return Err(UrlError::NoMasterName);
    }
    Ok(Endpoints::Sentinel {
        sentinels: addresses,
        master_name,
    })
}

fn apply_parameter(url: &mut ServiceUrl, parameter: &str) -> Result<(), UrlError> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let expects = |expected| UrlError::ParameterValue {
        name: name.to_owned(),
        expected,
    };
    let value = decode_text(value).ok_or_else(|| expects("percent-encoded UTF-8"))?;
    let path = || {
        if value.is_empty() {
            Err(expects("a path"))
        } else {
            Ok(value.clone().into())
        }
    };
    let text = || {
        if value.is_empty() {
            Err(expects("given a value"))
        } else {
            Ok(value.clone())
        }
    };
    let flag = || match value.as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(expects("true or false")),
    };
    if matches!(name, "cacert" | "cert" | "key" | "sni" | "insecure") {
        let Some(tls) = &mut url.tls else {
            return Err(UrlError::TlsParameter {
                name: name.to_owned(),
            });
        };
        match name {
            "cacert" => tls.ca = Some(path()?),
            "cert" => tls.client_cert = Some(path()?),
            "key" => tls.client_key = Some(path()?),
            "sni" => tls.server_name = Some(text()?),
            _ => tls.verify = !flag()?,
        }
        return Ok(());
    }
    if let Some(name) = name.strip_prefix("sentinel-") {
        let Some(sentinel) = &mut url.sentinel else {
            return Err(UrlError::SentinelParameter {
                name: format!("sentinel-{name}"),
            });
        };
        match name {
            "user" => sentinel.user = Some(text()?),
            "password" => {
                sentinel.password = Some(Secret::new(text()?));
                url.password_in_text = true;
            }
            "password-env" => sentinel.password_source = Some(SecretSource::Env(text()?)),
            "password-file" => sentinel.password_source = Some(SecretSource::File(path()?)),
            "tls" => {
                sentinel.tls = flag()?;
                if sentinel.tls && url.tls.is_none() {
                    return Err(UrlError::TlsParameter {
                        name: "sentinel-tls".to_owned(),
                    });
                }
            }
            _ => {
                return Err(UrlError::UnknownParameter {
                    name: format!("sentinel-{name}"),
                });
            }
        }
        return Ok(());
    }
    match name {
        "password-env" => url.password_source = Some(SecretSource::Env(text()?)),
        "password-file" => url.password_source = Some(SecretSource::File(path()?)),
        _ => {
            return Err(UrlError::UnknownParameter {
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}
