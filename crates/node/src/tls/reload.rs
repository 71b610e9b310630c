//! TLS files are read again when they change, as a renewed certificate makes them. What is connected stays as it is; new
//! connections use what was read last and is sound.
//!
//! Files are often replaced one after the other, or by a symbolic link to another directory that is swapped: what does not
//! fit together at one look may do so at the next, and is only told when it does not.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use super::TlsError;

/// How often the files are looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// All that is in use in this process.
static IN_USE: Mutex<Vec<Weak<dyn Refresh>>> = Mutex::new(Vec::new());

/// Looks at the files for ever, and reads those again that have changed.
pub async fn keep_fresh() {
    loop {
        tokio::time::sleep(RELOAD_INTERVAL).await;
        // It reads files. That it ended by a panic was told.
        drop(tokio::task::spawn_blocking(refresh).await);
    }
}

/// Looks at the files of everything in use once, and reads those again that have changed. Blocks.
pub fn refresh() {
    for used in in_use() {
        used.refresh();
    }
}

/// What is wrong with files that have changed, in whole sentences: what was read before is still used.
pub fn problems() -> Vec<String> {
    let mut found: Vec<_> = in_use().iter().filter_map(|used| used.problem()).collect();
    found.sort();
    found.dedup();
    found
}

fn in_use() -> Vec<Arc<dyn Refresh>> {
    let mut all = lock(&IN_USE);
    all.retain(|used| used.strong_count() > 0);
    all.iter().filter_map(Weak::upgrade).collect()
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

trait Refresh: Send + Sync {
    fn refresh(&self);
    fn problem(&self) -> Option<String>;
}

/// What was made of files.
pub(super) struct FromFiles<T> {
    current: RwLock<Arc<T>>,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>,
    seen: Mutex<Seen>,
}

/// What was seen of the files.
struct Seen {
    /// When they were read.
    used: Vec<Stamp>,
    /// When they could last not be used.
    refused: Option<Refused>,
}

struct Refused {
    at: Vec<Stamp>,
    reason: String,
    /// They were the same at another look.
    told: bool,
}

/// Tells a file from what it was: its place on disk, size, and times in nanoseconds; none where it can't be found.
type Stamp = Option<[i64; 7]>;

impl<T: Send + Sync + 'static> FromFiles<T> {
    /// Makes it of these files, and again whenever one of them changes.
    pub(super) fn new(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        // Before they are read: what is changed meanwhile is read again.
        let used = stamps(&files);
        let files_in_use = Arc::new(Self {
            current: RwLock::new(Arc::new(make()?)),
            files,
            make: Box::new(make),
            seen: Mutex::new(Seen { used, refused: None }),
        });
        let weak = Arc::downgrade(&files_in_use);
        lock(&IN_USE).push(weak);
        Ok(files_in_use)
    }

    /// What was read last and is sound.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Send + Sync> Refresh for FromFiles<T> {
    fn refresh(&self) {
        let mut seen = lock(&self.seen);
        let now = stamps(&self.files);
        if now == seen.used {
            return;
        }
        let files = || {
            self.files
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
        };
        match (self.make)() {
            Ok(new) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                *seen = Seen {
                    used: now,
                    refused: None,
                };
                tracing::info!(files = ?files(), "TLS files have changed and were read again");
            }
            Err(error) => {
                let reason = error.to_string();
                let known = seen.refused.as_ref();
                let known = known.filter(|known| known.at == now && known.reason == reason);
                if known.is_some_and(|known| !known.told) {
                    tracing::warn!(%error, "TLS files have changed and can't be used; what was read before is used on");
                }
                let told = known.is_some();
                seen.refused = Some(Refused {
                    at: now,
                    reason,
                    told,
                });
            }
        }
    }

    fn problem(&self) -> Option<String> {
        let seen = lock(&self.seen);
        let refused = seen.refused.as_ref().filter(|refused| refused.told);
        refused.map(|refused| refused.reason.clone())
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |found: Metadata| {
        [
            found.dev().cast_signed(),
            found.ino().cast_signed(),
            found.size().cast_signed(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        ]
    };
    files
        .iter()
        .map(|file| std::fs::metadata(file).ok().map(stamp))
        .collect()
}
