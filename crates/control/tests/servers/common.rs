//! A gateway on a thread of its own, beside real servers.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sterna_control::{Actor, Change, Control, ControlError, GatewaySettings};
use sterna_model::{
    GroupName, GroupPatch, GroupSettings, GroupSpec, GroupState, GroupStatus, Operation, OperationId,
    OperationState, Rescue, Routes, Secrets, SentinelSpec, ServiceName, ServiceSpec,
};
use sterna_node::listen::Descriptors;
use sterna_replication::{RelaySettings, SilenceLimits};
use sterna_store::Catalogue;
use sterna_testkit::server::SentinelServer;
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Proxy, Server, wait_until};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// Long enough for a loaded machine; nothing waits so long where all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long a client that stays with a silent server waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A client that stays with its server, whatever happens.
pub(crate) fn stays(
    prefix: &str,
    connect: impl Fn() -> anyhow::Result<sterna_testkit::Client> + Send + Sync + 'static,
) -> SequenceWriter {
    let mut options = SequenceOptions::load(prefix, 200);
    options.timeout = Some(PATIENCE);
    SequenceWriter::start(options, connect).expect("a writer")
}

/// A gateway in this process.
pub(crate) struct TestGateway {
    pub(crate) control: Control,
    pub(crate) routes: watch::Receiver<Arc<Routes>>,
    pub(crate) relay_port: u16,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl TestGateway {
    /// Starts it with everything under `dir`.
    pub(crate) fn start(dir: &Path, listen: SocketAddr) -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let dir = dir.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let catalogue = Catalogue::open(&dir, &dir.join("key")).expect("a store");
                let settings = GatewaySettings {
                    data_dir: dir,
                    relay: RelaySettings {
                        listen,
                        tls: None,
                        descriptors: Descriptors::bounded(usize::MAX),
                    },
                    relay_announce: None,
                    silence: SilenceLimits::default(),
                    data_threads: std::num::NonZeroUsize::MIN,
                };
                let gateway = sterna_control::start(settings, catalogue)
                    .await
                    .expect("a gateway");
                let handle = tokio::runtime::Handle::current();
                ready
                    .send((gateway.control(), gateway.routes(), handle))
                    .expect("a listener");
                // Dropped by whoever wants it to end.
                let _ = stopped.await;
                gateway.stop().await;
            });
        });
        let (control, routes, runtime): (Control, _, _) =
            started.recv_timeout(DEADLINE).expect("a started gateway");
        wait_until(DEADLINE, "the gateway to be ready", || control.is_ready());
        Self {
            control,
            routes,
            relay_port: listen.port(),
            runtime,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Asks something of it and waits for the answer.
    pub(crate) fn ask<T, F>(&self, ask: impl FnOnce(Control) -> F) -> Result<T, ControlError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ControlError>> + Send + 'static,
    {
        let (answer, answered) = std::sync::mpsc::channel();
        let work = ask(self.control.clone());
        self.runtime.spawn(async move { drop(answer.send(work.await)) });
        answered.recv_timeout(DEADLINE).expect("an answer")
    }

    pub(crate) fn add_service(&self, name: &str, nodes: &[&Server]) {
        self.add(name, nodes, None);
    }

    /// A service whose first node the gateway reaches by this way alone.
    pub(crate) fn add_service_behind(&self, name: &str, way: &Proxy, others: &[&Server]) {
        let mut spec = spec(name, others, None);
        spec.nodes.insert(0, node_address(way.address()));
        self.ask(|control| async move { control.add_service(spec, Secrets::default(), me()).await })
            .expect("a service");
    }

    /// A group of two services of one node each; the gateway reaches the primary, `eu`, by the way that is returned alone.
    pub(crate) fn create_group_behind(&self, eu: &Server, us: &Server) -> Proxy {
        let way = Proxy::start(eu.address()).expect("a way");
        self.add_service_behind("eu", &way, &[]);
        self.add_service("us", &[us]);
        self.create_group("eu", &["us"], GroupSettings::default());
        way
    }

    /// A service with a Sentinel of its own.
    pub(crate) fn add_watched_service(
        &self,
        name: &str,
        nodes: &[&Server],
        sentinel: &SentinelServer,
        master_name: &str,
    ) {
        let sentinel = SentinelSpec {
            nodes: vec![node_address(sentinel.address())],
            master_name: master_name.to_owned(),
            username: None,
            tls: false,
        };
        self.add(name, nodes, Some(sentinel));
    }

    /// Registers a service again: its nodes are looked at anew.
    pub(crate) fn change_service(&self, name: &str, nodes: &[&Server]) {
        let spec = spec(name, nodes, None);
        self.ask(|control| async move { control.update_service(spec, None, None, me()).await })
            .expect("changed");
    }

    /// Registers a service again by its Sentinels: its nodes are asked of these.
    pub(crate) fn change_watched_service(&self, name: &str, sentinel: SentinelSpec) {
        let spec = spec(name, &[], Some(sentinel));
        self.ask(|control| async move { control.update_service(spec, None, None, me()).await })
            .expect("changed");
    }

    /// Changes the group.
    pub(crate) fn change_group(&self, patch: GroupPatch) {
        self.ask(|control| async move { control.update_group(group(), patch, None).await })
            .expect("changed");
    }

    fn add(&self, name: &str, nodes: &[&Server], sentinel: Option<SentinelSpec>) {
        let spec = spec(name, nodes, sentinel);
        self.ask(|control| async move { control.add_service(spec, Secrets::default(), me()).await })
            .expect("a service");
    }

    /// Makes a group of services and waits until every one holds a copy.
    pub(crate) fn create_group(&self, primary: &str, replicas: &[&str], settings: GroupSettings) {
        let spec = GroupSpec {
            name: group(),
            primary: service(primary),
            replicas: replicas.iter().map(|name| service(name)).collect(),
            settings,
            overwrite: false,
        };
        let made = self
            .ask(|control| async move { control.create_group(spec, me()).await })
            .expect("a group");
        let made = self.wait_operation(made.id);
        assert_eq!(made.state, OperationState::Succeeded, "{made:#?}");
        self.wait_state(GroupState::Healthy);
    }

    /// The group of a primary `eu` and a replica `us`, which held its copy before.
    pub(crate) fn create_group_again(&self) {
        let spec = GroupSpec {
            name: group(),
            primary: service("eu"),
            replicas: vec![service("us")],
            settings: GroupSettings::default(),
            overwrite: true,
        };
        let made = self
            .ask(|control| async move { control.create_group(spec, me()).await })
            .expect("a group");
        let made = self.wait_operation(made.id);
        assert_eq!(made.state, OperationState::Succeeded, "{made:#?}");
    }

    /// A group of services of one node each, the primary first.
    pub(crate) fn stand(&self, services: &[(&str, &Server)]) {
        for (name, server) in services {
            self.add_service(name, &[server]);
        }
        let names: Vec<_> = services.iter().map(|(name, _)| *name).collect();
        self.create_group(names[0], &names[1..], GroupSettings::default());
    }

    /// Begins what a person may ask for.
    pub(crate) fn begin(&self, change: Change) -> Operation {
        self.ask(|control| async move { control.begin(group(), change, me()).await })
            .expect("it begins")
    }

    /// Rescue files of the group.
    pub(crate) fn rescues(&self) -> Vec<Rescue> {
        self.ask(|control| async move { Ok(control.catalogue().rescues.list(Some(&group())).await?) })
            .expect("rescues")
    }

    /// Makes a service the primary service, as planned.
    pub(crate) fn switch_over(&self, to: &str) -> Operation {
        let asked = self.begin(Change::Switchover {
            to: service(to),
            allow_missing_users: false,
        });
        let done = self.wait_operation(asked.id);
        assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
        done
    }

    pub(crate) fn status(&self) -> GroupStatus {
        self.control
            .views()
            .get(&group())
            .expect("the group")
            .status
            .borrow()
            .clone()
    }

    pub(crate) fn wait_state(&self, state: GroupState) -> GroupStatus {
        wait_until(DEADLINE, &format!("the group to be {state:?}"), || {
            let status = self.status();
            if status.summary.state == state && status.summary.operation.is_none() {
                Ok(status)
            } else {
                Err(format!("{status:#?}"))
            }
        })
    }

    /// Waits until an operation is over.
    pub(crate) fn wait_operation(&self, id: OperationId) -> Operation {
        wait_until(DEADLINE, "the operation to end", || {
            let operation = self.operation(id);
            if operation.state.is_final() {
                Ok(operation)
            } else {
                let status = self
                    .control
                    .views()
                    .get(&group())
                    .map(|view| view.status.borrow().clone());
                Err(format!("{operation:#?}\n{status:#?}"))
            }
        })
    }

    pub(crate) fn operation(&self, id: OperationId) -> Operation {
        self.ask(|control| async move { Ok(control.catalogue().operations.get(id).await?) })
            .expect("the operation")
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.ask(|control| async move {
            Ok(control
                .catalogue()
                .operations
                .newest(Some(&group()), None, 100)
                .await?)
        })
        .expect("operations")
    }

    /// Waits for the newest operation of a kind to be over.
    pub(crate) fn wait_kind(&self, kind: sterna_model::OperationKind) -> Operation {
        wait_until(DEADLINE, &format!("a {kind:?} to be over"), || {
            let found = self
                .operations()
                .into_iter()
                .find(|operation| operation.kind == kind);
            match found {
                Some(operation) if operation.state.is_final() => Ok(operation),
                other => Err(format!("{other:#?}\n{:#?}", self.status())),
            }
        })
    }
}

