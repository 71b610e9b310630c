//! Everything that one case needs: a gateway, three services of one node each, and clients that write all the time.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use sterna_harness::{DEADLINE, GROUP, Gateway, Setup};
use sterna_model::{Group, GroupSettings};
use sterna_testkit::workload::SequenceWriter;
use sterna_testkit::{Client, Server};

use crate::follow;
use crate::probe::Probe;

/// The first primary.
pub(crate) const EU: &str = "eu";
/// The preferred successor.
pub(crate) const US: &str = "us";
/// The third service.
pub(crate) const AP: &str = "ap";
/// A key of the data that is there from the beginning: a node without it was emptied.
pub(crate) const WITNESS: &str = "base:0";
/// Keys that are there from the beginning.
const BASE_KEYS: u64 = 500;
/// Their values: the first copy takes a moment.
const BASE_VALUE_BYTES: usize = 2000;
/// Writes before and after anything is done.
const SOME_WRITES: u64 = 50;

/// A service's node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
}

impl Node {
    /// How often it was given a full copy in its life, as its own log says.
    pub(crate) fn copies_taken(&self) -> usize {
        self.server.full_copies_taken()
    }

    /// How many full copies this process of it has given; none when it does not run.
    pub(crate) fn copies_given(&self) -> Option<String> {
        let timeout = Duration::from_secs(1);
        let mut client = Client::connect_within(self.server.address(), timeout).ok()?;
        client.info_field("stats", "sync_full").ok()
    }
}

/// How everything was before the operation began.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) group: Option<Group>,
    /// For each node.
    pub(crate) copies_taken: Vec<usize>,
    /// For each node.
    pub(crate) copies_given: Vec<Option<String>>,
}

/// The world of a case.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) nodes: Vec<Node>,
    pub(crate) writer: Option<SequenceWriter>,
    pub(crate) probes: Vec<(&'static str, Probe)>,
}

impl World {
    /// Starts the gateway and the nodes, the first of which has data. There is no group yet.
    pub(crate) fn start(failpoint: &str, append_only: bool) -> Result<Self> {
        let mut nodes = Vec::new();
        for name in [EU, US, AP] {
            let mut builder = Server::builder();
            if name == EU && append_only {
                builder = builder.config("appendonly", "yes");
            }
            let server = builder.start()?;
            nodes.push(Node { name, server });
        }
        let mut client = nodes[0].server.connect()?;
        for number in 0..BASE_KEYS {
            let value = "x".repeat(BASE_VALUE_BYTES);
            client.send(&["SET", &format!("base:{number}"), &value]);
        }
        client.flush()?;
        client.discard(BASE_KEYS.try_into()?)?;
        let gateway = Gateway::start(Setup::new(env!("CARGO_BIN_EXE_sterna")).dying_at(failpoint))?;
        for node in &nodes {
            gateway.add_service(node.name, node.server.address())?;
        }
        Ok(Self {
            gateway,
            nodes,
            writer: None,
            probes: Vec::new(),
        })
    }

    /// What is asked of the API for a group of these services, the primary first.
    pub(crate) fn group_of(services: &[&str], settings: &GroupSettings) -> serde_json::Value {
        json!({
            "name": GROUP, "primary": services[0], "replicas": &services[1..], "settings": settings,
        })
    }

    /// Makes the group.
    pub(crate) fn create_group(&self, services: &[&str], settings: &GroupSettings) -> Result<()> {
        self.gateway.create_group(services, settings)
    }

    /// A client begins to follow the group, and one begins to stay with each of these nodes.
    pub(crate) fn start_clients(&mut self, stay_with: &[&'static str]) -> Result<()> {
        let writer = follow::start(self.gateway.discovery(), self.server(EU)?.address())?;
        for name in stay_with {
            let node = self.server(name)?.address();
            self.probes.push((name, Probe::start(name, node, WITNESS)?));
        }
        self.writer = Some(writer);
        self.wait_writes()
    }

    /// Waits until the client that follows has had some more writes acknowledged.
    pub(crate) fn wait_writes(&self) -> Result<()> {
        let writer = self.writer.as_ref().context("clients were started")?;
        writer
            .wait_acknowledged(SOME_WRITES, DEADLINE)
            .context("the group takes no writes")
    }

    /// All clients end.
    pub(crate) fn stop_clients(&self) -> Result<()> {
        if let Some(writer) = &self.writer {
            writer.stop()?;
        }
        for (_, probe) in &self.probes {
            probe.stop()?;
        }
        Ok(())
    }

    /// The node of a service.
    pub(crate) fn server(&self, name: &str) -> Result<&Server> {
        let node = self.nodes.iter().find(|node| node.name == name);
        Ok(&node.with_context(|| format!("no node {name}"))?.server)
    }

    /// The node of a service, to kill and start it.
    pub(crate) fn server_mut(&mut self, name: &str) -> Result<&mut Server> {
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        Ok(&mut node.with_context(|| format!("no node {name}"))?.server)
    }

    /// How everything is now.
    pub(crate) fn now(&self) -> Result<Before> {
        Ok(Before {
            group: self.gateway.group()?,
            copies_taken: self.nodes.iter().map(Node::copies_taken).collect(),
            copies_given: self.nodes.iter().map(Node::copies_given).collect(),
        })
    }

    /// Everything that was logged, for who looks for the cause of a failure.
    pub(crate) fn logs(&self) -> String {
        let nodes = self.nodes.iter();
        let nodes =
            nodes.map(|node| format!("--- {} {}\n{}", node.name, node.server.port(), node.server.log()));
        format!("{}\n{}", self.gateway.log(), nodes.collect::<Vec<_>>().join("\n"))
    }
}
