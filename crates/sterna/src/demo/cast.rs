//! Who plays: a primary, two replica nodes, the gateway.

use anyhow::Context as _;

use super::gateway::{Gateway, GatewayRecipe};
use super::node::{Node, ServerProgram};
use super::place::Place;
use super::process::Afterwards;

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) primary: Node,
    pub(super) replicas: Vec<Node>,
    pub(super) recipe: GatewayRecipe,
    pub(super) relay_port: u16,
    gateway: Option<Gateway>,
}

impl Cast {
    /// Starts the nodes; the gateway comes later.
    pub(super) async fn start(
        program: &ServerProgram,
        place: &mut Place,
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let mut ports = Vec::new();
        for _ in 0..4 {
            ports.push(place.free_port()?);
        }
        let node = async |name, port| Node::start(program, name, (place.dir(), port), afterwards).await;
        let primary = node("primary", ports[0]).await?;
        let replicas = vec![
            node("replica 1", ports[1]).await?,
            node("replica 2", ports[2]).await?,
        ];
        let relay_port = ports[3];
        let recipe = GatewayRecipe::new(place.dir(), relay_port, (&primary, &replicas), afterwards)?;
        Ok(Self {
            primary,
            replicas,
            recipe,
            relay_port,
            gateway: None,
        })
    }

    /// Starts the gateway, for the first time or again.
    pub(super) fn start_gateway(&mut self) -> anyhow::Result<()> {
        self.gateway = Some(self.recipe.start()?);
        Ok(())
    }

    /// The running gateway.
    pub(super) fn gateway(&mut self) -> anyhow::Result<&mut Gateway> {
        self.gateway.as_mut().context("the gateway is not running")
    }

    /// `kill -9`.
    pub(super) fn kill9_gateway(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill9();
        }
    }

    /// The primary and the replica nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// Lets everything run on after the demo.
    pub(super) fn leave(&mut self) {
        self.primary.leave();
        self.replicas.iter_mut().for_each(Node::leave);
        if let Some(gateway) = &mut self.gateway {
            gateway.leave();
        }
    }
}
