//! The Sentinel protocol as its clients use it: their commands as types, our answers and events as bytes.
//!
//! This is the side of the Sentinel. It knows what the fields, events and errors of a real one look like (Redis 7.0
//! and 8.0, Valkey 8.1), and nothing of where the facts come from. Clients speak RESP2 until they say `HELLO 3`.

mod answer;
mod client;
mod command;
mod event;
mod glob;
mod hello;
mod question;
mod report;
mod subscriptions;
mod table;

pub use answer::{Answer, Proto};
pub use client::{CLIENT_HELP, CLIENT_NAME_BYTES_MAX, ClientQuestion};
pub use command::{ClientCommand, Refused, parse_client};
pub use event::{Event, EventKind, Subject};
pub use glob::glob_matches;
pub use hello::Hello;
pub use question::Question;
pub use report::{Downtime, MasterReport, ReplicaReport};
pub use subscriptions::{CHANNEL_BYTES_MAX, SUBSCRIPTIONS_MAX, Subscriptions};
pub use table::CommandQuestion;
