//! A private network on one machine, and its faults: hosts are network namespaces, partitions are firewall rules.
//!
//! Every host hangs on a router in a namespace of its own, and so does the test process, as one host more. All faults
//! are rules in that router, between the hosts and not at them: what is cut is silent in the middle, as when a line
//! breaks, whether it is new or long established; and a host always reaches itself. A router and not a bridge, because
//! refusals from within a bridge need a kernel option that not every kernel has.
//!
//! It takes root, `ip`, `nft` and `nsenter`; [`Net::or_skip`] says so where they are missing.

mod faults;
mod host;
mod range;
mod tool;
mod way;

use std::env;
use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use faults::{Fault, Faults};
pub use host::Host;
use range::{HOSTS_MAX, Range};

/// Set to `required`, this turns a skipped test into a failed one.
const REQUIRED: &str = "STERNA_TEST_NET";
/// How the names of namespaces begin; the id of the process that made them follows.
const NAMESPACE: &str = "sterna-";
/// How the names of interfaces of this machine begin that lead into a network; a process id follows.
const UPLINK: &str = "stna";
/// Names of hosts become parts of file names.
const NAME_BYTES_MAX: usize = 32;
/// What the test process is called as a host.
const TEST_HOST: &str = "test";
/// The namespace of the router; no host is called so.
const HUB: &str = "hub";

/// Hosts that reach each other, and the test process, by IPv4, until something is cut. All of it is removed with the
/// value; what killed test processes left behind is removed when the next one makes a network.
#[derive(Debug)]
pub struct Net {
    hosts: Vec<Host>,
    test: Host,
    hub: Host,
    faults: Mutex<Faults>,
    made: Made,
    // Last, so that nobody gets these addresses before they are free.
    range: Range,
}

impl Net {
    /// Whether this machine lets this process make such networks.
    pub fn available() -> bool {
        Self::obstacle().is_none()
    }

