//! Asking replica nodes what they can load.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sterna_node::Dialer;
use sterna_node::copying::CopyTarget;
use tokio::task::JoinSet;

use crate::status::Asked;

/// One connection attempt, and one answer, may take so long.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the nodes that a follower may be: the one at its address, or where none is there, as behind an address
/// translation, all of them.
pub(super) async fn ask(nodes: Vec<Dialer>, peer: SocketAddr, listening_port: u16) -> Asked {
    let mut asking = JoinSet::new();
    for mut node in nodes {
        asking.spawn(async move {
            node.connect_timeout = ASK_TIMEOUT;
            let addresses = addresses(&node).await;
            let is_it = node.address.port == listening_port && addresses.contains(&peer.ip());
            (
                is_it,
                CopyTarget::ask(&node, ASK_TIMEOUT)
                    .await
                    .map_err(|error| error.to_string()),
            )
        });
    }
    let answers = asking.join_all().await;
    select(answers)
}

/// Of what was answered, what counts; with each answer, whether it is surely that of the node in question.
fn select(answers: Vec<(bool, Result<CopyTarget, String>)>) -> Asked {
    let (sure, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(is_it, _)| *is_it);
    let of = if sure.is_empty() { others } else { sure };
    let (mut targets, mut errors) = (Vec::new(), Vec::new());
    for (_, answer) in of {
        match answer {
            Ok(target) => targets.push(target),
            Err(error) => errors.push(error),
        }
    }
    if targets.is_empty() {
        errors.dedup();
        let errors = errors.join("; ");
        return Err(if errors.is_empty() {
            "no node is known".to_owned()
        } else {
            errors
        });
    }
    Ok(targets)
}

async fn addresses(node: &Dialer) -> Vec<IpAddr> {
    let (host, port) = (node.address.host.as_str(), node.address.port);
    let found = tokio::time::timeout(ASK_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    let found = found.ok().and_then(Result::ok);
    found.into_iter().flatten().map(|address| address.ip()).collect()
}

#[cfg(test)]
mod tests {
    use sterna_node::Version;

    use super::*;

    fn node(major: u32) -> CopyTarget {
        CopyTarget::announced(Version::new(major, 0, 0))
    }

    #[test]
    fn the_node_itself_counts_and_where_it_is_not_known_all_that_answer() {
        let down = || Err("down".to_owned());
        let majors = |answers: Vec<_>| {
            let targets = select(answers).expect("some answer");
            let majors: Vec<_> = targets.iter().map(|target| target.engine.version.major).collect();
            majors
        };
        let (old, new) = (|| Ok(node(8)), || Ok(node(9)));
        assert_eq!(majors(vec![(false, old()), (true, new())]), [9]);
        assert_eq!(
            majors(vec![(false, old()), (false, down()), (false, new())]),
            [8, 9]
        );
        assert_eq!(
            select(vec![(false, old()), (true, down())]),
            Err("down".to_owned())
        );
        assert!(select(Vec::new()).is_err());
    }
}
