//! The `sterna` command with real servers.

#[path = "../support/mod.rs"]
mod support;

mod bad_data;
mod bad_disk;
mod common;
mod hold;
mod refused;
mod replicate;
mod service_failover;
