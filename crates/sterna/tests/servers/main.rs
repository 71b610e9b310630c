//! The `sterna` command with real servers.

#[path = "../support/mod.rs"]
mod support;

mod acknowledge;
mod bad_data;
mod bad_disk;
mod common;
mod followers;
mod hold;
mod large_units;
mod log_on_disk;
mod outputs;
mod promote;
mod refused;
mod replicate;
mod service_failover;
mod tls_auth;
mod versions;
mod waitaof;
