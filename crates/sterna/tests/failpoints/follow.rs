//! A client that follows the group by discovery, as an application's client library does.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use sterna_harness::Finder;
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};

/// What its keys begin with.
pub(crate) const PREFIX: &str = "seq";
/// Writes a second. Enough that something is under way at every moment, and little enough for two cases at a time.
const PER_SECOND: u32 = 300;
/// How long it waits for a server.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Starts it. Until discovery knows better, `first` is the primary.
pub(crate) fn start(discovery: SocketAddr, first: SocketAddr) -> Result<SequenceWriter> {
    let finder = Finder::new(discovery, TIMEOUT).at_first(first);
    let mut options = SequenceOptions::load(PREFIX, PER_SECOND);
    options.connections = 2;
    options.timeout = Some(TIMEOUT);
    SequenceWriter::start(options, move || finder.connect(TIMEOUT))
}
