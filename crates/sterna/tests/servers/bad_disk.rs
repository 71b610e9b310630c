//! Trouble on this machine: the data directory, the disk, the ports.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use sterna_testkit::{Proxy, Server, SmallDisk, digests_equal};

use crate::common::{Footprint, fill, fill_kib, full_syncs, refuses, replica_node};
use crate::support::{Link, url};

const LOCAL: i32 = 5;
const MIB: u64 = 1 << 20;

fn disk(bytes: u64) -> SmallDisk {
    SmallDisk::mount(bytes)
        .expect("these tests mount a tmpfs: run them as root, or where mounting is allowed")
}

fn pair() -> (Server, Server) {
    let (primary, target) = (Server::start(), replica_node());
    fill(&primary, "key", 10);
    (primary, target)
}

#[test]
fn a_disk_with_too_little_room_for_a_snapshot() {
    let (primary, target) = pair();
    let disk = disk(256 * 1024);
    let link = Link::new(url(&primary), &[&target]).data_at(disk.path());
    let words = ["a snapshot of the source may take"];
    refuses(link, &[&primary, &target], LOCAL, &words);
}

#[test]
fn a_read_only_disk() {
    let (primary, target) = pair();
    let disk = disk(64 * MIB);
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.path())
        .status();
    assert!(remount.expect("mount runs").success());
    let link = Link::new(url(&primary), &[&target]).data_at(disk.path().join("data"));
    let words = ["nothing can be written in", "Read-only file system"];
    refuses(link, &[&primary, &target], LOCAL, &words);
}

#[test]
fn a_data_directory_that_no_file_system_can_hold() {
    let (primary, target) = pair();
    let link = Link::new(url(&primary), &[&target]).data_at("/proc/sterna");
    refuses(
        link,
        &[&primary, &target],
        LOCAL,
        &["nothing can be written in /proc"],
    );
}

#[test]
fn a_file_in_place_of_the_data_directory() {
    let (primary, target) = pair();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    fs::write(&file, "somebody's").expect("written");
    let link = Link::new(url(&primary), &[&target]).data_at(&file);
    refuses(
        link,
        &[&primary, &target],
        LOCAL,
        &["nothing can be written in", "ot a directory"],
    );
    assert_eq!(fs::read(&file).expect("it is there"), b"somebody's");
}

#[test]
fn a_port_that_another_process_has() {
    let (primary, target) = pair();
    let link = Link::new(url(&primary), &[&target]);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, link.relay_port)).expect("it was free");
    refuses(
        link,
        &[&target],
        LOCAL,
        &["the relay can't listen on 127.0.0.1:", "--relay-addr"],
    );

    let metrics = taken.local_addr().expect("bound").to_string();
    let link = Link::new(url(&primary), &[&target]).with(&["--metrics-addr", &metrics]);
    refuses(
        link,
        &[&target],
        LOCAL,
        &["metrics can't be served on", "--metrics-addr"],
    );
}

#[test]
fn a_data_directory_that_another_link_uses() {
    let (primary, target) = pair();
    let mut link = Link::new(url(&primary), &[&target]);
    link.start_and_follow();
    // Under the same relay address: the target is known as ours, and only the log is in the way.
    let mut second = Link::new(url(&primary), &[&target]).data_at(link.data_dir());
    second.relay_port = link.relay_port;
    let pid = link.process().pid().to_string();
    refuses(second, &[&target], LOCAL, &["is in use by process", &pid]);
    fill(&primary, "more", 10);
    digests_equal(&primary, &target).expect("the first link goes on");
    assert_eq!(link.events("replica-gone").len(), 0);
}

#[test]
fn a_disk_that_runs_full_is_done_without_until_there_is_space() {
    let (primary, target) = pair();
    let disk = disk(16 * MIB);
    let mut link = Link::new(url(&primary), &[&target]).data_at(disk.path().join("data"));
    link.start_and_follow();
    disk.fill_up().expect("filled");
    fill_kib(&primary, "full", 4096);
    let failed = link.wait_for("disk-failed");
    assert!(
        failed["reason"]
            .as_str()
            .expect("a reason")
            .contains("no space left"),
        "{failed}"
    );
    digests_equal(&primary, &target).expect("replication goes on in memory");
    disk.free().expect("freed");
    link.wait_for("disk-recovered");
    fill_kib(&primary, "again", 256);
    digests_equal(&primary, &target).expect("equal");

    // The log has what it needs for a partial resync again.
    link.kill9();
    fill(&primary, "away", 100);
    link.start();
    link.wait_for("resumed");
    link.wait_for("replica-resumed");
    digests_equal(&primary, &target).expect("equal");
    assert_eq!(full_syncs(&primary), 1);
}

#[test]
fn a_disk_that_runs_full_in_the_first_copy_is_said_and_the_copy_is_taken_when_there_is_space() {
    let (primary, target) = (Server::start(), replica_node());
    fill_kib(&primary, "noise", 3072);
    fill(&target, "old", 10);
    let before = Footprint::of(&target);
    let proxy = Proxy::start(primary.address()).expect("a proxy");
    let disk = disk(16 * MIB);
    let link = Link::new(format!("redis://{}", proxy.address()), &[&target]).with(&["--overwrite"]);
    let mut link = link.data_at(disk.path().join("data"));
    proxy.throttle(Some(2 * MIB));
    link.start();
    link.wait_for("replica-full-sync");
    disk.fill_up().expect("filled");
    let failed = link.wait_for("disk-failed");
    proxy.throttle(None);
    assert!(
        failed["reason"]
            .as_str()
            .expect("a reason")
            .contains("no space left"),
        "{failed}"
    );
    let lost = link.wait_for("full-sync-failed");
    assert!(
        lost["reason"]
            .as_str()
            .expect("a reason")
            .contains("no space left"),
        "{lost}"
    );
    assert!(
        !lost.to_string().contains("can't be right"),
        "the disk's fault is not the primary's: {lost}"
    );
    assert_eq!(before.data(), Footprint::of(&target).data());
    disk.free().expect("freed");
    link.wait_for("replica-online");
    digests_equal(&primary, &target).expect("equal");
}

#[test]
fn a_damaged_history_is_never_guessed_at() {
    let (primary, target) = pair();
    let mut link = Link::new(url(&primary), &[&target]);
    link.start_and_follow();
    assert_eq!(link.interrupt(), 0);
    let history = link.data_dir().join("log/history.json");
    let text = fs::read(&history).expect("it is there");
    fs::write(&history, &text[..text.len() / 2]).expect("truncated");
    let words = ["the log is damaged", "history.json", "Nothing was changed"];
    refuses(link, &[&primary, &target], LOCAL, &words);
}

#[test]
fn a_damaged_link_file_is_never_guessed_at() {
    let (primary, target) = pair();
    let mut link = Link::new(url(&primary), &[&target]);
    link.start_and_follow();
    assert_eq!(link.interrupt(), 0);
    let file = link.data_dir().join("link.json");
    fs::write(&file, "{").expect("damaged");
    refuses(link, &[&primary, &target], LOCAL, &["link.json is damaged"]);
}
