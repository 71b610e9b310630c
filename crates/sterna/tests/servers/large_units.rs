//! Scripts and transactions that are larger than the memory of the gateway may be.

use sterna_testkit::{Server, digests_equal, usage};

use crate::common::{full_syncs, replica_node};
use crate::support::{Link, url};

/// `--tail-bytes` is 16 MiB unless set, and so much may wait for the disk; the rest is for what else a process takes.
const MEMORY_MAX: u64 = 96 << 20;

#[test]
fn a_script_that_is_larger_than_memory_waits_on_disk_and_is_relayed_whole() {
    const MEBIBYTES: u64 = 200;
    let (primary, replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    let pid = link.process().pid();
    let (before, copies) = (usage::rss_bytes(pid).expect("measured"), full_syncs(&primary));
    let script = format!(
        "for i = 1, {MEBIBYTES} do redis.call('SET', 'large:' .. i, string.rep(string.char(65 + i % 26), 1048576)) end"
    );
    primary.client().cmd(&["EVAL", &script, "0"]).expect("run");
    digests_equal(&primary, &replica).expect("equal");
    let more = usage::peak_rss_bytes(pid)
        .expect("measured")
        .saturating_sub(before);
    assert!(more < MEMORY_MAX, "{more} bytes for {MEBIBYTES} MiB");
    assert_eq!(full_syncs(&primary), copies);
}
