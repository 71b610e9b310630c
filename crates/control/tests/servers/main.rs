//! Groups on real servers, with the gateway in this process.

mod common;
mod failover;
mod fence;
mod switchover;
