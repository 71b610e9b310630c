//! Groups on real servers, with the gateway in this process.

mod clients;
mod closed;
mod common;
mod configuration;
mod copies;
mod drift;
mod endings;
mod failover;
mod fence;
mod large_units;
mod lease_links;
mod lineage;
mod members;
mod planned;
mod routes;
mod sentinels;
mod switchover;
mod taken_back;
mod takeovers;
mod users;
mod versions;
