//! What stands between a follower and its bytes: its connection, and its reader where it is fed from disk.

use std::convert::Infallible;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::event::{Effect, Effects, Reader, ToFollower};
use crate::settings::IN_FLIGHT_BYTES_MAX;

/// Messages for which room is kept in the outbox: an answer, a newline, the reason of the end.
const OUTBOX_KEPT_FREE: usize = 4;

/// The way to a follower's connection. The owner never waits for it: it hands over no more than there is room for.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: mpsc::Sender<ToFollower>,
    /// Bytes handed over and not yet taken by the socket.
    in_flight: u64,
    /// A message did not fit, though room is kept for it.
    overflowed: bool,
    /// Held for as long as the follower is attached.
    _attached: oneshot::Sender<Infallible>,
}

impl Outbox {
    pub(super) fn new(sender: mpsc::Sender<ToFollower>, attached: oneshot::Sender<Infallible>) -> Self {
        Self {
            sender,
            in_flight: 0,
            overflowed: false,
            _attached: attached,
        }
    }

    /// Whether the follower may have more on its way: bytes, and messages.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT_BYTES_MAX && self.sender.capacity() > OUTBOX_KEPT_FREE
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn send(&mut self, bytes: Vec<Bytes>) {
        self.in_flight += bytes.iter().map(|slice| slice.len() as u64).sum::<u64>();
        self.post(ToFollower::Data(bytes));
    }

    /// Ends the connection after what it was handed. Where no message fits, the end of the channel says the same.
    pub(super) fn close(&mut self, reason: &str) {
        self.post(ToFollower::Close(reason.to_owned()));
    }

    fn post(&mut self, message: ToFollower) {
        match self.sender.try_send(message) {
            // A connection that has ended says so itself.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => self.overflowed = true,
        }
    }

    /// The socket took so many bytes.
    pub(super) fn took(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Why the connection must end, if it went wrong: what it was to be sent has a hole.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.overflowed
            .then_some("its connection no longer takes messages, which is a fault here and not of the node")
    }
}

/// The reader of a follower that is fed from disk.
#[derive(Debug)]
pub(super) enum ReaderSlot {
    /// It is fed from memory.
    Empty,
    /// Kept between two reads.
    Home(Reader),
    /// Out on a read.
    Out,
}

impl ReaderSlot {
    /// Sends the reader out, if there is one.
    pub(super) fn send_out(&mut self) -> Option<Reader> {
        match std::mem::replace(self, Self::Out) {
            Self::Home(reader) => Some(reader),
            Self::Empty | Self::Out => None,
        }
    }

    pub(super) fn is_out(&self) -> bool {
        matches!(self, Self::Out)
    }

    /// Lets go of the reader. One that is out is let go of when it comes back to nobody.
    pub(super) fn close(&mut self, effects: &mut Effects) {
        if let Self::Home(reader) = std::mem::replace(self, Self::Empty) {
            effects.start(Effect::Close(Box::new(reader)));
        }
    }
}
