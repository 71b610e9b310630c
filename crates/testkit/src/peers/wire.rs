//! A blocking socket with a deadline per read, and the lines and commands that come over it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::net::sockopt::set_socket_linger;

/// How long a scripted peer waits for the other side before it gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const LINE_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Wire {
    pub(super) fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
            start: 0,
        })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context("writing")
    }

    /// Bytes that were read but not taken yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads more; false at the end of the stream.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + READ_BYTES, 0);
        let read = loop {
            match self.socket.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    /// Takes at most `most` pending bytes.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        let taken = self.pending()[..most.min(self.pending().len())].to_vec();
        self.start += taken.len();
        taken
    }

    /// Takes exactly `count` bytes, reading as needed.
    pub(super) fn take_exact(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.pending().len() < count {
            let have = self.pending().len();
            ensure!(
                self.fill().context("reading")?,
                "the peer hung up after {have} of {count} bytes"
            );
        }
        Ok(self.take(count))
    }

    /// A line without its end (`\n` or `\r\n`); `None` at the end of the stream.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending()[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.take(searched + at + 1);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            searched = self.pending().len();
            ensure!(
                searched <= LINE_BYTES_MAX,
                "a line of more than {LINE_BYTES_MAX} bytes"
            );
            if !self.fill().context("reading a line")? {
                ensure!(
                    searched == 0,
                    "the peer hung up within a line: {:?}",
                    lossy(self.pending())
                );
                return Ok(None);
            }
        }
    }

    /// A command as array of bulk strings; bare newlines before it are skipped. `None` at the end of the stream.
    pub(super) fn command(&mut self) -> Result<Option<Vec<Vec<u8>>>> {
        let line = loop {
            match self.line()? {
                None => return Ok(None),
                Some(line) if line.is_empty() => {}
                Some(line) => break line,
            }
        };
        let Some(count) = number_after(b'*', &line) else {
            bail!("no command: {:?}", lossy(&line))
        };
        ensure!(count <= 1 << 20, "a command of {count} arguments");
        let mut args = Vec::new();
        for _ in 0..count {
            let line = self.line()?.context("the peer hung up within a command")?;
            let length =
                number_after(b'$', &line).with_context(|| format!("no bulk string: {:?}", lossy(&line)))?;
            let mut arg = self.take_exact(length + 2)?;
            arg.truncate(length);
            args.push(arg);
        }
        Ok(Some(args))
    }

    /// Closes with RST.
    pub(super) fn reset(&self) {
        let _ = set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// Closes with FIN, also while another thread uses the socket.
    pub(super) fn hang_up(&self) {
        drop(self.socket.shutdown(Shutdown::Both));
    }
}

fn number_after(mark: u8, line: &[u8]) -> Option<usize> {
    std::str::from_utf8(line.strip_prefix(&[mark])?)
        .ok()?
        .parse()
        .ok()
}

/// Bytes as text for an error.
pub(super) fn lossy(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(200)].escape_ascii().to_string()
}
