//! Does a node run on this machine, so that its configuration file can be read?
//!
//! An address does not tell: a loopback address may be a tunnel, and a network namespace has addresses of its own. What tells is
//! that the process which the node says it is has the other end of our connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// The directory of the node's process in `/proc`, where that runs here. `server` and `client` are the two ends of our
/// connection, as the node sees them.
pub(super) fn here(process_id: u32, server: SocketAddr, client: SocketAddr) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{process_id}"));
    let has_it = |table: &str| {
        let text = std::fs::read_to_string(process.join("net").join(table));
        text.is_ok_and(|text| lists(&text, server, client))
    };
    (has_it("tcp") || has_it("tcp6")).then_some(process)
}

/// Whether a table of TCP connections has this one.
fn lists(table: &str, local: SocketAddr, remote: SocketAddr) -> bool {
    let ends = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        Some((address(words.next()?)?, address(words.next()?)?))
    };
    let wanted = (canonical(local), canonical(remote));
    table
        .lines()
        .skip(1)
        .filter_map(ends)
        .any(|(local, remote)| (canonical(local), canonical(remote)) == wanted)
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// An address as Linux writes it: words of 32 bits in the machine's own byte order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_from_its_servers_end_only() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(listen) else {
                continue;
            };
            let server = listener.local_addr().expect("an address");
            let client = TcpStream::connect(server).expect("connected");
            let client = client.local_addr().expect("an address");
            let me = std::process::id();
            assert_eq!(here(me, server, client), Some(format!("/proc/{me}").into()));
            let elsewhere = SocketAddr::new(server.ip(), 1);
            assert_eq!(here(me, elsewhere, client), None);
            assert_eq!(here(u32::MAX, server, client), None);
        }
    }
}
