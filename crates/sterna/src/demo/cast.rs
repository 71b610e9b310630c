//! Who plays: the nodes of two sites, the gateway, the operator.

use anyhow::Context as _;

use super::gateway::Gateway;
use super::node::{Node, ServerProgram};
use super::operator::Operator;
use super::place::Place;
use super::process::Afterwards;

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Cast {
    /// The only node of service `eu`, the first primary.
    pub(super) eu: Node,
    /// The nodes of service `us`: one that takes over, and its sibling.
    pub(super) us: [Node; 2],
    pub(super) gateway: Gateway,
    pub(super) operator: Operator,
}

impl Cast {
    /// Starts the nodes and the gateway, which knows nothing yet.
    pub(super) async fn start(
        program: &ServerProgram,
        place: &mut Place,
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let ports = [place.free_port()?, place.free_port()?, place.free_port()?];
        let node = async |name, port| Node::start(program, name, (place.dir(), port), afterwards).await;
        let eu = node("eu", ports[0]).await?;
        let us = [node("us-1", ports[1]).await?, node("us-2", ports[2]).await?];
        let sterna = std::env::current_exe().context("the path of this program can't be found")?;
        let gateway = Gateway::start(&sterna, place, afterwards).await?;
        let operator = Operator::new(&sterna, place.dir(), &gateway, afterwards)?;
        Ok(Self {
            eu,
            us,
            gateway,
            operator,
        })
    }

    /// All nodes.
    pub(super) fn nodes(&self) -> [&Node; 3] {
        let [one, two] = &self.us;
        [&self.eu, one, two]
    }

    /// The nodes beside the one that is the primary.
    pub(super) fn others(&self, primary: &Node) -> Vec<&Node> {
        let mut nodes = self.nodes().to_vec();
        nodes.retain(|node| node.port != primary.port);
        nodes
    }

    /// Lets everything run on after the demo.
    pub(super) fn leave(&mut self) {
        self.eu.leave();
        self.us.iter_mut().for_each(Node::leave);
        self.gateway.leave();
    }
}
