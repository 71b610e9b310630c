//! What is kept aside of a group's log, for as long as a person lets it lie there.

use std::path::PathBuf;
use std::time::Duration;

use sterna_log::{KeptAside, Log};
use tokio::sync::watch;

/// How often it is looked whether it is still there.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is kept aside of the log in this directory, until nothing is, or nobody wants to know.
pub(super) async fn watch(log_dir: PathBuf) -> watch::Receiver<Vec<KeptAside>> {
    let (kept, receiver) = watch::channel(look(&log_dir).await);
    if !kept.borrow().is_empty() {
        tokio::spawn(look_again(log_dir, kept));
    }
    receiver
}

async fn look_again(log_dir: PathBuf, kept: watch::Sender<Vec<KeptAside>>) {
    while !kept.borrow().is_empty() {
        if tokio::time::timeout(INTERVAL, kept.closed()).await.is_ok() {
            return;
        }
        kept.send_replace(look(&log_dir).await);
    }
}

async fn look(log_dir: &std::path::Path) -> Vec<KeptAside> {
    let log_dir = log_dir.to_owned();
    let looking = tokio::task::spawn_blocking(move || Log::kept_aside(&log_dir));
    looking.await.unwrap_or_default()
}
