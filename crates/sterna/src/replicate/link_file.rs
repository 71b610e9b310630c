//! What a link must remember between runs: the secret of its relay, and what its targets were before.
//!
//! `link.json` in the data directory, readable by its owner only, replaced atomically.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sterna_node::ServerTls;
use sterna_node::adopt::OriginalSettings;
use sterna_node::files::create_private;
use sterna_protocol::Secret;
use sterna_replication::{Login, generate_secret};

/// The only format so far.
const FORMAT: u32 = 1;
/// The shard's name, and so the user name with which targets log in to the relay.
pub(crate) const SHARD_NAME: &str = "sterna";

/// The contents of `link.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LinkFile {
    format: u32,
    #[serde(with = "sterna_protocol::secret::exposed")]
    secret: Secret,
    /// Where the relay listened last: targets that are down meanwhile look for it there.
    pub(crate) relay: Option<SocketAddr>,
    /// The relay's TLS files, so that `sterna promote` can serve the log as the link did.
    pub(crate) relay_tls: Option<RelayTls>,
    /// The targets, as they were before they became replicas of this link.
    pub(crate) targets: Vec<TargetBefore>,
}

/// The relay's TLS files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelayTls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

impl RelayTls {
    /// Reads the files.
    pub(crate) fn load(&self) -> anyhow::Result<ServerTls> {
        ServerTls::new(&self.cert, &self.key, self.client_ca.as_deref())
            .context("the relay's TLS can't be set up")
    }
}

/// What a target was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetBefore {
    /// Its settings and role.
    #[serde(flatten)]
    pub(crate) before: OriginalSettings,
    /// Whether it was seen following this link with all data.
    pub(crate) follows: bool,
}

impl LinkFile {
    /// Reads the file; a new link gets a new secret.
    pub(crate) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = path(data_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = Self {
                    format: FORMAT,
                    secret: generate_secret()?,
                    relay: None,
                    relay_tls: None,
                    targets: Vec::new(),
                };
                new.save(data_dir)?;
                return Ok(new);
            }
            Err(error) => return Err(error).with_context(|| format!("{} can't be read", path.display())),
        };
        let file: Self = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged; move the data directory away to begin anew with a full copy",
                path.display()
            )
        })?;
        anyhow::ensure!(
            file.format == FORMAT,
            "{} has format {}, this version reads {FORMAT}",
            path.display(),
            file.format
        );
        Ok(file)
    }

    /// What its targets attach with.
    pub(crate) fn login(&self, targets: usize) -> Login {
        Login {
            name: "targets".to_owned(),
            secret: self.secret(),
            nodes: targets,
        }
    }

    /// Writes the file so that a crash leaves either the old or the new one.
    pub(crate) fn save(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = path(data_dir);
        let temporary = path.with_extension("json.tmp");
        let write = || -> io::Result<()> {
            fs::create_dir_all(data_dir)?;
            let mut file = create_private(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(data_dir)?.sync_all()
        };
        write().with_context(|| {
            format!(
                "{} can't be written, so the link could not be resumed; nothing was changed at the targets",
                path.display()
            )
        })
    }

    /// The password with which targets log in to the relay.
    pub(crate) fn secret(&self) -> Secret {
        self.secret.clone()
    }

    /// What the target at `address` was before.
    pub(crate) fn before(&mut self, address: &str) -> Option<&mut TargetBefore> {
        self.targets
            .iter_mut()
            .find(|target| target.before.address == address)
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("link.json")
}

/// The directory of the shard's log.
pub(crate) fn log_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("log")
}
