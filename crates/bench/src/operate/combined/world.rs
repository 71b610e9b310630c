//! The servers, the network and the gateway of a run, as its plan wants them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use sterna_harness::{Gateway, Setup, look_until};
use sterna_model::GroupSettings;
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Engine, Host, Net, Proxy, Rng, Server, ServerBuilder, ShiftedClock, SmallDisk};

use super::judge::Moment;
use super::plan::{Fault, Plan, Situation};
use crate::gateway::binary;
use crate::operate::campaign::Run;
use crate::operate::kept::Kept;
use crate::operate::nodes::Node;

/// The primary service at first, and its second node.
pub(super) const FIRST: &str = "eu";
pub(super) const LOCAL: &str = "eu-b";
/// The service that joins later.
pub(super) const JOINING: &str = "sa";
/// Where clients are that follow the group.
pub(super) const CLIENTS: &str = "app";
/// Where somebody is whom the gateway does not know.
pub(super) const FOREIGN: &str = "reader";
const REPLICAS: [&str; 2] = ["us", "ap"];
/// The name under which the Sentinel watches the first service.
pub(super) const WATCHED: &str = "orders-eu";
/// Each way from the gateway to a far primary takes so long.
const WAN_DELAY: Duration = Duration::from_millis(40);
const DISK_BYTES: u64 = 64 << 20;
const PRIMARY_DISK_BYTES: u64 = 160 << 20;
/// What is there before anything happens.
const KEYS: u64 = 6_000;
const VALUE_BYTES: usize = 700;
/// The Sentinel's failover takes 1 s to begin, and as long again to end.
const SENTINEL_GRACE_SECONDS: u32 = 6;

/// A way through a proxy in the network.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) proxy: Proxy,
    /// The host at its end that is not the gateway's.
    pub(super) host: String,
}

/// All of it. What is a process ends with it, before the network does.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) plan: Plan,
    pub(super) run: &'a mut Run,
    pub(super) sentinel: Option<SentinelServer>,
    pub(super) foreign: Option<Server>,
    pub(super) ways: Vec<Way>,
    pub(super) clock: Option<ShiftedClock>,
    pub(super) gateway_disk: Option<SmallDisk>,
    pub(super) primary_disk: Option<SmallDisk>,
    pub(super) net: Net,
    pub(super) begin: Instant,
    /// The wall clock at that moment.
    begin_wall: Timestamp,
}

impl<'a> World<'a> {
    /// Starts everything, and makes the group.
    pub(super) fn stand(plan: Plan, run: &'a mut Run) -> Result<Self> {
        let hosts = [FIRST, LOCAL, REPLICAS[0], REPLICAS[1], JOINING, FOREIGN, CLIENTS];
        let mut world = Self {
            net: Net::new(&hosts)?,
            run,
            sentinel: None,
            foreign: None,
            ways: Vec::new(),
            clock: None,
            gateway_disk: None,
            primary_disk: None,
            begin: Instant::now(),
            begin_wall: Timestamp::now(),
            plan,
        };
        world.start_gateway()?;
        world.start_first_service()?;
        for name in &REPLICAS[..world.plan.replicas] {
            world.start_node(name)?;
        }
        world.make_group()?;
        Ok(world)
    }

    fn start_gateway(&mut self) -> Result<()> {
        let mut setup = Setup::new(binary()?).for_hosts();
        if self.plan.fault == Fault::FullGatewayDisk {
            let disk = SmallDisk::mount(DISK_BYTES).context("mounting a small disk takes root")?;
            setup = setup.on(disk.path().join("data"));
            self.gateway_disk = Some(disk);
        }
        self.run.site = Some(Gateway::start(setup)?);
        Ok(())
    }

