//! Writes through redis-rs, which finds the primary at a Sentinel, and tells how long writes were impossible.
//!
//! Every write is `SET PREFIX<n> <n>`, one after the other; a number is tried until it is acknowledged. Nothing in it
//! knows of any node: only of the Sentinel. As a program: `cargo run -p sterna-discovery --example client-redis-rs`.

use std::thread;
use std::time::{Duration, Instant};

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Connection, ConnectionAddr, ProtocolVersion};

use crate::report::Report;

const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(5);
const ERROR_CHARS_MAX: usize = 200;

/// What to write, and where to ask for the primary.
#[derive(Debug, Clone, clap::Parser)]
pub(crate) struct Options {
    /// `HOST:PORT` of a Sentinel; more may be given.
    #[arg(long, required = true)]
    pub(crate) sentinel: Vec<String>,
    /// The group.
    #[arg(long)]
    pub(crate) master: String,
    /// Writes per second.
    #[arg(long, default_value_t = 200.0)]
    pub(crate) rate: f64,
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// What the keys begin with.
    #[arg(long, default_value = "seq:")]
    pub(crate) prefix: String,
    /// The first number.
    #[arg(long, default_value_t = 1)]
    pub(crate) first: u64,
    /// Of a connect, read or write.
    #[arg(long, default_value_t = 1000)]
    pub(crate) timeout_ms: u64,
    /// 2 or 3.
    #[arg(long, default_value_t = 2)]
    pub(crate) resp: u8,
    /// Password of the nodes.
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Password of the Sentinel.
    #[arg(long)]
    pub(crate) sentinel_password: Option<String>,
}

/// Writes until the time is over.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let mut sentinel = client(options)?;
    let mut connection: Option<(Connection, String)> = None;
    let mut report = Report {
        client: "redis-rs 1".to_owned(),
        ..Report::default()
    };
    let interval = Duration::from_secs_f64(1.0 / options.rate);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.seconds);
    let (mut last, mut due) = (start, start);
    let mut longest_gap = Duration::ZERO;
    let mut number = options.first;
    while Instant::now() < end {
        pause(due.saturating_duration_since(Instant::now()));
        report.attempts += 1;
        match write(&mut sentinel, &mut connection, options, number) {
            Ok(primary) => {
                let now = Instant::now();
                if report.acknowledged > 0 && now - last > longest_gap {
                    longest_gap = now - last;
                    report.gap_before = Some(number);
                }
                last = now;
                report.acknowledged += 1;
                report.last_number = number;
                number += 1;
                due = (due + interval).max(now);
                if report.primaries.last() != Some(&primary) {
                    report.primaries.push(primary);
                }
            }
            Err(error) => {
                // Whatever it was: the next write asks the Sentinel again.
                connection = None;
                let text: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
                *report.errors.entry(text).or_default() += 1;
                due = Instant::now() + PAUSE_AFTER_ERROR;
            }
        }
    }
    if last.elapsed() > longest_gap {
        longest_gap = last.elapsed();
        report.gap_before = Some(number);
    }
    report.failed = report.attempts - report.acknowledged;
    report.longest_gap_ms = longest_gap.as_secs_f64() * 1000.0;
    report.seconds = start.elapsed().as_secs_f64();
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
        let timeout = Duration::from_millis(options.timeout_ms);
        let opened = client.get_connection_with_timeout(timeout)?;
        opened.set_read_timeout(Some(timeout))?;
        opened.set_write_timeout(Some(timeout))?;
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

#[expect(clippy::disallowed_methods, reason = "a rate is what was asked for")]
fn pause(time: Duration) {
    thread::sleep(time);
}
