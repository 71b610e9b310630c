//! The log's files: their limit, and what a follower gets when the disk has changed them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use sterna_testkit::{Proxy, Server, digests_equal};

use crate::common::{fill, fill_kib, full_syncs, offset, refuses, replica_node, wait_log_reaches};
use crate::support::{Link, run, url};

const MIB: u64 = 1 << 20;

/// A link with a small log and a small memory, and the proxy by which its replica node comes.
fn link(primary: &Server, replica: &Server, log_max: &str) -> (Link, Proxy) {
    let mut link = Link::new(url(primary), &[replica]);
    let link_args = [
        "--tail-bytes",
        "1MiB",
        "--log-max-bytes",
        log_max,
        "--announce-addr",
    ];
    let far = Proxy::start((Ipv4Addr::LOCALHOST, link.relay_port).into()).expect("a proxy");
    link.extra.extend(link_args.map(str::to_owned));
    link.extra.push(far.address().to_string());
    (link, far)
}

/// The data files of the log, oldest first.
fn segments(link: &Link) -> Vec<PathBuf> {
    let dir = fs::read_dir(link.data_dir().join("log/segments")).expect("segments");
    let paths = dir.map(|entry| entry.expect("an entry").path());
    let mut data: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    data.sort();
    data
}

/// What a disk that goes bad does.
fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).expect("written");
}

#[test]
fn the_log_stays_below_its_limit_and_who_was_away_for_longer_gets_a_copy() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let (mut link, far) = link(&primary, &replica, "4MiB");
    link.start_and_follow();
    far.refuse();
    far.cut().expect("cut");
    fill_kib(&primary, "noise", 12 << 10);
    wait_log_reaches(&link, offset(&primary));
    assert_eq!(link.interrupt(), 0);
    let bytes: u64 = segments(&link)
        .iter()
        .map(|path| fs::metadata(path).expect("a file").len())
        .sum();
    assert!((3 * MIB..6 * MIB).contains(&bytes), "{bytes} bytes");

    link.start();
    link.wait_for("resumed");
    far.accept().expect("it listens");
    link.wait_for("replica-full-sync");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(full_syncs(&primary), 2);
}

#[test]
fn a_follower_that_needs_a_damaged_part_is_told_so_and_gets_a_copy() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let (mut link, far) = link(&primary, &replica, "16MiB");
    link.start_and_follow();
    far.refuse();
    far.cut().expect("cut");
    fill_kib(&primary, "noise", 8 << 10);
    wait_log_reaches(&link, offset(&primary));
    assert_eq!(link.interrupt(), 0);
    let older = &segments(&link)[2];
    flip_a_bit(older);

    link.start();
    link.wait_for("resumed");
    far.accept().expect("it listens");
    let gone = link.wait_for("replica-gone");
    assert!(
        gone["reason"]
            .as_str()
            .expect("a reason")
            .contains("the log is damaged at offset"),
        "{gone}"
    );
    link.wait_for("replica-full-sync");
    digests_equal(&primary, &replica).expect("equal");
}

#[test]
fn a_log_with_a_part_missing_is_not_opened() {
    let (primary, replica) = (Server::start(), replica_node());
    let (mut link, _far) = link(&primary, &replica, "16MiB");
    link.start_and_follow();
    fill_kib(&primary, "noise", 4 << 10);
    digests_equal(&primary, &replica).expect("equal");
    wait_log_reaches(&link, offset(&primary));
    assert_eq!(link.interrupt(), 0);
    let older = segments(&link).swap_remove(1);
    fs::remove_file(&older).expect("removed");
    let name = older.file_name().and_then(|name| name.to_str()).expect("a name");
    let words = ["the log is damaged at offset", name, "Nothing was changed"];
    refuses(link, &[&replica], 5, &words);
}

#[test]
fn a_kept_snapshot_that_the_disk_changed_replaces_no_data() {
    let (primary, first, second) = (Server::start(), replica_node(), replica_node());
    fill_kib(&primary, "noise", 512);
    fill(&second, "precious", 100);
    let mut link = Link::new(url(&primary), &[&first]).with(&["--overwrite"]);
    link.start_and_follow();
    digests_equal(&primary, &first).expect("equal");
    assert_eq!(link.interrupt(), 0);
    let snapshots = fs::read_dir(link.data_dir().join("log/snapshots")).expect("snapshots");
    let mut paths = snapshots.map(|entry| entry.expect("an entry").path());
    let kept = paths.find(|path| path.extension().is_some_and(|end| end == "rdb"));
    let kept = kept.expect("a snapshot");
    flip_a_bit(&kept);
    let pid = second.pid();
    link.to.push(url(&second));
    link.start_and_follow();
    assert_eq!(
        second.client().info_field("server", "process_id").expect("INFO"),
        pid.to_string()
    );
    digests_equal(&primary, &second).expect("equal");
    digests_equal(&primary, &first).expect("equal");
}

#[test]
fn inspection_shows_a_log_to_people_and_says_where_it_is_damaged() {
    let (primary, replica) = (Server::start(), replica_node());
    let (mut link, _far) = link(&primary, &replica, "16MiB");
    link.start_and_follow();
    fill_kib(&primary, "noise", 4 << 10);
    digests_equal(&primary, &replica).expect("equal");
    wait_log_reaches(&link, offset(&primary));
    assert_eq!(link.interrupt(), 0);
    let data = link.data_dir().to_str().expect("a path");
    let (code, out, err) = run(&["log", "inspect", data]);
    assert_eq!(code, 0, "{out}{err}");
    for shown in [
        "History, oldest id first",
        "Segments, oldest first",
        "Every checksum holds",
    ] {
        assert!(out.contains(shown), "{shown:?} is missing in\n{out}");
    }
    let older = segments(&link).swap_remove(1);
    flip_a_bit(&older);
    let (code, out, err) = run(&["log", "inspect", data]);
    assert_eq!(code, 5, "{out}{err}");
    assert!(
        out.contains("damaged") && err.contains("is damaged"),
        "{out}{err}"
    );
}
