//! A web server on the port where a Redis should be: what a mistyped address leads to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};

use crate::port::{Port, reserve_port};

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 50\r\n\
                        Connection: close\r\n\r\n<html><body><h1>400 Bad Request</h1></body></html>";

/// Answers `400 Bad Request` to whatever comes, and hangs up.
#[derive(Debug)]
pub struct WebServer {
    port: Port,
    // Closing it ends the thread that accepts.
    _stop: UnixStream,
}

impl WebServer {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Result<Self> {
        let port = reserve_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))?;
        let (stop, stopped) = UnixStream::pair()?;
        thread::spawn(move || {
            loop {
                let mut wanted = [
                    PollFd::new(&listener, PollFlags::IN),
                    PollFd::new(&stopped, PollFlags::IN),
                ];
                if poll(&mut wanted, None).is_err() {
                    continue;
                }
                if !wanted[1].revents().is_empty() {
                    return;
                }
                let Ok((mut client, _)) = listener.accept() else {
                    return;
                };
                thread::spawn(move || {
                    // Whatever fails here fails because the client has gone.
                    drop(client.set_read_timeout(Some(Duration::from_secs(10))));
                    if client.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                        drop(client.write_all(ANSWER));
                    }
                });
            }
        });
        Ok(Self { port, _stop: stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }
}
