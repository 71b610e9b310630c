//! Writes through redis-rs, which finds the primary at a Sentinel, and tells how long writes were impossible.
//!
//! Every write is `SET PREFIX<n> <n>`, one after the other; a number is tried until it is acknowledged. Nothing in it
//! knows of any node: only of the Sentinel. As a program: `cargo run -p sterna-discovery --example client-redis-rs`.

use std::time::Duration;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Connection, ConnectionAddr, ProtocolVersion};

use crate::numbers::{self, Options};
use crate::report::Report;

/// Writes until the time is over.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let mut sentinel = client(options)?;
    let mut connection: Option<(Connection, String)> = None;
    let report = numbers::run("redis-rs 1", options, |number| {
        let written = write(&mut sentinel, &mut connection, options, number);
        if written.is_err() {
            // Whatever it was: the next write asks the Sentinel again.
            connection = None;
        }
        written.map(Some)
    });
    Ok(report)
}

fn client(options: &Options) -> anyhow::Result<SentinelClient> {
    let mut addresses = Vec::new();
    for address in &options.sentinel {
        let (host, port) = address
            .rsplit_once(':')
            .ok_or_else(|| anyhow::anyhow!("{address} is not HOST:PORT"))?;
        addresses.push(ConnectionAddr::Tcp(host.to_owned(), port.parse()?));
    }
    let protocol = if options.resp == 3 {
        ProtocolVersion::RESP3
    } else {
        ProtocolVersion::RESP2
    };
    let mut builder =
        SentinelClientBuilder::new(addresses, options.master.clone(), SentinelServerType::Master)?
            .set_client_to_redis_protocol(protocol)
            .set_client_to_sentinel_protocol(protocol);
    if let Some(password) = &options.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(password) = &options.sentinel_password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    Ok(builder.build()?)
}

fn write(
    sentinel: &mut SentinelClient,
    connection: &mut Option<(Connection, String)>,
    options: &Options,
    number: u64,
) -> redis::RedisResult<String> {
    if connection.is_none() {
        let client = sentinel.get_client()?;
        let opened = match options.timeout_ms.map(Duration::from_millis) {
            Some(timeout) => {
                let opened = client.get_connection_with_timeout(timeout)?;
                opened.set_read_timeout(Some(timeout))?;
                opened.set_write_timeout(Some(timeout))?;
                opened
            }
            None => client.get_connection()?,
        };
        *connection = Some((opened, client.get_connection_info().addr().to_string()));
    }
    let Some((opened, primary)) = connection else {
        return Err(std::io::Error::other("there is no connection").into());
    };
    redis::cmd("SET")
        .arg(format!("{}{number}", options.prefix))
        .arg(number)
        .exec(opened)?;
    Ok(primary.clone())
}
