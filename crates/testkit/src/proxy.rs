//! A TCP proxy that does to a connection what networks do: cut it, swallow it, slow it down, damage it.
//!
//! Each connection has a reader and a writer thread per direction with a bounded queue between them, so that a delay
//! costs latency and not throughput, and a throttled link pushes back on the sender.

mod link;
mod queue;
mod state;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};

use crate::port::{Port, reserve_port};
use crate::wait::try_wait_until;
pub use state::Direction;
use state::{Ending, Shared};

/// How long connections may take to notice that they are cut.
const CUT_DEADLINE: Duration = Duration::from_secs(10);

/// A running proxy; it and its connections end with the value.
#[derive(Debug)]
pub struct Proxy {
    ip: Ipv4Addr,
    port: Port,
    shared: Arc<Shared>,
    listener: Mutex<Option<Listener>>,
}

/// The thread that accepts, and what ends it.
#[derive(Debug)]
struct Listener {
    /// Closing it wakes the thread.
    stop: UnixStream,
    thread: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `target`.
    pub fn start(target: SocketAddr) -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST, target)
    }

    /// [`Proxy::start`] on another address of the host that this thread is on.
    pub fn start_on(ip: Ipv4Addr, target: SocketAddr) -> Result<Self> {
        let proxy = Self {
            ip,
            port: reserve_port()?,
            shared: Shared::new(target),
            listener: Mutex::new(None),
        };
        proxy.accept()?;
        Ok(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (self.ip, self.port.number()).into()
    }

    /// The port where it listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Resets all connections; new ones are accepted as before.
    pub fn cut(&self) -> Result<()> {
        self.end_all(Ending::Reset)
    }

    /// Closes all connections in order (FIN instead of RST).
    pub fn close(&self) -> Result<()> {
        self.end_all(Ending::Close)
    }

    /// A black hole: connections stay and new ones are accepted, but nothing passes.
    pub fn block(&self) {
        self.shared.change(|state| state.blocked = [true; 2]);
    }

    /// A black hole in one direction only.
    pub fn block_direction(&self, direction: Direction) {
        self.shared
            .change(|state| state.blocked[direction.index()] = true);
    }

    /// Ends [`Proxy::block`]; what was held back arrives late.
    pub fn unblock(&self) {
        self.shared.change(|state| state.blocked = [false; 2]);
    }

    /// Stops listening: new connections are refused. Those that are there stay.
    pub fn refuse(&self) {
        if let Some(listener) = self.lock().take() {
            drop(listener.stop);
            // It ends in any case; a panic there shows as a refused connection.
            drop(listener.thread.join());
        }
    }

    /// Listens again after [`Proxy::refuse`].
    pub fn accept(&self) -> Result<()> {
        let mut slot = self.lock();
        if slot.is_none() {
            let listener =
                TcpListener::bind(self.address()).with_context(|| format!("{}", self.address()))?;
            listener.set_nonblocking(true)?;
            let (stop, stopped) = UnixStream::pair()?;
            let shared = Arc::clone(&self.shared);
            let thread = thread::spawn(move || accept_until(&listener, &stopped, &shared));
            *slot = Some(Listener { stop, thread });
        }
        Ok(())
    }

    /// Bytes per second that pass in each direction, over all connections together; `None` for all that go.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.shared
            .change(|state| state.bytes_per_second = bytes_per_second);
    }

    /// How much later everything arrives, in each direction; so twice this is added to a round trip.
    pub fn delay(&self, delay: Duration) {
        self.shared.change(|state| state.delay = delay);
    }

    /// Flips a bit in the byte that follows the next `bytes` of that direction, once.
    pub fn corrupt_after(&self, bytes: u64, direction: Direction) {
        self.shared
            .change(|state| state.lanes[direction.index()].corrupt_after = Some(bytes));
    }

    /// Lets `bytes` more pass in that direction, then closes the connection that they went through, once.
    pub fn truncate_after(&self, bytes: u64, direction: Direction) {
        self.shared
            .change(|state| state.lanes[direction.index()].truncate_after = Some(bytes));
    }

    /// New connections go to another server, as when a name gets a new address; those that are there stay.
    pub fn retarget(&self, target: SocketAddr) {
        self.shared.change(|state| state.target = target);
    }

    /// New connections come from this address of the machine's, as behind a translation of addresses.
    pub fn come_from(&self, source: IpAddr) {
        self.shared.change(|state| state.source = Some(source));
    }

    /// Bytes that have passed in a direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.lock().lanes[direction.index()].passed
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// Connections open now.
    pub fn connections_open(&self) -> usize {
        self.shared.lock().open.len()
    }

    fn end_all(&self, ending: Ending) -> Result<()> {
        let ended = self.shared.end_all(ending);
        try_wait_until(CUT_DEADLINE, "the proxy's connections to end", || {
            let state = self.shared.lock();
            let left = ended
                .iter()
                .filter(|number| state.open.contains_key(number))
                .count();
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} are left"))
            }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
        self.shared.end_all(Ending::Reset);
    }
}

fn accept_until(listener: &TcpListener, stopped: &UnixStream, shared: &Arc<Shared>) {
    loop {
        let mut wanted = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        if poll(&mut wanted, None).is_err() {
            continue;
        }
        if !wanted[1].revents().is_empty() {
            return;
        }
        if let Ok((client, _)) = listener.accept() {
            // One that can't be set up is simply closed, as by a server without file descriptors left.
            drop(link::start(client, shared));
        }
    }
}
