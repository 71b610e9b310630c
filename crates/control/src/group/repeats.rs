//! Work that ended well and is asked for again at once waits a little first.
//!
//! What is next is decided from what is seen. Where work ends well and nothing looks different afterwards, the same is
//! decided again: without a pause as fast as the node answers.

use std::mem::discriminant;
use std::time::Duration;

use crate::job::Job;
use crate::time::Moment;

/// The same is not done again sooner.
const PAUSE: Duration = Duration::from_millis(200);

/// The group's work of the last moments.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    under_way: Option<Job>,
    ended: Vec<(Job, Moment)>,
}

impl Repeats {
    /// A job begins: how long it has to wait before.
    pub(super) fn begins(&mut self, job: &Job, now: Moment) -> Duration {
        self.ended.retain(|(_, at)| now.since(*at) < PAUSE);
        let last = self.ended.iter().rfind(|(ended, _)| is_the_same(ended, job));
        let pause = last.map_or(Duration::ZERO, |(_, at)| PAUSE.saturating_sub(now.since(*at)));
        self.under_way = Some(job.clone());
        pause
    }

    /// The job that began is over. One that failed has a pause already.
    pub(super) fn ends(&mut self, well: bool, now: Moment) {
        if let Some(job) = self.under_way.take().filter(|_| well) {
            self.ended.push((job, now));
        }
    }
}

/// Whether it is the same work. How far its node is, and the like, makes no other work of it.
fn is_the_same(one: &Job, other: &Job) -> bool {
    discriminant(one) == discriminant(other)
        && (one == other || one.node().is_some_and(|node| other.node() == Some(node)))
}

#[cfg(test)]
mod tests {
    use sterna_node::NodeAddress;

    use super::*;
    use crate::observe::NodeKey;

    fn node_key(host: &str) -> NodeKey {
        NodeKey {
            service: "paris".parse().unwrap(),
            address: NodeAddress {
                host: host.to_owned(),
                port: 6379,
            },
        }
    }

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    #[test]
    fn the_same_work_at_the_same_node_waits_for_the_rest_of_the_pause() {
        let mut repeats = Repeats::default();
        let block = Job::BlockWrites(node_key("a"));
        assert_eq!(repeats.begins(&block, at(0)), Duration::ZERO);
        repeats.ends(true, at(50));
        assert_eq!(repeats.begins(&block, at(90)), Duration::from_millis(160));
        repeats.ends(true, at(260));
        assert_eq!(repeats.begins(&block, at(460)), Duration::ZERO);
    }

    #[test]
    fn two_jobs_in_turn_wait_too() {
        let mut repeats = Repeats::default();
        let (block, stop) = (Job::BlockWrites(node_key("a")), Job::StopFollowing);
        for (job, millis) in [(&block, 0), (&stop, 10)] {
            assert_eq!(repeats.begins(job, at(millis)), Duration::ZERO);
            repeats.ends(true, at(millis + 10));
        }
        assert_eq!(repeats.begins(&block, at(20)), Duration::from_millis(190));
    }

    #[test]
    fn other_work_other_nodes_and_what_failed_do_not_wait() {
        let mut repeats = Repeats::default();
        assert_eq!(
            repeats.begins(&Job::BlockWrites(node_key("a")), at(0)),
            Duration::ZERO
        );
        repeats.ends(true, at(1));
        assert_eq!(
            repeats.begins(&Job::BlockWrites(node_key("b")), at(1)),
            Duration::ZERO
        );
        repeats.ends(false, at(2));
        assert_eq!(
            repeats.begins(&Job::BlockWrites(node_key("b")), at(2)),
            Duration::ZERO
        );
        repeats.ends(true, at(3));
        assert_eq!(repeats.begins(&Job::Close, at(3)), Duration::ZERO);
    }
}
