//! The API over real HTTP on loopback, with the real store behind it.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings can't be made has failed"
)]

mod fixture;
mod http;

mod conditions;
mod document;
mod events;
mod gateway;
mod hostile;
mod limits;
mod roles;
mod secrets;
mod system;
mod tls;
