//! A gateway, two services of one node each with a password, and a group of them with the default settings.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use sterna_model::{GroupState, GroupStatus, Operation, OperationId, OperationKind, OperationState};
use sterna_testkit::{Server, wait_until};

use crate::gateway::Gateway;
use crate::support::{DEADLINE, url};

/// The group, which clients ask discovery for: a name as Sentinels have them.
pub(crate) const GROUP: &str = "Orders.EU";
/// Of the nodes.
pub(crate) const PASSWORD: &str = "node-password";

/// All that clients need, and two nodes that they are not told of.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    /// The first primary.
    pub(crate) eu: Server,
    /// Its replica.
    pub(crate) us: Server,
    _alone: MutexGuard<'static, ()>,
}

/// One at a time: each is a dozen programs at work, and how often a library tries again is bounded.
static ALONE: Mutex<()> = Mutex::new(());

impl World {
    /// Starts everything, by the command line as an operator does; the group is healthy when this returns.
    pub(crate) fn start() -> Self {
        // One that failed has ended, too.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let server = || Server::builder().password(PASSWORD).start().expect("a server");
        let (gateway, eu, us) = (Gateway::start(), server(), server());
        let file = gateway.dir.path().join("password");
        write(&file, PASSWORD).expect("written");
        set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
        for (name, server) in [("eu", &eu), ("us", &us)] {
            let url = url(server);
            let add = ["service", "add", name, "--url", &url];
            gateway
                .run(&[&add[..], &["--password-file", "password"]].concat())
                .good();
        }
        let create = ["group", "create", GROUP, "--primary", "eu", "--replica", "us"];
        gateway.run(&create).good();
        let world = Self {
            gateway,
            eu,
            us,
            _alone: alone,
        };
        world.wait_healthy();
        world
    }

    /// Waits until the primary takes writes, the other node follows, and nothing is under way.
    pub(crate) fn wait_healthy(&self) {
        wait_until(DEADLINE, "the group to be healthy", || {
            let status: GroupStatus = self.json(&["status", GROUP]);
            let is_healthy =
                status.summary.state == GroupState::Healthy && status.summary.operation.is_none();
            is_healthy.then_some(()).ok_or_else(|| format!("{status:#?}"))
        });
    }

    /// Makes a service the primary, and waits until that is done.
    pub(crate) fn switch_over(&self, to: &str) -> Operation {
        let done: Operation = self.json(&["switchover", GROUP, "--to", to, "--yes"]);
        assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
        done
    }

    /// Waits until a failover, which nobody asked for, is over.
    pub(crate) fn wait_failover(&self) -> Operation {
        let done = wait_until(DEADLINE, "the failover to be over", || {
            let operations: Vec<Operation> = self.json(&["operation", "list", "--group", GROUP]);
            let mut failovers = operations
                .into_iter()
                .filter(|operation| operation.kind == OperationKind::Failover);
            failovers.next().filter(|operation| operation.state.is_final())
        });
        assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
        done
    }

    /// An operation as it is kept now.
    pub(crate) fn operation(&self, id: OperationId) -> Operation {
        self.json(&["operation", "show", &id.to_string()])
    }

    fn json<T: DeserializeOwned>(&self, args: &[&str]) -> T {
        let said = self.gateway.run(&[args, &["--output", "json"]].concat()).json();
        let text = said.to_string();
        serde_json::from_value(said).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