    fn start_first_service(&mut self) -> Result<()> {
        let mut builder = self.configured(FIRST, true);
        if self.plan.fault == Fault::FullPrimaryDisk {
            let disk = SmallDisk::mount(PRIMARY_DISK_BYTES).context("mounting a small disk takes root")?;
            builder = builder.in_dir(disk.path().join(FIRST));
            self.primary_disk = Some(disk);
        }
        if self.plan.has(Situation::ClockStep) {
            let clock = ShiftedClock::new()?;
            builder = builder.engine(clock.engine(Engine::default()));
            self.clock = Some(clock);
        }
        let first = builder.start()?;
        fill(&first)?;
        if self.plan.has_local_replica() {
            let local = self.configured(LOCAL, true).replica_of(&first).start()?;
            local.wait_link_up();
            self.run.nodes.push(Node::new(FIRST, first));
            self.run.nodes.push(Node::new(LOCAL, local));
        } else {
            self.run.nodes.push(Node::new(FIRST, first));
        }
        if self.plan.has(Situation::LocalFailover) {
            let first = &self.run.nodes[0].server;
            let engine = Engine::default();
            let sentinel = SentinelServer::start_on(&self.net.host(LOCAL), engine, WATCHED, first, 1)?;
            look_until("the Sentinel to know the other node", || {
                let reply = sentinel.connect()?.cmd(&["SENTINEL", "REPLICAS", WATCHED])?;
                anyhow::ensure!(!reply.array().is_empty(), "it knows none");
                Ok(())
            })?;
            self.sentinel = Some(sentinel);
        }
        let test = self.net.test_host();
        for index in 0..self.run.nodes.len() {
            let (name, address) = {
                let node = &self.run.nodes[index];
                (node.name.clone(), node.server.address())
            };
            if self.plan.has(Situation::SlowWan) {
                let proxy = self.net.lead_through_proxy(&test, address)?;
                proxy.delay(WAN_DELAY);
                self.ways.push(Way { proxy, host: name });
            } else if self.plan.has(Situation::Nat) {
                self.net.translate(&test, &self.net.host(&name))?;
            }
        }
        Ok(())
    }

    /// Starts the only node of a replica service.
    pub(super) fn start_node(&mut self, name: &str) -> Result<()> {
        let server = self.configured(name, false).start()?;
        self.run.nodes.push(Node::new(name, server));
        Ok(())
    }

    fn configured(&self, host: &str, of_first: bool) -> ServerBuilder {
        let mut builder = Server::builder().on(&self.net.host(host));
        if of_first && self.plan.kept == Kept::AppendOnlyFile {
            // What was written is with the kernel, which a killed process does not take along.
            builder = builder.config("appendonly", "yes").config("appendfsync", "no");
        }
        if self.plan.has(Situation::SmallBuffers) {
            builder = builder
                .config("repl-backlog-size", "16kb")
                .config("client-output-buffer-limit", "replica 512kb 256kb 5");
        }
        builder
    }

    fn make_group(&mut self) -> Result<()> {
        self.add_first_service()?;
        let replicas = &REPLICAS[..self.plan.replicas];
        let site = self.site()?;
        for node in self
            .run
            .nodes
            .iter()
            .filter(|node| replicas.contains(&node.name.as_str()))
        {
            site.add_service(&node.name, node.server.address())?;
        }
        let mut settings = GroupSettings {
            failover_pause_seconds: 2,
            sentinel_grace_seconds: SENTINEL_GRACE_SECONDS,
            ..GroupSettings::default()
        };
        if self.plan.has(Situation::SmallBuffers) {
            settings.log_max_bytes = 16 << 20;
            settings.tail_bytes = 1 << 20;
        }
        let services = [&[FIRST], replicas].concat();
        site.create_group(&services, &settings)
    }

    fn add_first_service(&self) -> Result<()> {
        let nodes = self
            .run
            .nodes
            .iter()
            .filter(|node| service_of(&node.name) == FIRST);
        let nodes: Vec<String> = nodes.map(|node| node.server.address().to_string()).collect();
        let mut service = json!({ "name": FIRST, "site": "site-eu", "nodes": nodes });
        if let Some(sentinel) = &self.sentinel {
            service["sentinel"] = json!({
                "nodes": [sentinel.address().to_string()], "master_name": WATCHED,
            });
        }
        let _: Value = self.site()?.rest.post("/services", &service)?;
        Ok(())
    }

    pub(super) fn site(&self) -> Result<&Gateway> {
        self.run.site()
    }

