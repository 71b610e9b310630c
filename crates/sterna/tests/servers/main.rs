//! The `sterna` command with real servers.

#[path = "../support/mod.rs"]
mod support;

mod common;
mod refused;
mod replicate;
