//! One proxied connection: a reader and a writer thread for each direction.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType};

use super::queue::Queue;
use super::state::{Direction, Ending, Handle, Passage, Shared};

const CHUNK_BYTES: usize = 16 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Both sockets of a connection; they close when its last thread ends.
struct Link {
    number: u64,
    client: TcpStream,
    server: TcpStream,
    handle: Arc<Handle>,
    woken: UnixStream,
    shared: Arc<Shared>,
}

/// Passes on what a client says and hears, on threads of its own.
pub(super) fn start(client: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    let (wake, woken) = UnixStream::pair()?;
    let handle = Handle::new(wake);
    let number = shared.change(|state| {
        state.accepted += 1;
        state.open.insert(state.accepted, Arc::clone(&handle));
        state.accepted
    });
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        if connect(client, number, handle, woken, &shared).is_none() {
            shared.change(|state| state.open.remove(&number));
        }
    });
    Ok(())
}

/// Connects from an address of this machine's.
fn connect_from(source: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let family = match source {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
    rustix::net::connect(&socket, &target)?;
    Ok(TcpStream::from(socket))
}

/// Connects to the server as soon as anything may pass, then starts the threads of both directions.
fn connect(
    client: TcpStream,
    number: u64,
    handle: Arc<Handle>,
    woken: UnixStream,
    shared: &Arc<Shared>,
) -> Option<()> {
    if !shared.wait_unblocked(Direction::ToServer, &handle) {
        return None;
    }
    let (target, source) = {
        let state = shared.lock();
        (state.target, state.source)
    };
    let connected = match source {
        Some(source) => connect_from(source, target),
        None => TcpStream::connect_timeout(&target, CONNECT_TIMEOUT),
    };
    let Ok(server) = connected else {
        // As near as a proxy comes to "connection refused".
        let _ = set_socket_linger(&client, Some(Duration::ZERO));
        return None;
    };
    for socket in [&client, &server] {
        socket.set_nodelay(true).ok()?;
        socket.set_nonblocking(true).ok()?;
    }
    let link = Arc::new(Link {
        number,
        client,
        server,
        handle,
        woken,
        shared: Arc::clone(shared),
    });
    for direction in [Direction::ToServer, Direction::ToClient] {
        let queue = Arc::new(Queue::default());
        let (reader, writer) = (Arc::clone(&link), Arc::clone(&link));
        let inlet = Arc::clone(&queue);
        thread::spawn(move || reader.read_all(direction, &inlet));
        thread::spawn(move || writer.write_all(direction, &queue));
    }
    Some(())
}

impl Link {
    /// From whom and to whom a direction goes.
    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToServer => (&self.client, &self.server),
            Direction::ToClient => (&self.server, &self.client),
        }
    }

    fn read_all(&self, direction: Direction, queue: &Queue) {
        let (mut from, _) = self.ends(direction);
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.shared.wait_unblocked(direction, &self.handle) {
            let settings = self.shared.settings();
            match from.read(&mut buffer[..settings.chunk_bytes(CHUNK_BYTES)]) {
                Ok(0) => break,
                Ok(read) => {
                    if !queue.push(buffer[..read].to_vec(), settings.delayed) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait_for(from, PollFlags::IN) {
                        break;
                    }
                }
                Err(_) => {
                    self.shared.end(&self.handle, Ending::Reset);
                    break;
                }
            }
        }
        queue.close();
    }

    fn write_all(&self, direction: Direction, queue: &Queue) {
        let (_, to) = self.ends(direction);
        while let Some((came, mut chunk)) = queue.pop() {
            let passage = self.shared.pass(direction, &self.handle, came, &mut chunk);
            let length = match passage {
                Passage::Whole => chunk.len(),
                Passage::Part(length) => length,
                Passage::Ended => break,
            };
            let written = self.write(to, &chunk[..length]);
            if !written || !matches!(passage, Passage::Whole) {
                self.shared.end(&self.handle, Ending::Close);
                break;
            }
        }
        queue.close();
        if !self.handle.is_reset() {
            // The other direction may go on, as TCP allows. The peer may be gone already.
            drop(to.shutdown(Shutdown::Write));
        }
    }

    fn write(&self, mut to: &TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait_for(to, PollFlags::OUT) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits until the socket is ready; false when the connection was ended from outside.
    fn wait_for(&self, socket: &TcpStream, flags: PollFlags) -> bool {
        let mut wanted = [
            PollFd::new(socket, flags),
            PollFd::new(&self.woken, PollFlags::IN),
        ];
        while poll(&mut wanted, None).is_err() {}
        wanted[1].revents().is_empty()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.handle.is_reset() {
            for socket in [&self.client, &self.server] {
                let _ = set_socket_linger(socket, Some(Duration::ZERO));
            }
        }
        self.shared.change(|state| state.open.remove(&self.number));
    }
}
