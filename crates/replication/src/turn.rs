//! Turns on a thread of the data plane: nobody keeps it for long, whatever a primary or a replica node sends.
//!
//! The runtime lets a task go on for as long as what it waits for is there, up to so many waits. What is done between two of
//! them may be much, where a peer makes it so: a read of nothing but newlines is a quarter of a million of them.

use std::time::Duration;

use tokio::time::Instant;

/// A task that has had its thread for so long gives way. What is relayed waits no longer than about this for each of the
/// others on the thread that are busy.
const TURN_MAX: Duration = Duration::from_millis(2);

/// A task's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    began: Instant,
}

impl Turn {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Lets the other tasks of the thread have theirs, where this one has lasted long enough. To be called after each piece
    /// of work that a peer can ask for as often as it likes.
    pub(crate) async fn give_way(&mut self) {
        if self.began.elapsed() >= TURN_MAX {
            tokio::task::yield_now().await;
            self.began = Instant::now();
        }
    }
}
