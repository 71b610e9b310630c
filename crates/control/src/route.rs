//! Where the nodes of a group are, for discovery.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use sterna_model::{Epoch, GroupName, ServiceName};
use sterna_node::NodeAddress;
use sterna_protocol::Offset;

/// A replica node that clients may read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReplica {
    /// Its service.
    pub service: ServiceName,
    /// Where clients find it.
    pub address: NodeAddress,
    /// Whether it answers and follows.
    pub up: bool,
    /// What it has applied.
    pub offset: Offset,
}

/// Where a group's nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The group.
    pub group: GroupName,
    /// The term.
    pub epoch: Epoch,
    /// Where clients write.
    pub primary: NodeAddress,
    /// It does not answer.
    pub primary_down: bool,
    /// Another could take over.
    pub failover_possible: bool,
    /// Where clients may read.
    pub replicas: Vec<RouteReplica>,
    /// How long the primary must have been away before a failover begins, in milliseconds.
    pub down_after_ms: u64,
}

/// The first of several futures to be ready.
pub(crate) async fn first_of<T>(mut waits: Vec<Pin<Box<impl Future<Output = T>>>>) -> T {
    std::future::poll_fn(|cx| {
        for wait in &mut waits {
            if let Poll::Ready(ready) = wait.as_mut().poll(cx) {
                return Poll::Ready(ready);
            }
        }
        Poll::Pending
    })
    .await
}