/// Everything that a test of one group needs.
pub(crate) struct Site {
    pub(crate) gateway: TestGateway,
    dir: TempDir,
    port: sterna_testkit::Port,
    listen: SocketAddr,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::listening(Ipv4Addr::LOCALHOST)
    }

    /// With a relay that hosts of a test network can reach.
    pub(crate) fn for_hosts() -> Self {
        Self::listening(Ipv4Addr::UNSPECIFIED)
    }

    /// Stops the gateway in order.
    pub(crate) fn stop(self) -> Stopped {
        let Self {
            gateway,
            dir,
            port,
            listen,
        } = self;
        drop(gateway);
        Stopped { dir, port, listen }
    }

    fn listening(ip: Ipv4Addr) -> Self {
        drop(
            tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
                .with_test_writer()
                .try_init(),
        );
        let dir = tempfile::tempdir().expect("a directory");
        let port = sterna_testkit::reserve_port().expect("a port");
        let listen = SocketAddr::new(IpAddr::V4(ip), port.number());
        let gateway = TestGateway::start(dir.path(), listen);
        Self {
            gateway,
            dir,
            port,
            listen,
        }
    }
}

/// A gateway that was stopped; its directory and port are kept.
pub(crate) struct Stopped {
    dir: TempDir,
    port: sterna_testkit::Port,
    listen: SocketAddr,
}

