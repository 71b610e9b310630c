//! When to acknowledge what to the primary (invariant I6).

use sterna_protocol::Offset;
use sterna_protocol::psync::Ack;
use tokio::time::Instant;

use crate::settings::ACK_INTERVAL;

/// The acknowledgements of one upstream connection.
#[derive(Debug)]
pub(crate) struct Acks {
    /// The primary waits for this offset (`REPLCONF GETACK`, sent for `WAIT` and `WAITAOF`).
    asked: Option<Offset>,
    /// It was acknowledged and is not on disk yet, which `WAITAOF` waits for. The primary does not say which of the two it is.
    asked_on_disk: Option<Offset>,
    due: Instant,
}

impl Acks {
    /// A new connection: the first acknowledgement is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            asked: None,
            asked_on_disk: None,
            due: now,
        }
    }

    /// A `REPLCONF GETACK` came; the answer that it waits for is `offset`, where the command itself began.
    pub(crate) fn asked(&mut self, offset: Offset) {
        self.asked = Some(offset);
    }

    /// The offset that the primary waits for, if it waits.
    pub(crate) fn awaited(&self) -> Option<Offset> {
        self.asked
    }

    /// What to acknowledge now, where `safe` is what the setting allows: once a second, and as soon as an asked one is
    /// reached, or is on disk.
    pub(crate) fn take(&mut self, safe: Ack, now: Instant) -> Option<Ack> {
        let reached = self.asked.take_if(|asked| safe.applied >= *asked);
        self.asked_on_disk = reached.or(self.asked_on_disk);
        let on_disk = self
            .asked_on_disk
            .take_if(|asked| safe.synced.is_some_and(|synced| synced >= *asked));
        if reached.is_none() && on_disk.is_none() && now < self.due {
            return None;
        }
        self.due = now + ACK_INTERVAL;
        Some(safe)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn applied(offset: u64) -> Ack {
        Offset::new(offset).into()
    }

    #[test]
    fn once_a_second_and_when_a_wait_is_satisfied() {
        let start = Instant::now();
        let mut acks = Acks::new(start);
        assert_eq!(acks.take(applied(1), start), Some(applied(1)));
        assert_eq!(acks.take(applied(2), start), None);
        acks.asked(Offset::new(5));
        assert_eq!(acks.take(applied(4), start), None);
        assert_eq!(acks.take(applied(6), start), Some(applied(6)));
        assert_eq!(acks.awaited(), None);
        assert_eq!(acks.take(applied(7), start), None);
        let later = start + Duration::from_secs(1);
        assert_eq!(acks.take(applied(7), later), Some(applied(7)));
    }

    #[test]
    fn once_more_when_what_was_asked_for_is_on_disk() {
        let start = Instant::now();
        let mut acks = Acks::new(start);
        let ack = |synced| Ack {
            synced: Some(Offset::new(synced)),
            ..applied(6)
        };
        acks.asked(Offset::new(5));
        assert_eq!(acks.take(ack(1), start), Some(ack(1)));
        assert_eq!(acks.take(ack(4), start), None);
        assert_eq!(acks.take(ack(5), start), Some(ack(5)));
        assert_eq!(acks.take(ack(6), start), None);
        // What was on disk before it was asked for is told once.
        acks.asked(Offset::new(6));
        assert_eq!(acks.take(ack(6), start), Some(ack(6)));
        assert_eq!(acks.take(ack(6), start), None);
    }
}
