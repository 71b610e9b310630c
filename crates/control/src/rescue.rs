//! Saves the writes that a failover left behind, as files that ordinary tools can load.

mod summary;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use sterna_model::{Epoch, GroupName, OperationId, Rescue, RescueId, RescueKind, RescueSummary, ShardId};
use sterna_node::Dialer;
use sterna_node::files::create_private;
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::ShardHandle;
use sterna_replication::rescue::{PIECES_MAX, RescueError, Wanted, fetch, read_held};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::observe::NodeKey;
use crate::plan::RescueScope;
use summary::Summariser;

/// Writes that are to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RescueJob {
    pub(crate) node: NodeKey,
    pub(crate) group: GroupName,
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) history: ReplicationId,
    pub(crate) selected_db: Option<u32>,
    pub(crate) scope: RescueScope,
    /// How far the node is.
    pub(crate) offset: Offset,
    pub(crate) divergence_offset: Offset,
    pub(crate) max_bytes: u64,
    /// The failover whose report learns what was found.
    pub(crate) corrects: Option<OperationId>,
}

/// The writes could not be saved. The node is left as it is: its writes blocked, with all of its data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error(transparent)]
    Fetch(#[from] RescueError),
    #[error(
        "the rescue file {path} can't be written: {source}. The old primary is left as it is, with all of its data"
    )]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the old primary holds more than rescue.max_bytes = {max_bytes} bytes. It is left as it is, its writes blocked: raise \
         the limit, or save its data yourself and delete them there"
    )]
    TooLarge { max_bytes: u64 },
    #[error("what the old primary gave can't be read as a stream of commands: {0}. It is left as it is")]
    Unreadable(String),
}

/// Where writes come from that are to be saved.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The node that took them.
    Node(Dialer),
    /// The log that followed it.
    Log(ShardHandle),
}

impl Source {
    async fn give(&self, wanted: Wanted, pieces: mpsc::Sender<Bytes>) -> Result<(), RescueError> {
        match (self, wanted) {
            (Self::Node(dialer), _) => fetch(dialer, wanted, pieces).await,
            (Self::Log(shard), Wanted::Stream { after, to, .. }) => read_held(shard, after, to, pieces).await,
            (Self::Log(_), Wanted::Snapshot) => Err(RescueError::NotKept),
        }
    }
}

/// Fetches and saves in `dir`; returns the record, whose number the store gives.
pub(crate) async fn save(source: Source, job: RescueJob, dir: &Path) -> Result<Rescue, SaveError> {
    let saver = Saver { source, job, dir };
    match saver.job.scope {
        RescueScope::Commands { after, to } => match saver.commands(after, to).await {
            Err(SaveError::Fetch(RescueError::BacklogGone { .. })) => saver.snapshot().await,
            other => other,
        },
        RescueScope::Snapshot => saver.snapshot().await,
    }
}

/// One saving.
struct Saver<'a> {
    source: Source,
    job: RescueJob,
    dir: &'a Path,
}

/// A file of its own, whatever had the name.
async fn create(path: &Path) -> io::Result<tokio::fs::File> {
    let path = path.to_owned();
    let made = tokio::task::spawn_blocking(move || create_private(&path)).await;
    made.map_err(io::Error::other)?.map(tokio::fs::File::from_std)
}

impl Saver<'_> {
    async fn commands(&self, after: Offset, to: Offset) -> Result<Rescue, SaveError> {
        let job = &self.job;
        let wanted = Wanted::Stream {
            history: job.history,
            after,
            to,
        };
        let name = format!(
            "{}-{}-epoch{}-{after}-{to}.resp",
            job.group, job.node.service, job.epoch
        );
        let mut summariser = Summariser::new(after, job.selected_db);
        let bytes = self.write(&name, wanted, |piece| summariser.feed(&piece)).await?;
        let summary = summariser.finish();
        let path = self.dir.join(format!("{name}.json"));
        let text =
            serde_json::to_vec_pretty(&summary).map_err(|error| SaveError::Unreadable(error.to_string()))?;
        let write = async {
            let mut file = create(&path).await?;
            file.write_all(&text).await?;
            file.sync_all().await
        };
        write.await.map_err(|source| SaveError::File { path, source })?;
        Ok(self.record(RescueKind::Commands, (after, to), bytes, name, Some(summary)))
    }

    async fn snapshot(&self) -> Result<Rescue, SaveError> {
        let job = &self.job;
        let name = format!(
            "{}-{}-epoch{}-{}-{}.rdb",
            job.group, job.node.service, job.epoch, job.history, job.offset
        );
        let bytes = self
            .write(&name, Wanted::Snapshot, |piece| Ok(vec![piece]))
            .await?;
        let span = (job.divergence_offset, job.offset);
        Ok(self.record(RescueKind::Snapshot, span, bytes, name, None))
    }

    /// Fetches into a file that has its name only when it is whole and synced.
    async fn write(
        &self,
        name: &str,
        wanted: Wanted,
        mut convert: impl FnMut(Bytes) -> Result<Vec<Bytes>, SaveError>,
    ) -> Result<u64, SaveError> {
        let path = self.dir.join(name);
        let temporary = self.dir.join(format!("{name}.part"));
        let failed = |path: &Path, source: io::Error| SaveError::File {
            path: path.to_owned(),
            source,
        };
        let mut file = create(&temporary)
            .await
            .map_err(|error| failed(&temporary, error))?;
        let (pieces, mut incoming) = mpsc::channel(PIECES_MAX);
        let source = self.source.clone();
        let fetching = tokio::spawn(async move { source.give(wanted, pieces).await });
        let mut bytes = 0;
        while let Some(piece) = incoming.recv().await {
            for part in convert(piece)? {
                bytes += part.len() as u64;
                if bytes > self.job.max_bytes {
                    fetching.abort();
                    drop(tokio::fs::remove_file(&temporary).await);
                    return Err(SaveError::TooLarge {
                        max_bytes: self.job.max_bytes,
                    });
                }
                file.write_all(&part)
                    .await
                    .map_err(|error| failed(&temporary, error))?;
            }
        }
        fetching.await.map_err(|_| RescueError::NotKept)??;
        file.sync_all().await.map_err(|error| failed(&temporary, error))?;
        tokio::fs::rename(&temporary, &path)
            .await
            .map_err(|error| failed(&path, error))?;
        let dir = tokio::fs::File::open(&self.dir)
            .await
            .map_err(|error| failed(self.dir, error))?;
        dir.sync_all().await.map_err(|error| failed(self.dir, error))?;
        Ok(bytes)
    }

    fn record(
        &self,
        kind: RescueKind,
        (from, to): (Offset, Offset),
        bytes: u64,
        file: String,
        summary: Option<RescueSummary>,
    ) -> Rescue {
        let job = &self.job;
        Rescue {
            id: RescueId(0),
            group: job.group.clone(),
            shard: job.shard,
            service: job.node.service.clone(),
            node: job.node.address.clone(),
            epoch: job.epoch,
            kind,
            history: job.history,
            from,
            to,
            bytes,
            file,
            summary,
            saved_at: Timestamp::now(),
        }
    }
}
