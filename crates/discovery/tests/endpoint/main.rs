//! The endpoint over the network: beside a real Sentinel, over TLS, and against clients that mean it ill.

mod beside_sentinel;
mod events;
mod guards;
#[path = "../support/mod.rs"]
mod support;
mod wire;
