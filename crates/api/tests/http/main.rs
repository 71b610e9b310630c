//! The API over real HTTP on loopback, with the real store behind it.

mod house;
mod http;

mod conditions;
mod document;
mod events;
mod hostile;
mod limits;
mod roles;
mod secrets;
mod system;
mod tls;
