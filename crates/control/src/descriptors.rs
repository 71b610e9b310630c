//! How many file descriptors the groups may need at once, so that no listener takes them.

use sterna_model::GroupStatus;
use sterna_node::listen::Descriptors;

use crate::error::ControlError;
use crate::handle::GroupView;

/// The process itself: its threads, the store, the ports, what is written to.
const OF_PROCESS: usize = 96;
/// A group: the files of its log and its copies, and the connections to its primary: link, watch, snapshot, lease links.
const OF_GROUP: usize = 28;
/// A node: looks, a job, the connection that it follows with, and what is asked of it before a copy.
const OF_NODE: usize = 6;

/// What these groups may need, and the process with them.
fn needed<'a>(groups: impl Iterator<Item = &'a GroupView>) -> usize {
    OF_PROCESS
        + groups
            .map(|group| of_group(&group.status.borrow()))
            .sum::<usize>()
}

fn of_group(status: &GroupStatus) -> usize {
    // A service whose nodes are not known yet has one at least.
    let nodes = status.services.iter().map(|service| service.nodes.len().max(1));
    OF_GROUP + OF_NODE * nodes.sum::<usize>()
}

/// Keeps what these groups may need.
pub(crate) fn keep<'a>(descriptors: &Descriptors, groups: impl Iterator<Item = &'a GroupView>) {
    descriptors.keep(needed(groups));
}

/// Whether there is room for one more group with so many services.
pub(crate) fn suffice<'a>(
    descriptors: &Descriptors,
    groups: impl Iterator<Item = &'a GroupView>,
    services: usize,
) -> Result<(), ControlError> {
    let needed = needed(groups) + OF_GROUP + OF_NODE * services;
    // A quarter is for those who connect.
    let most = descriptors.most() / 4 * 3;
    if needed <= most {
        return Ok(());
    }
    Err(ControlError::refused(
        format!(
            "the gateway may have {} files open, and with this group it could need {needed} for replication alone: then a failover \
             might not be possible",
            descriptors.most()
        ),
        "raise the hard limit of open files of the gateway (`ulimit -Hn`, `LimitNOFILE` of its unit) and start it again; nothing \
         was changed",
    ))
}