    pub(super) fn site_mut(&mut self) -> Result<&mut Gateway> {
        self.run.site.as_mut().context("the gateway was not started")
    }

    /// The node of this name.
    pub(super) fn node(&self, name: &str) -> Result<&Node> {
        let found = self.run.nodes.iter().find(|node| node.name == name);
        found.with_context(|| format!("no node {name}"))
    }

    pub(super) fn server_mut(&mut self, name: &str) -> Result<&mut Server> {
        let found = self.run.nodes.iter_mut().find(|node| node.name == name);
        Ok(&mut found.with_context(|| format!("no node {name}"))?.server)
    }

    /// The name of the node that is the primary now, as far as anybody knows.
    pub(super) fn primary_now(&self) -> String {
        let status = self
            .site()
            .ok()
            .filter(|site| site.is_up())
            .and_then(|site| site.status().ok());
        let port = status.and_then(|status| Some(status.shards.first()?.primary_node.as_ref()?.port));
        let found = self
            .run
            .nodes
            .iter()
            .find(|node| Some(node.server.port()) == port);
        found.map_or(FIRST, |node| &node.name).to_owned()
    }

    /// Hosts of the primary's site.
    pub(super) fn first_hosts(&self) -> Vec<Host> {
        let names = self.run.nodes.iter().map(|node| node.name.as_str());
        let names = names.filter(|name| service_of(name) == FIRST);
        names.map(|name| self.net.host(name)).collect()
    }

    /// A time of the wall clock as one of the run; what was before it is its beginning.
    pub(super) fn moment(&self, wall: Timestamp) -> Moment {
        wall.duration_since(self.begin_wall)
            .try_into()
            .unwrap_or_default()
    }

    /// Asks the Sentinel, from beside it, whom it names; nothing where there is none.
    pub(super) fn ask_sentinel(&self) -> impl Fn() -> Option<SocketAddr> + Send + 'static {
        let sentinel = self
            .sentinel
            .as_ref()
            .map(|sentinel| (self.net.host(LOCAL), sentinel.address()));
        move || {
            let (host, address) = sentinel.as_ref()?;
            let mut client = host.connect_within(*address, Duration::from_millis(500)).ok()?;
            let reply = client
                .cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", WATCHED])
                .ok()?;
            let [ip, port] = reply.array() else { return None };
            format!("{}:{}", ip.text(), port.text()).parse().ok()
        }
    }

    /// Lets nothing pass on the ways to these hosts, until they are unblocked.
    pub(super) fn block(&self, hosts: impl Fn(&str) -> bool) {
        for way in self.ways.iter().filter(|way| hosts(&way.host)) {
            way.proxy.block();
        }
    }

    /// All services that there are, in the group or not yet, in the order of their first node; the first one is [`FIRST`].
    pub(super) fn services(&self) -> Vec<String> {
        let mut services: Vec<String> = Vec::new();
        for node in &self.run.nodes {
            if !services.iter().any(|service| service == service_of(&node.name)) {
                services.push(service_of(&node.name).to_owned());
            }
        }
        services
    }

    pub(super) fn now(&self) -> Moment {
        self.begin.elapsed()
    }

    pub(super) fn note(&mut self, what: &str) {
        let (at, clock) = (self.now().as_secs_f64(), jiff::Timestamp::now());
        self.run.story.push(format!("{at:>7.3} s {clock} {what}"));
    }
}

/// The service that a node of this name belongs to.
pub(super) fn service_of(node: &str) -> &str {
    node.split('-').next().unwrap_or(node)
}

/// Data that a copy has to carry, of a kind that no compression makes smaller.
fn fill(server: &Server) -> Result<()> {
    let (mut client, mut rng) = (server.connect()?, Rng::new(KEYS));
    for first in (0..KEYS).step_by(1_000) {
        let commands: Vec<[Vec<u8>; 3]> = (first..first + 1_000)
            .map(|number| {
                let mut value = vec![0; VALUE_BYTES];
                rng.fill(&mut value);
                [b"SET".to_vec(), format!("fill:{number}").into_bytes(), value]
            })
            .collect();
        client.pipeline(&commands)?;
    }
    Ok(())
}
