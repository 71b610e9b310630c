//! When to acknowledge what to the primary (invariant I6).

use sterna_protocol::Offset;
use tokio::time::Instant;

use crate::settings::ACK_INTERVAL;

/// The acknowledgements of one upstream connection.
#[derive(Debug)]
pub(crate) struct Acks {
    /// The primary waits for this offset (`REPLCONF GETACK`, sent for `WAIT`).
    asked: Option<Offset>,
    due: Instant,
}

impl Acks {
    /// A new connection: the first acknowledgement is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            asked: None,
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

    /// The offset to acknowledge now, where `safe` is what the setting allows: once a second, and as soon as an asked
    /// one is reached.
    pub(crate) fn take(&mut self, safe: Offset, now: Instant) -> Option<Offset> {
        let reached = self.asked.is_some_and(|asked| safe >= asked);
        if !reached && now < self.due {
            return None;
        }
        if reached {
            self.asked = None;
        }
        self.due = now + ACK_INTERVAL;
        Some(safe)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn once_a_second_and_when_a_wait_is_satisfied() {
        let start = Instant::now();
        let mut acks = Acks::new(start);
        assert_eq!(acks.take(Offset::new(1), start), Some(Offset::new(1)));
        assert_eq!(acks.take(Offset::new(2), start), None);
        acks.asked(Offset::new(5));
        assert_eq!(acks.take(Offset::new(4), start), None);
        assert_eq!(acks.take(Offset::new(6), start), Some(Offset::new(6)));
        assert_eq!(acks.awaited(), None);
        assert_eq!(acks.take(Offset::new(7), start), None);
        assert_eq!(
            acks.take(Offset::new(7), start + Duration::from_secs(1)),
            Some(Offset::new(7))
        );
    }
}