impl Stopped {
    pub(crate) fn start(self) -> Site {
        let Self { dir, port, listen } = self;
        let gateway = TestGateway::start(dir.path(), listen);
        Site {
            gateway,
            dir,
            port,
            listen,
        }
    }
}

fn spec(name: &str, nodes: &[&Server], sentinel: Option<SentinelSpec>) -> ServiceSpec {
    ServiceSpec {
        name: service(name),
        site: Some(format!("site-{name}").parse().expect("a name")),
        nodes: nodes.iter().map(|node| address(node)).collect(),
        sentinel,
        username: None,
        tls: None,
        client_addresses: Vec::new(),
        config_rewrite: sterna_model::ConfigRewrite::default(),
    }
}

pub(crate) fn group() -> GroupName {
    "orders".parse().expect("a name")
}

pub(crate) fn service(name: &str) -> ServiceName {
    name.parse().expect("a name")
}

pub(crate) fn me() -> Actor {
    Actor {
        name: "test".to_owned(),
    }
}

pub(crate) fn address(server: &Server) -> sterna_node::NodeAddress {
    node_address(server.address())
}

fn node_address(address: SocketAddr) -> sterna_node::NodeAddress {
    sterna_node::NodeAddress::new(address.ip().to_string(), address.port())
}

/// Whether a write is refused, for this reason.
pub(crate) fn refuses(server: &Server, why: &str) -> anyhow::Result<()> {
    match server.client().cmd(&["SET", "probe", "1"]) {
        Err(error) if format!("{error:#}").contains(why) => Ok(()),
        other => anyhow::bail!("{other:?}"),
    }
}
