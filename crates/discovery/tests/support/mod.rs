//! A discovery endpoint on a runtime of its own, and the routes that tests give it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use sterna_discovery::{Discovery, DiscoverySettings, Logins};
use sterna_model::{Epoch, LiveOffset, Route, RouteReplica, Routes};
use sterna_node::listen::Descriptors;
use sterna_protocol::NodeAddress;
use tokio::sync::{oneshot, watch};

/// What `SENTINEL MYID` answers.
pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef01234567";
/// The one group.
pub(crate) const GROUP: &str = "m1";

/// A running endpoint; ends with the value.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    routes: watch::Sender<Arc<Routes>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Settings for a free port of the loopback interface, without TLS and password.
pub(crate) fn settings() -> DiscoverySettings {
    DiscoverySettings {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        tls: None,
        logins: Logins::default(),
        announce: None,
        id: ID.to_owned(),
        descriptors: Descriptors::bounded(usize::MAX),
    }
}

impl Running {
    /// Starts on a current-thread runtime, as in the gateway.
    pub(crate) fn start(settings: DiscoverySettings, route: Route) -> Self {
        let (sender, updates) = watch::channel(routes(route));
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let discovery = Discovery::start(settings, updates).await.expect("a port is free");
                started.send(discovery.address()).expect("the test waits for it");
                // The sender gone means the same.
                drop(stopped.await);
            });
        });
        Self {
            address: address.recv().expect("the endpoint starts"),
            routes: sender,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Another state of the group.
    pub(crate) fn publish(&self, route: Route) {
        self.routes.send_replace(routes(route));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The group in this epoch, with its primary and its one replica node on these ports of 127.0.0.1.
pub(crate) fn route(epoch: u64, primary: u16, replica: u16) -> Route {
    let node = |port| NodeAddress::new("127.0.0.1", port);
    Route {
        group: GROUP.parse().expect("a name"),
        epoch: Epoch(epoch),
        primary: node(primary),
        primary_down: false,
        failover_possible: true,
        replicas: vec![RouteReplica {
            service: "elsewhere".parse().expect("a name"),
            address: node(replica),
            up: true,
            site: Some("far".parse().expect("a name")),
            offset: LiveOffset::default(),
        }],
        down_after_ms: 1000,
    }
}

/// The routes of this group alone.
pub(crate) fn routes(route: Route) -> Arc<Routes> {
    Arc::new(Routes::from([(route.group.clone(), route)]))
}
