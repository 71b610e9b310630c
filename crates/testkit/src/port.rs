//! Ports that stay ours, also while the server that listens on one is down.
//!
//! Ports come from below the range that the kernel gives to outgoing connections, and each is locked by a socket with a
//! name of its own for as long as its [`Port`] lives; so neither another test process nor a stray connection takes it
//! between stop and restart, and nothing is left of the lock in the file system.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// Client ports; the cluster bus of each is 10000 higher and still below the kernel's own range.
const FIRST: u32 = 11_000;
const COUNT: u32 = 11_000;

/// How far a node's cluster bus port is from its client port.
const BUS_DISTANCE: u16 = 10_000;

/// A port on 127.0.0.1 that nobody else who asks here gets.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: UnixDatagram,
}

impl Port {
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Reserves a port on which nothing listens, nor on its cluster bus port.
pub fn reserve_port() -> Result<Port> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Each process starts elsewhere, so that they rarely try the same port.
    let start = std::process::id().wrapping_mul(0x9E37_79B9);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let number =
            u16::try_from(FIRST + start.wrapping_add(step) % COUNT).expect("FIRST + COUNT is a port");
        let lock = match lock(number) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            Err(error) => return Err(error).with_context(|| format!("locking port {number}")),
        };
        if is_free(number) && is_free(number + BUS_DISTANCE) {
            return Ok(Port { number, _lock: lock });
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// The abstract socket of a port; the kernel gives its name to one process at a time.
fn lock(port: u16) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("sterna-port-{port}"))?)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_is_free() {
        let ports: Vec<Port> = (0..50).map(|_| reserve_port().expect("a free port")).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        assert!(numbers.into_iter().all(is_free));
    }
}
