//! The command line as a person or a script runs it: configuration, the gateway's process, and the operator verbs.

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod config;
mod damaged_log;
mod descriptors;
mod full_disk;
mod gateway;
mod groups;
mod hostile_clients;
mod membership;
mod operations;
mod scripted;
mod secret_search;
mod secrets;
mod serve;
mod terminal;
mod tls;
mod tokens;
mod watch;
