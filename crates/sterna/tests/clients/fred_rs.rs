//! Writes through fred, which finds the primary at a Sentinel.
//!
//! It is told of the Sentinel, the group and the password, and that it may connect again, which it does not by itself.

use anyhow::Context as _;
use fred::clients::Client;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, Server, ServerConfig};

use crate::numbers::{self, Options};
use crate::report::Report;

/// Between two attempts to connect, for ever.
const RECONNECT_MS: u32 = 100;

/// Writes until the time is over.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let client = client(options)?;
    runtime.block_on(client.init())?;
    Ok(numbers::run("fred 10", options, |number| {
        let key = format!("{}{number}", options.prefix);
        let written = client.set::<(), _, _>(key, number.to_string(), None, None, false);
        runtime.block_on(written).map(|()| None)
    }))
}

fn client(options: &Options) -> anyhow::Result<Client> {
    let mut hosts = Vec::new();
    for address in &options.sentinel {
        let (host, port) = address.rsplit_once(':').context("HOST:PORT")?;
        hosts.push(Server::new(host, port.parse()?));
    }
    let config = Config {
        server: ServerConfig::Sentinel {
            hosts,
            service_name: options.master.clone(),
            username: None,
            password: options.sentinel_password.clone(),
        },
        password: options.password.clone(),
        ..Config::default()
    };
    let policy = ReconnectPolicy::new_constant(0, RECONNECT_MS);
    Ok(Builder::from_config(config).set_policy(policy).build()?)
}
