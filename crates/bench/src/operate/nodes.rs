//! The servers of a group, and the gateway between them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sterna_harness::{Gateway, Setup};
use sterna_testkit::{Server, digests_equal};

use crate::gateway::binary;

/// Starts a gateway that hosts of a private network reach, in this data directory or on new data.
pub(super) fn start_gateway(data: Option<PathBuf>) -> Result<Gateway> {
    let setup = Setup::new(binary()?).for_hosts();
    Gateway::start(match data {
        Some(data) => setup.on(data),
        None => setup,
    })
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "faults last for a time, and between two looks at an API some passes"
)]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A server under its service's name.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) server: Server,
}

impl Node {
    pub(super) fn new(name: &str, server: Server) -> Self {
        Self {
            name: name.to_owned(),
            server,
        }
    }

    /// How often it was given a full copy in its life, as its own log says.
    pub(super) fn full_copies(&self) -> usize {
        self.server.full_copies_taken()
    }

    /// How many full copies it has given itself.
    pub(super) fn copies_given(&self) -> Result<String> {
        self.server.connect_locally()?.info_field("stats", "sync_full")
    }
}

/// Whether all nodes hold exactly what the first one does. Nobody may be writing.
pub(super) fn all_equal(primary: &Server, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        if node.server.port() != primary.port() {
            digests_equal(primary, &node.server).with_context(|| format!("{} differs", node.name))?;
        }
    }
    Ok(())
}
