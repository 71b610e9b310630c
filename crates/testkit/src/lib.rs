//! Real servers on free ports, scripted peers, workloads and faults: what the tests of Sterna stand on.
//!
//! Development only. Everything blocks and runs on plain threads, so that it can be used from any test; and whatever
//! a test starts ends with it, even when the test process is killed.

pub mod client;
pub mod clock;
pub mod compare;
pub mod disk;
pub mod engine;
pub mod fill;
mod guard;
pub mod net;
pub mod peers;
mod port;
pub mod process;
pub mod proxy;
mod rng;
pub mod server;
pub mod tls;
pub mod usage;
mod wait;
pub mod workload;

pub use client::{Client, Reply, ServerError};
pub use clock::ShiftedClock;
pub use compare::digests_equal;
pub use disk::SmallDisk;
pub use engine::{Engine, EngineKind, Version};
pub use net::{Host, Net};
pub use peers::{ScriptedPrimary, ScriptedReplica, WebServer};
pub use port::{Port, reserve_port};
pub use process::Process;
pub use proxy::{Direction, Proxy};
pub use rng::Rng;
pub use server::{Server, ServerBuilder};
pub use tls::TestTls;
pub use wait::{Probe, try_wait_until, wait_until};
pub use workload::Workload;