    /// Why it can't be; found out by trying, once per process.
    pub fn obstacle() -> Option<&'static str> {
        static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
        OBSTACLE
            .get_or_init(|| probe().err().map(|error| format!("{error:#}")))
            .as_deref()
    }

    /// [`Net::new`], or `None` where this machine can't make a network: then it says on standard error (past the test
    /// harness, which would keep it to itself) that the test is skipped, and why. With `STERNA_TEST_NET=required` it
    /// panics instead, as it does when a possible network can't be made.
    #[track_caller]
    pub fn or_skip(hosts: &[&str]) -> Option<Self> {
        if let Some(obstacle) = Self::obstacle() {
            let test = thread::current().name().unwrap_or("a test").to_owned();
            assert!(
                env::var_os(REQUIRED).is_none_or(|value| value != "required"),
                "{test} needs a private network: {obstacle}"
            );
            // Should even this fail, there is nobody left to tell.
            drop(writeln!(
                io::stderr(),
                "skipped {test}: no private network here: {obstacle}"
            ));
            return None;
        }
        Some(Self::new(hosts).unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// A network of hosts with these names (lower-case letters, digits and hyphens), at most 100.
    pub fn new(hosts: &[&str]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| tool::sweep(NAMESPACE, UPLINK));
        check_names(hosts)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = |name: &str| format!("{NAMESPACE}{}-{number}-{name}", process::id());
        let range = Range::reserve()?;
        let net = Self {
            hosts: hosts
                .iter()
                .enumerate()
                .map(|(index, name)| Host::new(name, range.host(index), Some(namespace(name))))
                .collect(),
            test: Host::new(TEST_HOST, range.test(), None),
            hub: Host::new(HUB, range.hub(), Some(namespace(HUB))),
            faults: Mutex::default(),
            made: Made {
                namespaces: hosts.iter().copied().chain([HUB]).map(namespace).collect(),
                uplink: format!("{UPLINK}{}-{number}", process::id()),
            },
            range,
        };
        net.build().context("a private network can't be made")?;
        Ok(net)
    }

    /// The host of that name; panics when there is none.
    #[track_caller]
    pub fn host(&self, name: &str) -> Host {
        let found = self.hosts.iter().find(|host| host.name() == name);
        found
            .unwrap_or_else(|| panic!("no host is called {name:?}"))
            .clone()
    }

    /// The test process, and all that it starts outside the hosts, as a host: its address is where hosts reach it.
    pub fn test_host(&self) -> Host {
        self.test.clone()
    }

    /// Drops all packets between two hosts, both ways and without a word.
    pub fn cut(&self, one: &Host, other: &Host) -> Result<()> {
        self.split(&[one], &[other])
    }

    /// Drops all packets from one host to another; those the other way pass. (So a connection stalls both ways: the
    /// acknowledgements are lost.)
    pub fn cut_one_way(&self, from: &Host, to: &Host) -> Result<()> {
        self.change(|faults| faults.set(from, to, Fault::Drop), &[from, to])
    }

    /// Cuts every host on one side from every host on the other, in one step.
    pub fn split(&self, left: &[&Host], right: &[&Host]) -> Result<()> {
        let set = |faults: &mut Faults| {
            for (one, other) in left
                .iter()
                .flat_map(|one| right.iter().map(move |other| (one, other)))
            {
                faults.set(one, other, Fault::Drop);
                faults.set(other, one, Fault::Drop);
            }
        };
        self.change(set, &[left, right].concat())
    }

    /// Cuts a host from all others but those to `keep`; the test process is one of the others too.
    pub fn isolate(&self, host: &Host, keep: &[&Host]) -> Result<()> {
        let all = self.hosts.iter().chain([&self.test]);
        let others: Vec<&Host> = all
            .filter(|other| *other != host && !keep.contains(other))
            .collect();
        self.split(&[host], &others)
    }

    /// Refuses all packets between two hosts, so that both fail at once: TCP is reset, all else is told that nobody
    /// listens.
    pub fn reject(&self, one: &Host, other: &Host) -> Result<()> {
        let set = |faults: &mut Faults| {
            faults.set(one, other, Fault::Reject);
            faults.set(other, one, Fault::Reject);
        };
        self.change(set, &[one, other])
    }

    /// Undoes every fault between two hosts. What was stalled goes on when its sender tries again: after about as long
    /// as it has been stalled.
    pub fn heal(&self, one: &Host, other: &Host) -> Result<()> {
        let clear = |faults: &mut Faults| {
            faults.clear(one, other);
            faults.clear(other, one);
        };
        self.change(clear, &[one, other])
    }

    /// Undoes every fault of this network.
    pub fn heal_all(&self) -> Result<()> {
        self.change(Faults::clear_all, &[])
    }

    /// Applies a change to the router in one transaction.
    fn change(&self, change: impl FnOnce(&mut Faults), concerned: &[&Host]) -> Result<()> {
        for host in concerned {
            ensure!(
                self.hosts.contains(host) || self.test == **host,
                "{} is no host of this network",
                host.name()
            );
        }
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = faults.clone();
        change(&mut changed);
        let rules = changed.rules();
        self.hub
            .run(|| tool::feed("nft", &["-f", "-"], &rules))?
            .context("the rules of the router")?;
        *faults = changed;
        Ok(())
    }

    fn build(&self) -> Result<()> {
        for namespace in &self.made.namespaces {
            tool::run("ip", &["netns", "add", namespace])?;
        }
        self.hub.run(tool::forward_packets)??;
        tool::ip_batch(self.hub.namespace(), "link set lo up\n")?;
        for (index, host) in self.hosts.iter().enumerate() {
            let namespace = host.namespace().context("every host has a namespace")?;
            self.attach(host, &format!("port{index}"), "eth0", &["netns", namespace])?;
        }
        self.attach(&self.test, "test", &self.made.uplink, &[])?;
        self.heal_all()
    }

    /// A line between the router and a host, with an address at its end and the way to all others. Each line is a
    /// network of its own, so that everything passes the router.
    fn attach(&self, host: &Host, port: &str, interface: &str, place: &[&str]) -> Result<()> {
        let hub = self.hub.namespace().context("the router has a namespace")?;
        let (own, via, all) = (host.address(), self.hub.address(), self.range.network());
        let line = [
            "link", "add", port, "netns", hub, "type", "veth", "peer", "name", interface,
        ];
        tool::run("ip", &[&line, place].concat())?;
        tool::ip_batch(
            Some(hub),
            &format!("address add {via}/32 dev {port}\nlink set {port} up\nroute add {own} dev {port}\n"),
        )?;
        let loopback = host.namespace().map_or("", |_| "link set lo up\n");
        tool::ip_batch(
            host.namespace(),
            &format!(
                "{loopback}address add {own}/32 dev {interface}\nlink set {interface} up\n\
                 route add {via} dev {interface} scope link\nroute add {all} via {via} src {own}\n"
            ),
        )
    }
}

/// What is in the kernel, to be removed again.
#[derive(Debug)]
struct Made {
    namespaces: Vec<String>,
    uplink: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        // Each fails only for what was never made. The line goes first, and at once; a namespace lives on unnamed
        // while processes are in it.
        drop(tool::run("ip", &["link", "delete", &self.uplink]));
        for namespace in &self.namespaces {
            drop(tool::run("ip", &["netns", "delete", namespace]));
        }
    }
}

fn check_names(hosts: &[&str]) -> Result<()> {
    ensure!(
        hosts.len() <= HOSTS_MAX,
        "{} hosts are more than {HOSTS_MAX}",
        hosts.len()
    );
    for (index, name) in hosts.iter().enumerate() {
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        ensure!(
            fits,
            "{name:?} is no name for a host: up to {NAME_BYTES_MAX} of a-z, 0-9 and -"
        );
        ensure!(![TEST_HOST, HUB].contains(name), "the name {name:?} is taken");
        ensure!(!hosts[..index].contains(name), "two hosts are called {name:?}");
    }
    Ok(())
}

/// Whether it can be done: everything is made and removed once.
fn probe() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("it takes root");
    }
    for (program, version) in [("ip", "-V"), ("nft", "--version"), ("nsenter", "--version")] {
        tool::run(program, &[version]).context("run scripts/setup")?;
    }
    let net = Net::new(&["probe"])?;
    net.reject(&net.host("probe"), &net.test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_usable_and_unique() {
        assert!(check_names(&["a", "site-1"]).is_ok());
        for wrong in [
            &["a", "a"][..],
            &[""],
            &["A"],
            &["a/b"],
            &["hub"],
            &["test"],
            &["a b"],
        ] {
            assert!(check_names(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_names(&[&*"x".repeat(33)]).is_err());
    }
}
