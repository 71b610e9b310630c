//! Everything that runs: the nodes of two sites, the gateway, the operator, and the application.

use std::path::PathBuf;
use std::time::Duration;

use sterna_harness::{Finder, Gateway, Setup};
use sterna_testkit::workload::{Rate, SequenceWriter};

use crate::node::Node;
use crate::operator::Operator;
use crate::script::Options;
use crate::timeline::Timeline;

/// What the application's keys begin with.
pub(crate) const ORDERS: &str = "order";
/// It aims at so many orders.
const ORDERS_PER_SECOND: u32 = 1000;
/// A client of the demo waits so long for any answer.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// The nodes of both services.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// The only node of service `eu`, the first primary.
    pub(crate) eu: Node,
    /// The nodes of service `us`: one that takes over, and its sibling.
    pub(crate) us: [Node; 2],
}

impl Nodes {
    /// All of them.
    pub(crate) fn all(&self) -> [&Node; 3] {
        let [one, two] = &self.us;
        [&self.eu, one, two]
    }

    /// What was copied in full so far.
    pub(crate) fn full_copies(&self) -> anyhow::Result<FullCopies> {
        let nodes = self.all();
        let mut given = [0; 3];
        for (node, given) in nodes.iter().zip(&mut given) {
            *given = node.full_copies_given()?;
        }
        Ok(FullCopies {
            taken: nodes.map(Node::full_copies_taken),
            given,
        })
    }
}

/// Full copies at one moment, by what the nodes themselves say: the evidence that all else was only continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FullCopies {
    /// Taken as a replica, by each node's log.
    pub(crate) taken: [usize; 3],
    /// Given as a primary since its start.
    pub(crate) given: [u64; 3],
}

/// Both sites.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) nodes: Nodes,
    pub(crate) gateway: Gateway,
    pub(crate) operator: Operator,
    pub(crate) timeline: Timeline,
    pub(crate) dir: PathBuf,
}

impl Demo {
    /// Starts the nodes and the gateway, which knows nothing yet.
    pub(crate) fn start(options: &Options, timeline: Timeline) -> anyhow::Result<Self> {
        let dir = options.dir.clone();
        let node = |name| Node::start(&options.engine, name, &dir);
        let nodes = Nodes {
            eu: node("eu")?,
            us: [node("us-1")?, node("us-2")?],
        };
        let setup = Setup::new(&options.sterna)
            .on(dir.join("gateway"))
            .logging_to(dir.join("gateway.log"));
        let gateway = Gateway::start(setup)?;
        let operator = Operator::new(&options.sterna, &gateway);
        Ok(Self {
            nodes,
            gateway,
            operator,
            timeline,
            dir,
        })
    }

    /// Starts the application: it writes numbered orders one by one, and follows the primary through discovery. It knows
    /// nothing of sites. After any error it asks discovery again, as a Sentinel-aware client library does, and it never
    /// sends an order a second time: each is acknowledged or is not.
    pub(crate) fn start_application(&self) -> anyhow::Result<SequenceWriter> {
        let finder = Finder::new(self.gateway.discovery(), ANSWER_MAX);
        let connect = move || finder.connect(ANSWER_MAX);
        SequenceWriter::spawn(ORDERS, connect, Rate::PerSecond(ORDERS_PER_SECOND), u64::MAX)
    }

    /// Ends everything but the clock.
    pub(crate) fn into_timeline(self) -> Timeline {
        self.timeline
    }
}
