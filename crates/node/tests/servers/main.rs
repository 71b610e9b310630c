//! The node crate against real servers, and against scripted ones for what a real server won't do.

mod checks;
mod checks_service;
mod checks_settings;
mod client;
mod client_settings;
mod config_file;
mod engines;
mod finding;
mod scripted;
mod tls;
mod tls_reload;

use std::net::SocketAddr;

use sterna_node::{Dialer, NodeAddress, ServiceUrl, Upstream};
use sterna_protocol::{Credentials, Secret};

/// The address of a test server.
fn at(address: SocketAddr) -> NodeAddress {
    NodeAddress::new(address.ip().to_string(), address.port())
}

/// A dialer without login.
fn dialer(address: SocketAddr) -> Dialer {
    Dialer::new(at(address))
}

/// A dialer that logs in.
fn dialer_as(address: SocketAddr, user: Option<&str>, password: &str) -> Dialer {
    let credentials = Credentials {
        user: user.map(str::to_owned),
        password: Some(Secret::new(password)),
    };
    Dialer {
        credentials,
        ..dialer(address)
    }
}

/// The service that a URL names.
fn upstream(url: &str) -> Upstream {
    let url: ServiceUrl = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
    Upstream::new(&url).unwrap_or_else(|error| panic!("{url}: {error}"))
}
