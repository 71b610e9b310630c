//! Addresses for a network: a private range of 256 that nothing else on this machine uses.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::process;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::tool;

/// The most hosts of one network.
pub(super) const HOSTS_MAX: usize = 100;
/// The two leading bytes of ranges to try, private all (RFC 1918) and rarely used.
const POOLS: [(u8, u8); 3] = [(10, 201), (172, 29), (192, 168)];
/// Bits of a network's prefix.
const PREFIX_BITS: u32 = 24;
/// The last byte of the test process's address; the hosts begin at 1.
const TEST: u8 = 253;
/// The last byte of the router's address.
const HUB: u8 = 254;

/// A range that no other test process gets while this value lives.
#[derive(Debug)]
pub(super) struct Range {
    first: Ipv4Addr,
    _lock: File,
}

impl Range {
    pub(super) fn reserve() -> Result<Self> {
        let used = tool::run("ip", &["-4", "-oneline", "address", "show"])?
            + &tool::run("ip", &["-4", "route", "show", "table", "all"])?;
        let folder = env::temp_dir().join("sterna-test-nets");
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        // Each process starts elsewhere, so that they rarely try the same range.
        let start = process::id().wrapping_mul(0x9E37_79B9).to_be_bytes()[0];
        for (a, b) in POOLS {
            for step in 0..=u8::MAX {
                let first = Ipv4Addr::new(a, b, start.wrapping_add(step), 0);
                if is_used(first, &used) {
                    continue;
                }
                let path = folder.join(first.to_string());
                let lock = OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(&path)
                    .with_context(|| format!("{}", path.display()))?;
                match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => return Ok(Self { first, _lock: lock }),
                    Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
                }
            }
        }
        bail!("no private range is free; addresses and routes in use:\n{used}")
    }

    /// The address of the host with this index, below [`HOSTS_MAX`].
    pub(super) fn host(&self, index: usize) -> Ipv4Addr {
        self.address(u8::try_from(index + 1).expect("the number of hosts is checked"))
    }

    pub(super) fn test(&self) -> Ipv4Addr {
        self.address(TEST)
    }

    pub(super) fn hub(&self) -> Ipv4Addr {
        self.address(HUB)
    }

    /// All of it, as routes name it.
    pub(super) fn network(&self) -> String {
        format!("{}/{PREFIX_BITS}", self.first)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.first.octets();
        Ipv4Addr::new(a, b, c, last)
    }
}

/// Whether an address or a network that stands anywhere in the text (as `ip` writes them) overlaps a range. The default
/// route does not count.
fn is_used(first: Ipv4Addr, text: &str) -> bool {
    text.split_whitespace().any(|word| {
        let (address, bits) = word.split_once('/').unwrap_or((word, "32"));
        let (Ok(address), Ok(bits)) = (address.parse::<Ipv4Addr>(), bits.parse::<u32>()) else {
            return false;
        };
        let common = bits.min(PREFIX_BITS);
        let differ = u32::from(address) ^ u32::from(first);
        common > 0 && differ.leading_zeros() >= common
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_seen_in_what_ip_prints() {
        let used = |range: &str, text: &str| is_used(range.parse().expect("an address"), text);
        let text = "2: eth0    inet 10.201.7.2/16 brd 10.201.255.255 scope global eth0\n\
                    default via 192.168.3.1 dev eth1\n172.29.4.0/23 dev docker0 proto kernel\n0.0.0.0/0 dev x";
        assert!(used("10.201.9.0", text), "inside a wider one");
        assert!(!used("10.202.9.0", text));
        assert!(used("192.168.3.0", text), "holds a gateway");
        assert!(
            !used("192.168.4.0", text),
            "the default route covers all and counts for nothing"
        );
        assert!(used("172.29.5.0", text) && !used("172.29.6.0", text));
    }
}
